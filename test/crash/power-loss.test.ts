/**
 * `kill -9` keeps the page cache, so a server that never syncs would pass the crash test. Here the disk under log and
 * warehouse forgets, at a simulated power loss, any part of what was not synced. MINIODB_TEST_POWER_LOSSES sets how often.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { losePower } from "../../src/shared/disk/power-loss.js";
import { seededRandom } from "../harness/seeded-random.js";
import { ServerProcess } from "../harness/server-process.js";
import { sizedBy } from "../harness/test-size.js";
import { CrashWriter } from "./crash-writer.js";

const losses = sizedBy("MINIODB_TEST_POWER_LOSSES", 2, 4);
const seed = Number(process.env["MINIODB_TEST_SEED"] ?? 20261122);
const flags = [
  ["--flush-rows", "1000"],
  ["--flush-interval-ms", "300"],
  ["--wal-segment-bytes", "1048576"],
  ["--wal-bytes-max", "4194304"],
  ["--compaction-interval-ms", "500"],
  ["--compaction-small-files-min", "4"],
].flat();

test(`acknowledged rows survive ${losses} power losses (seed ${seed})`, async (t) => {
  const root = mkdtempSync(join(tmpdir(), "miniodb-power-"));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  const random = seededRandom(seed);
  const writer = new CrashWriter({ random, tables: ["alpha", "beta"], connections: 4 });
  let changed = 0;
  for (let loss = 0; loss <= losses; loss++) {
    const side = join(root, `side-${loss}`);
    const env = { MINIODB_TEST_DISK: `forgetful=${side}` };
    const server = await ServerProcess.start({ folder: join(root, "data"), flags, env });
    await writer.verify(server.url);
    if (loss === losses) {
      await server.stop();
      break;
    }
    writer.start(server.url);
    await delay(300 + random.integer(1500));
    await server.kill();
    await writer.stop();
    const report = losePower(side, () => random.real());
    changed += report.filesChanged + report.namesChanged;
  }
  assert.ok(writer.acknowledgedRows > 0, "rows were acknowledged");
  assert.ok(changed > 0, "the power losses took something");
  t.diagnostic(`${writer.acknowledgedRows} rows acknowledged; ${changed} files and names changed by the losses`);
});
