import { measureBulk } from "../harness/bulk-load.js";
import type { Suite } from "../harness/bench-context.js";

export const ndjsonEndToEnd: Suite = {
  name: "ndjson",
  async run(context) {
    return [
      await measureBulk(context, {
        measure: "NDJSON batches of 1,000 rows × 7 columns, end to end",
        job: { payload: "ndjson", table: "ndjson_rows", rowsPerRequest: 1000, connections: 16 },
        rowsPerSecondMin: 600_000,
        referenceShareMin: 0.6,
      }),
    ];
  },
};
