import type { DuckDBDataChunk, DuckDBResult } from "@duckdb/node-api";
import { ResultReturnType } from "../../shared/duckdb-api.js";
import { MiniodbError } from "../../shared/errors.js";
import { limits } from "../../shared/limits.js";
import { boundValues } from "./bound-values.js";
import type { ExecuteTask, ExecutionPlace, ResultRows } from "./execute-statement.js";
import { hasFastCells } from "./json-cells.js";
import { jsonExpression } from "./json-expression.js";
import type { KnownResult } from "./known-results.js";
import { inParentheses } from "./parse-statement.js";
import { columnInfos, columnsOf, type ResultColumn } from "./result-columns.js";
import { openSink, plainRangeSql, rangeSql } from "./result-copy.js";
import { JsonResult, type JsonShape } from "./result-json.js";
import { MsgpackResult } from "./result-msgpack.js";
import { nestedArrow } from "./result-nested-arrow.js";
import { jsonTextExpression, msgpackSelectList, portableSelectList } from "./result-portable.js";

/** A large result goes to its file in pieces of this; a chunk more fits in. */
const pieceBytes = 256 * 1024;

type ColumnRows = Omit<ResultRows, "columns">;

/**
 * The statement's rows as JSON text.
 *
 * ```
 * first run    LIMIT, materialised: a stream takes DuckDB a millisecond more, which a small query feels
 * if it is cut short by that, and not by the request; and at once where this was so the last time:
 *   second run   a stream of all rows; columns that json-cells.ts writes value by value as JSON text from DuckDB
 * ```
 * The first run of a large result is a small part of the work where its LIMIT stops a scan or a sort; its rows are few
 * because a materialised result lies outside of DuckDB's memory limit.
 */
export async function executeJson(task: ExecuteTask, place: ExecutionPlace, shape: JsonShape): Promise<ResultRows> {
  const { largeResults } = place;
  const { fingerprint } = task.statement;
  const rowsMax = Math.min(task.limitRows ?? Number.POSITIVE_INFINITY, limits.directRowsMax);
  if (!largeResults.has(fingerprint)) {
    const small = await smallJson(task, place, { shape, rowsMax });
    if (small !== null) return small;
    largeResults.add(fingerprint);
  }
  const large = await largeJson(task, place, shape);
  if (large.rows <= limits.directRowsMax) largeResults.delete(fingerprint);
  return large;
}

/** Null: there are more rows than `rowsMax`, which is not the request's limit. */
async function smallJson(
  task: ExecuteTask,
  { connection, running, resultBytesMax }: ExecutionPlace,
  { shape, rowsMax }: { readonly shape: JsonShape; readonly rowsMax: number },
): Promise<ResultRows | null> {
  running.checkpoint();
  const { statement, offsetRows } = task;
  const sql = plainRangeSql({ statement, offsetRows, limitRows: rowsMax + 1 });
  const result = await connection.duckdb.run(sql, ...boundValues(statement, task.values));
  running.checkpoint();
  const hasMore = result.rowCount > rowsMax;
  if (hasMore && rowsMax !== task.limitRows) return null;
  // Values may change the types of columns; what changes from run to run may change columns too.
  const isFixed = task.values.length === 0 && !statement.isVolatile;
  const key = `${shape} ${sql}`;
  const { infos, json } =
    (isFixed ? connection.known.get(key) : undefined) ?? smallWriter(result, shape, resultBytesMax);
  const rows = Math.min(result.rowCount, rowsMax);
  // In memory: `fetchChunk` would go through libuv's pool and back for each. Without a pause, as others have the writer.
  for (let chunk = 0; json.rows < rows; chunk++) {
    const next = result.getChunk(chunk);
    json.append(next, Math.min(next.rowCount, rows - json.rows));
  }
  const body = { kind: "bytes", bytes: json.whole() } as const;
  if (isFixed) connection.known.add(key, { infos, json }, rows);
  return { body, columns: infos, rows, hasMore };
}

function smallWriter(result: DuckDBResult, shape: JsonShape, resultBytesMax: number): KnownResult {
  const columns = columnsOf(result);
  const plain = columns.map((column) => ({ ...column, isRaw: false }));
  return { infos: columnInfos(columns), json: new JsonResult(plain, shape, resultBytesMax) };
}

async function largeJson(task: ExecuteTask, place: ExecutionPlace, shape: JsonShape): Promise<ResultRows> {
  const bound = boundValues(task.statement, task.values);
  const sql = `${inParentheses(task.statement.sql)} LIMIT 0`;
  const columns = columnsOf(await place.connection.duckdb.run(sql, ...bound));
  const written = columns.map((column) => {
    return { ...column, isRaw: !hasFastCells(column.type) && jsonExpression(column.type, "c") !== null };
  });
  const selectList = written.map(({ type, isRaw }, index) => {
    return isRaw ? jsonTextExpression(type, `c${index}`) : `c${index}`;
  });
  const stream = await openStream(task, place, { columns, selectList: selectList.join(", ") });
  const json = new JsonResult(written, shape, place.resultFileBytesMax);
  const sink = openSink(place);
  try {
    await sink.write(json.head);
    const taken = await takeChunks(stream, { task, place }, async (chunk, rows) => {
      json.append(chunk, rows);
      if (json.bytes >= pieceBytes) await sink.write(json.take());
    });
    await sink.write(json.take());
    await sink.write(json.tail);
    return { body: await sink.finish(), ...taken, columns: columnInfos(columns) };
  } catch (error) {
    await sink.abandon();
    throw error;
  }
}

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
  // Loading apache-arrow takes a fifth of a second: not for those who never ask for it.
  const { ArrowResult, arrowForm, endOfStream } = await import("./result-arrow.js");
  const stream = await openStream(task, place, { columns, selectList: portableSelectList(columns) });
  const { given } = stream;
  if (given.some(({ type }) => arrowForm(type) === null)) return nestedArrow(task, place, columns);
  const sink = openSink(place);
  try {
    const arrow = new ArrowResult(given);
    await sink.write(arrow.head);
    const taken = await takeChunks(stream, { task, place }, async (chunk, rows) => {
      arrow.append(chunk, rows);
      if (arrow.isFull) for (const part of arrow.takeBatch()) await sink.write(part);
    });
    if (arrow.rows > 0) for (const part of arrow.takeBatch()) await sink.write(part);
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
  const stream = await openStream(task, place, { columns, selectList: msgpackSelectList(columns) });
  const typed = stream.given.map((column, index) => ({ ...column, typeText: String(columns[index]?.type) }));
  const msgpack = new MsgpackResult(typed, place.resultBytesMax);
  const taken = await takeChunks(stream, { task, place }, (chunk, rows) => msgpack.append(chunk, rows));
  return { body: { kind: "bytes", bytes: msgpack.finish() }, ...taken };
}

interface OpenedStream {
  readonly result: DuckDBResult;
  /** The statement again, materialised: what went wrong with the stream is an error there. */
  readonly sql: string;
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
  const sql = rangeSql(range, request);
  const prepared = await connection.duckdb.prepare(sql);
  try {
    const [values, types] = boundValues(statement, task.values);
    if (values !== undefined) prepared.bind(values, types);
    const result = await prepared.stream();
    return { result, sql, given: columnsOf(result) };
  } finally {
    prepared.destroySync();
  }
}

/**
 * Hands the rows on up to the task's limit. Throws what made the stream end before its last row. While one chunk is
 * taken the next one comes, on a thread of libuv: nearly half of the time for a large result.
 */
async function takeChunks(
  stream: OpenedStream,
  place: { readonly task: ExecuteTask; readonly place: ExecutionPlace },
  take: TakeChunk,
): Promise<{ readonly rows: number; readonly hasMore: boolean }> {
  const coming = { chunk: stream.result.fetchChunk() };
  try {
    return await takeComing(stream, { ...place, coming }, take);
  } finally {
    // The connection is another query's when this one ends, so that nothing of it may run on.
    await coming.chunk.catch(() => {});
  }
}

type TakeChunk = (chunk: DuckDBDataChunk, rows: number) => Promise<void> | void;

interface ComingChunk {
  /** The fetch that was begun last. */
  chunk: Promise<DuckDBDataChunk | null>;
}

/**
 * A stream of DuckDB ends without a word when the query fails or is interrupted (node-api 1.5: fetchChunk gives an empty
 * chunk, and duckdb_result_error is not exposed). But the type of a result that has an error is INVALID:
 * https://duckdb.org/docs/stable/clients/c/api (duckdb_result_return_type).
 */
async function takeComing(
  { result, sql }: OpenedStream,
  { task, place, coming }: { task: ExecuteTask; place: ExecutionPlace; coming: ComingChunk },
  take: TakeChunk,
): Promise<{ readonly rows: number; readonly hasMore: boolean }> {
  const { running, connection } = place;
  const limitRows = task.limitRows ?? Number.POSITIVE_INFINITY;
  for (let rows = 0; ;) {
    running.checkpoint();
    const chunk = await coming.chunk;
    if (chunk === null || chunk.rowCount === 0) {
      running.checkpoint();
      if (result.returnType !== ResultReturnType.INVALID) return { rows, hasMore: false };
      break;
    }
    coming.chunk = result.fetchChunk();
    const taken = Math.min(chunk.rowCount, limitRows - rows);
    if (taken > 0) await take(chunk, taken);
    rows += taken;
    if (taken < chunk.rowCount) return { rows, hasMore: true };
  }
  await connection.duckdb.run(sql, ...boundValues(task.statement, task.values));
  throw new MiniodbError("INTERNAL", "the result broke off, and the statement has no error");
}
