import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { MiniodbError } from "../../../src/shared/errors.js";
import type { TableState } from "../../../src/shared/messages.js";
import { columnTypes } from "../../../src/shared/schema/column-type.js";
import { initialSchema, nameKey } from "../../../src/shared/schema/table-schema.js";
import { copyFiles, type FileCopy } from "../../../src/workers/persist/duckdb-copy.js";
import { flushRows } from "../../../src/workers/persist/flush.js";
import { MergeRun } from "../../../src/workers/persist/merge-run.js";
import type { ParquetFooter } from "../../../src/workers/persist/parquet-footer.js";
import { ParquetJoin } from "../../../src/workers/persist/join-parquet.js";
import { copySlices, planSliceFiles, readFooters, sliceRowsFor } from "../../../src/workers/persist/sliced-copy.js";
import { seededRandom } from "../../harness/seeded-random.js";
import { plainRow, readBack, runSql, sortPlain, type PlainRow } from "./read-back.js";
import { TableModel } from "./table-model.js";
import { openTestWarehouse } from "./test-warehouse.js";

const seed = Number(process.env["MINIODB_TEST_SEED"] ?? Date.now() % 1_000_000);
const rounds = Number(process.env["MINIODB_TEST_ROUNDS"] ?? 5);
const stream = "33333333-3333-4333-8333-333333333333";
const warehouse = openTestWarehouse();
after(warehouse.remove);
const { context } = warehouse;
const day = 20_000;
let files = 0;

interface Filled {
  readonly model: TableModel;
  readonly state: TableState;
  readonly sources: readonly string[];
}

/** A table of a few files in one day: sorted and shuffled ones, late and early ones, with columns that come later. */
async function filledTable(name: string, round: number, sortOrder: readonly string[]): Promise<Filled> {
  const random = seededRandom(seed + round);
  const model = new TableModel(random);
  const { identity } = await context.catalog.createTable({ name, schema: initialSchema, settings: { sortOrder } });
  const pending = [...columnTypes];
  for (let file = 0; file < 4 + random.integer(5); file++) {
    while (pending.length > 0 && random.real() < 0.6) {
      const type = pending.shift();
      if (type !== undefined) model.addColumn(`a "${type}"`, type);
    }
    const afterSequence = model.lastSequence;
    const shape = { days: 1, firstDay: day, isAscending: random.real() < 0.5, nullShare: random.pick([0, 0.3, 1]) };
    for (let record = 0; record < 1 + random.integer(4); record++) model.appendRecord(1 + random.integer(80), shape);
    const { schema, lastSequence } = model;
    const slice = model.slice(afterSequence, lastSequence);
    const settings = { sortOrder };
    await flushRows(context, { kind: "flush", identity, stream, afterSequence, lastSequence, schema, settings, slice });
  }
  const state = await context.catalog.loadTable(identity);
  return { model, state, sources: state.files.map(({ key }) => context.store.readableUrl(key)) };
}

function copyOf({ state, sources }: Filled, sortOrder: readonly string[]): FileCopy {
  const present = new Set(state.files.flatMap(({ fieldIds }) => fieldIds));
  const columns = state.schema.columns.filter(({ fieldId }) => present.has(fieldId));
  const orderBy = sortOrder.flatMap((name) => columns.filter((column) => nameKey(column.name) === nameKey(name)));
  return { columns, schema: state.schema, sources, orderBy, path: join(warehouse.folder, `${++files}.parquet`) };
}

/** Into one file; the number of its rows. */
function copySorted(copy: FileCopy, footers: readonly ParquetFooter[], sliceRows: number): Promise<number> {
  const [conditions = []] = planSliceFiles(copy, footers, { sliceRows, files: 1 });
  return copySlices(context, copy, conditions, { sliceRows, merge: new MergeRun(context, {}) });
}

const orders = [
  ["timestamp"],
  ['a "long"', "timestamp"],
  ["timestamp", 'a "string"'],
  ['a "timestamp"'],
  ['a "string"'],
];

describe(`merge in slices (MINIODB_TEST_SEED=${seed})`, () => {
  for (let round = 0; round < rounds; round++) {
    const sortOrder = orders[round % orders.length] as readonly string[];
    test(`round ${round}: the rows of one sort, by ${sortOrder.join(", ")}`, async () => {
      const filled = await filledTable(`slices_${round}`, round, sortOrder);
      const { model, state } = filled;
      const { schema } = state;
      const whole = copyOf(filled, sortOrder);
      await copyFiles(context, [whole]);
      const footers = readFooters(filled.sources);
      const expected = inAnyOrder(await readBack([whole.path], schema));
      assert.deepEqual(expected, inAnyOrder(model.rows.map((row) => plainRow(row, schema))));
      for (const sliceRows of [40, 200]) {
        const copy = { ...whole, path: join(warehouse.folder, `${++files}.parquet`) };
        assert.equal(await copySorted(copy, footers, sliceRows), model.rows.length);
        const seen = await readBack([copy.path], schema);
        assert.deepEqual(sortPlain(seen, schema, sortOrder), seen, "in order");
        assert.deepEqual(inAnyOrder(seen), expected);
        const [footer] = readFooters([copy.path]);
        assert.equal(footer?.rows, seen.length);
        assert.deepEqual(
          footer.fieldIds,
          copy.columns.map(({ fieldId }) => fieldId),
        );
        await assertSameAnswers(whole, copy.path);
      }
      assert.deepEqual(warehouse.temporaryFiles(), []);
    });
  }

  for (const nullShare of [0, 0.2]) {
    test(`cuts that are values themselves; a share of ${nullShare} nulls`, async () => {
      const random = seededRandom(seed);
      const model = new TableModel(random);
      model.addColumn("v", "long");
      const settings = { sortOrder: ["v"] };
      const name = `ties_${nullShare * 10}`;
      const { identity } = await context.catalog.createTable({ name, schema: initialSchema, settings });
      for (let file = 0; file < 3; file++) {
        const afterSequence = model.lastSequence;
        const values = Array.from({ length: 300 }, () =>
          random.real() < nullShare ? null : BigInt(random.integer(12)) - 6n,
        );
        model.appendValues("v", values);
        const { schema, lastSequence } = model;
        const slice = model.slice(afterSequence, lastSequence);
        const range = { stream, afterSequence, lastSequence };
        await flushRows(context, { kind: "flush", identity, ...range, schema, settings, slice });
      }
      const state = await context.catalog.loadTable(identity);
      const sources = state.files.map(({ key }) => context.store.readableUrl(key));
      const copy = copyOf({ model, state, sources }, ["v"]);
      assert.equal(await copySorted(copy, readFooters(sources), 75), 900);
      const expected = model.rows.map((row) => plainRow(row, state.schema));
      assert.deepEqual(await readBack([copy.path], state.schema), sortPlain(expected, state.schema, ["v"]));
    });
  }

  test("a stop between two slices leaves nothing behind", async () => {
    const filled = await filledTable("slices_stopped", 100, ["timestamp"]);
    const copy = copyOf(filled, ["timestamp"]);
    Atomics.store(context.stopWord, 0, 1);
    try {
      await assert.rejects(
        copySorted(copy, readFooters(filled.sources), 10),
        (error: unknown) => error instanceof MiniodbError && error.code === "SHUTTING_DOWN",
      );
    } finally {
      Atomics.store(context.stopWord, 0, 0);
    }
    assert.deepEqual(warehouse.temporaryFiles(), []);
    // The file to write is the caller's to remove.
    rmSync(copy.path);
  });

  test("files of different schemas are not joined", async () => {
    const paths = ["SELECT 1 AS a", "SELECT 1::DOUBLE AS a", "SELECT 2 AS a"].map((sql) => {
      return { sql, path: join(warehouse.folder, `${++files}.parquet`) };
    });
    for (const { sql, path } of paths) await runSql(`COPY (${sql}) TO '${path}' (FORMAT parquet)`);
    const [first, other, second] = paths.map(({ path }) => path) as [string, string, string];
    const joined = join(warehouse.folder, `${++files}.parquet`);
    const parquet = new ParquetJoin(joined);
    parquet.append(first);
    assert.throws(() => parquet.append(other), /one schema/);
    parquet.append(second);
    parquet.finish();
    parquet.close();
    assert.deepEqual(await runSql(`SELECT a FROM '${joined}'`), [[1], [2]]);
  });

  test("slices follow memory and the width of rows", () => {
    const footer = { rows: 1000, fieldIds: [], statistics: [] };
    const rowsFor = (memory: number, columns: number, rowBytes: number): number =>
      sliceRowsFor(memory, columns, [{ ...footer, uncompressedBytes: rowBytes * 1000 }]);
    const mebibyte = 1024 * 1024;
    assert.equal(rowsFor(4 * mebibyte, 5, 15), 737_280, "six row groups");
    assert.equal(rowsFor(8 * mebibyte, 5, 15) % 122_880, 0, "whole row groups");
    assert.ok(rowsFor(64 * mebibyte, 5, 15) > 10_000_000);
    assert.ok(rowsFor(4 * mebibyte, 5, 1000) < 65_000);
    assert.equal(rowsFor(64 * mebibyte, 5, 10_000_000), 8192);
    assert.ok(Number.isFinite(sliceRowsFor(64 * mebibyte, 5, [])));
  });
});

/** As texts, which do not tell -0 from 0: DuckDB's dictionaries keep whichever of them comes first. */
function inAnyOrder(rows: readonly PlainRow[]): string[] {
  return rows.map((row) => row.map(String).join("|")).toSorted();
}

/** Statistics, dictionaries and Bloom filters of all row groups must be found where the footer says. */
async function assertSameAnswers(whole: FileCopy, sliced: string): Promise<void> {
  for (const { name } of whole.columns) {
    const column = `"${name.replaceAll('"', '""')}"`;
    const values = await runSql(`SELECT DISTINCT ${column}::VARCHAR, ${column} FROM '${whole.path}' USING SAMPLE 3`);
    for (const [value] of values) {
      const text = typeof value === "string" ? value : null;
      const condition = text === null ? `${column} IS NULL` : `${column}::VARCHAR = '${text.replaceAll("'", "''")}'`;
      const count = (path: string) => runSql(`SELECT count(*), min(timestamp) FROM '${path}' WHERE ${condition}`);
      assert.deepEqual(await count(sliced), await count(whole.path), `${name} = ${String(text)}`);
    }
    const equal = (path: string) =>
      runSql(`SELECT count(*) FROM '${path}' WHERE ${column} = (SELECT any_value(${column}) FROM '${whole.path}')`);
    assert.deepEqual(await equal(sliced), await equal(whole.path), name);
  }
}
