/** How a server ends, and what another one on its folder is told meanwhile. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { HttpClient, type WriteReply } from "../harness/http-client.js";
import { ServerProcess } from "../harness/server-process.js";

describe("SIGTERM", () => {
  let server: ServerProcess;
  let client: HttpClient;

  before(async () => {
    // The second group of the log takes its time, in every life.
    const env = { MINIODB_FAILPOINT: "wal.group.written:2:sleep:1500" };
    server = await ServerProcess.start({ env });
    client = new HttpClient(() => server.url);
  });

  after(() => server.dispose());

  const write = (value: number, query = "") =>
    client.send(`/v1/tables/t/rows${query}`, {
      body: `{"v":${value}}`,
      headers: { "content-type": "application/x-ndjson" },
    });

  test("a second server on the folder is refused, and the first goes on", async () => {
    await assert.rejects(ServerProcess.start({ folder: server.folder }), /is in use by another process/);
    assert.equal((await write(1)).status, 200);
  });

  test("what is under way is finished, what comes later is refused, and nothing acknowledged is lost", async () => {
    const early = await write(2, "?durability=memory");
    assert.equal((early.body as WriteReply).durability, "memory");
    const underWay = write(3);
    // Another connection, which is open when the signal comes.
    const { hostname, port } = new URL(server.url);
    const late = connect(Number(port), hostname);
    await once(late, "connect");
    await delay(300);
    const exit = server.stop();
    await delay(300);
    const text = once(late, "data") as Promise<[Buffer]>;
    late.write(
      `POST /v1/tables/t/rows HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}`,
    );
    const [reply] = await text;
    assert.match(reply.toString(), /^HTTP\/1\.1 503 /);
    assert.match(reply.toString(), /SHUTTING_DOWN/);
    const finished = await underWay;
    assert.deepEqual([finished.status, (finished.body as WriteReply).durability], [200, "fsync"]);
    assert.deepEqual(await exit, { code: 0, signal: null });
    late.destroy();
    await server.restart(["--shutdown-drain-ms", "300"]);
    assert.deepEqual(await client.query("select v from t order by v"), [{ v: 1 }, { v: 2 }, { v: 3 }]);
  });

  test("a client that sends its body for ever holds the end up no longer than shutdown.drainMs", async () => {
    const { hostname, port } = new URL(server.url);
    const slow = connect(Number(port), hostname);
    slow.on("error", () => undefined);
    slow.write(
      "POST /v1/tables/t/rows HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{",
    );
    const drip = setInterval(() => slow.write(" "), 50);
    await delay(200);
    const exit = await server.stop();
    clearInterval(drip);
    slow.destroy();
    assert.deepEqual(exit, { code: 0, signal: null });
    assert.match(server.output, /requests were cut off at shutdown\.drainMs/);
  });
});
