import type { DuckDBResult } from "@duckdb/node-api";
import { assert } from "../../shared/assert.js";
import { limits } from "../../shared/limits.js";
import type { QueryTask, ResultBody, ResultColumnInfo } from "../../shared/query-messages.js";
import type { ResultFormat } from "../../shared/result-format.js";
import { boundValues } from "./bound-values.js";
import type { EngineConnection } from "./duckdb-engine.js";
import { withNotes } from "./explain-notes.js";
import { canCopy, jsonCopyColumn, jsonCopyOptions } from "./json-copy.js";
import { JsonRows, type JsonShape } from "./json-rows.js";
import { inParentheses, parenthesesPrefix } from "./parse-statement.js";
import { streamColumns } from "./result-chunks.js";
import { columnsOf, type ResultColumn } from "./result-columns.js";
import { copyResult } from "./result-copy.js";
import { csvCopyOptions, csvSelectList } from "./result-csv.js";
import { portableSelectList } from "./result-portable.js";
import { valuesStatement } from "./result-values.js";
import type { RunningQuery } from "./running-queries.js";

export type ExecuteTask = Extract<QueryTask, { readonly kind: "execute" }>;

export interface ExecutionPlace {
  readonly connection: EngineConnection;
  readonly running: RunningQuery;
  readonly resultFolder: string;
  /** Of what is made in memory. */
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

/**
 * Runs the statement, whose views the connection has: rows [offset, offset + limit) of it in the task's format. Errors
 * are DuckDB's, or the MiniodbError by which the query was stopped; all of them come before there is a result.
 *
 * | format                 | runs of the statement                                                                    |
 * |------------------------|------------------------------------------------------------------------------------------|
 * | original, json, ndjson | see `executeJson`                                                                        |
 * | csv, parquet           | LIMIT 0 for the types of its columns; DuckDB writes the file                             |
 * | arrow, msgpack         | LIMIT 0 for the types of its columns; chunks of columns are copied as they come          |
 */
export async function executeStatement(task: ExecuteTask, place: ExecutionPlace): Promise<ResultRows> {
  place.running.checkpoint();
  const { format, statement, notes = [] } = task;
  // EXPLAIN and DESCRIBE are no tables: what they say becomes one.
  const isTable = statement.kind !== "explain";
  if (!isTable && notes.length > 0) return executeStatement(await explained(task, place), place);
  if (isJson(format)) return executeJson(task, format, place);
  if (!isTable) return executeStatement(await explained(task, place), place);
  const sql = `${inParentheses(task.statement.sql)} LIMIT 0`;
  const columns = columnsOf(await place.connection.duckdb.run(sql, ...boundValues(task.statement, task.values)));
  const infos = columnInfos(columns);
  if (format === "csv") {
    const request = { columns, selectList: csvSelectList(columns), options: csvCopyOptions };
    return { ...(await copyResult(task, place, request)), columns: infos };
  }
  if (format === "parquet") {
    const request = { columns, selectList: portableSelectList(columns), options: "FORMAT parquet" };
    return { ...(await copyResult(task, place, request)), columns: infos };
  }
  return { ...(await streamColumns(task, place, columns)), columns: infos };
}

function isJson(format: ResultFormat): format is JsonShape {
  return format === "original" || format === "json" || format === "ndjson";
}

async function explained(task: ExecuteTask, { connection }: ExecutionPlace): Promise<ExecuteTask> {
  const result = await connection.duckdb.run(task.statement.sql, ...boundValues(task.statement, task.values));
  return { ...task, statement: withNotes(await valuesStatement(result, task.statement), task.notes), values: [] };
}

/**
 * One row more than wanted is asked of DuckDB to see whether there is any.
 *
 * ```
 * first run    LIMIT: the rows that are worth formatting here, as values
 * if it is cut short by that, and not by the request:
 *   second run   all rows, DuckDB writes the JSON to a file      when every column has a type that it can write
 *                all rows, as values                             otherwise
 * ```
 * Most results are small and end with the first run. Where they do not, DuckDB needs the first run's LIMIT only for a
 * small part of the work, as a scan stops there; see `directBlockingRowsMax` for the others.
 */
async function executeJson(task: ExecuteTask, shape: JsonShape, place: ExecutionPlace): Promise<ResultRows> {
  const { running, connection, resultBytesMax } = place;
  const limitRows = task.limitRows ?? Number.MAX_SAFE_INTEGER - 1;
  const checkpoint = (): void => running.checkpoint();
  const directRows = directRowsOf(task);
  const bound = boundValues(task.statement, task.values);
  const first = await connection.duckdb.run(givenSql(task, directRows).sql, ...bound);
  const columns = columnsOf(first);
  const takeAll = async (result: DuckDBResult, rowsMax: number): Promise<ResultRows | null> => {
    const rows = new JsonRows(columns, shape, resultBytesMax);
    const isEnd = await rows.take(result, rowsMax, checkpoint);
    // Cut short, and not by the request.
    if (!isEnd && rowsMax !== limitRows) return null;
    const body = { kind: "bytes", bytes: rows.finish() } as const;
    return { body, columns: columnInfos(columns), rows: rows.rows, hasMore: !isEnd };
  };
  const small = await takeAll(first, directRows);
  if (small !== null) return small;
  checkpoint();
  if (canCopy(columns)) {
    const request = { columns, selectList: jsonCopyColumn(columns, shape), options: jsonCopyOptions[shape] };
    return { ...(await copyResult(task, place, request)), columns: columnInfos(columns) };
  }
  // Not a stream: see result-chunks.ts on the errors of one.
  const all = await takeAll(await connection.duckdb.run(givenSql(task, limitRows).sql, ...bound), limitRows);
  assert(all !== null, "rows up to the limit are not cut short");
  return all;
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
