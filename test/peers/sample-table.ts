/** Real Parquet files for tests against other engines: rows of plain values, written through Arrow with field ids. */
import assert from "node:assert/strict";
import {
  Bool,
  Field,
  Float64,
  Int64,
  RecordBatch,
  Schema,
  Struct,
  Table,
  TimestampMicrosecond,
  Utf8,
  makeData,
  tableToIPC,
  vectorFromArray,
  type Data,
  type DataType,
} from "apache-arrow";
import { randomUUID } from "node:crypto";
import { Compression, Table as ParquetTable, WriterPropertiesBuilder, writeParquet } from "parquet-wasm";
import type { NewDataFile } from "../../src/shared/iceberg/manifest.js";
import type { ColumnBounds, TableIdentity } from "../../src/shared/messages.js";
import type { ColumnType } from "../../src/shared/schema/column-type.js";
import type { TableColumn, TableSchema } from "../../src/shared/schema/table-schema.js";
import type { ObjectStore } from "../../src/shared/store/object-store.js";
import { dataFileKey } from "../../src/shared/store/store-paths.js";

/** Longs and timestamps (µs) are bigints. */
export type Value = string | number | bigint | boolean | null;
export type Row = Readonly<Record<string, Value>>;

const dayMicros = 86_400_000_000n;

/** Writes the rows, all of one day, as one data file of the table; columns without a value are left out. */
export async function writeDataFile(
  store: ObjectStore,
  identity: TableIdentity,
  content: { readonly schema: TableSchema; readonly rows: readonly Row[] },
): Promise<NewDataFile> {
  const { schema, rows } = content;
  const columns = schema.columns.filter((column) => rows.some((row) => (row[column.name] ?? null) !== null));
  const day = Number((rows[0]?.["timestamp"] as bigint) / dayMicros);
  const key = dataFileKey(identity.location, { day, createdMs: Date.now(), uuid: randomUUID() });
  const body = encodeParquet(columns, rows);
  await store.put(key, body);
  const bounds = Object.fromEntries(columns.map((column) => [column.fieldId, boundsOf(column, rows)]));
  return { key, bytes: body.length, rows: rows.length, day, bounds, fieldIds: columns.map((column) => column.fieldId) };
}

function encodeParquet(columns: readonly TableColumn[], rows: readonly Row[]): Uint8Array {
  const children = columns.map(({ name, type }) =>
    columnData(
      type,
      rows.map((row) => row[name] ?? null),
    ),
  );
  const fields = columns.map(
    ({ name, type, required, fieldId }) =>
      new Field(name, arrowType(type), !required, new Map([["PARQUET:field_id", String(fieldId)]])),
  );
  const data = makeData({ type: new Struct(fields), length: rows.length, nullCount: 0, children });
  const table = new Table(new RecordBatch(new Schema(fields), data));
  const properties = new WriterPropertiesBuilder().setCompression(Compression.ZSTD).build();
  return writeParquet(ParquetTable.fromIPCStream(tableToIPC(table, "stream")), properties);
}

/** Arrow's builder of timestamps takes milliseconds: they are built as longs, which they are. */
function columnData(type: ColumnType, values: readonly Value[]): Data {
  const [data] = vectorFromArray(values, type === "timestamp" ? new Int64() : arrowType(type)).data;
  assert.ok(data !== undefined, "a vector from one array has one chunk");
  if (type !== "timestamp") return data;
  const { length, nullCount, nullBitmap } = data;
  return makeData({ type: new TimestampMicrosecond("UTC"), length, nullCount, nullBitmap, data: data.values });
}

function arrowType(type: ColumnType): DataType {
  switch (type) {
    case "boolean":
      return new Bool();
    case "long":
      return new Int64();
    case "double":
      return new Float64();
    case "timestamp":
      return new TimestampMicrosecond("UTC");
    case "string":
    case "json":
      return new Utf8();
  }
}

function boundsOf({ name, type }: TableColumn, rows: readonly Row[]): ColumnBounds {
  const values = rows.map((row) => row[name] ?? null).filter((value) => value !== null);
  const sorted = values.toSorted(type === "string" || type === "json" ? byBytes : byValue);
  const [lower = null, upper = null] = [sorted[0], sorted.at(-1)];
  return { lower: plain(lower), upper: plain(upper), nulls: rows.length - values.length };
}

function plain(value: Value): string | number | boolean | null {
  return typeof value === "bigint" ? String(value) : value;
}

function byValue(left: Value, right: Value): number {
  if (left === null || right === null || left === right) return 0;
  return left < right ? -1 : 1;
}

function byBytes(left: Value, right: Value): number {
  return Buffer.compare(Buffer.from(String(left)), Buffer.from(String(right)));
}
