import type { DuckDBResult } from "@duckdb/node-api";
import { assert, unreachable } from "../../shared/assert.js";
import type { DeltaRows, LiveResult, LiveTask, ReadDeltaTask } from "../../shared/live-messages.js";
import { limits } from "../../shared/limits.js";
import { type ColumnType, columnTypeTable } from "../../shared/schema/column-type.js";
import { columnByFieldId, columnByName, type TableColumn, type TableSchema } from "../../shared/schema/table-schema.js";
import { readFailure, toClientError, isFatal } from "./duckdb-error.js";
import type { DuckDBEngine, EngineConnection } from "./duckdb-engine.js";
import { checkFilterText } from "./live-filter.js";
import { RunningQuery } from "./running-queries.js";
import { openedView } from "./open-column.js";
import { quoteName, quoteText, viewSql } from "./table-view.js";

/**
 * The query worker's part of live queries: filters are checked, and deltas become messages' rows.
 *
 * ```
 * SELECT <row number>, json_object(<columns>) FROM (
 *   SELECT * FROM (
 *     SELECT row_number() OVER () AS <row number>, <the file's columns under the newest schema> FROM <the file's view>
 *   ) WHERE <row number> > <rows that were sent before>
 * ) AS <table> WHERE (
 * <filter>
 * )
 * ```
 * The filter stands alone in its WHERE, as it was checked there: next to another condition, an OR in it could reach out
 * of its parentheses.
 */
export interface LivePlace {
  readonly engine: DuckDBEngine;
  /** Folders that no message may name. */
  readonly hiddenFolders: readonly string[];
  /** The engine answers nothing any more. */
  readonly onFatal: () => void;
}

/** Throws MiniodbError: INVALID_SQL, SQL_NOT_ALLOWED, QUERY_TIMEOUT, RESULT_TOO_LARGE. */
export async function runLive(task: LiveTask, place: LivePlace): Promise<LiveResult> {
  switch (task.kind) {
    case "check-filter":
      return checkFilter(task, place);
    case "read-delta":
      return readDelta(task, place);
    default:
      return unreachable(task);
  }
}

/** After the parser, DuckDB itself: over one row of nulls, which tells unknown columns and values that do not fit. */
async function checkFilter(task: Extract<LiveTask, { kind: "check-filter" }>, place: LivePlace): Promise<LiveResult> {
  const { table, schema, filter } = task;
  await place.engine.withParser((parser) => checkFilterText(parser, table, filter));
  const columns = schema.columns.map(({ name, type }) => `NULL::${duckdbType(type)} AS ${quoteName(name)}`);
  const head = `SELECT 1 FROM (SELECT ${columns.join(", ")}) AS ${quoteName(table)} WHERE (\n`;
  const statement = { sql: `${head}${filter}\n)`, shiftBytes: Buffer.byteLength(head), filter };
  await withConnection(place, { ...statement, timeoutMs: limits.liveReadMsMax }, async ({ duckdb }) => {
    await duckdb.run(statement.sql);
    return true;
  });
  return { kind: "filter-checked" };
}

async function readDelta(task: ReadDeltaTask, place: LivePlace): Promise<DeltaRows> {
  const { sql, shiftBytes } = deltaSql(task);
  const text = { sql, shiftBytes, filter: task.filter ?? "", timeoutMs: task.timeoutMs };
  let rows: DeltaRows | undefined;
  await withConnection(place, text, async ({ duckdb }, running) => {
    // Not a stream: node-api says nothing of an error in one, it just ends. See result-chunks.ts.
    rows = await takeRows(await duckdb.run(sql), task, running);
    return true;
  });
  assert(rows !== undefined, "a delta that was read has rows, be they none");
  return rows;
}

async function takeRows(result: DuckDBResult, task: ReadDeltaTask, running: RunningQuery): Promise<DeltaRows> {
  const parts: string[] = [];
  let characters = 0;
  let last = task.skipRows;
  for (;;) {
    running.checkpoint();
    const chunk = await result.fetchChunk();
    if (chunk === null || chunk.rowCount === 0) return deltaRows(parts, null);
    const numbers = chunk.getColumnVector(0);
    const texts = chunk.getColumnVector(1);
    for (let row = 0; row < chunk.rowCount; row++) {
      const number = numbers.getItem(row) as number;
      assert(number > last, "rows come in the order of the file");
      last = number;
      const text = texts.getItem(row) as string;
      parts.push(text);
      characters += text.length + 1;
      if (characters >= task.bytesMax) return deltaRows(parts, number);
    }
  }
}

function deltaRows(parts: readonly string[], throughRow: number | null): DeltaRows {
  return { kind: "delta-rows", text: `[${parts.join(",")}]`, rows: parts.length, throughRow };
}

/** `shiftBytes`: bytes before the filter. */
function deltaSql(task: ReadDeltaTask): { readonly sql: string; readonly shiftBytes: number } {
  const { schema, fileSchema, table, path, filter, skipRows } = task;
  const number = quoteName(freeName(schema));
  const columns = schema.columns.map((column) => `${fileExpression(column, task)} AS ${quoteName(column.name)}`);
  // By field ids, as a file has no columns whose values are all null.
  const stored = viewSql({ name: table, schema: fileSchema, committedFiles: [], hotFiles: [path] });
  const file = openedView(fileSchema, stored);
  const numbered = `SELECT (row_number() OVER ())::INTEGER AS ${number}, ${columns.join(", ")} FROM (${file})`;
  const rest = skipRows === 0 ? numbered : `SELECT * FROM (${numbered}) WHERE ${number} > ${skipRows}`;
  const pairs = schema.columns.map(({ name, type }) => `${quoteText(name)}, ${jsonForms[type](quoteName(name))}`);
  const head = `SELECT ${number}, json_object(${pairs.join(", ")})::VARCHAR FROM (${rest}) AS ${quoteName(table)}`;
  if (filter === null) return { sql: head, shiftBytes: 0 };
  const place = `${head} WHERE (\n`;
  return { sql: `${place}${filter}\n)`, shiftBytes: Buffer.byteLength(place) };
}

/**
 * The column out of one file: by field id, by the id that it replaced, or by its name, which is what is left of a long that
 * became double when a commit has rewritten the store's files under a new id. Such a long is cast.
 */
function fileExpression(column: TableColumn, { fileSchema, schema }: ReadDeltaTask): string {
  const type = duckdbType(column.type);
  const { fieldId, replacesFieldId } = column;
  const there =
    columnByFieldId(fileSchema, fieldId) ??
    (replacesFieldId === undefined ? undefined : columnByFieldId(fileSchema, replacesFieldId)) ??
    widenedByName(column, fileSchema, schema);
  if (there === undefined) return `NULL::${type}`;
  return there.type === column.type ? quoteName(there.name) : `${quoteName(there.name)}::${type}`;
}

/** Other columns of the same name were renamed or dropped: their values are not this column's. */
function widenedByName({ name, type }: TableColumn, fileSchema: TableSchema, schema: TableSchema) {
  const there = columnByName(fileSchema, name);
  const isWidened = there?.type === "long" && type === "double" && columnByFieldId(schema, there.fieldId) === undefined;
  return isWidened ? there : undefined;
}

/** A column name that the table does not have. */
function freeName(schema: TableSchema): string {
  let name = "miniodb_row";
  while (columnByName(schema, name) !== undefined) name += "_";
  return name;
}

const asItIs = (column: string): string => column;

/** By the rules of json-values.ts. */
const jsonForms: Readonly<Record<ColumnType, (column: string) => string>> = {
  boolean: asItIs,
  long: asItIs,
  double: (column) => `CASE WHEN isfinite(${column}) THEN ${column} END`,
  string: asItIs,
  json: asItIs,
  timestamp: (column) => {
    const format = (digits: string): string =>
      `strftime(make_timestamp(epoch_us(${column})), '%Y-%m-%dT%H:%M:%S.${digits}Z')`;
    return `CASE WHEN epoch_us(${column}) % 1000 = 0 THEN ${format("%g")} ELSE ${format("%f")} END`;
  },
};

function duckdbType(type: ColumnType): string {
  return columnTypeTable[type].duckdb;
}

interface LiveText {
  readonly filter: string;
  readonly shiftBytes: number;
  readonly timeoutMs: number;
}

/** `work` says whether the connection may be used again. */
async function withConnection(
  place: LivePlace,
  text: LiveText,
  work: (connection: EngineConnection, running: RunningQuery) => Promise<boolean>,
): Promise<void> {
  const { engine, hiddenFolders, onFatal } = place;
  const connection = await engine.checkOut(new Map());
  const start = { slot: noSlot, connection: connection.duckdb, timeoutMs: text.timeoutMs, mayMove: false };
  const running = new RunningQuery(start, () => {});
  let isReusable = false;
  try {
    isReusable = await work(connection, running);
  } catch (error) {
    if (running.reason !== undefined) throw running.reason;
    const failure = readFailure(error);
    if (isFatal(failure)) onFatal();
    throw toClientError(failure, { sql: text.filter, shiftBytes: text.shiftBytes, hiddenFolders }, error);
  } finally {
    running.end();
    if (isReusable && running.reason === undefined) engine.giveBack(connection);
    else engine.discard(connection);
  }
}

/** Live queries have no word by which main could cancel them: they end by their time limit. */
const noSlot = -1;
