/**
 * The promise of the write path under kill -9: at random moments, and at every failpoint. Longer runs:
 *
 *   MINIODB_TEST_KILLS=50        kills at random moments
 *   MINIODB_TEST_FAILPOINT_KILLS=5  kills at each failpoint
 *   MINIODB_TEST_SEED=1          another sequence
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { failpointNames } from "../../src/shared/failpoints.js";
import { seededRandom } from "../harness/seeded-random.js";
import { ServerProcess } from "../harness/server-process.js";
import { CrashWriter } from "./crash-writer.js";

const kills = Number(process.env["MINIODB_TEST_KILLS"] ?? 4);
const killsPerFailpoint = Number(process.env["MINIODB_TEST_FAILPOINT_KILLS"] ?? 1);
const seed = Number(process.env["MINIODB_TEST_SEED"] ?? 20261122);

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
].flat();

describe("kill -9", () => {
  const folder = mkdtempSync(join(tmpdir(), "miniodb-crash-"));
  const random = seededRandom(seed);
  const writer = new CrashWriter({ random, tables: ["alpha", "beta", "gamma"], connections: 6 });

  const start = (env: Record<string, string> = {}): Promise<ServerProcess> =>
    ServerProcess.start({ folder, flags, env });

  /** One life: verify what is there, write, die; true when the failpoint was met. */
  const live = async (env: Record<string, string>, writeMs: number): Promise<boolean> => {
    let server;
    try {
      server = await start(env);
    } catch (error) {
      // It died while it started, as it should at a failpoint of the start.
      assert.ok(env["MINIODB_FAILPOINT"] !== undefined, String(error));
      return true;
    }
    const gone = server.exit.then(() => "gone" as const);
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
    // A first life without kills, so that every table has files, hot segments and log.
    await live({}, 1500);
  });

  after(() => rmSync(folder, { recursive: true, force: true }));

  test(`at ${kills} random moments: acknowledged rows are there once (seed ${seed})`, async () => {
    for (let kill = 0; kill < kills; kill++) await live({}, random.integer(1500));
  });

  for (const name of failpointNames) {
    test(`at ${name}, ${killsPerFailpoint} times`, async (t) => {
      let met = 0;
      for (let kill = 0; kill < killsPerFailpoint; kill++) {
        // A start passes the places of the replay a few times only; the others come again and again.
        const count = name.startsWith("wal.replay") ? 1 : 1 + random.integer(3);
        if (await live({ MINIODB_FAILPOINT: `${name}:${count}:kill` }, 4000)) met++;
      }
      t.diagnostic(`met ${met} of ${killsPerFailpoint}`);
    });
  }

  test("in the end everything is there, and another life without kills agrees", async () => {
    await live({}, 500);
    const server = await start();
    await writer.verify(server.url);
    const exit = await server.stop();
    assert.deepEqual(exit, { code: 0, signal: null });
    const again = await start();
    await writer.verify(again.url);
    await again.dispose();
    assert.ok(writer.acknowledgedRows > 1000, `${writer.acknowledgedRows} rows were acknowledged`);
  });
});

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
