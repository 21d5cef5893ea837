import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { listSnapshots, loadSnapshot } from "../../../src/shared/iceberg/table-history.js";
import { withColumn } from "../../../src/shared/schema/table-schema.js";
import { append, putSampleFile, rejectsWith, sampleSchema, withTable } from "./catalog-bench.js";

describe("the history of a table", () => {
  test(
    "each snapshot has the files and the columns of its time",
    withTable(31, async ({ catalog, identity, ...warehouse }) => {
      const context = warehouse.context();
      const keys: string[] = [];
      const times: number[] = [];
      let schema = sampleSchema;
      for (let round = 0; round < 4; round++) {
        const file = await putSampleFile(warehouse, identity, { rows: 10 });
        keys.push(file.key);
        schema = round < 2 ? schema : withColumn(schema, `added_${round}`, "double");
        await catalog.commitAppend(identity, append([file], round * 10, { schema }));
        times.push(warehouse.clock.nowMs);
        warehouse.clock.nowMs += 1_000;
      }
      const listed = await listSnapshots(context, identity);
      assert.deepEqual(
        listed.map(({ rows, files, isCurrent, operation }) => [rows, files, isCurrent, operation]),
        [
          [40, 4, true, "append"],
          [30, 3, false, "append"],
          [20, 2, false, "append"],
          [10, 1, false, "append"],
        ],
      );
      for (const [index, info] of listed.toReversed().entries()) {
        const byId = { kind: "snapshot-id", snapshotId: info.snapshotId } as const;
        const { contents, snapshotId } = await loadSnapshot(context, identity, { at: byId, knownIds: [] });
        assert.equal(snapshotId, info.snapshotId);
        assert.deepEqual(contents?.files.map((file) => file.key).toSorted(), keys.slice(0, index + 1).toSorted());
        assert.equal(contents?.schema.columns.length, 4 + Math.max(0, index - 1));
        for (const timeMs of [times[index] ?? 0, (times[index] ?? 0) + 999]) {
          const asOf = { at: { kind: "as-of", timeMs }, knownIds: [snapshotId] } as const;
          assert.deepEqual(await loadSnapshot(context, identity, asOf), { snapshotId, contents: null });
        }
      }
    }),
  );

  test(
    "a time in a gap that expiry left has no state; the oldest is named",
    withTable(32, async ({ catalog, identity, ...warehouse }) => {
      const context = warehouse.context();
      const nothing = loadSnapshot(context, identity, { at: { kind: "as-of", timeMs: 0 }, knownIds: [] });
      await rejectsWith(nothing, "NOT_FOUND");
      const times: number[] = [];
      for (let round = 0; round < 5; round++) {
        const file = await putSampleFile(warehouse, identity, { rows: 10 });
        await catalog.commitAppend(identity, append([file], round * 10));
        times.push(warehouse.clock.nowMs);
        warehouse.clock.nowMs += 1_000;
      }
      const before = await listSnapshots(context, identity);
      await catalog.expireSnapshots(identity, { keep: 2, olderThanMs: 0 });
      const left = await listSnapshots(context, identity);
      assert.deepEqual(left, before.slice(0, 2));
      const at = { kind: "as-of", timeMs: times[2] ?? 0 } as const;
      const error = await rejectsWith(loadSnapshot(context, identity, { at, knownIds: [] }), "NOT_FOUND");
      assert.equal(error.details["oldestSnapshotId"], left.at(-1)?.snapshotId);
      const expired = { kind: "snapshot-id", snapshotId: before.at(-1)?.snapshotId ?? "" } as const;
      await rejectsWith(loadSnapshot(context, identity, { at: expired, knownIds: [expired.snapshotId] }), "NOT_FOUND");
      await catalog.dropTable(identity);
      await rejectsWith(listSnapshots(context, identity), "TABLE_NOT_FOUND");
    }),
  );
});
