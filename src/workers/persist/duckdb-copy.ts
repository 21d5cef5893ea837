import { randomUUID } from "node:crypto";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { DuckDBConnection } from "@duckdb/node-api";
import { assert } from "../../shared/assert.js";
import type { FileDeletes } from "../../shared/query-messages.js";
import type { TableColumn, TableSchema } from "../../shared/schema/table-schema.js";
import { quoteName, quoteText, viewSql } from "../query/table-view.js";
import { GrowthSync } from "./growth-sync.js";
import type { MergeRun } from "./merge-run.js";
import type { PersistContext } from "./persist-context.js";
import { readParquetFooter } from "./parquet-footer.js";

/** One Parquet file made of others. */
export interface FileCopy {
  /** The columns to write, of the current schema; a column with `replacesFieldId` is read under either field id. */
  readonly columns: readonly TableColumn[];
  readonly schema: TableSchema;
  /** Paths or URLs that DuckDB reads. */
  readonly sources: readonly string[];
  /** Rows of the sources that are left out. */
  readonly deletes?: readonly FileDeletes[];
  /** SQL condition on the columns, for some of the rows. */
  readonly where?: string;
  /** Ascending, nulls last; empty: the order of the sources. */
  readonly orderBy: readonly TableColumn[];
  /** Other than the usual. */
  readonly rowGroupRows?: number;
  readonly path: string;
  /** It is gone before anybody needs it on the disk. */
  readonly isPassing?: boolean;
}

/** A multiple of the 2,048 that DuckDB works on at once. */
export const rowGroupRows = 122_880;

/** Runs the copies one after the other in one DuckDB. Returns the rows of each file, as read back from its footer. */
export async function copyFiles(
  context: PersistContext,
  copies: readonly FileCopy[],
  merge?: MergeRun,
): Promise<number[]> {
  const copyAll = async (connection: DuckDBConnection): Promise<number[]> => {
    const rows: number[] = [];
    for (const copy of copies) {
      // What goes to another machine is never synced here.
      const sync = context.store.isLocal && copy.isPassing !== true ? new GrowthSync(copy.path) : null;
      try {
        await connection.run(copySql(copy));
      } finally {
        await sync?.stop();
      }
      rows.push(readParquetFooter(copy.path).footer.rows);
    }
    return rows;
  };
  if (merge === undefined) return withDuckDB(context, copyAll);
  return withDuckDB(context, (connection) => merge.watch(connection, () => copyAll(connection)), merge.threads);
}

/**
 * Runs `work` with a DuckDB instance that lives for this call: it sorts more rows than memory holds, spilling to the
 * temporary folder. With one thread it works in the one that libuv gives it; more are started by that one, and have its
 * low priority (main.cts).
 */
export async function withDuckDB<Result>(
  context: PersistContext,
  work: (connection: DuckDBConnection) => Promise<Result>,
  threads = 1,
): Promise<Result> {
  const spillFolder = join(context.temporaryFolder, `spill-${randomUUID()}`);
  mkdirSync(spillFolder, { recursive: true });
  // Most persist workers never need it.
  const { DuckDBInstance } = await import("../../shared/duckdb-api.js");
  const instance = await DuckDBInstance.create(":memory:", {
    threads: String(threads),
    memory_limit: `${Math.floor(context.compactionMemoryBytes / 1024)}KiB`,
    temp_directory: spillFolder,
    autoinstall_known_extensions: "false",
    autoload_known_extensions: "false",
  });
  try {
    const connection = await instance.connect();
    await connection.run("SET TimeZone = 'UTC'");
    const result = await work(connection);
    connection.closeSync();
    return result;
  } finally {
    instance.closeSync();
    rmSync(spillFolder, { recursive: true, force: true });
  }
}

/** The rows that a copy of the files has, whatever their order. */
export function rowsSql({
  columns,
  schema,
  sources,
  deletes = [],
}: Pick<FileCopy, "columns" | "schema" | "sources" | "deletes">): string {
  return viewSql({ name: "", schema: { ...schema, columns }, committedFiles: sources, hotFiles: [], deletes });
}

function copySql(copy: FileCopy): string {
  const { columns, sources, orderBy, path } = copy;
  assert(columns.length > 0 && sources.length > 0, "a copy has columns and sources");
  // The view of files with deletes is several SELECTs.
  const select = `SELECT * FROM (${rowsSql(copy)})${copy.where === undefined ? "" : ` WHERE ${copy.where}`}`;
  const order = orderBy.map((column) => `${quoteName(column.name)} ASC NULLS LAST`);
  const ordered = order.length === 0 ? select : `${select} ORDER BY ${order.join(", ")}`;
  const fieldIds = columns.map((column) => `${quoteName(column.name)}: ${column.fieldId}`);
  const options = [
    "FORMAT parquet",
    "COMPRESSION zstd",
    "COMPRESSION_LEVEL 1",
    `ROW_GROUP_SIZE ${copy.rowGroupRows ?? rowGroupRows}`,
    `FIELD_IDS {${fieldIds.join(", ")}}`,
  ];
  return `COPY (${ordered}) TO ${quoteText(path)} (${options.join(", ")})`;
}
