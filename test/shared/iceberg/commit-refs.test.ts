import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { applyCommit } from "../../../src/shared/iceberg/commit-result.js";
import { deleteKeysOf, liveRowsOf } from "../../../src/shared/iceberg/live-rows.js";
import type { TableCatalog } from "../../../src/shared/iceberg/table-catalog.js";
import type { TableIdentity } from "../../../src/shared/messages.js";
import { limits } from "../../../src/shared/limits.js";
import { applyOperations } from "../../../src/shared/schema/schema-operations.js";
import {
  append,
  deletion,
  keysOf,
  putSampleDeletes,
  putSampleFile,
  rejectsWith,
  sampleSchema,
  withTable,
} from "./catalog-bench.js";

function idOf(snapshotId: string | null): { readonly kind: "snapshot-id"; readonly snapshotId: string } {
  return { kind: "snapshot-id", snapshotId: snapshotId ?? "" };
}

async function filesOf(catalog: TableCatalog, identity: TableIdentity, tag: string): Promise<number> {
  const { contents } = await catalog.loadSnapshot(identity, { at: { kind: "tag", name: tag }, knownIds: [] });
  return contents?.files.length ?? -1;
}

describe("rollback", () => {
  test(
    "brings the files of an earlier snapshot back, in a new one; it can be undone, and writes go on",
    withTable(41, async ({ catalog, identity, ...warehouse }) => {
      const states = [];
      for (let round = 0; round < 4; round++) {
        const files = [await putSampleFile(warehouse, identity, { rows: 2, day: round })];
        await catalog.commitAppend(identity, append(files, round * 2));
        states.push(await catalog.loadTable(identity));
      }
      const [, second, , last] = states;
      assert.ok(second !== undefined && last !== undefined);
      const request = { at: idOf(second.snapshotId), allowMissingColumns: false, commitId: "back" };
      const commit = await catalog.rollback(identity, request);
      const back = await catalog.loadTable(identity);
      assert.deepEqual(keysOf(back), keysOf(second));
      assert.deepEqual(keysOf(applyCommit(last, commit) ?? last), keysOf(back));
      // What was flushed stays flushed: the same rows cannot come again.
      assert.deepEqual(back.positions, last.positions);
      const again = await putSampleFile(warehouse, identity, { rows: 2 });
      await rejectsWith(catalog.commitAppend(identity, append([again], 4)), "COMMIT_CONFLICT");
      assert.equal((await catalog.rollback(identity, request)).outcome, "already-committed");
      const [newest, ...others] = await catalog.listSnapshots(identity);
      assert.deepEqual([newest?.operation, newest?.rows, newest?.files], ["overwrite", 4, 2]);
      assert.equal(others.length, 4);
      // Rows go on behind it, in manifests that are merged.
      const more = await putSampleFile(warehouse, identity, { rows: 3 });
      await catalog.commitAppend(identity, append([more], 8));
      assert.equal((await catalog.loadTable(identity)).files.length, 3);
      await catalog.rollback(identity, { at: idOf(last.snapshotId), allowMissingColumns: false });
      assert.deepEqual(keysOf(await catalog.loadTable(identity)), keysOf(last));
    }),
  );

  test(
    "brings the deletes of the snapshot with it, whose totals are right, and further deletes go on from there",
    withTable(47, async ({ catalog, identity, ...warehouse }) => {
      const file = await putSampleFile(warehouse, identity, { rows: 10 });
      const other = await putSampleFile(warehouse, identity, { rows: 3 });
      await catalog.commitAppend(identity, append([file, other], 0));
      const whole = await catalog.loadTable(identity);
      const first = await putSampleDeletes(warehouse, identity, { file, rows: 2 });
      await catalog.commitDelete(identity, deletion([first], 2));
      const once = await catalog.loadTable(identity);
      const second = await putSampleDeletes(warehouse, identity, { file, rows: 5, replaces: [first.key] });
      await catalog.commitDelete(identity, { ...deletion([second], 6), remove: [other.key] });
      const twice = await catalog.loadTable(identity);

      const back = async (to: typeof whole, from: typeof whole): Promise<typeof whole> => {
        const commit = await catalog.rollback(identity, { at: idOf(to.snapshotId), allowMissingColumns: false });
        const state = await catalog.loadTable(identity);
        assert.deepEqual(state.files, to.files);
        const byKey = (some: typeof state.files) => some.toSorted((left, right) => (left.key < right.key ? -1 : 1));
        assert.deepEqual(byKey(applyCommit(from, commit)?.files ?? []), byKey(state.files));
        const bytes = state.files.flatMap((each) => [each, ...(each.deletes ?? [])]).map((each) => each.bytes);
        const [newest] = await catalog.listSnapshots(identity);
        assert.equal(
          newest?.rows,
          state.files.reduce((sum, each) => sum + liveRowsOf(each), 0),
        );
        assert.equal(
          newest?.bytes,
          bytes.reduce((sum, each) => sum + each, 0),
        );
        return state;
      };
      const onceAgain = await back(once, twice);
      assert.deepEqual(deleteKeysOf(onceAgain.files), [first.key]);
      // Who knew of the second delete file alone finds its rows anew: a delete, and a merge.
      const stale = await putSampleDeletes(warehouse, identity, { file, rows: 6, replaces: [second.key] });
      await rejectsWith(catalog.commitDelete(identity, deletion([stale], 1)), "COMMIT_CONFLICT");
      const merged = await putSampleFile(warehouse, identity, { rows: 5 });
      const merge = { remove: [file.key], appliedDeletes: [second.key], add: [merged] };
      await rejectsWith(catalog.commitRewrite(identity, merge), "COMMIT_CONFLICT");
      const third = await putSampleDeletes(warehouse, identity, { file, rows: 4, replaces: [first.key] });
      await catalog.commitDelete(identity, deletion([third], 2));
      const thrice = await catalog.loadTable(identity);
      assert.deepEqual(thrice.files.map(liveRowsOf).toSorted(), [3, 6]);
      const wholeAgain = await back(whole, thrice);
      assert.deepEqual(deleteKeysOf(wholeAgain.files), []);
      await back(twice, wholeAgain);
      const fourth = await putSampleDeletes(warehouse, identity, { file, rows: 9, replaces: [second.key] });
      await catalog.commitDelete(identity, deletion([fourth], 4));
      assert.deepEqual((await catalog.loadTable(identity)).files.map(liveRowsOf), [1]);
    }),
  );

  test(
    "to the present snapshot changes nothing; to none, and to one that expired, is refused",
    withTable(42, async ({ catalog, identity, clock, ...warehouse }) => {
      const at = { kind: "as-of", timeMs: clock.nowMs } as const;
      const request = { at, allowMissingColumns: false };
      await rejectsWith(catalog.rollback(identity, request), "NOT_FOUND");
      for (let round = 0; round < 3; round++) {
        clock.nowMs += 1_000;
        const files = [await putSampleFile({ ...warehouse, clock }, identity, { rows: 1 })];
        await catalog.commitAppend(identity, append(files, round));
      }
      const { snapshotId } = await catalog.loadTable(identity);
      const [, , first] = await catalog.listSnapshots(identity);
      await catalog.rollback(identity, { at: idOf(snapshotId), allowMissingColumns: false });
      assert.equal((await catalog.loadTable(identity)).snapshotId, snapshotId);
      await catalog.expireSnapshots(identity, { keep: 1, olderThanMs: 0 });
      const gone = idOf(first?.snapshotId ?? "");
      const error = await rejectsWith(
        catalog.rollback(identity, { at: gone, allowMissingColumns: false }),
        "NOT_FOUND",
      );
      assert.match(error.message, /its oldest snapshot is/);
      await rejectsWith(catalog.rollback(identity, { ...request, at: { kind: "tag", name: "x" } }), "NOT_FOUND");
    }),
  );

  test(
    "names the columns that the rows would lose, and goes back without them on request",
    withTable(43, async ({ catalog, identity, ...warehouse }) => {
      const file = await putSampleFile(warehouse, identity, { rows: 2 });
      await catalog.commitAppend(identity, append([file], 0));
      const first = await catalog.loadTable(identity);
      const facts = { hasValues: () => true, isCommitted: () => true, sortOrder: [] };
      const named = [file.fieldIds.at(-1)].map(
        (id) => sampleSchema.columns.find((column) => column.fieldId === id)?.name,
      );
      const schema = applyOperations(sampleSchema, [{ kind: "drop", name: named[0] ?? "" }], facts);
      await catalog.commitRewrite(identity, { remove: [], add: [], schema });
      const fieldIds = file.fieldIds.filter((id) => id !== file.fieldIds.at(-1));
      const late = await putSampleFile(warehouse, identity, { rows: 1, fieldIds });
      await catalog.commitAppend(identity, append([late], 2, { schema }));
      const request = { at: idOf(first.snapshotId), allowMissingColumns: false };
      const error = await rejectsWith(catalog.rollback(identity, request), "INVALID_REQUEST");
      assert.deepEqual(error.details["columns"], named);
      await catalog.rollback(identity, { ...request, allowMissingColumns: true });
      const back = await catalog.loadTable(identity);
      assert.deepEqual(keysOf(back), [file.key]);
      assert.deepEqual(back.schema, schema);
    }),
  );

  test(
    "a file that was written while its column was dropped is taken without it",
    withTable(44, async ({ catalog, identity, ...warehouse }) => {
      const file = await putSampleFile(warehouse, identity, { rows: 2 });
      const facts = { hasValues: () => true, isCommitted: () => true, sortOrder: [] };
      const column = sampleSchema.columns.at(-1)?.name ?? "";
      const schema = applyOperations(sampleSchema, [{ kind: "drop", name: column }], facts);
      await catalog.commitRewrite(identity, { remove: [], add: [], schema });
      await catalog.commitAppend(identity, append([file], 0));
      const state = await catalog.loadTable(identity);
      assert.deepEqual(state.schema, schema);
      assert.ok(state.files[0]?.fieldIds.every((id) => schema.columns.some(({ fieldId }) => fieldId === id)));
    }),
  );
});

describe("tags", () => {
  test(
    "keep their snapshot and its files from expiry and from garbage collection, until they go",
    withTable(45, async ({ catalog, identity, clock, ...warehouse }) => {
      const bench = { ...warehouse, clock };
      const old = await putSampleFile(bench, identity, { rows: 2 });
      await catalog.commitAppend(identity, append([old], 0));
      await catalog.tag(identity, { name: "v1", at: null, commitId: "t1" });
      const merged = await putSampleFile(bench, identity, { rows: 2 });
      await catalog.commitRewrite(identity, { remove: [old.key], add: [merged] });
      for (let round = 0; round < 3; round++) {
        clock.nowMs += 10_000;
        const files = [await putSampleFile(bench, identity, { rows: 1 })];
        await catalog.commitAppend(identity, append(files, 2 + round));
      }
      const collect = async (): Promise<readonly string[]> => {
        clock.nowMs += 10 * 24 * 60 * 60 * 1000;
        await catalog.expireSnapshots(identity, { keep: 1, olderThanMs: 0 });
        clock.nowMs += 10 * 24 * 60 * 60 * 1000;
        return (await catalog.collectGarbage({ graceMs: 60 * 60 * 1000 })).removed;
      };
      const removed = await collect();
      assert.ok(!removed.includes(old.key), "the tag needs it");
      assert.deepEqual(
        (await catalog.listSnapshots(identity)).map((snapshot) => snapshot.tags),
        [[], ["v1"]],
      );
      assert.equal(await filesOf(catalog, identity, "v1"), 1);
      // A tag is a way back, too.
      await catalog.rollback(identity, { at: { kind: "tag", name: "v1" }, allowMissingColumns: false });
      assert.deepEqual(keysOf(await catalog.loadTable(identity)), [old.key]);
      const [, before] = await catalog.listSnapshots(identity);
      await catalog.rollback(identity, { at: idOf(before?.snapshotId ?? ""), allowMissingColumns: false });
      await catalog.untag(identity, { name: "v1" });
      await rejectsWith(catalog.untag(identity, { name: "v1" }), "NOT_FOUND");
      await rejectsWith(filesOf(catalog, identity, "v1"), "NOT_FOUND");
      assert.ok((await collect()).includes(old.key), "nobody needs it any more");
      assert.equal((await catalog.loadTable(identity)).files.length, 4);
    }),
  );

  test(
    "keep the deletes of their snapshot, too",
    withTable(48, async ({ catalog, identity, clock, ...warehouse }) => {
      const bench = { ...warehouse, clock };
      const file = await putSampleFile(bench, identity, { rows: 10 });
      await catalog.commitAppend(identity, append([file], 0));
      const deletes = await putSampleDeletes(bench, identity, { file, rows: 4 });
      await catalog.commitDelete(identity, deletion([deletes], 4));
      await catalog.tag(identity, { name: "v1", at: null });
      const merged = await putSampleFile(bench, identity, { rows: 6 });
      await catalog.commitRewrite(identity, { remove: [file.key], appliedDeletes: [deletes.key], add: [merged] });
      const collect = async (): Promise<readonly string[]> => {
        clock.nowMs += 10 * 24 * 60 * 60 * 1000;
        await catalog.expireSnapshots(identity, { keep: 1, olderThanMs: 0 });
        clock.nowMs += 10 * 24 * 60 * 60 * 1000;
        return (await catalog.collectGarbage({ graceMs: 60 * 60 * 1000 })).removed;
      };
      const kept = [file.key, deletes.key];
      const removed = await collect();
      assert.ok(kept.every((key) => !removed.includes(key)));
      const at = { kind: "tag", name: "v1" } as const;
      const { contents } = await catalog.loadSnapshot(identity, { at, knownIds: [] });
      assert.deepEqual(contents?.files.map(liveRowsOf), [6]);
      await catalog.rollback(identity, { at, allowMissingColumns: false });
      const back = await catalog.loadTable(identity);
      assert.deepEqual([keysOf(back), deleteKeysOf(back.files)], [[file.key], [deletes.key]]);
      const [, before] = await catalog.listSnapshots(identity);
      await catalog.rollback(identity, { at: idOf(before?.snapshotId ?? ""), allowMissingColumns: false });
      await catalog.untag(identity, { name: "v1" });
      const last = await collect();
      assert.ok(kept.every((key) => last.includes(key)));
      assert.deepEqual(keysOf(await catalog.loadTable(identity)), [merged.key]);
    }),
  );

  test(
    "move, and there are so many of them at most; names of branches are none",
    withTable(46, async ({ catalog, identity, ...warehouse }) => {
      await rejectsWith(catalog.tag(identity, { name: "early", at: null }), "NOT_FOUND");
      await catalog.commitAppend(identity, append([await putSampleFile(warehouse, identity, { rows: 1 })], 0));
      const { snapshotId } = await catalog.loadTable(identity);
      await catalog.tag(identity, { name: "a", at: null });
      await catalog.commitAppend(identity, append([await putSampleFile(warehouse, identity, { rows: 1 })], 1));
      await catalog.tag(identity, { name: "a", at: null });
      await catalog.tag(identity, { name: "b", at: idOf(snapshotId) });
      assert.deepEqual([await filesOf(catalog, identity, "a"), await filesOf(catalog, identity, "b")], [2, 1]);
      await rejectsWith(catalog.tag(identity, { name: "main", at: null }), "INVALID_REQUEST");
      await rejectsWith(catalog.untag(identity, { name: "main" }), "NOT_FOUND");
      await rejectsWith(filesOf(catalog, identity, "main"), "NOT_FOUND");
      await rejectsWith(filesOf(catalog, identity, "toString"), "NOT_FOUND");
      for (let count = 2; count < limits.tagsMax; count++) await catalog.tag(identity, { name: `t${count}`, at: null });
      await rejectsWith(catalog.tag(identity, { name: "more", at: null }), "INVALID_REQUEST");
      await catalog.tag(identity, { name: "a", at: idOf(snapshotId) });
    }),
  );
});
