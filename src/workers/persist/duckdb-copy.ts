import { randomUUID } from "node:crypto";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { assert } from "../../shared/assert.js";
import type { TableColumn, TableSchema } from "../../shared/schema/table-schema.js";
import { quoteName, quoteText, viewSql } from "../query/table-view.js";
import type { PersistContext } from "./persist-context.js";
import { readParquetFooter } from "./parquet-footer.js";

/** One Parquet file made of others. */
export interface FileCopy {
  /** The columns to write, of the current schema; a column with `replacesFieldId` is read under either field id. */
  readonly columns: readonly TableColumn[];
  readonly schema: TableSchema;
  /** Paths or URLs that DuckDB reads. */
  readonly sources: readonly string[];
  /** SQL condition on the columns, for some of the rows. */
  readonly where?: string;
  /** Ascending, nulls last; empty: the order of the sources. */
  readonly orderBy: readonly TableColumn[];
  /** Other than the usual. */
  readonly rowGroupRows?: number;
  readonly path: string;
}

/** A multiple of the 2,048 that DuckDB works on at once. */
export const rowGroupRows = 122_880;

/**
 * Runs the copies one after the other in a DuckDB instance of one thread that lives for this call: it sorts more rows
 * than memory holds, spilling to the temporary folder. Returns the rows of each file, as read back from its footer.
 */
export async function copyFiles(context: PersistContext, copies: readonly FileCopy[]): Promise<number[]> {
  const spillFolder = join(context.temporaryFolder, `spill-${randomUUID()}`);
  mkdirSync(spillFolder, { recursive: true });
  // Most persist workers never need it.
  const { DuckDBInstance } = await import("@duckdb/node-api");
  const instance = await DuckDBInstance.create(":memory:", {
    threads: "1",
    memory_limit: `${Math.floor(context.compactionMemoryBytes / 1024)}KiB`,
    temp_directory: spillFolder,
    autoinstall_known_extensions: "false",
    autoload_known_extensions: "false",
  });
  try {
    const connection = await instance.connect();
    await connection.run("SET TimeZone = 'UTC'");
    const rows: number[] = [];
    for (const copy of copies) {
      await connection.run(copySql(copy));
      rows.push(readParquetFooter(copy.path).footer.rows);
    }
    connection.closeSync();
    return rows;
  } finally {
    instance.closeSync();
    rmSync(spillFolder, { recursive: true, force: true });
  }
}

function copySql({ columns, schema, sources, orderBy, path, ...copy }: FileCopy): string {
  assert(columns.length > 0 && sources.length > 0, "a copy has columns and sources");
  const view = viewSql({ name: "", schema: { ...schema, columns }, committedFiles: sources, hotFiles: [] });
  const select = copy.where === undefined ? view : `${view} WHERE ${copy.where}`;
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
