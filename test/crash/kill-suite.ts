/**
 * The promise of the write path under kill -9: at random moments, and at every failpoint. One suite for every kind of store;
 * the data folder, which has the log, survives each kill. Longer runs:
 *
 *   MINIODB_TEST_KILLS=50        kills at random moments
 *   MINIODB_TEST_FAILPOINT_KILLS=5  kills at each failpoint
 *   MINIODB_TEST_SEED=1          another sequence
 */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { FailpointName } from "../../src/shared/failpoints.js";
import { seededRandom } from "../harness/seeded-random.js";
import { ServerProcess } from "../harness/server-process.js";
import { sized, sizedBy, someOf } from "../harness/test-size.js";
import { HttpClient } from "../harness/http-client.js";
import { CrashWriter } from "./crash-writer.js";

const kills = sizedBy("MINIODB_TEST_KILLS", 1, 4);
const killsPerFailpoint = Number(process.env["MINIODB_TEST_FAILPOINT_KILLS"] ?? 1);
const isLong = process.env["MINIODB_TEST_FAILPOINT_KILLS"] !== undefined;
/** In a small run; each costs three seconds. */
const failpointsSmall = 6;
/** Up to so many times a life passes a place before it dies there. */
const countMax = sized(2, 3);
/** So long the first life writes, which makes files, hot segments and log for the others; and the last before the end. */
const firstLifeMs = sized(1000, 1500);
const lastLivesMs = sized([], [500]);
/** Acknowledged by all lives together, the last one however long it takes. */
const rowsMin = 1000;
const takenMsMax = 60_000;
const seed = Number(process.env["MINIODB_TEST_SEED"] ?? 20261122);

export interface KillSuite {
  readonly name: string;
  /** False, or why there is nothing to test here. */
  readonly skip: string | false;
  /** Asked before the first start: the environment that gives servers their store. */
  readonly store: () => Promise<Readonly<Record<string, string>>>;
  readonly failpoints: readonly FailpointName[];
}

/** Met once in the life of a data folder. */
const firstStartFailpoint = "wal.open.stream";

/** Small everything, so that seconds of writing flush, rotate, trim, copy forward, expire and collect many times. */
const flags = [
  ["--flush-rows", "2000"],
  ["--flush-interval-ms", "400"],
  ["--wal-segment-bytes", "1048576"],
  ["--wal-bytes-max", "4194304"],
  ["--seal-tail-rows-max", "100"],
  ["--seal-hot-segments-max", "2"],
  ["--snapshots-keep", "2"],
  ["--snapshots-max-age-ms", "0"],
  ["--compaction-interval-ms", "500"],
  ["--compaction-small-files-min", "4"],
  ["--garbage-interval-ms", "1000"],
  ["--garbage-grace-ms", "20000"],
  ["--query-cursor-age-ms", "10000"],
].flat();

/** Registers the suite. */
export function testKills(suite: KillSuite): void {
  describe(suite.name, { skip: suite.skip }, () => registerKills(suite));
}

function registerKills({ store, failpoints: all }: KillSuite): void {
  const failpoints = isLong ? all : someOf(all, failpointsSmall);
  let storeEnv: Readonly<Record<string, string>> = {};
  const folder = mkdtempSync(join(tmpdir(), "miniodb-crash-"));
  const random = seededRandom(seed);
  const writer = new CrashWriter({
    random,
    tables: ["alpha", "beta", "gamma", "slow"],
    connections: 6,
    neverStored: "slow",
  });

  const start = (env: Record<string, string> = {}): Promise<ServerProcess> =>
    ServerProcess.start({ folder, flags, env: { ...storeEnv, ...env } });

  /** One life: verify what is there, write, die; true when the failpoint was met. */
  const live = async (
    env: Record<string, string>,
    writeMs: number,
    begin: (url: string) => Promise<void> = () => Promise.resolve(),
  ): Promise<boolean> => {
    let server;
    try {
      server = await start(env);
    } catch (error) {
      // It died while it started, as it should at a failpoint of the start.
      assert.ok(env["MINIODB_FAILPOINT"] !== undefined, String(error));
      return true;
    }
    const gone = server.exit.then(() => "gone" as const);
    await begin(server.url);
    try {
      await writer.verify(server.url);
    } catch (error) {
      // A query that the kill cut off says nothing; what a living server answers does.
      if (error instanceof assert.AssertionError) throw error;
      if ((await Promise.race([gone, delay(2000)])) !== "gone") throw error;
    }
    writer.start(server.url);
    const queries = queryWhile(server.url, gone);
    const end = await Promise.race([gone, delay(writeMs)]);
    await server.kill();
    await writer.stop();
    await queries;
    return end === "gone";
  };

  before(async () => {
    storeEnv = await store();
    await live({}, firstLifeMs, async (url) => {
      // Flushed rarely, so that its records hold up the log and are copied forward.
      const config = { buffer_size: 3000, flush_interval_seconds: 3600 };
      const reply = await new HttpClient(url).sendJson("/v1/tables", { table_name: "slow", config });
      assert.equal(reply.status, 200, JSON.stringify(reply.body));
    });
  });

  after(() => rmSync(folder, { recursive: true, force: true }));

  test(`at ${kills} random moments: acknowledged rows are there once (seed ${seed})`, async () => {
    for (let kill = 0; kill < kills; kill++) await live({}, random.integer(1500));
  });

  for (const name of failpoints.filter((each) => each !== firstStartFailpoint)) {
    test(`at ${name}, ${killsPerFailpoint} times`, async (t) => {
      let met = 0;
      for (let kill = 0; kill < killsPerFailpoint; kill++) {
        // A start passes the places of the replay a few times only; the others come again and again.
        const count = name.startsWith("wal.replay") ? 1 : 1 + random.integer(countMax);
        // Spares are filled only while trimmed segments leave none.
        if (name === "wal.spare.filled") removeSpares(join(folder, "wal"));
        if (await live({ MINIODB_FAILPOINT: `${name}:${count}:kill` }, 4000)) met++;
      }
      t.diagnostic(`met ${met} of ${killsPerFailpoint}`);
      // A server that lives but does nothing would pass all else: it happened, with writes refused by a log that stayed full.
      if (killsPerFailpoint >= 5) assert.ok(met > 0, `${name} was never met`);
    });
  }

  if (failpoints.includes(firstStartFailpoint)) {
    test(`at ${firstStartFailpoint}, when a folder is new, ${killsPerFailpoint} times`, async () => {
      for (let kill = 0; kill < killsPerFailpoint; kill++) {
        const fresh = mkdtempSync(join(tmpdir(), "miniodb-crash-new-"));
        const env = { MINIODB_FAILPOINT: `${firstStartFailpoint}:1:kill` };
        await assert.rejects(ServerProcess.start({ folder: fresh, flags, env: { ...storeEnv, ...env } }));
        const server = await ServerProcess.start({ folder: fresh, flags, env: storeEnv });
        const client = new HttpClient(() => server.url);
        const reply = await client.sendJson("/v1/data", { table: "first", id: `r${kill}`, payload: { value: kill } });
        assert.equal(reply.status, 200, JSON.stringify(reply.body));
        assert.equal(await client.count("first"), 1);
        await server.dispose();
        rmSync(fresh, { recursive: true, force: true });
      }
    });
  }

  test("in the end everything is there, and another life without kills agrees", async () => {
    for (const writeMs of lastLivesMs) await live({}, writeMs);
    const server = await start();
    await writer.verify(server.url);
    // A server that takes nothing would pass all else; one on a busy machine takes its time.
    writer.start(server.url);
    for (const deadline = Date.now() + takenMsMax; writer.acknowledgedRows <= rowsMin; await delay(50)) {
      assert.ok(Date.now() < deadline, `${writer.acknowledgedRows} rows were acknowledged`);
    }
    await writer.stop();
    const exit = await server.stop();
    assert.deepEqual(exit, { code: 0, signal: null });
    const again = await start();
    await writer.verify(again.url);
    await again.dispose();
  });
}

function removeSpares(walFolder: string): void {
  for (const name of readdirSync(walFolder)) if (name.startsWith("spare-")) rmSync(join(walFolder, name));
}

/** Queries make hot segments: without them nothing is sealed. */
async function queryWhile(url: string, gone: Promise<"gone">): Promise<void> {
  let isGone = false;
  void gone.then(() => {
    isGone = true;
  });
  while (!isGone) {
    try {
      const body = JSON.stringify({ sql: "select count(*) as n from alpha" });
      await fetch(`${url}/v1/query`, { method: "POST", body });
    } catch {
      return;
    }
    await delay(50);
  }
}
