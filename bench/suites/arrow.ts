import type { Suite } from "../harness/bench-context.js";
import { measureBulk } from "../harness/bulk-load.js";
import { measureSustained } from "../harness/sustained-load.js";

const job = { payload: "arrow", rowsPerRequest: 10_000, connections: 8 } as const;

export const arrow: Suite = {
  name: "arrow",
  async run(context) {
    const burst = await measureBulk(context, {
      measure: "Arrow IPC, 10,000 rows × 5 columns, burst",
      job: { ...job, table: "arrow_burst" },
      rowsPerSecondMin: 3_000_000,
      referenceShareMin: 0.8,
    });
    const sustained = await measureSustained(context, {
      measure: "Arrow IPC, 10,000 rows × 5 columns, sustained",
      job: { ...job, table: "arrow_sustained" },
      rowsPerSecondMin: 1_000_000,
      isMemoryMeasured: false,
    });
    return [burst, ...sustained];
  },
};
