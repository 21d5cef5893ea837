import { open, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import { assert } from "../../shared/assert.js";
import { limits } from "../../shared/limits.js";
import type { QueryTask, ResultBody, ResultColumnInfo } from "../../shared/query-messages.js";
import { boundValues } from "./bound-values.js";
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
  readonly resultFileBytesMax: number;
}

/** Rows in the format that the task asks for. */
export interface ResultRows {
  readonly body: ResultBody;
  readonly columns: readonly ResultColumnInfo[];
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
  const limitRows = task.limitRows ?? Number.MAX_SAFE_INTEGER - 1;
  const checkpoint = (): void => running.checkpoint();
  checkpoint();
  const directRows = directRowsOf(task);
  const bound = boundValues(task.statement, task.values);
  const first = await connection.duckdb.run(givenSql(task, directRows).sql, ...bound);
  const columns = columnsOf(first);
  const rows = new JsonRows(columns, resultBytesMax);
  const isEnd = await rows.take(first, directRows, checkpoint);
  if (isEnd || directRows === limitRows) return finish(rows, columns, !isEnd);

  checkpoint();
  if (canCopy(columns)) return copyRows(task, columns, place);
  const all = new JsonRows(columns, resultBytesMax);
  const stream = await connection.duckdb.stream(givenSql(task, limitRows).sql, ...bound);
  const isAll = await all.take(stream, limitRows, checkpoint);
  return finish(all, columns, !isAll);
}

function finish(rows: JsonRows, columns: readonly ResultColumn[], hasMore: boolean): ResultRows {
  const bytes = jsonLiteral(rows.finish());
  return { body: { kind: "bytes", bytes }, columns: columnInfos(columns), rows: rows.rows, hasMore };
}

function columnInfos(columns: readonly ResultColumn[]): ResultColumnInfo[] {
  return columns.map(({ name, type }) => ({ name, type: String(type) }));
}

function directRowsOf({ statement, limitRows }: ExecuteTask): number {
  const rowsMax = limitRows ?? Number.MAX_SAFE_INTEGER - 1;
  if (statement.kind === "explain") return rowsMax;
  return Math.min(rowsMax, statement.isBlocking ? limits.directBlockingRowsMax : limits.directRowsMax);
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
  const rowsMax = task.limitRows ?? Number.MAX_SAFE_INTEGER - 1;
  const { statement, offsetRows } = task;
  const range = `LIMIT ${rowsMax + 1} OFFSET ${offsetRows}`;
  const sql = copySql({ sql: statement.sql, columns, range, path });
  const watch = setInterval(() => void stopWhenTooLarge(path, place), sizeCheckMs);
  try {
    running.checkpoint();
    const copied = await place.connection.duckdb.run(sql, ...boundValues(statement, task.values));
    const rows = copied.rowsChanged;
    const body = await readLines(path, resultBytesMax);
    return {
      body: { kind: "bytes", bytes: linesToArray(body, rows, rowsMax) },
      columns: columnInfos(columns),
      rows: Math.min(rows, rowsMax),
      hasMore: rows > rowsMax,
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
async function readLines(path: string, bytesMax: number): Promise<Uint8Array> {
  const file = await open(path, "r");
  try {
    const { size: fileBytes } = await file.stat();
    const { size, linesStart } = resultRoom(fileBytes);
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
