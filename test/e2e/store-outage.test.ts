/**
 * What an operator sees of a store that went away: health, metrics and log, and a server that catches up by itself and may
 * be restarted meanwhile. What becomes of rows under all kinds of failures is s3-outage.test.ts.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { HttpClient } from "../harness/http-client.js";
import { S3FaultProxy } from "../harness/s3-fault-proxy.js";
import { type S3TestServer, startS3Server, storeEnvironment, whyNoS3Server } from "../harness/s3-server.js";
import { ServerProcess } from "../harness/server-process.js";
import { sized } from "../harness/test-size.js";

const skip = await whyNoS3Server();
const outageMs = 2_000;
const rowsPerBatch = 200;
/** Everything flushes all the time. */
const flags = ["--flush-rows", "1000", "--flush-interval-ms", "300", "--store-idle-timeout-ms", "1s"];
/** Generous: the machine may be busy. */
const catchUpMs = 60_000;

interface Health {
  readonly status: string;
  readonly details: Readonly<Record<string, string>>;
}

describe("an outage of the store", { skip }, () => {
  const root = mkdtempSync(join(tmpdir(), "miniodb-outage-"));
  let s3: S3TestServer;
  let proxy: S3FaultProxy;
  let bucket: string;
  let server: ServerProcess;
  let client: HttpClient;
  let written = 0;

  before(async () => {
    s3 = await startS3Server();
    bucket = await s3.createBucket();
    proxy = await S3FaultProxy.start(s3.endpoint);
    server = await startNode("data", flags);
    client = new HttpClient(() => server.url);
    await writeBatch();
    await waitFor("the first flush", async () => (await metric("miniodb_buffered_rows")) === 0);
  });

  afterEach(() => proxy.up());

  after(async () => {
    await server.dispose();
    await proxy.stop();
    await s3.stop();
    rmSync(root, { recursive: true, force: true });
  });

  const startNode = (folder: string, more: readonly string[]): Promise<ServerProcess> =>
    ServerProcess.start({
      folder: join(root, folder),
      env: storeEnvironment(s3, bucket, proxy.endpoint),
      flags: more,
    });

  const writeBatch = async (): Promise<void> => {
    const rows = Array.from({ length: rowsPerBatch }, (_value, index) => ({
      timestamp: new Date(Date.UTC(2026, 0, 1) + (written + index) * 1000).toISOString(),
      id: `row-${written + index}`,
      v: written + index,
    }));
    const reply = await client.write("t", rows);
    assert.equal(reply.accepted, rowsPerBatch);
    written += rowsPerBatch;
  };

  /** Every row once, by count, by distinct ids and by sum. */
  const assertAllThere = async (from = client): Promise<void> => {
    const sql = "select count(*) as n, count(distinct id) as ids, sum(v) as total from t";
    const [row] = await from.query<{ n: number; ids: number; total: number }>(sql);
    const found = [Number(row?.n), Number(row?.ids), Number(row?.total)];
    assert.deepEqual(found, [written, written, (written * (written - 1)) / 2]);
  };

  const metric = async (name: string): Promise<number> => {
    const { body } = await client.send("/metrics");
    return Number(new RegExp(`^${name} (\\S+)$`, "m").exec(String(body))?.[1]);
  };

  const health = async (): Promise<Health> => (await client.send("/v1/health")).body as Health;

  const waitFor = async (what: string, isSo: () => Promise<boolean>): Promise<void> => {
    const deadline = performance.now() + catchUpMs;
    while (!(await isSo())) {
      assert.ok(performance.now() < deadline, `${what}; the server's log:\n${server.output.slice(-4_000)}`);
      await delay(50);
    }
  };

  /** Each batch must be acknowledged and visible as always. */
  const writeFor = async (ms: number): Promise<void> => {
    const endMs = performance.now() + ms;
    while (performance.now() < endMs) {
      await writeBatch();
      await delay(20);
    }
    await assertAllThere();
  };

  const assertCatchesUp = async (): Promise<void> => {
    await waitFor("the flushes catch up", async () => (await metric("miniodb_buffered_rows")) === 0);
    await assertAllThere();
    await waitFor("the store counts as well", async () => (await health()).details["store"] === "ok");
  };

  test("while it is gone rows are durable and visible; health and metrics say so; it catches up by itself", async () => {
    await proxy.down();
    await writeFor(outageMs);
    await waitFor("the breaker opens", async () => (await metric("miniodb_store_broken")) === 1);
    const during = await health();
    assert.equal(during.status, "healthy");
    assert.match(during.details["store"] ?? "", /does not answer since 20/);
    assert.match(during.details["flush"] ?? "", /cannot be flushed/);
    await waitFor("calls are held back", async () => (await metric("miniodb_store_held_back_total")) > 0);
    await proxy.up();
    await assertCatchesUp();
    assert.equal(await metric("miniodb_store_broken"), 0);
    assert.match(server.output, /the object store does not answer.*[^]*the object store answers again/);
  });

  test(
    "a kill during an outage loses nothing: the log has it, and the start waits for the store",
    {
      skip: sized<string | false>("a small run has that in s3-outage.test.ts", false),
    },
    async () => {
      await proxy.down();
      await writeFor(500);
      await server.kill();
      const restarted = server.restart();
      await delay(1_500);
      await proxy.up();
      await restarted;
      await assertCatchesUp();
    },
  );
});
