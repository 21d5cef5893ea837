import { open, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import { assert } from "../../shared/assert.js";
import { limits } from "../../shared/limits.js";
import type { QueryTask, ResultForm } from "../../shared/query-messages.js";
import type { EngineConnection } from "./duckdb-engine.js";
import { canCopy, copySql, linesToArray, resultRoom } from "./json-copy.js";
import { jsonLiteral } from "./json-literal.js";
import { JsonRows, tooLarge } from "./json-rows.js";
import { inParentheses, parenthesesPrefix } from "./parse-statement.js";
import { columnsOf, type ResultColumn } from "./result-columns.js";
import type { RunningQuery } from "./running-queries.js";

export type ExecuteTask = Extract<QueryTask, { readonly kind: "execute" }>;

export interface ExecutionPlace {
  readonly connection: EngineConnection;
  readonly running: RunningQuery;
  readonly resultFolder: string;
  readonly resultBytesMax: number;
}

/** Rows in the form that the task asks for, as UTF-8. */
export interface ResultRows {
  readonly body: Uint8Array;
  readonly rows: number;
  readonly hasMore: boolean;
}

/** How often the size of a growing result file is looked at. */
const sizeCheckMs = 50;
let resultNumber = 0;

/**
 * Runs the statement, whose views the connection has. Rows [offset, offset + limit) of it; one more is asked of DuckDB
 * to see whether there is any. Errors are DuckDB's, or the MiniodbError by which the query was stopped.
 *
 * ```
 * first run    LIMIT: the rows that are worth formatting here, as values
 * if it is cut short by that, and not by the request:
 *   second run   all rows, DuckDB writes the JSON to a file      when every column has a type that it can write
 *                all rows, as a stream of values                 otherwise
 * ```
 * Most results are small and end with the first run. Where they do not, DuckDB needs the first run's LIMIT only for a
 * small part of the work, as a scan stops there; see `directBlockingRowsMax` for the others.
 */
export async function executeStatement(task: ExecuteTask, place: ExecutionPlace): Promise<ResultRows> {
  const { running, connection, resultBytesMax } = place;
  const { limitRows } = task;
  const checkpoint = (): void => running.checkpoint();
  checkpoint();
  const directRows = directRowsOf(task);
  const first = await connection.duckdb.run(givenSql(task, directRows).sql);
  const columns = columnsOf(first);
  const rows = new JsonRows(columns, resultBytesMax);
  const isEnd = await rows.take(first, directRows, checkpoint);
  if (isEnd || directRows === limitRows) return finish(rows, task, !isEnd);

  checkpoint();
  if (canCopy(columns)) return copyRows(task, columns, place);
  const all = new JsonRows(columns, resultBytesMax);
  const stream = await connection.duckdb.stream(givenSql(task, limitRows).sql);
  const isAll = await all.take(stream, limitRows, checkpoint);
  return finish(all, task, !isAll);
}

function finish(rows: JsonRows, { form }: ExecuteTask, hasMore: boolean): ResultRows {
  const text = rows.finish();
  return { body: form === "literal" ? jsonLiteral(text) : text, rows: rows.rows, hasMore };
}

function directRowsOf({ statement, limitRows }: ExecuteTask): number {
  if (statement.kind === "explain") return limitRows;
  return Math.min(limitRows, statement.isBlocking ? limits.directBlockingRowsMax : limits.directRowsMax);
}

/** What DuckDB gets, and the bytes by which places in it differ from those in the client's text. */
export function givenSql(
  { statement, offsetRows }: ExecuteTask,
  limitRows: number,
): { sql: string; shiftBytes: number } {
  if (statement.kind === "explain") return { sql: statement.sql, shiftBytes: -statement.startBytes };
  const sql = `${inParentheses(statement.sql)} LIMIT ${limitRows + 1} OFFSET ${offsetRows}`;
  return { sql, shiftBytes: parenthesesPrefix.length - statement.startBytes };
}

async function copyRows(
  task: ExecuteTask,
  columns: readonly ResultColumn[],
  place: ExecutionPlace,
): Promise<ResultRows> {
  const { running, resultBytesMax } = place;
  const path = join(place.resultFolder, `${++resultNumber}.json`);
  // One row more than asked for, as above; its line is cut off.
  const limitRows = task.limitRows + 1;
  const { statement, offsetRows, form } = task;
  const sql = copySql({ sql: statement.sql, columns, limitRows, offsetRows, path, form });
  const watch = setInterval(() => void stopWhenTooLarge(path, place), sizeCheckMs);
  try {
    running.checkpoint();
    const copied = await place.connection.duckdb.run(sql);
    const rows = copied.rowsChanged;
    const body = await readLines(path, form, resultBytesMax);
    return {
      body: linesToArray(body, form, rows, task.limitRows),
      rows: Math.min(rows, task.limitRows),
      hasMore: rows > task.limitRows,
    };
  } finally {
    clearInterval(watch);
    await unlink(path).catch(() => {});
  }
}

async function stopWhenTooLarge(path: string, { running, resultBytesMax }: ExecutionPlace): Promise<void> {
  const size = await stat(path).then(
    (entry) => entry.size,
    () => 0,
  );
  if (size > resultBytesMax) running.stop(tooLarge(resultBytesMax));
}

/** Room for the result, and in it the lines of the file. */
async function readLines(path: string, form: ResultForm, bytesMax: number): Promise<Uint8Array> {
  const file = await open(path, "r");
  try {
    const { size: fileBytes } = await file.stat();
    const { size, linesStart } = resultRoom(fileBytes, form);
    if (size > bytesMax) throw tooLarge(bytesMax);
    const body = new Uint8Array(size);
    const end = Math.min(linesStart + fileBytes, size);
    for (let at = linesStart; at < end;) {
      const { bytesRead } = await file.read(body, at, end - at, at - linesStart);
      assert(bytesRead > 0, "a result file does not shrink");
      at += bytesRead;
    }
    return body;
  } finally {
    await file.close();
  }
}
