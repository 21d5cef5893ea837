import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import type { TableColumn, TableSchema } from "../../../src/shared/schema/table-schema.js";
import type { TableSettings } from "../../../src/shared/schema/table-settings.js";
import { addIdFilters } from "../../../src/workers/persist/id-filters.js";
import { areWorthJoining } from "../../../src/workers/persist/join-parquet.js";
import { areInOrder, orderOfFiles } from "../../../src/workers/persist/merge-order.js";
import { MergeRun } from "../../../src/workers/persist/merge-run.js";
import { readFooters } from "../../../src/workers/persist/sliced-copy.js";
import { writeMerged, type WrittenFile } from "../../../src/workers/persist/write-merged.js";
import { runSql } from "./read-back.js";
import { openTestWarehouse } from "./test-warehouse.js";

const warehouse = openTestWarehouse();
after(warehouse.remove);
const { context } = warehouse;
const a: TableColumn = { fieldId: 1, name: "a", type: "long", required: false };
const b: TableColumn = { fieldId: 2, name: "b", type: "string", required: false };
const schema: TableSchema = { version: 0, lastFieldId: 2, columns: [a, b] };
let count = 0;

/** A file of the values (a, b), in row groups of so many rows, as they come. */
async function fileOf(values: string, groupRows = 2048): Promise<string> {
  const path = join(warehouse.folder, `source-${++count}.parquet`);
  const options = `FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE ${groupRows}, FIELD_IDS {a: 1, b: 2}`;
  await runSql(`COPY (SELECT a::BIGINT AS a, b::VARCHAR AS b FROM (${values})) TO '${path}' (${options})`);
  return path;
}

const range = (from: number, to: number): string =>
  `SELECT i AS a, 'x' || (i % 10) AS b FROM range(${from}, ${to}) AS t(i)`;

interface Merged {
  /** Of the files' statistics. */
  readonly isGuessed: boolean;
  readonly rows: readonly (readonly unknown[])[];
  /** Rows of the row groups. */
  readonly groups: readonly number[];
  /** Column chunks with a Bloom filter. */
  readonly filters: number;
}

/** What the merge of the files is, as it lies in the new file. */
async function merge(
  sources: readonly string[],
  orderBy: readonly TableColumn[],
  settings: TableSettings = {},
): Promise<Merged> {
  const written: WrittenFile[] = [];
  const copy = { columns: schema.columns, schema, orderBy, isWholeOrder: true };
  const run = new MergeRun(context, { threads: 2 });
  await writeMerged(context, { task: { files: [], settings }, copy, local: { sources, deletes: [] }, written }, run);
  assert.equal(written.length, 1);
  const paths = written.map(({ path }) => path);
  assert.equal(await areInOrder(context, { ...copy, sources: paths }, run), true);
  assert.deepEqual(
    warehouse.temporaryFiles().map((name) => join(context.temporaryFolder, name)),
    paths,
    "nothing of an attempt stays",
  );
  const rows = await runSql(`SELECT a, b FROM '${paths[0]}'`);
  assert.equal(rows.length, written[0]?.rows);
  const groups = await runSql(
    `SELECT DISTINCT row_group_id, row_group_num_rows FROM parquet_metadata('${paths[0]}') ORDER BY row_group_id`,
  );
  const [[filters] = []] = await runSql(
    `SELECT count(bloom_filter_offset)::INTEGER FROM parquet_metadata('${paths[0]}') WHERE path_in_schema = 'b'`,
  );
  for (const path of paths) rmSync(path);
  const isGuessed = orderOfFiles(orderBy, readFooters(sources)) !== null;
  return { isGuessed, rows, groups: groups.map(([, groupRows]) => Number(groupRows)), filters: Number(filters) };
}

const sorted = async (sources: readonly string[], order: string) =>
  runSql(`SELECT a, b FROM read_parquet([${sources.map((path) => `'${path}'`).join(", ")}]) ORDER BY ${order}`);

describe("what a merge writes", () => {
  test("files one behind the other are copied in the order of their values, not of the list", async () => {
    const sources = [
      await fileOf(range(20_000, 25_000)),
      await fileOf(range(0, 9000)),
      await fileOf(range(9000, 9001)),
    ];
    const { isGuessed, rows } = await merge(sources, [a]);
    assert.equal(isGuessed, true);
    assert.deepEqual(rows, await sorted(sources, "a"));
  });

  test("row groups that are long and compressed are taken as they are", async () => {
    const later = await fileOf(range(150_000, 220_000), 81_920);
    const earlier = await fileOf(range(0, 150_000), 81_920);
    const { rows, groups } = await merge([later, earlier], [a]);
    assert.deepEqual(groups, [81_920, 68_080, 70_000]);
    assert.equal(rows.length, 220_000);
    assert.ok(rows.every(([value, text], index) => value === BigInt(index) && text === `x${index % 10}`));

    const shuffled = await fileOf(`${range(150_000, 220_000)} ORDER BY hash(i)`, 81_920);
    const sortedRows = await merge([shuffled, earlier], [a]);
    assert.deepEqual(sortedRows.groups, [122_880, 97_120], "sorted, as they were not");
    assert.deepEqual(sortedRows.rows, rows);
  });

  test("with the Bloom filters on ids that all of them have, where filters are wanted", async () => {
    // Field 2 is that of ids.
    const distinct = (from: number, to: number): string =>
      `SELECT i AS a, md5(i::VARCHAR) AS b FROM range(${from}, ${to}) AS t(i)`;
    const sources = [await fileOf(distinct(0, 70_000), 122_880), await fileOf(distinct(70_000, 140_000), 122_880)];
    const anew = await merge(sources, [a], { bloomFilter: true });
    assert.notDeepEqual(anew.groups, [70_000, 70_000], "there are none");
    for (const source of sources) await addIdFilters(context, source, { columns: schema.columns, schema });
    const joined = await merge(sources, [a], { bloomFilter: true });
    assert.deepEqual(joined.groups, [70_000, 70_000]);
    assert.equal(joined.filters, 2);
    assert.deepEqual(joined.rows, anew.rows);
  });

  test("files of other columns, short row groups and rows that nobody compressed are written anew", async () => {
    const long = await fileOf(range(0, 70_000), 122_880);
    const narrow = join(warehouse.folder, "narrow.parquet");
    const stored = join(warehouse.folder, "stored.parquet");
    await runSql(
      `COPY (SELECT i AS a FROM range(70000, 140000) AS t(i)) TO '${narrow}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880, FIELD_IDS {a: 1})`,
    );
    await runSql(
      `COPY (${range(70_000, 140_000)}) TO '${stored}' (FORMAT parquet, COMPRESSION uncompressed, ROW_GROUP_SIZE 122880, FIELD_IDS {a: 1, b: 2})`,
    );
    const short = await fileOf(range(70_000, 140_000));
    for (const other of [narrow, short]) {
      const { rows, groups } = await merge([long, other], [a]);
      assert.ok(groups.length === 2 && groups.every((groupRows) => groupRows > 4096 && groupRows !== 70_000), other);
      assert.ok(rows.length === 140_000 && rows.every(([value], index) => value === BigInt(index)));
    }
    assert.equal(areWorthJoining([long]), true);
    assert.equal(areWorthJoining([stored]), false);
  });

  test("rows out of order within a row group, which no statistics tell, are sorted", async () => {
    const sources = [await fileOf(`${range(0, 2000)} ORDER BY hash(i)`), await fileOf(range(5000, 6000))];
    const { isGuessed, rows } = await merge(sources, [a]);
    assert.equal(isGuessed, true);
    assert.deepEqual(rows, await sorted(sources, "a"));
  });

  test("one row out of order at the border of two files, by the second column only", async () => {
    const sources = [
      await fileOf("SELECT * FROM (VALUES (1, 'a'), (2, 'm')) AS t(a, b)"),
      await fileOf("SELECT * FROM (VALUES (2, 'c'), (3, 'a')) AS t(a, b)"),
    ];
    const both = await merge(sources, [a, b]);
    assert.equal(both.isGuessed, true);
    assert.deepEqual(both.rows, await sorted(sources, "a, b"));
    const first = await merge(sources, [a]);
    assert.deepEqual(
      first.rows.map(([value]) => value),
      [1n, 2n, 2n, 3n],
    );
  });

  test("files that overlap, nulls, texts, and no sort column at all are no order", async () => {
    const plain = await fileOf(range(0, 5000));
    const others = [await fileOf(range(4000, 6000)), await fileOf("SELECT NULL AS a, 'x' AS b")];
    for (const other of others) {
      const { isGuessed, rows } = await merge([plain, other], [a]);
      assert.equal(isGuessed, false);
      const expected = await sorted([plain, other], "a NULLS LAST");
      assert.deepEqual(
        rows.map(([value]) => value),
        expected.map(([value]) => value),
      );
    }
    assert.equal(orderOfFiles([b], readFooters([plain])), null);
    assert.equal(orderOfFiles([], readFooters([plain])), null);
  });
});
