/**
 * R1: the server's own sockets layer, which reads each body and replies at once with as many bytes as a write's reply
 * has. It takes the server's flags, and says that it listens in the server's words.
 */
import { openServer } from "../../src/main/sockets/open-server.js";
import { loadConfig } from "../../src/shared/config.js";
import { createLogger } from "../../src/shared/log.js";

const headers = ["content-type", "application/json"];
const replyBody = JSON.stringify({
  success: true,
  message: "Data successfully ingested for table: rows_64, ID: s-000000",
  node_id: "node",
  id: "s-000000",
  accepted: 1,
  rejected: 0,
  durability: "fsync",
  sequence: "0123456789abcdef0123456789abcdef:1234567",
});

const config = loadConfig({ argv: process.argv.slice(2) });
const log = createLogger({ ...config.log, thread: "main" });
const { server } = await openServer(
  {
    host: config.http.host,
    port: config.http.port,
    handler: (exchange) => ({
      onChunk(_chunk, isLast) {
        if (isLast) exchange.reply(200, headers, replyBody);
      },
      onAborted() {},
    }),
    webSockets: {},
    bodyBytesMax: config.http.bodyBytesMax,
    bodyIdleMsMax: config.http.slowClientTimeoutMs,
    bodyBytesPerSecondMin: config.http.bodyRateMin,
    connectionsMax: config.http.connectionsMax,
    renderError: (error) => ({ headers, body: JSON.stringify({ code: error.code }) }),
    onError: (error) => log.error({ err: error }, "a reply failed"),
  },
  config.sockets.implementation,
);
log.info({ implementation: server.implementation }, `listening on http://${server.host}:${server.port}`);
