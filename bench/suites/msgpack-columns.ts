import type { Suite } from "../harness/bench-context.js";
import { measureBulk } from "../harness/bulk-load.js";
import { measureSustained } from "../harness/sustained-load.js";

const job = { payload: "msgpack-columns", rowsPerRequest: 1000, connections: 16 } as const;

export const msgpackColumns: Suite = {
  name: "msgpack",
  async run(context) {
    const burst = await measureBulk(context, {
      measure: "columnar MessagePack, 1,000 rows × 5 columns, burst",
      job: { ...job, table: "msgpack_burst" },
      rowsPerSecondMin: 1_500_000,
      referenceShareMin: null,
    });
    const sustained = await measureSustained(context, {
      measure: "columnar MessagePack, 1,000 rows × 5 columns, sustained",
      job: { ...job, table: "msgpack_sustained" },
      rowsPerSecondMin: 800_000,
      isMemoryMeasured: true,
    });
    return [burst, ...sustained];
  },
};
