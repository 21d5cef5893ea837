import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { columnTypes, type ColumnType } from "../../../src/shared/schema/column-type.js";
import type { ColumnEncoding } from "../../../src/workers/persist/column-encodings.js";
import { boundsOfFooter } from "../../../src/workers/persist/file-bounds.js";
import { readParquetFooter } from "../../../src/workers/persist/parquet-footer.js";
import { writeRows, type ParquetFormat } from "../../../src/workers/persist/parquet-writer.js";
import { rowsInRange } from "../../../src/workers/persist/row-source.js";
import { sortRows } from "../../../src/workers/persist/sort-rows.js";
import { typeRows } from "../../../src/workers/persist/typed-rows.js";
import { writeRowsWithWasm } from "../../../src/workers/persist/wasm-parquet.js";
import { seededRandom, type SeededRandom } from "../../harness/seeded-random.js";
import { sizedBy } from "../../harness/test-size.js";
import { plainRow, readBack, runSql, sortPlain } from "./read-back.js";
import { TableModel, type ModelValue } from "./table-model.js";

const seed = Number(process.env["MINIODB_TEST_SEED"] ?? Date.now() % 1_000_000);
const rounds = sizedBy("MINIODB_TEST_ROUNDS", 5, 10);
const folder = mkdtempSync(join(tmpdir(), "miniodb-parquet-"));
after(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;

const encodingsOf: Record<ColumnType, readonly ColumnEncoding[]> = {
  boolean: ["plain"],
  long: ["delta", "plain", "dictionary"],
  timestamp: ["delta", "plain", "dictionary"],
  double: ["plain", "dictionary"],
  string: ["dictionary", "delta-length"],
  json: ["dictionary", "delta-length"],
};

function randomModel(random: SeededRandom, isAscending = false): TableModel {
  const model = new TableModel(random);
  for (const type of columnTypes) model.addColumn(`c ${type}`, type);
  for (let records = random.integer(8); records >= 0; records--) {
    const nullShare = random.pick([0, 0.1, 0.9, 1]);
    model.appendRecord(1 + random.integer(random.pick([10, 900])), {
      days: 3,
      firstDay: 20_000,
      isAscending,
      nullShare,
    });
  }
  return model;
}

function randomFormat(random: SeededRandom, model: TableModel): ParquetFormat {
  return {
    compression: random.pick(["zstd", "none"]),
    statistics: random.real() < 0.8,
    rowGroupRows: random.pick([1, 7, 64, 1000, 100_000]),
    encodings: new Map(model.schema.columns.map(({ name, type }) => [name, random.pick(encodingsOf[type])])),
  };
}

/** Values that are no rows of a model: one column `v` in one record. */
function oneColumn(type: ColumnType, values: readonly ModelValue[]): TableModel {
  const model = new TableModel(seededRandom(1));
  model.addColumn("v", type);
  model.appendValues("v", values);
  return model;
}

async function roundTrip(model: TableModel, encoding: ColumnEncoding, rowGroupRows = 100_000): Promise<string> {
  const path = join(folder, `${++files}.parquet`);
  const range = { afterSequence: 0, lastSequence: model.lastSequence };
  const rows = typeRows(rowsInRange(model.slice(0, range.lastSequence), range), model.schema);
  const format: ParquetFormat = {
    compression: "zstd",
    statistics: true,
    rowGroupRows,
    encodings: new Map([["v", encoding]]),
  };
  writeRows(path, { rows, order: null, from: 0, to: rows.rowCount }, format);
  const seen = (await readBack([path], model.schema)).map((row) => row.join());
  const expected = model.rows.map((row) => plainRow(row, model.schema).join());
  assert.equal(seen.length, expected.length);
  assert.equal(
    seen.findIndex((row, index) => row !== expected[index]),
    -1,
    "first row that differs",
  );
  return path;
}

async function encodingsIn(path: string): Promise<string> {
  const chunks = await runSql(`SELECT encodings FROM parquet_metadata('${path}') WHERE path_in_schema = 'v'`);
  return chunks.map(([encodings]) => String(encodings)).join(";");
}

describe(`Parquet files of our own (MINIODB_TEST_SEED=${seed})`, () => {
  test("rows that came in order are not sorted, and make the very file that sorting them makes", async () => {
    for (let round = 0; round < rounds; round++) {
      const random = seededRandom(seed + 1000 + round);
      const model = randomModel(random, true);
      const { schema, lastSequence } = model;
      const typed = typeRows(rowsInRange(model.slice(0, lastSequence), { afterSequence: 0, lastSequence }), schema);
      const { rows, order, days } = sortRows(typed, ["timestamp"]);
      assert.equal(order, null, `round ${round}`);
      const all = Uint32Array.from({ length: rows.rowCount }, (_value, row) => row);
      const sorted = sortRows(typed, ["timestamp"], all);
      assert.deepEqual([sorted.order, sorted.days], [all, days], "every row, as it came, on the same days");
      const format = { ...randomFormat(random, model), statistics: true };
      const written = [order, all].map((of) => {
        const path = join(folder, `${++files}.parquet`);
        writeRows(path, { rows, order: of, from: 0, to: rows.rowCount }, format);
        return path;
      }) as [string, string];
      assert.ok(readFileSync(written[0]).equals(readFileSync(written[1])), `round ${round}: bytes, statistics and all`);
      const seen = await readBack([written[0]], schema);
      assert.deepEqual(sortPlain(seen, schema, ["timestamp"]), seen);
    }
  });

  for (let round = 0; round < rounds; round++) {
    test(`round ${round}: any rows, encodings and row groups`, async () => {
      const random = seededRandom(seed + round);
      const model = randomModel(random);
      const { schema } = model;
      const format = randomFormat(random, model);
      const range = { afterSequence: 0, lastSequence: model.lastSequence };
      const sortOrder = random.pick([["timestamp"], ["c string", "c long"]]);
      const typed = typeRows(rowsInRange(model.slice(0, model.lastSequence), range), schema);
      const { rows, order, days } = sortRows(typed, sortOrder);
      const path = join(folder, `${++files}.parquet`);
      const from = random.integer(2) * random.integer(rows.rowCount);
      writeRows(path, { rows, order, from, to: rows.rowCount }, format);
      const day = (row: readonly ModelValue[]): bigint => (row[0] as bigint) / 86_400_000_000n;
      const expected = sortPlain(
        model.rows.map((row) => plainRow(row, schema)),
        schema,
        sortOrder,
      )
        .toSorted((left, right) => Number(day(left) - day(right)))
        .slice(from);
      assert.deepEqual(await readBack([path], schema), expected);
      assert.equal(days.length, new Set(model.rows.map((row) => day(plainRow(row, schema)))).size);

      // What parquet-wasm says of the same rows.
      const other = join(folder, `${++files}.parquet`);
      await writeRowsWithWasm(other, { rows, order, from, to: rows.rowCount }, { ...format, statistics: true });
      assert.deepEqual(await readBack([other], schema), expected);
      if (!format.statistics) return;
      const columns = rows.columns.map(({ column }) => column);
      assert.deepEqual(
        boundsOfFooter(readParquetFooter(path).footer, columns),
        boundsOfFooter(readParquetFooter(other).footer, columns),
      );
    });
  }

  test("longs too far apart for differences are plain", async () => {
    const far = Array.from(
      { length: 1000 },
      (_, index) => (index % 2 === 0 ? 2n ** 62n : -(2n ** 62n)) + BigInt(index),
    );
    assert.doesNotMatch(await encodingsIn(await roundTrip(oneColumn("long", far), "delta")), /DELTA/);
    const wide = Array.from({ length: 1000 }, (_, index) => BigInt(index % 2) * 2n ** 33n);
    assert.doesNotMatch(await encodingsIn(await roundTrip(oneColumn("long", wide), "delta")), /DELTA/);
  });

  test("differences of every width up to 32 bits, at all lengths around a block", async () => {
    for (const width of [0, 1, 7, 8, 9, 15, 16, 17, 24, 31, 32]) {
      const random = seededRandom(width);
      for (const length of [1, 2, 31, 32, 33, 34, 128, 129, 130, 257]) {
        // Differences from 0 to 2^width - 1, both ends among them.
        let value = 2n ** 51n - 2n ** 50n;
        const values = Array.from({ length }, (_, index) => {
          const max = 2 ** width - 1;
          value += BigInt(index % 5 === 1 ? 0 : index % 5 === 2 ? max : random.integer(max + 1));
          return value;
        });
        await roundTrip(oneColumn("long", values), "delta");
      }
    }
  });

  test("dictionaries of every size, and one that grows too large", async () => {
    for (const size of [1, 2, 3, 4, 5, 257, 5_000]) {
      const random = seededRandom(size);
      const values = Array.from({ length: 6_000 }, (_, index) => (index < size ? index : random.integer(size)) / 4);
      assert.match(await encodingsIn(await roundTrip(oneColumn("double", values), "dictionary")), /RLE_DICTIONARY/);
      const texts = values.map((value) => `${value}`.repeat(1 + (value % 3)));
      assert.match(await encodingsIn(await roundTrip(oneColumn("string", texts), "dictionary")), /RLE_DICTIONARY/);
    }
    const many = Array.from({ length: 90_000 }, (_, index) => index * 1.5);
    const path = await roundTrip(oneColumn("double", [...many.slice(0, 40_000), ...many]), "dictionary");
    assert.match(await encodingsIn(path), /RLE_DICTIONARY/);
    assert.match(await encodingsIn(path), /PLAIN/);
    const texts = many.map((value) => `a rather long text ${value}`);
    assert.match(await encodingsIn(await roundTrip(oneColumn("string", texts), "dictionary")), /DELTA_LENGTH/);
  });

  test("runs of equal values, alone and between others", async () => {
    const random = seededRandom(3);
    const values: number[] = [];
    while (values.length < 20_000) {
      const value = random.integer(6);
      const length = random.pick([1, 1, 2, 7, 8, 9, 23, 24, 25, 500]);
      for (let index = 0; index < length; index++) values.push(value);
    }
    await roundTrip(oneColumn("double", values), "dictionary");
    await roundTrip(oneColumn("string", values.map(String)), "dictionary", 3_001);
  });

  test("columns that are null in whole pages and row groups", async () => {
    const values: ModelValue[] = Array.from({ length: 70_000 }, (_, row) =>
      row < 40_000 ? null : row % 2 === 0 ? row : null,
    );
    await roundTrip(oneColumn("double", values), "dictionary", 30_000);
    await roundTrip(
      oneColumn(
        "string",
        values.map((value) => (value === null ? null : String(value))),
      ),
      "delta-length",
      30_000,
    );
    await roundTrip(
      oneColumn(
        "boolean",
        values.map((value) => (value === null ? null : true)),
      ),
      "plain",
      30_000,
    );
  });
});
