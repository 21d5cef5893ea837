import { join } from "node:path";
import type { KeepRequest, ParameterValue, SelectStatement } from "../../shared/query-messages.js";
import { limits } from "../../shared/limits.js";
import { plainStatement } from "../../shared/plain-statement.js";
import type { QueryPage } from "./query-request.js";
import type { SnapshotTable } from "./snapshot-provider.js";

/** A request with its statement parsed and its values checked. */
export interface AskedQuery {
  readonly statement: SelectStatement;
  /** One for each of the statement's parameters. */
  readonly values: readonly ParameterValue[];
  readonly page: QueryPage;
  /** Of statement and values: with equal table versions, equal identities have equal results. */
  readonly identity: string;
  /** Its result depends on the tables' versions alone. */
  readonly isCacheable: boolean;
}

/**
 * True where DuckDB gives the rows of this statement in the same order each time it reads the same files: it scans,
 * filters and computes, and nothing else. `preserve_insertion_order` is on by default. Files with deleted rows are joined
 * with their positions, for which DuckDB may take either side first.
 */
export function hasFixedOrder(statement: SelectStatement, tables: readonly SnapshotTable[]): boolean {
  if (statement.isBlocking || statement.isVolatile || statement.kind !== "select") return false;
  return tables.every((table) => table.files.every((file) => file.deletes === undefined));
}

/** Names files in a folder that is emptied at the start; a random name costs a small query 40 µs. */
let keptFiles = 0;

/**
 * What the worker keeps of the result when it has more rows than the page; null: nothing. A statement that ends with
 * the page by its own LIMIT needs nothing. Of a sort, only so many rows as a client may look through: DuckDB finds the
 * first of them many times faster than all.
 */
export function keepRequestOf(
  { statement, page }: AskedQuery,
  place: { readonly folder: string; readonly rowsMax: number; readonly tables: readonly SnapshotTable[] },
): KeepRequest | null {
  const { limitRows } = page;
  if (statement.kind !== "select" || limitRows === null || hasFixedOrder(statement, place.tables)) return null;
  if (statement.limitRows !== null && statement.limitRows <= limitRows) return null;
  const path = join(place.folder, `${++keptFiles}.parquet`);
  const rowsMax = Math.max(
    limitRows,
    Math.min(place.rowsMax, Math.max(limits.keptRowsMin, limits.keptPages * limitRows)),
  );
  return { path, rowsMax, bytesMax: limits.keptBytesMax };
}

/** `SHOW TABLES` lists the catalog, of which DuckDB knows only the views of running queries: the names as a SELECT. */
export function showTables(text: string, names: readonly string[]): SelectStatement {
  const list = names.toSorted().map((name) => `'${name.replaceAll("'", "''")}'`);
  const sql = `SELECT unnest([${list.join(", ")}]::VARCHAR[]) AS name`;
  return { ...plainStatement(sql), text, isBlocking: true };
}
