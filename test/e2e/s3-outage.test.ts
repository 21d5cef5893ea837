/**
 * A server whose S3 server goes away, is slow, loses answers and fails, under load: what was acknowledged is there once, and
 * it catches up by itself. MINIODB_TEST_OUTAGE_MS=120000 makes the outages longer, MINIODB_TEST_SEED other ones.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { CrashWriter } from "../crash/crash-writer.js";
import { findFreePort } from "../harness/free-port.js";
import { HttpClient } from "../harness/http-client.js";
import { noFault, randomS3Faults, S3FaultProxy } from "../harness/s3-fault-proxy.js";
import { type S3TestServer, startS3Server, storeEnvironment, whyNoS3Server } from "../harness/s3-server.js";
import { seededRandom } from "../harness/seeded-random.js";
import { ServerProcess } from "../harness/server-process.js";
import { sized, sizedBy, someOf } from "../harness/test-size.js";

const skip = await whyNoS3Server();
const seed = Number(process.env["MINIODB_TEST_SEED"] ?? 20261123);
const outageMs = sizedBy("MINIODB_TEST_OUTAGE_MS", 1_500, 4_000);
/** A small log is full sooner. */
const walBytesMax = sized(33_554_432, 67_108_864);
const recoveryMsMax = 300_000;
/** A commit and some of the next: so many meet each weather at least. */
const requestsMin = 10;
const tables = ["alpha", "beta"];
/** In a small run the bucket is looked into once, at the end. */
const isStoredBetween = sized(false, true);

const flags = [
  ["--flush-rows", "2000", "--flush-interval-ms", "300"],
  ["--wal-segment-bytes", "1048576", "--wal-bytes-max", String(walBytesMax)],
  ["--compaction-interval-ms", "500", "--compaction-small-files-min", "4"],
  ["--store-connect-timeout-ms", "500", "--store-idle-timeout-ms", "1000"],
].flat();

describe(`an S3 server that fails (seed ${seed})`, { skip }, () => {
  const root = mkdtempSync(join(tmpdir(), "miniodb-e2e-outage-"));
  const random = seededRandom(seed);
  const writer = new CrashWriter({ random, tables, connections: sized(2, 4), isStoredAvoided: true });
  const client = new HttpClient(() => server.url);
  let s3: S3TestServer;
  let proxy: S3FaultProxy;
  let bucket: string;
  let server: ServerProcess;

  before(async () => {
    s3 = await startS3Server();
    bucket = await s3.createBucket();
    proxy = await S3FaultProxy.start(s3.endpoint);
    const env = storeEnvironment(s3, bucket, proxy.endpoint);
    server = await ServerProcess.start({ folder: join(root, "data"), env, flags });
    // A table comes into being in the store: what is written while that is down goes to tables that are there.
    for (const table of [...tables, "filling", "single"]) {
      const reply = await client.sendJson("/v1/tables", { table_name: table });
      assert.equal(reply.status, 200, JSON.stringify(reply.body));
    }
  });

  afterEach(async () => {
    await writer.stop();
    proxy.plan = () => noFault;
    await proxy.up();
  });

  after(async () => {
    await server.dispose();
    await proxy.stop();
    await s3.stop();
    rmSync(root, { recursive: true, force: true });
  });

  const metric = async (name: string): Promise<number> => {
    const { body } = await client.send("/metrics");
    return Number(new RegExp(`^${name} (\\S+)$`, "m").exec(String(body))?.[1]);
  };

  const writeOne = async (): Promise<number> => {
    const reply = await client.send("/v1/tables/single/rows", {
      body: JSON.stringify({ id: "one", filler: "x".repeat(2000) }),
      headers: { "content-type": "application/x-ndjson" },
    });
    return reply.status;
  };

  /** Everything that was acknowledged is in the bucket, for a node that has nothing else. */
  const verifyStored = async (): Promise<void> => {
    for (const table of tables) await flushWithin(table, recoveryMsMax);
    const env = storeEnvironment(s3, bucket);
    const other = await ServerProcess.start({ folder: mkdtempSync(join(root, "fresh-")), env });
    await writer.verify(other.url);
    await other.dispose();
  };

  const flushWithin = async (table: string, withinMs: number): Promise<void> => {
    const deadline = Date.now() + withinMs;
    for (;;) {
      const reply = await client.send(`/v1/tables/${table}/flush`, { method: "POST" });
      if (reply.status === 200) return;
      assert.ok(Date.now() < deadline, `the flush of ${table} still answers ${JSON.stringify(reply.body)}`);
      await delay(100);
    }
  };

  test("it is down under load: writes go on, reads of what is here too, and all is stored when it is back", async (t) => {
    writer.start(server.url);
    await delay(1000);
    await proxy.down();
    const before = writer.acknowledgedRows;
    await delay(outageMs);
    const during = writer.acknowledgedRows - before;
    assert.ok(during > 0, "rows were acknowledged while the store was down");
    const noticeMs = performance.now();
    while ((await metric("miniodb_store_broken")) !== 1) {
      assert.ok(performance.now() - noticeMs < recoveryMsMax, "it sees that the store is away");
      await delay(50);
    }
    const health = await client.send("/v1/health");
    assert.match(JSON.stringify(health.body), /"store":"does not answer since/);
    await proxy.up();
    const backMs = performance.now();
    while ((await metric("miniodb_store_broken")) !== 0) {
      assert.ok(performance.now() - backMs < recoveryMsMax, "it sees that the store is back");
      await delay(50);
    }
    t.diagnostic(
      `${during} rows acknowledged in the outage; seen to be over after ${Math.round(performance.now() - backMs)} ms`,
    );
    await writer.stop();
    await writer.verify(server.url);
    if (isStoredBetween) await verifyStored();
  });

  test("a new table while it is down or silent: 503 soon, with Retry-After; known tables go on; then it comes to be", async () => {
    const write = (table: string) => {
      const headers = { "content-type": "application/x-ndjson" };
      return client.send(`/v1/tables/${table}/rows`, { body: JSON.stringify({ id: "first" }), headers });
    };
    const weathers = { down: () => proxy.down(), silent: () => void (proxy.plan = () => ({ kind: "silence" })) };
    for (const [table, begin] of Object.entries(weathers)) {
      await begin();
      const startMs = performance.now();
      const reply = await write(table);
      const tookMs = performance.now() - startMs;
      assert.deepEqual([reply.status, (reply.body as { code?: string }).code], [503, "STORE_UNAVAILABLE"]);
      assert.ok(Number(reply.headers["retry-after"]) > 0);
      assert.ok(tookMs < 60_000, `answered after ${tookMs} ms`);
      const made = await client.sendJson("/v1/tables", { table_name: `${table}_made` });
      assert.deepEqual([made.status, (made.body as { code?: string }).code], [503, "STORE_UNAVAILABLE"]);
      assert.equal(await writeOne(), 200);
      proxy.plan = () => noFault;
      await proxy.up();
      const deadline = Date.now() + recoveryMsMax;
      // What seemed to fail may have come to be: the first write that is taken is the only row.
      while ((await write(table)).status !== 200) {
        assert.ok(Date.now() < deadline, "the table comes to be when the store is back");
        await delay(100);
      }
      assert.equal(await client.count(table), 1);
    }
  });

  test("it stays down until the log is full: 503 with Retry-After, nothing lost, and writes again after it is back", async () => {
    await proxy.down();
    const body = Array.from({ length: 500 }, (_value, row) =>
      JSON.stringify({ id: `f${row}`, filler: noise(random.integer) }),
    );
    let accepted = 0;
    let refused;
    const deadline = Date.now() + recoveryMsMax;
    while (refused === undefined) {
      const headers = { "content-type": "application/x-ndjson" };
      const reply = await client.send("/v1/tables/filling/rows", { body: body.join("\n"), headers });
      if (reply.status === 200) accepted += body.length;
      else refused = reply;
      assert.ok(Date.now() < deadline, "the log fills");
    }
    assert.equal(refused.status, 503, JSON.stringify(refused.body));
    assert.ok(Number(refused.headers["retry-after"]) > 0, JSON.stringify(refused.headers));
    assert.ok(accepted > 0);
    assert.equal(await client.count("filling"), accepted);
    // A crash in this state, too, keeps what was acknowledged; the start waits for the store.
    await server.kill();
    const port = await findFreePort();
    const starting = server.restart(["--http-port", String(port)]);
    await untilWaiting(`http://127.0.0.1:${port}`);
    const early = await fetch(`http://127.0.0.1:${port}/v1/tables`);
    assert.deepEqual([early.status, Number(early.headers.get("retry-after")) > 0], [503, true]);
    await proxy.up();
    await starting;
    assert.equal(await client.count("filling"), accepted);
    while ((await writeOne()) !== 200) {
      assert.ok(Date.now() < deadline, "writes are taken again");
      await delay(50);
    }
    await flushWithin("filling", recoveryMsMax);
    assert.equal(await client.count("filling"), accepted);
    await writer.verify(server.url);
  });

  const weathers = {
    "answers 500, 503 and SlowDown": { shares: { answer: 0.3 } },
    "answers errors to puts that happened": { shares: { answerAfter: 0.3 } },
    "resets connections, before and after": { shares: { reset: 0.1, resetAfter: 0.1, cut: 0.1 } },
    "is slow, and now and then silent": { shares: { silence: 0.02 }, waitMsMax: 150 },
    "does all of it": {
      shares: { answer: 0.05, answerAfter: 0.05, reset: 0.05, resetAfter: 0.05, cut: 0.05 },
      waitMsMax: 50,
    },
  };
  for (const [name, odds] of someOf(Object.entries(weathers), 2)) {
    test(`it ${name}: acknowledged rows are stored once`, async (t) => {
      proxy.takeRequests();
      proxy.plan = randomS3Faults(random, odds);
      writer.start(server.url);
      await delay(outageMs / 2);
      let met = proxy.takeRequests().length;
      const deadline = Date.now() + recoveryMsMax;
      while (met < requestsMin) {
        assert.ok(Date.now() < deadline, `only ${met} requests came`);
        await delay(20);
        met += proxy.takeRequests().length;
      }
      await writer.stop();
      proxy.plan = () => noFault;
      t.diagnostic(`${met} requests met this; ${writer.acknowledgedRows} rows acknowledged so far`);
      await writer.verify(server.url);
    });
  }

  test("after all that a node which has nothing else finds everything in the bucket", () => verifyStored());

  test("a start against a store that stays away ends with a sentence that names it", async () => {
    await proxy.down();
    const env = storeEnvironment(s3, bucket, proxy.endpoint);
    const starting = ServerProcess.start({
      folder: join(root, "never"),
      env,
      flags: ["--store-start-timeout-ms", "1000"],
    });
    await assert.rejects(starting, new RegExp(proxy.endpoint));
    await proxy.up();
  });
});

/** Until its health says that it waits for the store; before that nobody may answer yet. */
async function untilWaiting(url: string): Promise<void> {
  const deadline = Date.now() + recoveryMsMax;
  for (;;) {
    const response = await fetch(`${url}/v1/health`).catch(() => null);
    const health = (await response?.text()) ?? "";
    if (/"status":"starting".*"waits_for":"the object store, s3:/.test(health)) {
      assert.equal(response?.status, 503);
      return;
    }
    assert.ok(Date.now() < deadline, `its health is: ${health}`);
    await delay(50);
  }
}

/** Text that does not compress away in the log. */
function noise(integer: (below: number) => number): string {
  return Array.from({ length: 60 }, () => integer(2 ** 31).toString(36)).join("");
}
