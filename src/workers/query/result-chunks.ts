import type { DuckDBDataChunk, DuckDBResult } from "@duckdb/node-api";
import { boundValues } from "./bound-values.js";
import type { ExecuteTask, ExecutionPlace, ResultRows } from "./execute-statement.js";
import { ArrowResult, arrowForm, endOfStream } from "./result-arrow.js";
import { columnsOf, type ResultColumn } from "./result-columns.js";
import { rangeSql, resultPath } from "./result-copy.js";
import { MsgpackResult } from "./result-msgpack.js";
import { nestedArrow } from "./result-nested-arrow.js";
import { msgpackSelectList, portableSelectList } from "./result-portable.js";
import { ResultSink } from "./result-sink.js";

type ColumnRows = Omit<ResultRows, "columns">;

/**
 * The statement's rows as Arrow or MessagePack, made from DuckDB's columns while DuckDB works on the next ones: one run,
 * and no JavaScript value per row. `columns` are the statement's own.
 */
export async function streamColumns(
  task: ExecuteTask,
  place: ExecutionPlace,
  columns: readonly ResultColumn[],
): Promise<ColumnRows> {
  if (task.format === "msgpack") return msgpackRows(task, place, columns);
  const { result, given } = await openStream(task, place, { columns, selectList: portableSelectList(columns) });
  if (given.some(({ type }) => arrowForm(type) === null)) return nestedArrow(task, place, columns);
  const sink = new ResultSink(resultPath(place), place.resultFileBytesMax);
  try {
    const arrow = new ArrowResult(given);
    await sink.write(arrow.head);
    const taken = await takeChunks(result, { task, place }, async (chunk, rows) => {
      arrow.append(chunk, rows);
      if (arrow.isFull) await sink.write(arrow.takeBatch());
    });
    if (arrow.rows > 0) await sink.write(arrow.takeBatch());
    await sink.write(endOfStream);
    return { body: await sink.finish(), ...taken };
  } catch (error) {
    await sink.abandon();
    throw error;
  }
}

async function msgpackRows(
  task: ExecuteTask,
  place: ExecutionPlace,
  columns: readonly ResultColumn[],
): Promise<ColumnRows> {
  const { result, given } = await openStream(task, place, { columns, selectList: msgpackSelectList(columns) });
  const typed = given.map((column, index) => ({ ...column, typeText: String(columns[index]?.type) }));
  const msgpack = new MsgpackResult(typed, place.resultBytesMax);
  const taken = await takeChunks(result, { task, place }, (chunk, rows) => msgpack.append(chunk, rows));
  return { body: { kind: "bytes", bytes: msgpack.finish() }, ...taken };
}

interface OpenedStream {
  readonly result: DuckDBResult;
  /** As they come, under the names of the statement's columns. */
  readonly given: readonly ResultColumn[];
}

async function openStream(
  task: ExecuteTask,
  { connection, running }: ExecutionPlace,
  request: { readonly columns: readonly ResultColumn[]; readonly selectList: string },
): Promise<OpenedStream> {
  running.checkpoint();
  const { statement, offsetRows, limitRows } = task;
  // One row more, to see whether there is any.
  const range = { statement, offsetRows, limitRows: limitRows === null ? null : limitRows + 1 };
  const result = await connection.duckdb.stream(rangeSql(range, request), ...boundValues(statement, task.values));
  return { result, given: columnsOf(result) };
}

/** Hands the rows on up to the task's limit. */
async function takeChunks(
  result: DuckDBResult,
  { task, place }: { readonly task: ExecuteTask; readonly place: ExecutionPlace },
  take: (chunk: DuckDBDataChunk, rows: number) => Promise<void> | void,
): Promise<{ readonly rows: number; readonly hasMore: boolean }> {
  const limitRows = task.limitRows ?? Number.POSITIVE_INFINITY;
  let rows = 0;
  for (;;) {
    place.running.checkpoint();
    const chunk = await result.fetchChunk();
    if (chunk === null || chunk.rowCount === 0) return { rows, hasMore: false };
    const taken = Math.min(chunk.rowCount, limitRows - rows);
    if (taken > 0) await take(chunk, taken);
    rows += taken;
    if (taken < chunk.rowCount) return { rows, hasMore: true };
  }
}
