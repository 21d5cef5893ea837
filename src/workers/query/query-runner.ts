import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { MiniodbError, toErrorMessage } from "../../shared/errors.js";
import type { QueryResult, QueryTable, QueryTask, QueryWorkerOptions } from "../../shared/query-messages.js";
import { nameKey } from "../../shared/schema/table-schema.js";
import { DuckDBEngine } from "./duckdb-engine.js";
import { isFatal, isMissingFile, readFailure, toClientError } from "./duckdb-error.js";
import { type ExecuteTask, executeStatement, givenSql, type ResultRows } from "./execute-statement.js";
import { parseStatement } from "./parse-statement.js";
import { RunningQueries } from "./running-queries.js";
import { viewSql } from "./table-view.js";

/** The work of one query worker: a DuckDB instance, and the tasks that main sends, several at a time. */
export class QueryRunner {
  readonly #options: QueryWorkerOptions;
  readonly #resultFolder: string;
  readonly #spillFolder: string;
  readonly #queries: RunningQueries;
  #engine: Promise<DuckDBEngine>;

  /** `name` tells the worker's folders from those of others. */
  constructor(options: QueryWorkerOptions, name: string) {
    this.#options = options;
    this.#resultFolder = join(options.temporaryFolder, `results-${name}`);
    this.#spillFolder = join(options.temporaryFolder, `spill-${name}`);
    mkdirSync(this.#resultFolder, { recursive: true });
    this.#queries = new RunningQueries(options.cancelWords, options.cancelChannel);
    this.#engine = this.#openEngine();
  }

  /** Operating errors are results; what it throws is a mistake. */
  async run(task: QueryTask): Promise<QueryResult> {
    try {
      return task.kind === "parse" ? await this.#parse(task.sql) : await this.#execute(task);
    } catch (error) {
      if (error instanceof MiniodbError) return { kind: "failed", error: toErrorMessage(error) };
      throw error;
    }
  }

  /** Interrupts what runs; each query ends with this reason. */
  interruptAll(reason: MiniodbError): void {
    this.#queries.stopAll(reason);
  }

  async close(): Promise<void> {
    this.#queries.close();
    (await this.#engine).close();
  }

  async #parse(sql: string): Promise<QueryResult> {
    const engine = await this.#engine;
    const statement = await engine.withParser(async (parser) => parseStatement(parser, sql));
    return { kind: "parsed", statement };
  }

  async #execute(task: ExecuteTask): Promise<QueryResult> {
    const engine = await this.#engine;
    const wanted = new Map(task.tables.map((table: QueryTable) => [nameKey(table.name), viewSql(table)]));
    const connection = await engine.checkOut(wanted);
    const running = this.#queries.start(task.slot, connection.duckdb, task.timeoutMs);
    const place = {
      connection,
      running,
      resultFolder: this.#resultFolder,
      resultBytesMax: this.#options.resultBytesMax,
      resultFileBytesMax: this.#options.resultFileBytesMax,
    };
    let rows: ResultRows | undefined;
    try {
      await engine.prepareViews(connection, wanted);
      rows = await executeStatement(task, place);
    } catch (error) {
      return this.#failed(error, task, running.reason);
    } finally {
      running.end();
      if (rows === undefined || running.reason !== undefined) engine.discard(connection);
      else engine.giveBack(connection);
    }
    return { kind: "rows", ...rows };
  }

  /** A stopped query ends with the reason, whatever DuckDB made of the interrupt. */
  #failed(error: unknown, task: ExecuteTask, reason: MiniodbError | undefined): QueryResult {
    if (reason !== undefined) return { kind: "failed", error: toErrorMessage(reason) };
    if (error instanceof MiniodbError) throw error;
    const failure = readFailure(error);
    if (isFatal(failure)) this.#replaceEngine();
    if (isMissingFile(failure)) return { kind: "stale-files", message: failure.message };
    const { temporaryFolder, readableFolders } = this.#options;
    const { shiftBytes } = givenSql(task, 0);
    const hiddenFolders = [temporaryFolder, ...readableFolders];
    throw toClientError(failure, { sql: task.statement.text, shiftBytes, hiddenFolders }, error);
  }

  #openEngine(): Promise<DuckDBEngine> {
    const { memoryBytes, threads, spillBytesMax, readableFolders } = this.#options;
    const engine = DuckDBEngine.open({
      memoryBytes,
      threads,
      spillBytesMax,
      spillFolder: this.#spillFolder,
      allowedFolders: [...readableFolders, this.#resultFolder],
    });
    // Whoever runs a task sees the error; until then it is nobody's.
    engine.catch(() => {});
    return engine;
  }

  /** The old instance refuses everything from now on; its other queries end with the same error. */
  #replaceEngine(): void {
    this.#engine = this.#openEngine();
  }
}
