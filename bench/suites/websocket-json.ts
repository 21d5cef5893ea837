import { measureBulk } from "../harness/bulk-load.js";
import type { Suite } from "../harness/bench-context.js";

export const websocketJson: Suite = {
  name: "websocket",
  async run(context) {
    return [
      await measureBulk(context, {
        measure: "WebSocket, batches of 100 JSON rows × 7 columns",
        job: {
          transport: "websocket",
          payload: "json-array",
          table: "websocket_rows",
          rowsPerRequest: 100,
          connections: 8,
          inFlightPerConnection: 16,
        },
        rowsPerSecondMin: 400_000,
        referenceShareMin: null,
      }),
    ];
  },
};
