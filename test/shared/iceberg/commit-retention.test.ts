import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { applyCommit } from "../../../src/shared/iceberg/commit-result.js";
import { readVersion } from "../../../src/shared/iceberg/version-log.js";
import { deleteKeysOf, liveRowsOf } from "../../../src/shared/iceberg/live-rows.js";
import { append, deletion, keysOf, putSampleDeletes, putSampleFile, rejectsWith, withTable } from "./catalog-bench.js";

describe("commitRetention", () => {
  test(
    "takes whole days out of the table; the snapshot before still has them",
    withTable(31, async ({ catalog, identity, ...warehouse }) => {
      const days = [3, 9, 4, 9, 10];
      for (const [round, day] of days.entries()) {
        const file = await putSampleFile(warehouse, identity, { rows: 2, day });
        await catalog.commitAppend(identity, append([file], round * 2));
      }
      const before = await catalog.loadTable(identity);
      const commit = await catalog.commitRetention(identity, { beforeDay: 9, commitId: "r1" });
      const after = await catalog.loadTable(identity);
      assert.deepEqual(
        after.files.map((file) => file.day),
        [9, 9, 10],
      );
      assert.deepEqual(keysOf(applyCommit(before, commit) ?? before), keysOf(after));
      assert.deepEqual(after.positions, before.positions);
      const { metadata } = await readVersion(warehouse.store, identity.location, after.version);
      const summary = metadata.snapshots?.at(-1)?.summary ?? {};
      assert.equal(summary["operation"], "delete");
      assert.deepEqual([summary["deleted-records"], summary["total-records"]], ["4", "6"]);
      const at = { kind: "snapshot-id", snapshotId: before.snapshotId ?? "" } as const;
      const { contents } = await catalog.loadSnapshot(identity, { at, knownIds: [] });
      assert.equal(contents?.files.length, 5);
      // The same commit again finds out that it was made.
      assert.equal(
        (await catalog.commitRetention(identity, { beforeDay: 9, commitId: "r1" })).outcome,
        "already-committed",
      );
    }),
  );

  test(
    "a merge that reads a removed file is refused, and a flush goes on",
    withTable(32, async ({ catalog, identity, ...warehouse }) => {
      const old = await putSampleFile(warehouse, identity, { rows: 2, day: 3 });
      const young = await putSampleFile(warehouse, identity, { rows: 2, day: 9 });
      await catalog.commitAppend(identity, append([old, young], 0));
      const merged = await putSampleFile(warehouse, identity, { rows: 2, day: 3 });
      const late = await putSampleFile(warehouse, identity, { rows: 1, day: 3 });
      await catalog.commitRetention(identity, { beforeDay: 5 });
      const rewrite = catalog.commitRewrite(identity, { remove: [old.key], add: [merged] });
      const error = await rejectsWith(rewrite, "COMMIT_CONFLICT");
      assert.deepEqual(error.details["gone"], [old.key]);
      // Late rows of a day that is over are in the table until the next round.
      await catalog.commitAppend(identity, append([late], 4));
      assert.equal((await catalog.loadTable(identity)).files.length, 2);
      await catalog.commitRetention(identity, { beforeDay: 5 });
      assert.deepEqual(keysOf(await catalog.loadTable(identity)), [young.key]);
    }),
  );

  test(
    "the delete files of removed files go with them, those of others stay",
    withTable(34, async ({ catalog, identity, ...warehouse }) => {
      const old = await putSampleFile(warehouse, identity, { rows: 10, day: 3 });
      const young = await putSampleFile(warehouse, identity, { rows: 20, day: 9 });
      await catalog.commitAppend(identity, append([old, young], 0));
      const ofOld = await putSampleDeletes(warehouse, identity, { file: old, rows: 4 });
      const ofYoung = await putSampleDeletes(warehouse, identity, { file: young, rows: 5 });
      await catalog.commitDelete(identity, deletion([ofOld, ofYoung], 9));
      const before = await catalog.loadTable(identity);
      const commit = await catalog.commitRetention(identity, { beforeDay: 9 });
      const after = await catalog.loadTable(identity);
      assert.deepEqual(applyCommit(before, commit)?.files, after.files);
      assert.deepEqual([keysOf(after), deleteKeysOf(after.files)], [[young.key], [ofYoung.key]]);
      assert.deepEqual(after.files.map(liveRowsOf), [15]);
      const { metadata } = await readVersion(warehouse.store, identity.location, after.version);
      const summary = metadata.snapshots?.at(-1)?.summary ?? {};
      assert.deepEqual(
        ["removed-position-deletes", "total-position-deletes", "total-delete-files", "total-records"].map(
          (name) => summary[name],
        ),
        ["4", "5", "1", "20"],
      );
      assert.equal(summary["total-files-size"], String(young.bytes + ofYoung.bytes));
      assert.equal((await catalog.listSnapshots(identity))[0]?.rows, 15);
      // A delete that looked for rows in the files of before.
      const late = await putSampleDeletes(warehouse, identity, { file: old, rows: 6, replaces: [ofOld.key] });
      await rejectsWith(catalog.commitDelete(identity, deletion([late], 2)), "COMMIT_CONFLICT");
      const { nowMs } = warehouse.clock;
      warehouse.clock.nowMs = nowMs + 10 * 24 * 60 * 60 * 1000;
      await catalog.expireSnapshots(identity, { keep: 1, olderThanMs: 0 });
      warehouse.clock.nowMs += 10 * 24 * 60 * 60 * 1000;
      const { removed } = await catalog.collectGarbage({ graceMs: 60 * 60 * 1000 });
      const isRemoved = [old, ofOld, young, ofYoung].map(({ key }) => removed.includes(key));
      assert.deepEqual(isRemoved, [true, true, false, false]);
    }),
  );

  test(
    "with nothing to remove there is no new snapshot",
    withTable(33, async ({ catalog, identity, ...warehouse }) => {
      const file = await putSampleFile(warehouse, identity, { rows: 2, day: 9 });
      const { head } = await catalog.commitAppend(identity, append([file], 0));
      const commit = await catalog.commitRetention(identity, { beforeDay: 9 });
      assert.equal(commit.head.snapshotId, head.snapshotId);
    }),
  );
});
