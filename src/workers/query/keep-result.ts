import type { DuckDBType } from "@duckdb/node-api";
import { DuckDBTypeId } from "../../shared/duckdb-api.js";
import { stat, unlink } from "node:fs/promises";
import { limits } from "../../shared/limits.js";
import { plainStatement } from "../../shared/plain-statement.js";
import type { KeepRequest, KeptFile } from "../../shared/query-messages.js";
import { type ExecuteTask, type ExecutionPlace, executeStatement, type ResultRows } from "./execute-statement.js";
import { inParentheses } from "./parse-statement.js";
import { boundValues } from "./bound-values.js";
import { columnsOf } from "./result-columns.js";
import { faithfulTypes } from "./result-portable.js";
import { quoteName, quoteText } from "./table-view.js";

export interface KeptRows extends ResultRows {
  readonly kept: KeptFile;
}

/**
 * Writes the first rows of the result to the file that `keep` names, and makes the task's page from it: a second run of
 * the statement could order its rows differently. Null, and no file, where it becomes too large or has a column that
 * cannot be kept. Other errors are DuckDB's, or the one by which the query was stopped.
 */
export async function keepResult(
  task: ExecuteTask,
  keep: KeepRequest,
  place: ExecutionPlace,
): Promise<KeptRows | null> {
  const { duckdb } = place.connection;
  const { path } = keep;
  let isDone = false;
  try {
    const bound = boundValues(task.statement, task.values);
    const columns = columnsOf(await duckdb.run(`${inParentheses(task.statement.sql)} LIMIT 0`, ...bound));
    if (columns.some(({ type }) => !canKeep(type))) return null;
    // By number: the statement may give two columns one name, which a file cannot.
    const names = columns.map((_, index) => `c${index}`);
    const stored = columns.map(({ type }, index) =>
      isFaithful(type) ? `c${index}` : `c${index}::VARCHAR AS c${index}`,
    );
    const read = columns.map(({ name, type }, index) => {
      return `${isFaithful(type) ? `c${index}` : `c${index}::${String(type)}`} AS ${quoteName(name)}`;
    });
    // One row more than is kept tells whether there are more.
    const select = `SELECT ${stored.join(", ")} FROM (\n${task.statement.sql}\n) AS q(${names.join(", ")}) LIMIT ${keep.rowsMax + 1}`;
    place.running.checkpoint();
    // LZ4: the file is read back at once and does not live long, so that time counts more than bytes.
    const copied = await duckdb.run(
      `COPY (${select}) TO ${quoteText(path)} (FORMAT parquet, COMPRESSION lz4)`,
      ...bound,
    );
    const { size: bytes } = await stat(path);
    if (bytes > keep.bytesMax) return null;
    const isWhole = copied.rowsChanged <= keep.rowsMax;
    const range = isWhole ? "" : ` LIMIT ${keep.rowsMax}`;
    const sql = `SELECT ${read.join(", ")} FROM read_parquet(${quoteText(path)})${range}`;
    const rows = await executeStatement({ ...task, statement: plainStatement(sql), values: [], tables: [] }, place);
    isDone = true;
    return { ...rows, hasMore: rows.hasMore || !isWhole, kept: { path, bytes, sql, isWhole } };
  } finally {
    if (!isDone) await unlink(path).catch(() => {});
  }
}

/** Any other type is kept as its text and cast back when it is read. */
function isFaithful(type: DuckDBType): boolean {
  return faithfulTypes.has(type.typeId) && type.alias === undefined;
}

/** A text longer than this is no type that can be written back: an enum of many members. */
function canKeep(type: DuckDBType): boolean {
  return (
    isFaithful(type) || (type.typeId !== DuckDBTypeId.SQLNULL && String(type).length <= limits.keptTypeCharactersMax)
  );
}
