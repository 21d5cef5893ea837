import assert from "node:assert/strict";
import { type PrunedTables, pruneFiles } from "../../../src/main/query/prune-files.js";
import type { SnapshotTable } from "../../../src/main/query/snapshot-provider.js";
import { decodeBound, encodeLowerBound, encodeUpperBound } from "../../../src/shared/iceberg/single-value.js";
import type { ColumnBounds, DataFile } from "../../../src/shared/messages.js";
import type { ParameterValue, QueryResult, QueryTable, SelectStatement } from "../../../src/shared/query-messages.js";
import { columnTypeTable } from "../../../src/shared/schema/column-type.js";
import type { TableColumn, TableSchema } from "../../../src/shared/schema/table-schema.js";
import { dataFileKey } from "../../../src/shared/store/store-paths.js";
import { type QueryFixture, textOf } from "../../workers/query/query-fixture.js";

/** A value of a row: µs for timestamps, bigint for longs. */
export type Cell = bigint | number | string | boolean | null;
export type Row = Readonly<Record<string, Cell>>;

export const tableUuid = "0192a3b4-c5d6-7e8f-9012-3456789abcde";
const dayMicros = 86_400_000_000n;
let fileNumber = 0;

/** Files of a table, as Parquet on disk and as the catalog would describe them. */
export class PruneTable {
  readonly name: string;
  readonly schema: TableSchema;
  readonly files: DataFile[] = [];
  readonly #fixture: QueryFixture;
  readonly #paths = new Map<string, string>();

  constructor(fixture: QueryFixture, name: string, schema: TableSchema) {
    this.#fixture = fixture;
    this.name = name;
    this.schema = schema;
  }

  /** All rows are of one day. `columns`: those that the file has, under these types and ids. */
  async addFile(rows: readonly Row[], columns: readonly TableColumn[] = this.schema.columns): Promise<void> {
    const number = ++fileNumber;
    const values = rows.map(
      (row) => `(${columns.map((column) => literal(row[column.name] ?? null, column)).join(", ")})`,
    );
    const names = columns.map((column) => `"${column.name}"`).join(", ");
    const select = `SELECT * FROM (VALUES ${values.join(", ")}) v(${names})`;
    const ids = Object.fromEntries(columns.map((column) => [column.name, column.fieldId]));
    const path = await this.#fixture.writeParquet(`${this.name}-${number}.parquet`, select, ids);
    const [first] = rows;
    assert.ok(first !== undefined && typeof first["timestamp"] === "bigint");
    const day = Number(first["timestamp"] / dayMicros);
    const uuid = tableUuid.replace(/.{4}$/, String(number).padStart(4, "0"));
    const key = dataFileKey(`${this.name.toLowerCase()}-${tableUuid}`, { day, createdMs: 0, uuid });
    const bounds = Object.fromEntries(columns.map((column) => [column.fieldId, boundsOf(rows, column)]));
    this.files.push({
      key,
      bytes: 1,
      rows: rows.length,
      day,
      bounds,
      fieldIds: columns.map((column) => column.fieldId),
    });
    this.#paths.set(key, path);
  }

  snapshot(): SnapshotTable {
    return { name: this.name, schema: this.schema, version: "1", files: this.files, hot: [] };
  }

  readable({ files }: SnapshotTable): QueryTable {
    const committedFiles = files.map((file) => this.#paths.get(file.key) ?? assert.fail(file.key));
    return { name: this.name, schema: this.schema, committedFiles, hotFiles: [] };
  }
}

/** Through the bytes that a manifest holds, which cut texts. */
function boundsOf(rows: readonly Row[], column: TableColumn): ColumnBounds {
  const values = rows
    .map((row) => row[column.name] ?? null)
    .filter((value) => value !== null && !Number.isNaN(value)) as Exclude<Cell, null>[];
  const nulls = rows.filter((row) => (row[column.name] ?? null) === null).length;
  const sorted = values.toSorted(order);
  const [first] = sorted;
  const last = sorted.at(-1);
  if (first === undefined || last === undefined) return { lower: null, upper: null, nulls };
  const lower = encodeLowerBound(column.type, typeof first === "bigint" ? String(first) : first);
  const upper = encodeUpperBound(column.type, typeof last === "bigint" ? String(last) : last);
  const decode = (bytes: Buffer | null) => (bytes === null ? null : decodeBound(column.type, bytes));
  return { lower: decode(lower), upper: decode(upper), nulls };
}

function order(left: Exclude<Cell, null>, right: Exclude<Cell, null>): number {
  if (typeof left === "string") return Buffer.compare(Buffer.from(left), Buffer.from(String(right)));
  return left < right ? -1 : left > right ? 1 : 0;
}

function literal(cell: Cell, column: TableColumn): string {
  const type = columnTypeTable[column.type].duckdb;
  if (cell === null) return `NULL::${type}`;
  if (column.type === "timestamp") return `make_timestamptz(${cell})`;
  return typeof cell === "string" ? `'${cell.replaceAll("'", "''")}'` : `'${cell}'::${type}`;
}

export interface Comparison {
  readonly pruned: PrunedTables;
  /** Null where DuckDB refuses the statement. */
  readonly rows: string | null;
  readonly prunedRows: string | null;
}

/** Runs the statement twice, on all files and on those that pruning leaves. */
export async function runBoth(
  fixture: QueryFixture,
  tables: readonly PruneTable[],
  sql: string,
  values: readonly ParameterValue[] = [],
): Promise<Comparison> {
  const pruned = await prune(fixture, tables, sql, values);
  const all = tables.map((table) => table.readable(table.snapshot()));
  const some = tables.map((table, index) => table.readable(pruned.tables[index] ?? assert.fail()));
  const text = (result: QueryResult): string | null => (result.kind === "rows" ? textOf(result) : null);
  const rows = text(await fixture.execute(sql, { tables: all, values }));
  const prunedRows = rows === null ? null : text(await fixture.execute(sql, { tables: some, values }));
  return { pruned, rows, prunedRows };
}

/** What is left of the tables for this statement. */
export async function prune(
  fixture: QueryFixture,
  tables: readonly PruneTable[],
  sql: string,
  values: readonly ParameterValue[] = [],
): Promise<PrunedTables> {
  const statement = (await fixture.parse(sql)) as SelectStatement;
  const nowMs = Date.now();
  return pruneFiles({
    tables: tables.map((table) => table.snapshot()),
    predicates: statement.predicates,
    parameters: statement.parameters,
    values,
    nowMs,
    latestMs: nowMs + 60_000,
    filesPrunedMin: 1,
  });
}
