/**
 * Servers on an S3 store that does not know If-None-Match: with Redis any number of them, without it one at a time.
 */
import type { S3Client } from "@aws-sdk/client-s3";
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { HttpClient } from "../harness/http-client.js";
import { type RedisTestServer, startRedis, whyNoRedis } from "../harness/redis-server.js";
import { S3FaultProxy } from "../harness/s3-fault-proxy.js";
import {
  openTestClient,
  plainPut,
  type S3TestServer,
  startS3Server,
  storeEnvironment,
  whyNoS3Server,
} from "../harness/s3-server.js";
import { ServerProcess } from "../harness/server-process.js";
import { someOf, whyLeftOut } from "../harness/test-size.js";

const skip = (await whyNoS3Server()) || whyNoRedis();
/** Long, so that no busy machine keeps a server from renewing it. */
const claimMs = 120_000;
/** What a server that looks at the claim of a dead one waits for. */
const staleMs = 4_000;
/** Several servers each; a small run has one of the two. */
const chosen = someOf(["with Redis", "without Redis"], 1);
const whyNot = (name: string): string | false => whyLeftOut(chosen, name);

describe("a store without conditional puts", { skip }, () => {
  const root = mkdtempSync(join(tmpdir(), "miniodb-e2e-plain-"));
  const running: ServerProcess[] = [];
  let s3: S3TestServer;
  let proxy: S3FaultProxy;
  let client: S3Client;
  let redis: RedisTestServer;
  let bucket: string;

  before(async () => {
    [s3, redis] = await Promise.all([startS3Server(), startRedis()]);
    bucket = await s3.createBucket();
    client = openTestClient(s3);
    proxy = await S3FaultProxy.start(s3.endpoint);
    proxy.putAnyway = plainPut(client, bucket);
  });
  after(async () => {
    await Promise.all(running.map((server) => server.dispose()));
    client.destroy();
    await proxy.stop();
    await Promise.all([s3.stop(), redis.stop()]);
    rmSync(root, { recursive: true, force: true });
  });

  const start = async (name: string, prefix: string, flags: readonly string[] = []): Promise<ServerProcess> => {
    const env = storeEnvironment(s3, bucket, proxy.endpoint);
    const own = ["--node-id", name, "--store-prefix", prefix, "--store-claim-ms", String(claimMs)];
    const server = await ServerProcess.start({
      folder: join(root, `${prefix}-${name}`),
      env,
      flags: [...own, "--flush-rows", "50", ...flags],
    });
    running.push(server);
    return server;
  };

  test(
    "with Redis two servers write to one table, and a third finds every row once",
    {
      skip: whyNot("with Redis"),
    },
    async () => {
      const flags = ["--redis-host", "127.0.0.1", "--redis-port", String(redis.port)];
      const one = await start("one", "shared", flags);
      const made = await new HttpClient(one.url).sendJson("/v1/tables", { table_name: "t" });
      assert.equal(made.status, 200, JSON.stringify(made.body));
      const two = await start("two", "shared", flags);
      assert.match(one.output, /commits take a lease in Redis/);
      const write = async (server: ServerProcess, name: string): Promise<void> => {
        const http = new HttpClient(server.url);
        for (let batch = 0; batch < 10; batch++) {
          const rows = Array.from({ length: 30 }, (_value, row) => JSON.stringify({ id: `${name}-${batch}-${row}` }));
          const headers = { "content-type": "application/x-ndjson" };
          const reply = await http.send("/v1/tables/t/rows", { body: rows.join("\n"), headers });
          assert.equal(reply.status, 200, JSON.stringify(reply.body));
        }
        const flushed = await http.send("/v1/tables/t/flush", { method: "POST" });
        assert.equal(flushed.status, 200, JSON.stringify(flushed.body));
      };
      await Promise.all([write(one, "one"), write(two, "two")]);
      const three = await start("three", "shared", flags);
      const [row] = await new HttpClient(three.url).query<{ n: number; ids: number }>(
        "select count(*) as n, count(distinct id) as ids from t",
      );
      assert.deepEqual([Number(row?.n), Number(row?.ids)], [600, 600]);
    },
  );

  test(
    "without Redis a second server is told who has the warehouse, and may start when that one has stopped",
    {
      skip: whyNot("without Redis"),
    },
    async () => {
      const one = await start("first-node", "alone");
      assert.match(one.output, /claimed the warehouse for itself/);
      const refused = start("second-node", "alone");
      await assert.rejects(refused, /in use by node first-node .*redis\.host/s);
      const http = new HttpClient(one.url);
      const stored = await http.sendJson("/v1/data?durability=stored", { table: "t", id: "a", payload: {} });
      assert.equal(stored.status, 200, JSON.stringify(stored.body));
      await one.stop();
      const two = await start("second-node", "alone");
      assert.equal(await new HttpClient(two.url).count("t"), 1);
      // Its own restart waits for nobody.
      await two.kill();
      await two.restart();
      assert.ok(two.readyMs < claimMs, `ready after ${two.readyMs} ms`);
      await two.kill();
      const three = await start("third-node", "alone", ["--store-claim-ms", String(staleMs)]);
      assert.ok(three.readyMs >= staleMs, `took over after ${three.readyMs} ms`);
      assert.equal(await new HttpClient(three.url).count("t"), 1);
    },
  );

  test("Redis that throws out what it holds, or is not there, is refused", async () => {
    const missing = start("four", "shared", ["--redis-host", "127.0.0.1", "--redis-port", "1"]);
    await assert.rejects(missing, /Redis at 127\.0\.0\.1:1, which the commits need/);
  });
});
