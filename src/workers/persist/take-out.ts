import { rmSync } from "node:fs";
import type { DuckDBConnection } from "@duckdb/node-api";
import type { ColumnBatch } from "../../shared/columns/column-batch.js";
import type { RowsOut } from "../../shared/iceberg/commit-files.js";
import { mayHoldTexts } from "../../shared/iceberg/text-order.js";
import type { DataFile, FlushTask, ReplacedIds } from "../../shared/messages.js";
import { idFieldId, type TableSchema } from "../../shared/schema/table-schema.js";
import { fileList, quoteName, quoteText, viewSql } from "../query/table-view.js";
import { planDeletes } from "./delete-rows.js";
import { withDuckDB } from "./duckdb-copy.js";
import { writeIdFile } from "./id-file.js";
import { withLocalRows, type LocalRows } from "./local-copies.js";
import type { ParquetFormat } from "./parquet-writer.js";
import { temporaryPath, type PersistContext } from "./persist-context.js";

/** What a commit has to take out; its delete files are in the store. */
export type TakenOut = RowsOut;

const nothing: TakenOut = { deletes: [], remove: [], appliedDeletes: [], rows: 0 };

/** Written, read once and removed. */
const scratchFormat: ParquetFormat = {
  compression: "none",
  statistics: false,
  rowGroupRows: 122_880,
  encodings: new Map(),
};

/**
 * Finds the rows of the store that have one of the ids, all in one search, and writes the delete files that take them out:
 *
 * ```
 * ids ─▶ Parquet ─┐
 * files that may hold one, by their statistics ─▶ their id columns ─▶ (file, row) ─▶ delete files ─▶ store
 * ```
 * Nothing counts before the commit that names them; it is for the table as it is now, and conflicts where that has changed.
 */
export async function takeOut(
  context: PersistContext,
  { identity, localPaths }: Pick<FlushTask, "identity" | "localPaths">,
  ids: ColumnBatch,
): Promise<TakenOut> {
  const { files, schema } = await context.catalog.loadTable(identity);
  if (files.length === 0) return nothing;
  const idPath = temporaryPath(context);
  const foundPath = temporaryPath(context);
  try {
    const written = await writeIdFile(idPath, ids, scratchFormat);
    const searched = filesToSearch(files, written);
    if (searched.length === 0) return nothing;
    const find = (rows: LocalRows): Promise<TakenOut> =>
      withDuckDB(context, async (connection) => {
        await search(connection, { rows, schema, idPath, foundPath });
        const { out } = await planDeletes(context, connection, { identity, files: searched, path: foundPath });
        return out;
      });
    return await withLocalRows(context, searched, find, localPaths);
  } finally {
    rmSync(idPath, { force: true });
    rmSync(foundPath, { force: true });
  }
}

/** Those with deletes last, as the places of a view count them. */
function filesToSearch(files: readonly DataFile[], { lower, upper }: ReplacedIds): DataFile[] {
  const reached = files.filter((file) => {
    return file.fieldIds.includes(idFieldId) && mayHoldTexts(file.bounds[idFieldId], lower, upper);
  });
  const hasDeletes = ({ deletes }: DataFile): boolean => deletes !== undefined;
  return [...reached.filter((file) => !hasDeletes(file)), ...reached.filter(hasDeletes)];
}

interface Search {
  readonly rows: LocalRows;
  readonly schema: TableSchema;
  readonly idPath: string;
  readonly foundPath: string;
}

/** Writes the places of the live rows with one of the ids. Only the id column is read. */
async function search(connection: DuckDBConnection, { rows, schema, idPath, foundPath }: Search): Promise<void> {
  const columns = schema.columns.filter((column) => column.fieldId === idFieldId);
  const [id] = columns;
  const places = { file: "miniodb_file", row: "miniodb_row" };
  const { sources: committedFiles, deletes } = rows;
  const view = viewSql({ name: "", schema: { ...schema, columns }, committedFiles, hotFiles: [], deletes, places });
  const wanted = `SELECT id FROM read_parquet(${fileList([idPath])}, hive_partitioning = false)`;
  const found = `SELECT ${places.file}, ${places.row} FROM (${view}) WHERE ${quoteName(id?.name ?? "")} IN (${wanted})`;
  await connection.run(`COPY (${found}) TO ${quoteText(foundPath)} (FORMAT parquet)`);
}
