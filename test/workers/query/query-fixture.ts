import { type DuckDBConnection, DuckDBInstance } from "@duckdb/node-api";
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, unlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type {
  ParameterValue,
  ParsedStatement,
  QueryInstance,
  QueryResult,
  QueryTable,
  QueryWorkerOptions,
  SelectStatement,
} from "../../../src/shared/query-messages.js";
import { discardBody } from "../../../src/shared/result-body.js";
import type { ResultFormat } from "../../../src/shared/result-format.js";
import type { ColumnType } from "../../../src/shared/schema/column-type.js";
import type { TableColumn, TableSchema } from "../../../src/shared/schema/table-schema.js";
import { QueryRunner } from "../../../src/workers/query/query-runner.js";

/** Folders, an unconfined DuckDB that writes files for the test, and a query worker's inside on this thread. */
export interface QueryFixture {
  readonly folder: string;
  readonly warehouse: string;
  readonly temporaryFolder: string;
  readonly runner: QueryRunner;
  readonly cancelWords: Int32Array;
  readonly cancelChannel: string;
  /** The rows of `select` as a Parquet file in the warehouse; `fieldIds` by column name. Returns its path. */
  writeParquet(name: string, select: string, fieldIds: Readonly<Record<string, number>>): Promise<string>;
  /** What plain DuckDB says. */
  rows(sql: string): Promise<unknown[][]>;
  parse(sql: string): Promise<ParsedStatement>;
  execute(sql: string, options?: ExecuteOptions): Promise<QueryResult>;
  /** Parses and runs the statement; the rows as parsed JSON. Fails the test when there is an error. */
  query(sql: string, options?: ExecuteOptions): Promise<Record<string, unknown>[]>;
  close(): Promise<void>;
}

export interface ExecuteOptions {
  readonly tables?: readonly QueryTable[];
  readonly values?: readonly ParameterValue[];
  readonly limitRows?: number | null;
  readonly offsetRows?: number;
  readonly timeoutMs?: number;
  readonly format?: ResultFormat;
  readonly slot?: number;
  /** Absent: all threads. */
  readonly instance?: QueryInstance;
}

/** A statement that runs until it is stopped. */
export const endless =
  "SELECT count(*) FROM range(1000000) a, range(1000000) b, range(1000000) c WHERE a.range + b.range = c.range + 7";

let fixtureNumber = 0;

export async function openFixture(options: Partial<QueryWorkerOptions> = {}): Promise<QueryFixture> {
  const folder = mkdtempSync(join(tmpdir(), "miniodb-query-"));
  const warehouse = join(folder, "warehouse");
  const temporaryFolder = join(folder, "temporary");
  mkdirSync(warehouse);
  const cancelWords = new SharedArrayBuffer(64);
  const cancelChannel = `query-fixture-${process.pid}-${++fixtureNumber}`;
  const runner = new QueryRunner(
    {
      memoryBytes: 512 * 1024 * 1024,
      threads: 2,
      spillBytesMax: 256 * 1024 * 1024,
      readableFolders: [warehouse],
      temporaryFolder,
      resultBytesMax: 64 * 1024 * 1024,
      resultFileBytesMax: 256 * 1024 * 1024,
      cancelWords,
      cancelChannel,
      progressWords: new SharedArrayBuffer(64),
      ...options,
    },
    "test",
  );
  const instance = await DuckDBInstance.create(":memory:", { threads: "2" });
  const writer = await instance.connect();
  await writer.run("SET TimeZone = 'UTC'");
  const parse = async (sql: string): Promise<ParsedStatement> => {
    const result = await runner.run({ kind: "parse", sql });
    assert.equal(result.kind, "parsed", JSON.stringify(result));
    return (result as { statement: ParsedStatement }).statement;
  };
  const execute = async (sql: string, given: ExecuteOptions = {}): Promise<QueryResult> => {
    const statement = (await parse(sql)) as SelectStatement;
    const {
      slot = 0,
      tables = [],
      limitRows = 1_000_000,
      offsetRows = 0,
      timeoutMs = 60_000,
      format = "original",
      values = [],
      instance = "all-threads",
    } = given;
    const range = { limitRows, offsetRows };
    return runner.run({ kind: "execute", slot, instance, statement, tables, values, ...range, timeoutMs, format });
  };
  return {
    folder,
    warehouse,
    temporaryFolder,
    runner,
    cancelWords: new Int32Array(cancelWords),
    cancelChannel,
    parse,
    execute,
    writeParquet: (name, select, fieldIds) => writeParquet(writer, join(warehouse, name), select, fieldIds),
    rows: async (sql) => (await writer.runAndReadAll(sql)).getRowsJson(),
    query: async (sql, given) => rowsOf(await execute(sql, given)),
    close: async () => {
      await runner.close();
      writer.closeSync();
      instance.closeSync();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export async function writeParquet(
  writer: DuckDBConnection,
  path: string,
  select: string,
  fieldIds: Readonly<Record<string, number>>,
): Promise<string> {
  const ids = Object.entries(fieldIds).map(([name, id]) => `"${name.replaceAll('"', '""')}": ${id}`);
  await writer.run(`COPY (${select}) TO '${path}' (FORMAT parquet, FIELD_IDS {${ids.join(", ")}})`);
  return path;
}

/** Of a query that has to fail. */
export async function errorOf(
  result: Promise<QueryResult>,
): Promise<Extract<QueryResult, { kind: "failed" }>["error"]> {
  const found = await result;
  assert.ok(found.kind === "failed", JSON.stringify({ ...found, body: null }));
  return found.error;
}

export function rowsOf(result: QueryResult): Record<string, unknown>[] {
  assertRows(result);
  return JSON.parse(textOf(result)) as Record<string, unknown>[];
}

/** The array of row objects that result_json holds. */
export function textOf(result: QueryResult): string {
  return JSON.parse(bytesOf(result).toString()) as string;
}

/** The bytes of a body take long to be written into a message. */
function assertRows(result: QueryResult): asserts result is Extract<QueryResult, { kind: "rows" }> {
  if (result.kind !== "rows") assert.fail(JSON.stringify(result));
}

/** The body as it is. */
export function bytesOf(result: QueryResult): Buffer {
  assertRows(result);
  const { body } = result;
  if (body.kind === "bytes") return Buffer.from(body.bytes);
  if (body.kind === "pieces") {
    const whole = Buffer.concat(body.pieces);
    assert.equal(whole.length, body.bytes);
    void discardBody(body);
    return whole;
  }
  const bytes = readFileSync(body.path);
  assert.equal(bytes.length, body.bytes);
  unlinkSync(body.path);
  return bytes;
}

/** `name type [fieldId [replaces]]` per column, as in "value double 5 3". */
export function schemaOf(...lines: readonly string[]): TableSchema {
  const columns = lines.map((line, index): TableColumn => {
    const [name = "", type = "", fieldId, replaces] = line.split(" ");
    return {
      name,
      type: type as ColumnType,
      fieldId: fieldId === undefined ? index + 1 : Number(fieldId),
      required: false,
      ...(replaces !== undefined && { replacesFieldId: Number(replaces) }),
    };
  });
  return { version: 1, lastFieldId: Math.max(...columns.map((column) => column.fieldId)), columns };
}

export function tableOf(name: string, schema: TableSchema, files: readonly string[]): QueryTable {
  return { name, schema, committedFiles: files, hotFiles: [] };
}
