import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { catalogContext } from "../../../src/shared/iceberg/catalog-context.js";
import { defaultCatalogOptions } from "../../../src/shared/iceberg/catalog-options.js";
import { applyCommit, type CommitResult } from "../../../src/shared/iceberg/commit-result.js";
import { TableCatalog } from "../../../src/shared/iceberg/table-catalog.js";
import { readVersion } from "../../../src/shared/iceberg/version-log.js";
import { limits } from "../../../src/shared/limits.js";
import { withColumn, withDouble } from "../../../src/shared/schema/table-schema.js";
import type { ObjectStore } from "../../../src/shared/store/object-store.js";
import { versionHintKey } from "../../../src/shared/store/store-paths.js";
import { append, keysOf, putSampleFile, rejectsWith, sampleSchema, withTable } from "./catalog-bench.js";

describe("commitAppend", () => {
  test(
    "adds files and moves the position, and the result leads from state to state",
    withTable(1, async ({ catalog, identity, ...warehouse }) => {
      let state = await catalog.loadTable(identity);
      const keys: string[] = [];
      for (let round = 0; round < 30; round++) {
        const files = [
          await putSampleFile(warehouse, identity, { rows: 2 }),
          await putSampleFile(warehouse, identity, { rows: 3, day: 7 }),
        ];
        keys.push(...files.map((file) => file.key));
        const result = await catalog.commitAppend(identity, append(files, round * 5));
        assert.equal(result.outcome, "committed");
        const next = applyCommit(state, result);
        assert.ok(next !== null);
        state = next;
      }
      const loaded = await catalog.loadTable(identity);
      assert.deepEqual(keysOf(loaded), keys.toSorted());
      assert.deepEqual(keysOf(state), keysOf(loaded));
      assert.deepEqual({ ...state, files: [] }, { ...loaded, files: [] });
      assert.deepEqual(loaded.positions, { s1: 150 });
      // A catalog that has nothing cached sees the same, its manifests merged.
      const fresh = await new TableCatalog(warehouse.store, warehouse.context()).loadTable(identity);
      assert.deepEqual(fresh, loaded);
      const { metadata } = await readVersion(warehouse.store, identity.location, loaded.version);
      assert.equal(metadata.snapshots?.at(-1)?.summary["total-records"], "150");
      const hint = await warehouse.store.get(versionHintKey(identity.location));
      assert.equal(Buffer.from(hint).toString(), String(loaded.version));
    }),
  );

  test(
    "refuses rows that do not continue the stream, and says where it stands",
    withTable(2, async ({ catalog, identity, ...warehouse }) => {
      const file = await putSampleFile(warehouse, identity, { rows: 10 });
      const request = append([file], 0, { commitId: "c1" });
      await catalog.commitAppend(identity, request);
      const again = await putSampleFile(warehouse, identity, { rows: 10 });
      for (const after of [0, 5, 11]) {
        const error = await rejectsWith(catalog.commitAppend(identity, append([again], after)), "COMMIT_CONFLICT");
        assert.deepEqual(error.details, { position: 10 });
      }
      assert.equal((await catalog.loadTable(identity)).files.length, 1);
      // Another stream has a position of its own.
      await catalog.commitAppend(identity, append([again], 0, { stream: "s2" }));
      assert.deepEqual((await catalog.loadTable(identity)).positions, { s1: 10, s2: 10 });
    }),
  );

  test(
    "knows its own commit again, also when others followed, and says to load the table",
    withTable(3, async ({ catalog, identity, ...warehouse }) => {
      const request = append([await putSampleFile(warehouse, identity, { rows: 10 })], 0, { commitId: "mine" });
      const first = await catalog.commitAppend(identity, request);
      const repeated = await catalog.commitAppend(identity, request);
      assert.equal(repeated.outcome, "already-committed");
      assert.equal(repeated.head.version, first.head.version);
      await catalog.commitAppend(identity, append([await putSampleFile(warehouse, identity, { rows: 4 })], 10));
      const late: CommitResult = await catalog.commitAppend(identity, request);
      assert.equal(late.outcome, "already-committed");
      assert.equal(late.delta, null);
      const state = await catalog.loadTable(identity);
      assert.equal(applyCommit(state, late), null);
      assert.equal(state.files.length, 2);
    }),
  );

  test(
    "moves the position alone when there are no files",
    withTable(4, async ({ catalog, identity }) => {
      const result = await catalog.commitAppend(identity, {
        stream: "s1",
        afterSequence: 0,
        lastSequence: 7,
        schema: sampleSchema,
        files: [],
      });
      assert.equal(result.head.snapshotId, null);
      assert.deepEqual(result.head.positions, { s1: 7 });
    }),
  );

  test(
    "evolves the schema with the rows that need it",
    withTable(5, async ({ catalog, identity, ...warehouse }) => {
      const schema = withColumn(sampleSchema, "more", "double");
      const old = await putSampleFile(warehouse, identity, { rows: 1 });
      const file = await putSampleFile(warehouse, identity, { rows: 1, fieldIds: [1, 5] });
      await rejectsWith(catalog.commitAppend(identity, append([file], 0)), "INTERNAL");
      await catalog.commitAppend(identity, append([file], 0, { schema }));
      // A writer that has not heard of the column yet.
      await catalog.commitAppend(identity, append([old], 0, { stream: "s2" }));
      assert.deepEqual((await catalog.loadTable(identity)).schema, schema);
    }),
  );

  test(
    "refuses files that garbage collection may take, and files of other tables",
    withTable(6, async ({ catalog, identity, clock, ...warehouse }) => {
      const file = await putSampleFile({ ...warehouse, clock }, identity, { rows: 1 });
      clock.nowMs += defaultCatalogOptions.garbageGraceMs / 2 + 1;
      await rejectsWith(catalog.commitAppend(identity, append([file], 0)), "COMMIT_CONFLICT");
      const other = { ...file, key: file.key.replace("metrics-", "others-") };
      await assert.rejects(catalog.commitAppend(identity, append([other], 0)), /no data file of the table/);
      await assert.rejects(catalog.commitAppend(identity, append([{ ...file, day: 3 }], 0)), /folder of its day/);
    }),
  );

  test(
    "bounds snapshots, versions' log and manifests of a table with many commits",
    withTable(7, async ({ catalog, identity, clock, ...warehouse }) => {
      const commits = 130;
      for (let round = 0; round < commits; round++) {
        clock.nowMs += 1_000;
        const file = await putSampleFile({ ...warehouse, clock }, identity, { rows: 1 });
        await catalog.commitAppend(identity, append([file], round));
      }
      const { version, files } = await catalog.loadTable(identity);
      assert.equal(files.length, commits);
      const { metadata } = await readVersion(warehouse.store, identity.location, version);
      assert.equal(metadata.snapshots?.length, limits.snapshotsMax);
      assert.equal(metadata["metadata-log"]?.length, limits.metadataLogMax);
      assert.equal(metadata.schemas.length, 1);
    }),
  );
});

describe("commitRewrite", () => {
  test(
    "long to double: files, schema and new rows in one commit",
    withTable(11, async ({ catalog, identity, ...warehouse }) => {
      const old = await putSampleFile(warehouse, identity, { rows: 10 });
      const state = await catalog.commitAppend(identity, append([old], 0));
      assert.equal(state.head.schema.columns[2]?.type, "long");
      const schema = withDouble(sampleSchema, 3, true);
      const fresh = await putSampleFile(warehouse, identity, { rows: 2, fieldIds: [1, 2, 4] });
      const range = { stream: "s1", afterSequence: 10, lastSequence: 12 };
      const error = await rejectsWith(
        catalog.commitAppend(identity, { ...range, schema, files: [fresh] }),
        "COMMIT_CONFLICT",
      );
      assert.deepEqual(error.details, { files: [old.key] });
      const rewritten = await putSampleFile(warehouse, identity, {
        rows: 10,
        fieldIds: [1, 2, 4, 5].filter((id) => id !== 5),
      });
      const result = await catalog.commitRewrite(identity, {
        remove: [old.key],
        add: [rewritten, fresh],
        schema,
        append: range,
      });
      const loaded = await catalog.loadTable(identity);
      assert.deepEqual(keysOf(loaded), [rewritten.key, fresh.key].toSorted());
      assert.deepEqual(loaded.schema.columns[2], { fieldId: 5, name: "value", type: "double", required: false });
      assert.deepEqual(loaded.positions, { s1: 12 });
      assert.deepEqual(result.delta?.removedKeys, [old.key]);
    }),
  );

  test(
    "fails as a whole when an input is gone, and never changes the number of rows",
    withTable(12, async ({ catalog, identity, ...warehouse }) => {
      const [a, b] = [
        await putSampleFile(warehouse, identity, { rows: 5 }),
        await putSampleFile(warehouse, identity, { rows: 5 }),
      ];
      await catalog.commitAppend(identity, append([a, b], 0));
      const merged = await putSampleFile(warehouse, identity, { rows: 10 });
      await catalog.commitRewrite(identity, { remove: [a.key, b.key], add: [merged] });
      const again = await putSampleFile(warehouse, identity, { rows: 10 });
      const error = await rejectsWith(
        catalog.commitRewrite(identity, { remove: [a.key, merged.key], add: [again] }),
        "COMMIT_CONFLICT",
      );
      assert.deepEqual(error.details, { gone: [a.key] });
      const more = await putSampleFile(warehouse, identity, { rows: 11 });
      await rejectsWith(catalog.commitRewrite(identity, { remove: [merged.key], add: [more] }), "INTERNAL");
      const less = await putSampleFile(warehouse, identity, { rows: 9 });
      await rejectsWith(catalog.commitRewrite(identity, { remove: [merged.key], add: [less] }), "INTERNAL");
      await rejectsWith(catalog.commitRewrite(identity, { remove: [merged.key], add: [merged] }), "INTERNAL");
      assert.deepEqual(keysOf(await catalog.loadTable(identity)), [merged.key]);
    }),
  );
});

test("the context has the real clock and chance where nothing else is given", async () => {
  const context = catalogContext({} as ObjectStore);
  assert.ok(Math.abs(context.nowMs() - Date.now()) < 1_000);
  assert.notEqual(context.newUuid(), context.newUuid());
  const startMs = performance.now();
  await context.sleep(20);
  assert.ok(performance.now() - startMs > 15);
});
