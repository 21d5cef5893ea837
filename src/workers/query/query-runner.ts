import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { assert } from "../../shared/assert.js";
import { ColumnKeys } from "../../shared/encryption/column-keys.js";
import { MiniodbError, toErrorMessage } from "../../shared/errors.js";
import type {
  KeptFile,
  QueryInstance,
  QueryResult,
  QueryTask,
  QueryWorkerOptions,
} from "../../shared/query-messages.js";
import type { LiveResult, LiveTask } from "../../shared/live-messages.js";
import { limits } from "../../shared/limits.js";
import { discardBody } from "../../shared/result-body.js";
import { ResultRoom } from "../../shared/result-room.js";
import { hasEncrypted } from "../../shared/schema/column-encryption.js";
import { nameKey } from "../../shared/schema/table-schema.js";
import type { DuckDBEngine } from "./duckdb-engine.js";
import {
  isFatal,
  isMissingFile,
  isOutOfMemoryFailure,
  memoryLimit,
  readFailure,
  toClientError,
} from "./duckdb-error.js";
import {
  type ExecuteTask,
  executeStatement,
  type ExecutionPlace,
  type ResultRows,
  shiftBytesOf,
} from "./execute-statement.js";
import { FileColumns } from "./file-columns.js";
import { explainPlan } from "./explain-plan.js";
import { keepResult } from "./keep-result.js";
import { LargeResults } from "./large-results.js";
import { runLive } from "./live-rows.js";
import { openedView } from "./open-column.js";
import { parseFilter } from "./parse-filter.js";
import { parseStatement } from "./parse-statement.js";
import { QueryEngines } from "./query-engines.js";
import { RunningQueries, type RunningQuery } from "./running-queries.js";
import { YoungQueries } from "./young-queries.js";

/** A query that ran out of memory sooner than this is not the one that took it. */
const smallQueryMs = 1_000;
/** First pause before it tries again; each next one is twice as long, up to so many in all. */
const memoryPauseMs = 20;
const memoryWaitMsMax = 10_000;

/**
 * The task is to begin anew in the instance of all threads: that of one thread had not enough memory for it, or it ran there for
 * long while other threads had nothing to do. Nothing of its result has gone out, as no result leaves before it is whole.
 */
const moved = Symbol("moved");

/** The work of one query worker: its DuckDB instances, and the tasks that main sends, several at a time. */
export class QueryRunner {
  readonly #options: QueryWorkerOptions;
  readonly #resultFolder: string;
  /** Of all workers, and main's to clear up. */
  readonly #keptFolder: string;
  readonly #queries: RunningQueries;
  readonly #columns = new FileColumns();
  readonly #largeResults = new LargeResults();
  readonly #resultRoom = new ResultRoom();
  readonly #engines: QueryEngines;
  readonly #young: YoungQueries;
  /** Tasks under way. */
  #active = 0;

  /** `name` tells the worker's folders from those of others. */
  constructor(options: QueryWorkerOptions, name: string) {
    this.#options = options;
    const columnKeys = new ColumnKeys(options.columnKeys ?? []);
    this.#resultFolder = join(options.temporaryFolder, `results-${name}`);
    this.#keptFolder = join(options.temporaryFolder, "kept");
    mkdirSync(this.#resultFolder, { recursive: true });
    mkdirSync(this.#keptFolder, { recursive: true });
    this.#queries = new RunningQueries(options);
    // One more than can run, as some wait for this thread to take their rows.
    this.#young = new YoungQueries({ count: options.threads + 1, ageMsMax: limits.oneThreadYoungMs });
    const resultFolders = [this.#resultFolder, this.#keptFolder];
    this.#engines = new QueryEngines({ ...options, name, resultFolders, columnKeys });
  }

  /**
   * Operating errors are results; what it throws is a mistake.
   *
   * The memory is that of all queries together: while a large one has taken it all, a small one can find none. DuckDB
   * ends the large one in a moment, so that the small one waits and tries again instead of failing with it. In the instance of
   * one thread no query takes it all for long: there they do not wait, but begin anew in the other one.
   */
  async run(task: QueryTask): Promise<QueryResult> {
    this.#active++;
    const startMs = performance.now();
    const retryUntilMs =
      startMs + Math.min(memoryWaitMsMax, task.kind === "execute" ? task.timeoutMs : memoryWaitMsMax);
    let left = task;
    try {
      if (this.#instanceOf(task) === "one-thread") {
        const result = await this.#onOneThread(task);
        if (result !== moved) return result;
        left = withTimeLeft(task, performance.now() - startMs);
      }
      for (let pauseMs = memoryPauseMs; ; pauseMs *= 2) {
        const attemptMs = performance.now();
        const result = await this.#attempt(left, "all-threads");
        assert(result !== moved, "all threads are all there is");
        const nowMs = performance.now();
        if (!isOutOfMemory(result) || nowMs - attemptMs > smallQueryMs) return result;
        if (this.#active === 1 || nowMs + pauseMs > retryUntilMs) return result;
        await sleep(pauseMs);
        left = withTimeLeft(task, performance.now() - startMs);
      }
    } finally {
      this.#active--;
    }
  }

  async #onOneThread(task: QueryTask): Promise<QueryResult | typeof moved> {
    const young = await this.#young.enter();
    try {
      return await this.#attempt(task, "one-thread");
    } finally {
      young.leave();
    }
  }

  #instanceOf(task: QueryTask): QueryInstance {
    return this.#engines.instanceFor((task.kind === "execute" ? task.instance : undefined) ?? "all-threads");
  }

  async #attempt(task: QueryTask, instance: QueryInstance): Promise<QueryResult | typeof moved> {
    try {
      return task.kind === "execute" ? await this.#execute(task, instance) : await this.#parse(task);
    } catch (error) {
      if (error instanceof MiniodbError) return { kind: "failed", error: toErrorMessage(error) };
      // No memory for a connection, or for the instance. A mistake is met over there again.
      if (instance === "one-thread") return moved;
      const failure = readFailure(error);
      if (!isOutOfMemoryFailure(failure)) throw error;
      const sql = textOf(task);
      const place = { sql, shiftBytes: 0, hiddenFolders: [] };
      return { kind: "failed", error: toErrorMessage(toClientError(failure, place, error)) };
    }
  }

  /** As `run`, for live queries. */
  async runLive(task: LiveTask): Promise<LiveResult> {
    const { temporaryFolder, readableFolders } = this.#options;
    const hiddenFolders = [temporaryFolder, ...readableFolders];
    try {
      const engine = await this.#engines.engine("all-threads");
      const onFatal = (): void => void this.#engines.replace("all-threads", engine);
      return await runLive(task, { engine, hiddenFolders, onFatal });
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
    await this.#engines.close();
  }

  async #parse(task: ParseTask): Promise<QueryResult> {
    const engine = await this.#engines.engine("all-threads");
    const statement = await engine.withParser(async (parser) =>
      task.kind === "parse" ? parseStatement(parser, task.sql) : parseFilter(parser, task),
    );
    return { kind: "parsed", statement };
  }

  async #execute(task: ExecuteTask, instance: QueryInstance): Promise<QueryResult | typeof moved> {
    const engine = await this.#engines.engine(instance);
    const unknown: string[] = [];
    const wanted = new Map<string, string>();
    for (const table of task.tables) {
      const view = this.#columns.view(table);
      wanted.set(nameKey(table.name), openedView(table.schema, view.sql));
      unknown.push(...view.unknown);
    }
    const connection = await engine.checkOut(wanted);
    if (task.tables.some(({ schema }) => hasEncrypted(schema.columns))) connection.callsBack = true;
    const { slot, timeoutMs } = task;
    const mayMove = instance === "one-thread";
    const running = this.#queries.start({ slot, connection: connection.duckdb, timeoutMs, mayMove });
    const place = {
      connection,
      running,
      resultFolder: this.#resultFolder,
      largeResults: this.#largeResults,
      resultRoom: this.#resultRoom,
      resultBytesMax: this.#options.resultBytesMax,
      resultFileBytesMax: this.#options.resultFileBytesMax,
    };
    let rows: ResultRows | undefined;
    try {
      await engine.prepareViews(connection, wanted);
      rows = await this.#rows(task, place);
      // Once for each file; it can only fail where the file is gone, and then nobody asks again.
      if (unknown.length > 0) await this.#columns.learn(connection, unknown).catch(() => {});
      const plan = isSlow(task, running) ? await explainPlan(connection, task) : undefined;
      return { kind: "rows", ...rows, ...(plan !== undefined && { plan }) };
    } catch (error) {
      const failed = this.#failed(error, task, { instance, engine, running });
      if (failed === moved) return moved;
      if (failed.kind !== "failed" || !isSlow(task, running)) return failed;
      const plan = await this.#planElsewhere(engine, task, wanted);
      return plan === undefined ? failed : { ...failed, plan };
    } finally {
      running.end();
      if (rows === undefined || running.reason !== undefined) engine.discard(connection);
      else engine.giveBack(connection);
    }
  }

  /** The page that the task asks for; where pages after it will be asked for, all of them come from one run. */
  async #rows(task: ExecuteTask, place: ExecutionPlace): Promise<ResultRows & { readonly kept?: KeptFile }> {
    const rows = await executeStatement(task, place);
    const { keep } = task;
    if (!rows.hasMore || keep === undefined || keep === null) return rows;
    const kept = await keepResult(task, keep, place);
    if (kept === null) return rows;
    await discardBody(rows.body);
    return kept;
  }

  /** The plan of a statement that was stopped: its own connection may still be interrupted. */
  async #planElsewhere(
    engine: DuckDBEngine,
    task: ExecuteTask,
    wanted: ReadonlyMap<string, string>,
  ): Promise<string | undefined> {
    const connection = await engine.checkOut(wanted);
    try {
      await engine.prepareViews(connection, wanted);
      return await explainPlan(connection, task);
    } catch {
      // The plan is an extra: the query has its error.
      return undefined;
    } finally {
      engine.giveBack(connection);
    }
  }

  /** A stopped query ends with the reason, whatever DuckDB made of the interrupt. */
  #failed(error: unknown, task: ExecuteTask, attempt: Attempt): QueryResult | typeof moved {
    const { instance, engine, running } = attempt;
    const { reason, isMoved } = running;
    if (isMoved) return moved;
    if (reason !== undefined) return { kind: "failed", error: toErrorMessage(reason) };
    if (error instanceof MiniodbError) return { kind: "failed", error: toErrorMessage(error) };
    const failure = readFailure(error);
    if (instance === "one-thread" && isOutOfMemoryFailure(failure)) return moved;
    if (isFatal(failure)) void this.#engines.replace(instance, engine);
    if (isMissingFile(failure)) return { kind: "stale-files", message: failure.message };
    const { temporaryFolder, readableFolders } = this.#options;
    const shiftBytes = shiftBytesOf(task);
    const hiddenFolders = [temporaryFolder, ...readableFolders];
    const { text: sql } = task.statement;
    const columnNames = task.tables.flatMap(({ schema }) => schema.columns.map(({ name }) => name));
    const place = { sql, shiftBytes, hiddenFolders, columnNames };
    return { kind: "failed", error: toErrorMessage(toClientError(failure, place, error)) };
  }
}

type ParseTask = Exclude<QueryTask, ExecuteTask>;

interface Attempt {
  readonly instance: QueryInstance;
  readonly engine: DuckDBEngine;
  readonly running: RunningQuery;
}

/** What the client sent. */
function textOf(task: QueryTask): string {
  if (task.kind === "execute") return task.statement.text;
  return task.kind === "parse" ? task.sql : task.filter;
}

/** What was tried before was part of the query's time. */
function withTimeLeft(task: QueryTask, usedMs: number): QueryTask {
  return task.kind === "execute" ? { ...task, timeoutMs: Math.max(1, task.timeoutMs - usedMs) } : task;
}

function isSlow({ slowMs = 0 }: ExecuteTask, running: RunningQuery): boolean {
  return slowMs > 0 && running.elapsedMs >= slowMs;
}

function isOutOfMemory(result: QueryResult): boolean {
  return result.kind === "failed" && result.error.details["limit"] === memoryLimit;
}
