import type { QueryTask, ResultBody, ResultColumnInfo } from "../../shared/query-messages.js";
import type { ResultFormat } from "../../shared/result-format.js";
import type { ResultRoom } from "../../shared/result-room.js";
import { boundValues } from "./bound-values.js";
import type { EngineConnection } from "./duckdb-engine.js";
import { withNotes } from "./explain-notes.js";
import { inParentheses, parenthesesPrefix } from "./parse-statement.js";
import { executeJson, streamColumns } from "./result-chunks.js";
import type { LargeResults } from "./large-results.js";
import { columnInfos, columnsOf } from "./result-columns.js";
import { copyResult } from "./result-copy.js";
import { csvCopyOptions, csvSelectList } from "./result-csv.js";
import type { JsonShape } from "./result-json.js";
import { portableSelectList } from "./result-portable.js";
import { valuesStatement } from "./result-values.js";
import type { RunningQuery } from "./running-queries.js";

export type ExecuteTask = Extract<QueryTask, { readonly kind: "execute" }>;

export interface ExecutionPlace {
  readonly connection: EngineConnection;
  readonly running: RunningQuery;
  readonly resultFolder: string;
  readonly largeResults: LargeResults;
  readonly resultRoom: ResultRoom;
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
  const { format, statement } = task;
  // EXPLAIN and DESCRIBE are no tables: what they say becomes one.
  if (statement.kind === "explain") return executeStatement(await explained(task, place), place);
  if (isJson(format)) return executeJson(task, place, format);
  const sql = `${inParentheses(statement.sql)} LIMIT 0`;
  const columns = columnsOf(await place.connection.duckdb.run(sql, ...boundValues(statement, task.values)));
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
  const { statement, values, notes = [] } = task;
  const result = await connection.duckdb.run(statement.sql, ...boundValues(statement, values));
  return { ...task, statement: withNotes(await valuesStatement(result, statement), notes), values: [] };
}

/** Bytes by which places in the SQL that DuckDB checks first differ from those in the client's text. */
export function shiftBytesOf({ statement }: ExecuteTask): number {
  if (statement.kind === "explain") return -statement.startBytes;
  return parenthesesPrefix.length - statement.startBytes;
}
