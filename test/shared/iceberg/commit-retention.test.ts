import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { applyCommit } from "../../../src/shared/iceberg/commit-result.js";
import { readVersion } from "../../../src/shared/iceberg/version-log.js";
import { append, keysOf, putSampleFile, rejectsWith, withTable } from "./catalog-bench.js";

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
    "with nothing to remove there is no new snapshot",
    withTable(33, async ({ catalog, identity, ...warehouse }) => {
      const file = await putSampleFile(warehouse, identity, { rows: 2, day: 9 });
      const { head } = await catalog.commitAppend(identity, append([file], 0));
      const commit = await catalog.commitRetention(identity, { beforeDay: 9 });
      assert.equal(commit.head.snapshotId, head.snapshotId);
    }),
  );
});
