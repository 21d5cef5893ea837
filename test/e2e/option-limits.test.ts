/** Options that only a whole server shows to act, each with a server of its own, side by side. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, describe, test } from "node:test";
import { WebSocket } from "ws";
import { HttpClient } from "../harness/http-client.js";
import { LiveClient } from "../harness/live-client.js";
import { ServerProcess } from "../harness/server-process.js";

describe("options of a running server", { concurrency: true }, () => {
  const servers: ServerProcess[] = [];
  const start = async (
    flags: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): Promise<ServerProcess> => {
    const server = await ServerProcess.start({ flags, env });
    servers.push(server);
    return server;
  };
  after(() => Promise.all(servers.map((server) => server.dispose())));

  test("ingest.walPendingBytesMax: no more is taken than the log may be behind", async () => {
    const sleepMs = 2500;
    const env = { MINIODB_FAILPOINT: `wal.group.written:2:sleep:${sleepMs}` };
    const { url } = await start(["--ingest-wal-pending-bytes-max", "1048576"], env);
    const client = new HttpClient(url);
    await client.write("t", [{ text: "" }]);
    const startMs = performance.now();
    const held = client.write("t", [{ text: "" }]);
    // Not waited for by anybody but the limit: accepted is all that they ask for.
    const text = "x".repeat(512 * 1024);
    let answered = 0;
    const writes = Array.from({ length: 8 }, async () => {
      const reply = await client.send("/v1/tables/t/rows?durability=memory", {
        body: JSON.stringify({ text }),
        headers: { "content-type": "application/x-ndjson" },
      });
      answered++;
      return reply.status;
    });
    await held;
    const answeredMeanwhile = answered;
    assert.ok(performance.now() - startMs >= sleepMs / 2, "the log was held up");
    assert.ok(answeredMeanwhile < 8, `${answeredMeanwhile} of 8 batches of 512 KiB were taken beside 1 MiB`);
    assert.deepEqual(
      await Promise.all(writes),
      Array.from({ length: 8 }, () => 200),
    );
    assert.equal(await client.count("t"), 10);
  });

  test("http.webSocketIdleMs: who neither sends nor answers pings is cut off, others are not", async () => {
    const { url } = await start(["--http-web-socket-idle-ms", "8000"]);
    const talking = await LiveClient.open(url);
    const silent = new WebSocket(`${url.replace("http", "ws")}/v1/stream`, { autoPong: false });
    silent.on("error", () => {});
    await once(silent, "open");
    // By default it would be two minutes.
    await once(silent, "close", { signal: AbortSignal.timeout(60_000) });
    await new HttpClient(url).write("t", [{ n: 1 }]);
    assert.equal((await talking.subscribe({ table: "t" })).type, "subscribed");
    await talking.cut();
  });
});
