import { open, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import { limits } from "../../shared/limits.js";
import type { ResultBody } from "../../shared/query-messages.js";
import { boundValues } from "./bound-values.js";
import type { ExecuteTask, ExecutionPlace } from "./execute-statement.js";
import { ResultSink, tooLarge } from "./result-sink.js";
import { inParentheses } from "./parse-statement.js";
import type { ResultColumn } from "./result-columns.js";
import { quoteText } from "./table-view.js";

/** How often the size of a growing result file is looked at. */
const sizeCheckMs = 50;
let resultNumber = 0;

/** A path in the worker's result folder that no other result has. */
function resultPath({ resultFolder }: ExecutionPlace): string {
  return join(resultFolder, `${++resultNumber}.result`);
}

/** Takes the task's result; see result-sink.ts. */
export function openSink(place: ExecutionPlace): ResultSink {
  return new ResultSink({ path: resultPath(place), bytesMax: place.resultFileBytesMax, room: place.resultRoom });
}

export interface CopyRequest {
  /** Of the statement. */
  readonly columns: readonly ResultColumn[];
  /** What is written, in terms of c0, c1, ...: the columns by their places. */
  readonly selectList: string;
  /** Of DuckDB's COPY. */
  readonly options: string;
}

/**
 * Runs the task's statement inside a COPY: DuckDB makes the rows and writes them to a file on all its threads. The
 * statement is one that can stand in parentheses. A small file comes back as bytes. Errors are DuckDB's, or the one by
 * which the query was stopped; then there is no file.
 */
export async function copyResult(
  task: ExecuteTask,
  place: ExecutionPlace,
  request: CopyRequest,
): Promise<{ readonly body: ResultBody; readonly rows: number; readonly hasMore: boolean }> {
  const path = resultPath(place);
  let isDone = false;
  const watch = setInterval(() => void stopWhenTooLarge(path, place), sizeCheckMs);
  try {
    place.running.checkpoint();
    const sql = `COPY (${rangeSql(task, request)}) TO ${quoteText(path)} (${request.options})`;
    const copied = await place.connection.duckdb.run(sql, ...boundValues(task.statement, task.values));
    const rows = copied.rowsChanged;
    const { size: bytes } = await stat(path);
    if (bytes > place.resultFileBytesMax) throw tooLarge(place.resultFileBytesMax);
    const hasMore = rows === task.limitRows && (await hasRowAt(task, place, task.offsetRows + rows));
    isDone = bytes > limits.resultBytesWholeMax;
    const body = isDone ? ({ kind: "file", path, bytes } as const) : await readBack(path, bytes);
    return { body, rows, hasMore };
  } finally {
    clearInterval(watch);
    if (!isDone) await unlink(path).catch(() => {});
  }
}

type TaskRange = Pick<ExecuteTask, "statement" | "limitRows" | "offsetRows">;

/** The task's rows of its statement. Names of columns are dealt with by their places. */
export function rangeSql(
  { statement, limitRows, offsetRows }: TaskRange,
  { columns, selectList }: Pick<CopyRequest, "columns" | "selectList">,
): string {
  const names = columns.map((_, index) => `c${index}`);
  const range = limitClause(limitRows, offsetRows);
  return `SELECT ${selectList} FROM (\n${statement.sql}\n) AS q(${names.join(", ")})${range}`;
}

/** As `rangeSql`, with the columns as they are. */
export function plainRangeSql({ statement, limitRows, offsetRows }: TaskRange): string {
  return inParentheses(statement.sql) + limitClause(limitRows, offsetRows);
}

function limitClause(limitRows: number | null, offsetRows: number): string {
  const limit = limitRows === null ? "" : ` LIMIT ${limitRows}`;
  return offsetRows === 0 ? limit : `${limit} OFFSET ${offsetRows}`;
}

/**
 * Whether the result goes on behind its limit. Cheaper than to copy one row more and cut it off again, which not every
 * format allows: how many rows there are does not depend on their columns, so that DuckDB reads next to nothing.
 */
async function hasRowAt({ statement, values }: ExecuteTask, place: ExecutionPlace, row: number): Promise<boolean> {
  place.running.checkpoint();
  const sql = `${inParentheses(statement.sql).replace("SELECT *", "SELECT 1")} LIMIT 1 OFFSET ${row}`;
  const result = await place.connection.duckdb.run(sql, ...boundValues(statement, values));
  const chunk = await result.fetchChunk();
  return chunk !== null && chunk.rowCount > 0;
}

async function readBack(path: string, bytes: number): Promise<ResultBody> {
  const file = await open(path, "r");
  try {
    const buffer = new Uint8Array(bytes);
    for (let at = 0; at < bytes;) {
      const { bytesRead } = await file.read(buffer, at, bytes - at, at);
      if (bytesRead === 0) throw new Error("a result file ends before its end");
      at += bytesRead;
    }
    return { kind: "bytes", bytes: buffer };
  } finally {
    await file.close();
  }
}

async function stopWhenTooLarge(path: string, { running, resultFileBytesMax }: ExecutionPlace): Promise<void> {
  const size = await stat(path).then(
    (entry) => entry.size,
    () => 0,
  );
  if (size > resultFileBytesMax) running.stop(tooLarge(resultFileBytesMax));
}
