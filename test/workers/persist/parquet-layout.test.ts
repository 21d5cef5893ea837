import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { DataFile } from "../../../src/shared/messages.js";
import { initialSchema } from "../../../src/shared/schema/table-schema.js";
import { chooseEncoding } from "../../../src/workers/persist/column-encodings.js";
import { flushRows } from "../../../src/workers/persist/flush.js";
import { readParquetFooter } from "../../../src/workers/persist/parquet-footer.js";
import { rowsInRange } from "../../../src/workers/persist/row-source.js";
import { typeRows } from "../../../src/workers/persist/typed-rows.js";
import { benchRows } from "../../../bench/micro/persist-rows.js";
import { runSql } from "./read-back.js";
import { openTestWarehouse } from "./test-warehouse.js";

/** How data files look from outside: what other engines are told, and what makes reading cheap. */
describe("layout of data files", () => {
  const warehouse = openTestWarehouse();
  after(warehouse.remove);
  const rows = 300_000;
  let file: DataFile;
  let path: string;

  before(async () => {
    const { context } = warehouse;
    const { slice, schema } = benchRows(rows, 10_000, 500);
    const { identity } = await context.catalog.createTable({ name: "layout", schema: initialSchema, settings: {} });
    const stream = "55555555-5555-4555-8555-555555555555";
    const range = { stream, afterSequence: 0, lastSequence: rows };
    const { delta } = await flushRows(context, { kind: "flush", identity, schema, settings: {}, slice, ...range });
    file = delta?.added[0] as DataFile;
    path = context.store.readableUrl(file.key);
  });

  test("columns have their field ids, and timestamps are UTC in µs", async () => {
    const sql = `SELECT name, field_id, type, repetition_type, logical_type FROM parquet_schema('${path}') WHERE name <> 'schema' AND type IS NOT NULL`;
    const utc = "TimestampType(isAdjustedToUTC=1, unit=TimeUnit(MILLIS=<null>, MICROS=MicroSeconds(), NANOS=<null>))";
    assert.deepEqual(await runSql(sql), [
      ["timestamp", 1n, "INT64", "REQUIRED", utc],
      ["value", 3n, "DOUBLE", "OPTIONAL", null],
      ["count", 4n, "INT64", "OPTIONAL", null],
      ["device", 5n, "BYTE_ARRAY", "OPTIONAL", "StringType()"],
      ["region", 6n, "BYTE_ARRAY", "OPTIONAL", "StringType()"],
    ]);
    assert.deepEqual(file.fieldIds, [1, 3, 4, 5, 6], "an id that no row has is left out");
  });

  test("row groups are of bounded length, compressed, with statistics, and encoded as is best for each column", async () => {
    const sql = `SELECT row_group_id, row_group_num_rows, path_in_schema, compression, encodings, stats_min_value, stats_null_count FROM parquet_metadata('${path}') ORDER BY ALL`;
    const chunks = await runSql(sql);
    assert.equal(chunks.length, 3 * 5);
    assert.deepEqual(
      chunks.filter((chunk) => chunk[2] === "count").map((chunk) => Number(chunk[1])),
      [131_072, 131_072, rows - 2 * 131_072],
    );
    const encodingOf: Record<string, RegExp> = {
      timestamp: /DELTA_BINARY/,
      count: /DELTA_BINARY/,
      value: /DICTIONARY/,
      device: /DICTIONARY/,
      region: /DICTIONARY/,
    };
    for (const [, , column, compression, encodings, minimum, nulls] of chunks) {
      assert.equal(compression, "ZSTD");
      assert.match(String(encodings), encodingOf[String(column)] as RegExp, String(column));
      assert.notEqual(minimum, null);
      assert.equal(nulls, 0n);
    }
    assert.ok(file.bytes < rows * 12, `${file.bytes} bytes`);
  });

  test("the footer is read as DuckDB reads it", async () => {
    const { footer } = readParquetFooter(path);
    assert.equal(footer.rows, rows);
    assert.equal(footer.statistics.length, 3);
    const [[lower, upper]] = (await runSql(
      `SELECT min(epoch_us("timestamp"))::VARCHAR, max(epoch_us("timestamp"))::VARCHAR FROM read_parquet('${path}')`,
    )) as [[string, string]];
    assert.deepEqual(file.bounds[1], { lower, upper, nulls: 0 });
    assert.deepEqual(file.bounds[5], { lower: "device-0000", upper: "device-0999", nulls: 0 });
  });

  test("texts that hardly repeat get no dictionary", () => {
    const { slice, schema } = benchRows(20_000, 1_000, 0);
    const typed = typeRows(rowsInRange(slice, { afterSequence: 0, lastSequence: 20_000 }), schema);
    const chosen = typed.columns.map((column) => [column.column.name, chooseEncoding(typed, column, 131_072)]);
    assert.deepEqual(chosen, [
      ["timestamp", "delta"],
      ["value", "plain"],
      ["count", "delta"],
      ["device", "dictionary"],
      ["region", "dictionary"],
    ]);
    const small = typeRows(rowsInRange(slice, { afterSequence: 0, lastSequence: 50 }), schema);
    const device = small.columns.find((column) => column.column.name === "device");
    assert.ok(device !== undefined);
    assert.equal(chooseEncoding(small, device, 131_072), "delta-length");
  });
});
