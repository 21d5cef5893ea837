import assert from "node:assert/strict";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { MiniodbError } from "../../../src/shared/errors.js";
import { applyCommit } from "../../../src/shared/iceberg/commit-result.js";
import { TableCatalog } from "../../../src/shared/iceberg/table-catalog.js";
import { MergeControl } from "../../../src/shared/merge-control.js";
import type { DataFile, TableState } from "../../../src/shared/messages.js";
import { columnTypes } from "../../../src/shared/schema/column-type.js";
import { initialSchema } from "../../../src/shared/schema/table-schema.js";
import { compactFiles } from "../../../src/workers/persist/compact.js";
import { flushRows } from "../../../src/workers/persist/flush.js";
import { seededRandom } from "../../harness/seeded-random.js";
import { MergeRun } from "../../../src/workers/persist/merge-run.js";
import { verifyMerge } from "../../../src/workers/persist/verify-merge.js";
import { compareValues, plainRow, readBack, runSql, sortPlain } from "./read-back.js";
import { TableModel } from "./table-model.js";
import { openTestWarehouse } from "./test-warehouse.js";

const seed = Number(process.env["MINIODB_TEST_SEED"] ?? Date.now() % 1_000_000);
const stream = "33333333-3333-4333-8333-333333333333";
const warehouse = openTestWarehouse();
after(warehouse.remove);
const { context } = warehouse;

async function tableOfSmallFiles(
  name: string,
  sortOrder: readonly string[],
): Promise<{ model: TableModel; state: TableState }> {
  const model = new TableModel(seededRandom(seed));
  const { identity } = await context.catalog.createTable({ name, schema: initialSchema, settings: { sortOrder } });
  for (const type of columnTypes) {
    model.addColumn(`a "${type}"`, type);
    model.appendRecord(40, { days: 2, firstDay: 20_000, isAscending: false, nullShare: 0.3 });
    const afterSequence = model.lastSequence - 40;
    const slice = model.slice(afterSequence, model.lastSequence);
    const { schema, lastSequence } = model;
    const settings = { sortOrder };
    await flushRows(context, { kind: "flush", identity, stream, afterSequence, lastSequence, schema, settings, slice });
  }
  return { model, state: await context.catalog.loadTable(identity) };
}

function ofDay(state: TableState, day: number): DataFile[] {
  return state.files.filter((file) => file.day === day);
}

const pathOf = (file: DataFile): string => context.store.readableUrl(file.key);

describe(`compaction (MINIODB_TEST_SEED=${seed})`, () => {
  for (const [index, sortOrder] of [["timestamp"], ['a "string"', "timestamp"]].entries()) {
    test(`small files of a day become one, sorted by ${sortOrder.join(", ")}`, async () => {
      const { model, state } = await tableOfSmallFiles(`compact_${index}`, sortOrder);
      const { identity, schema } = state;
      const files = ofDay(state, 20_000);
      assert.equal(files.length, columnTypes.length);
      const commit = await compactFiles(context, { kind: "compact", identity, schema, settings: { sortOrder }, files });
      const next = applyCommit(state, commit);
      assert.ok(next !== null);
      assert.deepEqual(next, await context.catalog.loadTable(identity));
      assert.deepEqual(ofDay(next, 20_001), ofDay(state, 20_001), "other days are left alone");
      assert.deepEqual(next.positions, state.positions);
      const [merged, ...rest] = ofDay(next, 20_000);
      assert.ok(merged !== undefined && rest.length === 0);

      const seen = await readBack([pathOf(merged)], schema);
      assert.deepEqual(sortPlain(seen, schema, sortOrder), seen, "in order");
      const names = schema.columns.map(({ name }) => name);
      const expected = model.rows.map((row) => plainRow(row, schema));
      const all = await readBack(next.files.map(pathOf), schema);
      assert.deepEqual(sortPlain(all, schema, names), sortPlain(expected, schema, names));
      assert.equal(merged.rows, seen.length);
      for (const [position, { fieldId, name, type }] of schema.columns.entries()) {
        const values = seen.map((row) => row[position] ?? null);
        const present = values.filter((value) => value !== null).toSorted(compareValues);
        assert.equal(merged.bounds[fieldId]?.nulls, values.length - present.length, name);
        if (type !== "long" && type !== "timestamp") continue;
        assert.deepEqual(
          [merged.bounds[fieldId]?.lower, merged.bounds[fieldId]?.upper],
          [String(present[0]), String(present.at(-1))],
        );
      }
      assert.deepEqual(warehouse.temporaryFiles(), []);
    });
  }

  test("a file that is gone from the table leaves everything as it was", async () => {
    const { state } = await tableOfSmallFiles("compact_gone", ["timestamp"]);
    const { identity, schema } = state;
    const files = ofDay(state, 20_000);
    const task = { kind: "compact", identity, schema, settings: {}, files } as const;
    await compactFiles(context, { ...task, files: files.slice(0, 2) });
    const keys = await warehouse.dataKeys();
    await assert.rejects(compactFiles(context, { ...task, files: files.slice(1, 4) }), { code: "COMMIT_CONFLICT" });
    assert.deepEqual(await warehouse.dataKeys(), keys, "the merged file is removed again");
    assert.deepEqual(warehouse.temporaryFiles(), []);
  });

  for (const sortOrder of [["timestamp"], ['a "long"', "timestamp"], ['a "string"']]) {
    test(`more than the target becomes several files, one behind the other by ${sortOrder.join(", ")}`, async () => {
      const { model, state } = await tableOfSmallFiles(`compact_cut_${sortOrder[0]?.length}`, sortOrder);
      const { identity, schema } = state;
      const files = ofDay(state, 20_000);
      const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
      const task = { kind: "compact", identity, schema, settings: { sortOrder }, files } as const;
      const commit = await compactFiles(context, { ...task, targetBytes: Math.ceil(bytes / 4), threads: 2 });
      const next = applyCommit(state, commit);
      assert.ok(next !== null);
      const merged = ofDay(next, 20_000);
      // Texts cannot be cut.
      if (sortOrder[0] === 'a "string"') assert.equal(merged.length, 1);
      else assert.ok(merged.length >= 3 && merged.length <= 5, `${merged.length} files`);
      const names = schema.columns.map(({ name }) => name);
      const all = await readBack(next.files.map(pathOf), schema);
      const expected = model.rows.map((row) => plainRow(row, schema));
      assert.deepEqual(sortPlain(all, schema, names), sortPlain(expected, schema, names));
      let seen: Awaited<ReturnType<typeof readBack>> = [];
      for (const file of merged) {
        const own = await readBack([pathOf(file)], schema);
        assert.equal(own.length, file.rows);
        seen = [...seen, ...own];
        for (const [position, { fieldId, name, type }] of schema.columns.entries()) {
          const values = own.map((row) => row[position] ?? null);
          const present = values.filter((value) => value !== null).toSorted(compareValues);
          assert.equal(file.bounds[fieldId]?.nulls, values.length - present.length, name);
          if ((type !== "long" && type !== "timestamp") || present.length === 0) continue;
          assert.ok(BigInt(String(file.bounds[fieldId]?.lower)) <= BigInt(String(present[0])), name);
          assert.ok(BigInt(String(file.bounds[fieldId]?.upper)) >= BigInt(String(present.at(-1))), name);
        }
      }
      assert.deepEqual(sortPlain(seen, schema, sortOrder), seen, "in order from file to file");
      assert.deepEqual(warehouse.temporaryFiles(), []);
    });
  }

  test("of two compactors one commits, and the other removes its files", async () => {
    const { model, state } = await tableOfSmallFiles("compact_twice", ["timestamp"]);
    const { identity, schema } = state;
    const files = ofDay(state, 20_000);
    // Another node: nothing is shared but the store.
    const other = { ...context, catalog: new TableCatalog(context.store, { sleep: () => Promise.resolve() }) };
    const task = { kind: "compact", identity, schema, settings: {}, files } as const;
    const ends = await Promise.allSettled([compactFiles(context, task), compactFiles(other, task)]);
    const lost = ends.flatMap((end) => (end.status === "rejected" ? [end.reason as MiniodbError] : []));
    assert.deepEqual(
      lost.map(({ code }) => code),
      ["COMMIT_CONFLICT"],
    );
    const now = await other.catalog.loadTable(identity);
    const merged = ofDay(now, 20_000);
    assert.equal(merged.length, 1);
    const stray = (await warehouse.dataKeys()).filter(
      (key) => key.startsWith(identity.location) && ![...state.files, ...merged].some((file) => file.key === key),
    );
    assert.deepEqual(stray, []);
    const all = await readBack(now.files.map(pathOf), schema);
    const names = schema.columns.map(({ name }) => name);
    const expected = model.rows.map((row) => plainRow(row, schema));
    assert.deepEqual(sortPlain(all, schema, names), sortPlain(expected, schema, names));
  });

  test("one that is cancelled changes nothing", async () => {
    const { state } = await tableOfSmallFiles("compact_cancelled", ["timestamp"]);
    const { identity, schema } = state;
    const control = new MergeControl();
    const keys = await warehouse.dataKeys();
    const files = ofDay(state, 20_000);
    const task = { kind: "compact", identity, schema, settings: {}, files, control: control.memory } as const;
    const running = compactFiles(context, task);
    setTimeout(() => control.cancel(), 5);
    await assert.rejects(running, { code: "SHUTTING_DOWN" });
    assert.deepEqual(await warehouse.dataKeys(), keys);
    assert.deepEqual(warehouse.temporaryFiles(), []);
    assert.equal((await context.catalog.loadTable(identity)).version, state.version);
  });

  test("a merge that does not keep its rows is not committed", async () => {
    const { state } = await tableOfSmallFiles("compact_unverified", ["timestamp"]);
    const { identity, schema } = state;
    const [file, ...rest] = ofDay(state, 20_000);
    assert.ok(file !== undefined);
    const keys = await warehouse.dataKeys();
    // The catalog says one row more than there is.
    const files = [{ ...file, rows: file.rows + 1 }, ...rest];
    const task = { kind: "compact", identity, schema, settings: {}, files } as const;
    await assert.rejects(compactFiles(context, task), (error: unknown) => {
      assert.ok(error instanceof MiniodbError);
      assert.equal(error.code, "INTERNAL");
      assert.equal(error.details["verification"], true);
      return true;
    });
    assert.deepEqual(await warehouse.dataKeys(), keys);
    assert.deepEqual(warehouse.temporaryFiles(), []);
  });

  test("one value that differs in one row is seen, another order is not", async () => {
    const path = (name: string) => join(warehouse.folder, `${name}.parquet`);
    const rows = "SELECT make_timestamptz(i) AS timestamp, 'id-' || i AS id FROM range(10000) AS t(i)";
    const options = "(FORMAT parquet, FIELD_IDS {timestamp: 1, id: 2})";
    await runSql(`COPY (${rows}) TO '${path("a")}' ${options}`);
    await runSql(`COPY (${rows} ORDER BY i DESC) TO '${path("b")}' ${options}`);
    const changed = "SELECT timestamp, CASE WHEN id = 'id-77' THEN 'id-78' ELSE id END AS id";
    await runSql(`COPY (${changed} FROM (${rows})) TO '${path("c")}' ${options}`);
    const table = (name: string) => ({ columns: initialSchema.columns, schema: initialSchema, sources: [path(name)] });
    const verify = (name: string) =>
      verifyMerge(context, { before: table("a"), after: table(name), rows: 10_000 }, new MergeRun(context, {}));
    await verify("b");
    await assert.rejects(verify("c"), { code: "INTERNAL" });
  });
});
