import { DuckDBInstance } from "@duckdb/node-api";
import type { ColumnType } from "../../../src/shared/schema/column-type.js";
import { nameKey, type TableSchema } from "../../../src/shared/schema/table-schema.js";
import { keepByteOrderMarks } from "../../../src/workers/query/byte-order-mark.js";
import { quoteName, viewSql } from "../../../src/workers/query/table-view.js";
import type { ModelRow, ModelValue } from "./table-model.js";

/** Rows of files as plain values, by column in schema order. */
export type PlainRow = readonly ModelValue[];

let opened: Promise<DuckDBInstance> | undefined;

/** Runs a statement on a DuckDB of the test's own, and returns its rows. */
export async function runSql(sql: string): Promise<readonly (readonly unknown[])[]> {
  keepByteOrderMarks();
  opened ??= DuckDBInstance.create(":memory:", { threads: "1" });
  const connection = await (await opened).connect();
  try {
    return (await connection.runAndReadAll(sql)).getRows();
  } finally {
    connection.closeSync();
  }
}

/** What DuckDB reads from the files under the schema, as queries do, in the order of the files. */
export async function readBack(paths: readonly string[], schema: TableSchema): Promise<PlainRow[]> {
  const columns = schema.columns.map(({ name, type }) => {
    return type === "timestamp" ? `epoch_us(${quoteName(name)})` : quoteName(name);
  });
  const view = viewSql({ name: "t", schema, committedFiles: paths, hotFiles: [] });
  return (await runSql(`SELECT ${columns.join(", ")} FROM (${view})`)) as PlainRow[];
}

/** A model row under the schema, with its longs as doubles where the schema says so. */
export function plainRow(row: ModelRow, schema: TableSchema): PlainRow {
  return schema.columns.map(({ name, type }) => convert(row.values.get(nameKey(name)) ?? null, type));
}

function convert(value: ModelValue, type: ColumnType): ModelValue {
  return type === "double" && typeof value === "bigint" ? Number(value) : value;
}

/** Orders as the engine promises: nulls last, texts by bytes; equal rows stay in the order of their sequences. */
export function sortPlain(rows: readonly PlainRow[], schema: TableSchema, sortOrder: readonly string[]): PlainRow[] {
  const keys = sortOrder
    .map((name) => schema.columns.findIndex((column) => nameKey(column.name) === nameKey(name)))
    .filter((index) => index >= 0);
  return rows.toSorted((left, right) => {
    for (const key of keys) {
      const order = compareValues(left[key] as ModelValue, right[key] as ModelValue);
      if (order !== 0) return order;
    }
    return 0;
  });
}

export function compareValues(left: ModelValue, right: ModelValue): number {
  if (left === null || right === null) return (left === null ? 1 : 0) - (right === null ? 1 : 0);
  if (typeof left === "string" && typeof right === "string") {
    return Buffer.compare(Buffer.from(left), Buffer.from(right));
  }
  // The total order of doubles, in which -0 comes before 0.
  if (left === 0 && right === 0) return (Object.is(left, -0) ? 0 : 1) - (Object.is(right, -0) ? 0 : 1);
  return left < right ? -1 : left > right ? 1 : 0;
}
