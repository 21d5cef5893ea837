/** Many committers in two processes append to one table on a real S3 server: every row once, no lost commit. */
import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { TableCatalog } from "../../src/shared/iceberg/table-catalog.js";
import { initialSchema } from "../../src/shared/schema/table-schema.js";
import { openS3Client } from "../../src/shared/store/s3-client.js";
import { S3Store } from "../../src/shared/store/s3-store.js";
import { HttpClient } from "../harness/http-client.js";
import { type RedisTestServer, startRedis, whyNoRedis } from "../harness/redis-server.js";
import { noFault, randomS3Faults, S3FaultProxy, type S3FaultOdds } from "../harness/s3-fault-proxy.js";
import { type S3TestServer, startS3Server, storeEnvironment, whyNoS3Server } from "../harness/s3-server.js";
import { seededRandom } from "../harness/seeded-random.js";
import { ServerProcess } from "../harness/server-process.js";
import { sized, someOf } from "../harness/test-size.js";
import { s3OptionsOf } from "../shared/store/s3-fixture.js";
import type { CommitterJob, CommitterResult } from "./committer-process.js";

const skip = (await whyNoS3Server()) || whyNoRedis();
const seed = Number(process.env["MINIODB_TEST_SEED"] ?? 20261123);
const roundsAsked = Number(process.env["MINIODB_TEST_ROUNDS"] ?? 0);
const processes = 2;
const committers = sized(4, 8);
const rows = 20;
const leaseMs = 500;

describe(`${processes * committers} committers over two processes on one table`, { skip }, () => {
  let s3: S3TestServer;
  let proxy: S3FaultProxy;
  let bucket: string;
  let redis: RedisTestServer;

  before(async () => {
    [s3, redis] = await Promise.all([startS3Server(), startRedis()]);
    bucket = await s3.createBucket();
    proxy = await S3FaultProxy.start(s3.endpoint);
  });

  after(async () => {
    await proxy.stop();
    await Promise.all([s3.stop(), redis.stop()]);
  });

  interface Case {
    readonly odds: S3FaultOdds;
    /** Commits of each committer. */
    readonly rounds: number;
    /** The store has plain puts only, and each process is stopped now and then for longer than a lease. */
    readonly isLeased?: boolean;
  }
  const lossy = { shares: { answerAfter: 0.03, resetAfter: 0.03, reset: 0.03, answer: 0.03 } };
  const cases: Readonly<Record<string, Case>> = {
    undisturbed: { odds: { shares: {} }, rounds: 1 },
    "losing answers": { odds: lossy, rounds: 2 },
    "leased and paused": { odds: lossy, rounds: 1, isLeased: true },
  };
  /** Rows of each table, for the server that reads them all in the end. */
  const expectedRows = new Map<string, number>();
  for (const [name, { odds, rounds, isLeased = false }] of someOf(Object.entries(cases), 2)) {
    test(`${name}: every commit is there once (seed ${seed})`, async (t) => {
      const commits = roundsAsked === 0 ? rounds : roundsAsked;
      const table = name.replaceAll(" ", "_");
      const options = s3OptionsOf(s3, bucket, { endpoint: proxy.endpoint, prefix: "" });
      const client = openS3Client(options);
      const catalog = new TableCatalog(new S3Store(client, options));
      const { identity } = await catalog.createTable({ name: table, schema: initialSchema, settings: {} });
      proxy.plan = randomS3Faults(seededRandom(seed), odds);
      const startMs = performance.now();
      const lease = isLeased ? { redisPort: redis.port, leaseMs } : null;
      const job = { s3: options, identity, committers, commits, rows, lease };
      const results = await Promise.all(Array.from({ length: processes }, () => runProcess(job, isLeased)));
      proxy.plan = () => noFault;
      const streams = results.flat();
      const elapsedMs = Math.round(performance.now() - startMs);
      const repeats = streams.reduce((sum, each) => sum + each.repeats, 0);
      t.diagnostic(`${streams.length * commits} commits in ${elapsedMs} ms, ${repeats} asked for again`);

      const state = await catalog.loadTable(identity);
      client.destroy();
      assert.equal(streams.length, processes * committers);
      for (const { stream, position } of streams) assert.equal(state.positions[stream], position);
      assert.equal(state.files.length, streams.length * commits);
      assert.equal(new Set(state.files.map(({ key }) => key)).size, state.files.length);
      expectedRows.set(table, streams.length * commits * rows);
    });
  }

  test("a server finds every row once", async (t) => {
    const server = await ServerProcess.start({ env: storeEnvironment(s3, bucket) });
    t.after(() => server.dispose());
    assert.ok(expectedRows.size > 0);
    for (const [table, expected] of expectedRows) {
      const sql = `select count(*) as n, count(distinct id) as ids from ${table}`;
      const [row] = await new HttpClient(server.url).query<{ n: number; ids: number }>(sql);
      assert.deepEqual([Number(row?.n), Number(row?.ids)], [expected, expected], table);
    }
  });
});

/** SIGSTOP and SIGCONT at random moments, with pauses longer than a lease. */
async function pauseNowAndThen(child: ChildProcess, random: () => number): Promise<void> {
  while (child.exitCode === null && child.signalCode === null) {
    await delay(200 + random() * 800);
    child.kill("SIGSTOP");
    await delay(leaseMs * (1 + random()));
    child.kill("SIGCONT");
  }
}

function runProcess(job: CommitterJob, isPaused: boolean): Promise<CommitterResult> {
  const child = fork(fileURLToPath(new URL("committer-process.js", import.meta.url)));
  if (isPaused) void pauseNowAndThen(child, Math.random);
  return new Promise((resolve, reject) => {
    child.once("message", resolve);
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`a process of committers ended with code ${code}`)));
    child.send(job);
  });
}
