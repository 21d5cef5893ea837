import { randomUUID } from "node:crypto";
import { rmSync, statSync, writeFileSync } from "node:fs";
import type { DuckDBConnection } from "@duckdb/node-api";
import { assert } from "../../shared/assert.js";
import type { DeleteRowsResult, DeleteRowsTask, SearchedFile } from "../../shared/delete-messages.js";
import { filePathFieldId, positionFieldId, type NewDeleteFile } from "../../shared/iceberg/delete-entry.js";
import type { RowsOut } from "../../shared/iceberg/commit-files.js";
import type { TableIdentity } from "../../shared/messages.js";
import { deletedRowsOf, deleteKeysOf, liveRowsOf } from "../../shared/iceberg/live-rows.js";
import { deleteFileKey } from "../../shared/store/store-paths.js";
import { fileList, quoteText } from "../query/table-view.js";
import { commitOnce, removeFiles } from "./commit-once.js";
import { rowGroupRows, withDuckDB } from "./duckdb-copy.js";
import { withLocalFiles } from "./local-copies.js";
import { readParquetFooter } from "./parquet-footer.js";
import { checkStop, putFile, temporaryPath, type PersistContext } from "./persist-context.js";

/** Delete files that are on their way to the store at once. */
const putsAtOnce = 8;

/**
 * Commits the deletion of rows that were found before: a delete file for each data file that keeps rows, in place of the one
 * that it may have, and files without a row left are taken out. Durable when it returns, in one commit. What it holds in
 * memory does not grow with the rows: DuckDB streams the positions from one Parquet file into the others.
 *
 * Throws COMMIT_CONFLICT where one of the files is gone or has other deletes by now (nothing changed): its rows are to be
 * looked for anew. STORE_UNAVAILABLE: may or may not have been made; deleted rows are not found again.
 */
export async function deleteRows(context: PersistContext, task: DeleteRowsTask): Promise<DeleteRowsResult> {
  const { identity, files } = task;
  checkStop(context);
  const planned = await withFound(context, task, (path) =>
    withDuckDB(context, (connection) => planDeletes(context, connection, { identity, files, path })),
  );
  const { out } = planned;
  if (planned.rows === 0) return { kind: "rows-deleted", rows: 0, filesDropped: 0, commit: null };
  const commit = await commitOnce(context, {
    identity,
    files: out.deletes,
    range: null,
    commit: (commitId) => context.catalog.commitDelete(identity, { commitId, ...out }),
  });
  return { kind: "rows-deleted", rows: planned.rows, filesDropped: out.remove.length, commit };
}

export interface PlannedDeletes {
  /** What a commit needs; its delete files are in the store. */
  readonly out: RowsOut;
  /** That were found. */
  readonly rows: number;
}

/** By what the files will say: where another writer named a row twice, they say less than before. */
function goneRows(
  files: readonly SearchedFile[],
  written: readonly NewDeleteFile[],
  dropped: readonly SearchedFile[],
): number {
  const byKey = new Map(files.map((file) => [file.key, file]));
  const more = written.map((file) => {
    const known = byKey.get(file.dataKey);
    assert(known !== undefined, "rows were found in files that were searched");
    return file.rows - deletedRowsOf(known);
  });
  return [...more, ...dropped.map(liveRowsOf)].reduce((sum, count) => sum + count, 0);
}

/** Runs `work` with the path of what was found. */
async function withFound<Result>(
  context: PersistContext,
  { found }: DeleteRowsTask,
  work: (path: string) => Promise<Result>,
): Promise<Result> {
  if (found.kind === "file") return work(found.path);
  assert(found.kind === "bytes", "DuckDB writes Parquet to a file, of which a small one is read back");
  const path = temporaryPath(context);
  try {
    writeFileSync(path, found.bytes);
    return await work(path);
  } finally {
    rmSync(path, { force: true });
  }
}

/** Rows that leave a table. */
export interface FoundRows {
  readonly identity: TableIdentity;
  readonly files: readonly SearchedFile[];
  /** Parquet of the places, as DeleteRowsTask has them. */
  readonly path: string;
}

/** Writes the delete files and puts them into the store. On an error none stays there. */
export async function planDeletes(
  context: PersistContext,
  connection: DuckDBConnection,
  { identity, files, path }: FoundRows,
): Promise<PlannedDeletes> {
  const written: NewDeleteFile[] = [];
  const waiting: Promise<void>[] = [];
  try {
    const dropped: SearchedFile[] = [];
    let rows = 0;
    for (const { index, count } of await countFound(connection, path)) {
      const file = files[index];
      assert(file !== undefined && count <= liveRowsOf(file), "rows were found in files that were searched");
      rows += count;
      if (count === liveRowsOf(file)) {
        dropped.push(file);
        continue;
      }
      checkStop(context);
      const local = await writePositions(context, connection, { file, index, path });
      const key = deleteFileKey(identity.location, { day: file.day, createdMs: context.nowMs(), uuid: randomUUID() });
      const { key: dataKey, day } = file;
      written.push({ key, bytes: local.bytes, rows: local.rows, dataKey, day, replaces: deleteKeysOf([file]) });
      const put = putFile(context, key, local.path).finally(() => rmSync(local.path, { force: true }));
      // Until it is waited for, a failure of it is nobody's.
      put.catch(() => {});
      waiting.push(put);
      if (waiting.length >= putsAtOnce) await Promise.all(waiting.splice(0));
    }
    await Promise.all(waiting.splice(0));
    const remove = dropped.map((file) => file.key);
    const appliedDeletes = deleteKeysOf(dropped);
    return { out: { deletes: written, remove, appliedDeletes, rows: goneRows(files, written, dropped) }, rows };
  } catch (error) {
    await Promise.allSettled(waiting);
    await removeFiles(context, written);
    throw error;
  }
}

interface FoundInFile {
  /** Of the file in the task's list. */
  readonly index: number;
  readonly count: number;
}

async function countFound(connection: DuckDBConnection, path: string): Promise<FoundInFile[]> {
  const sql = `SELECT "file"::INTEGER, count(*)::DOUBLE FROM ${foundSql(path)} GROUP BY 1 ORDER BY 1`;
  const result = await connection.run(sql);
  return (await result.getRows()).map(([index, count]) => ({ index: Number(index), count: Number(count) }));
}

interface LocalDeletes {
  readonly path: string;
  readonly bytes: number;
  readonly rows: number;
}

/** The positions of one data file, those of its delete files among them, as one file in the temporary folder. */
async function writePositions(
  context: PersistContext,
  connection: DuckDBConnection,
  { file, index, path }: { readonly file: SearchedFile; readonly index: number; readonly path: string },
): Promise<LocalDeletes> {
  const known = file.deletes ?? [];
  const local = temporaryPath(context);
  try {
    await withLocalFiles(context, known, async (paths) => {
      const found = `SELECT "row" AS pos FROM ${foundSql(path)} WHERE "file" = ${index}`;
      // UNION takes what two files of another writer may both name once.
      const before =
        paths.length === 0 ? "" : ` UNION SELECT pos FROM read_parquet(${fileList(paths)}, hive_partitioning = false)`;
      const uri = quoteText(file.uri ?? context.store.uri(file.key));
      await connection.run(
        `COPY (SELECT ${uri} AS file_path, pos FROM (${found}${before}) ORDER BY pos) TO ${quoteText(local)} (${copyOptions})`,
      );
    });
    const { rows } = readParquetFooter(local).footer;
    return { path: local, bytes: statSync(local).size, rows };
  } catch (error) {
    rmSync(local, { force: true });
    throw error;
  }
}

const copyOptions = [
  "FORMAT parquet",
  "COMPRESSION zstd",
  `ROW_GROUP_SIZE ${rowGroupRows}`,
  `FIELD_IDS {file_path: ${filePathFieldId}, pos: ${positionFieldId}}`,
].join(", ");

/** Its two columns, whatever their names are. */
function foundSql(path: string): string {
  return `read_parquet(${fileList([path])}, hive_partitioning = false) AS found("file", "row")`;
}
