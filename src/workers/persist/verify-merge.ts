import type { DuckDBConnection } from "@duckdb/node-api";
import { MiniodbError } from "../../shared/errors.js";
import { quoteName } from "../query/table-view.js";
import { rowsSql, withDuckDB, type FileCopy } from "./duckdb-copy.js";
import type { MergeRun } from "./merge-run.js";
import type { PersistContext } from "./persist-context.js";

/** Files that are read as a table: the sources of a merge with their deletes, or what it wrote. */
export type TableRows = Pick<FileCopy, "columns" | "schema" | "sources" | "deletes">;

interface RowsDigest {
  readonly rows: number;
  /** Sum of a hash over all columns of each row: the order of the rows is no part of it, their number and doubles are. */
  readonly checksum: string;
}

/**
 * Reads back what a merge wrote, as queries will read it, and compares it with its sources: the number of rows and the sum
 * over all rows of a 64-bit hash over all columns. Throws INTERNAL with `details.verification` where they differ: the
 * merge is not to be committed. Which rows are deleted is not looked at twice: sources are read without the rows that their
 * delete files name, whose number the caller knows from the catalog.
 *
 * Measured, 4 M rows of seven columns in 20 files: 0.45 s for each side, beside 2.9 s for the sorted copy.
 */
export async function verifyMerge(
  context: PersistContext,
  { before, after, rows }: { readonly before: TableRows; readonly after: TableRows; readonly rows: number },
  merge: MergeRun,
): Promise<void> {
  const digests = await withDuckDB(
    context,
    (connection) =>
      merge.watch(connection, async () => {
        const sources = await digest(connection, before);
        merge.enter(verifiedAt);
        return { sources, written: await digest(connection, after) };
      }),
    merge.threads,
  );
  const { sources, written } = digests;
  if (sources.rows === rows && written.rows === rows && sources.checksum === written.checksum) return;
  const message = `A merge was not committed, as it did not keep its rows: ${written.rows} of ${sources.rows} in the files and ${rows} in the catalog, checksum ${written.checksum} instead of ${sources.checksum}`;
  throw new MiniodbError("INTERNAL", message, { verification: true, sources, written, rows });
}

/** Per mille of a merge, when the sources are read once more; then the files that it wrote are. */
export const copiedAt = 700;
export const sourcesReadAt = 800;
const verifiedAt = 900;

async function digest(connection: DuckDBConnection, table: TableRows): Promise<RowsDigest> {
  const names = table.columns.map(({ name }) => quoteName(name)).join(", ");
  const sql = `SELECT count(*)::DOUBLE, coalesce(sum(hash(${names})), 0)::VARCHAR FROM (${rowsSql(table)})`;
  const [row] = await (await connection.run(sql)).getRows();
  return { rows: Number(row?.[0]), checksum: String(row?.[1]) };
}
