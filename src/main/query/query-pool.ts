import { randomUUID } from "node:crypto";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { BroadcastChannel } from "node:worker_threads";
import type { Piscina } from "piscina";
import { fromErrorMessage } from "../../shared/errors.js";
import type { LiveResult, LiveTask } from "../../shared/live-messages.js";
import {
  progressUnknown,
  type QueryResult,
  type QueryTask,
  type QueryWorkerBroken,
  type QueryWorkerOptions,
} from "../../shared/query-messages.js";
import { type PackedQueryTask, packTask } from "../../shared/packed-query-task.js";
import { requirePackage } from "../../shared/require-package.js";
import { workerUrls } from "../lifecycle/worker-urls.js";

const piscina = requirePackage("piscina");

export interface QueryPoolOptions {
  readonly workers: number;
  /** Queries that run at once on one worker. */
  readonly concurrency: number;
  /** Of all workers together. */
  readonly memoryBytes: number;
  readonly threads: number;
  readonly spillBytesMax: number;
  readonly resultBytesMax: number;
  readonly resultFileBytesMax: number;
  /** Absolute, the pool's alone: emptied at the start. */
  readonly temporaryFolder: string;
  /** Absolute: the embedded warehouse, the hot segments, the file cache. */
  readonly readableFolders: readonly string[];
  /** Secrets of encrypted columns; absent: none. */
  readonly columnKeys?: readonly Uint8Array[];
  /** A worker could not start, or broke; a broken one is replaced. */
  readonly onError: (error: unknown) => void;
}

/** Tasks beyond the running queries that a worker takes, so that a text is parsed while all slots are busy. */
const parsesPerWorker = 4;

/**
 * The query workers. A worker runs several tasks at once: DuckDB works on threads of its own and of libuv, and the
 * worker's event loop only starts queries and formats results, so that a small query does not wait behind large ones.
 * Each running query keeps one libuv thread busy: UV_THREADPOOL_SIZE must be above `workers × concurrency`.
 *
 * piscina's abort signals end the whole thread with all its queries; cancelling goes by words in shared memory instead.
 */
export class QueryPool {
  /** Slots of running queries, over all workers. */
  readonly slots: number;
  /** Of DuckDB, over all workers. */
  readonly duckdbThreads: number;
  /** Absolute: where workers put results that are kept for later pages. */
  readonly keptFolder: string;
  readonly #pool: Piscina<PackedQueryTask, QueryResult>;
  readonly #cancelWords: Int32Array;
  readonly #progressWords: Int32Array;
  readonly #channel: BroadcastChannel;
  /** Each worker has opened DuckDB, or failed to. */
  readonly #opened: Promise<unknown>;

  constructor(options: QueryPoolOptions) {
    const { workers, concurrency } = options;
    this.slots = workers * concurrency;
    this.duckdbThreads = options.threads;
    rmSync(options.temporaryFolder, { recursive: true, force: true });
    this.keptFolder = join(options.temporaryFolder, "kept");
    mkdirSync(this.keptFolder, { recursive: true });
    const cancelWords = new SharedArrayBuffer(this.slots * Int32Array.BYTES_PER_ELEMENT);
    const progressWords = new SharedArrayBuffer(this.slots * Int32Array.BYTES_PER_ELEMENT);
    const cancelChannel = `miniodb-query-${randomUUID()}`;
    this.#cancelWords = new Int32Array(cancelWords);
    this.#progressWords = new Int32Array(progressWords);
    this.#channel = new BroadcastChannel(cancelChannel);
    this.#channel.unref();
    const workerData: QueryWorkerOptions = {
      memoryBytes: Math.floor(options.memoryBytes / workers),
      threads: Math.max(1, Math.floor(options.threads / workers)),
      spillBytesMax: Math.floor(options.spillBytesMax / workers),
      temporaryFolder: options.temporaryFolder,
      readableFolders: options.readableFolders,
      columnKeys: options.columnKeys ?? [],
      resultBytesMax: options.resultBytesMax,
      resultFileBytesMax: options.resultFileBytesMax,
      cancelWords,
      cancelChannel,
      progressWords,
    };
    this.#pool = new piscina.Piscina({
      // A path: piscina makes one of a URL for each task. Nobody reads its histograms.
      filename: fileURLToPath(workerUrls.query),
      recordTiming: false,
      name: "runQueryTask",
      minThreads: workers,
      maxThreads: workers,
      concurrentTasksPerWorker: concurrency + parsesPerWorker,
      // Else an idle worker blocks its event loop, and neither cancelling nor its own end would get through to it.
      atomics: "disabled",
      workerData,
    });
    this.#pool.on("error", options.onError);
    this.#pool.on("message", (message: QueryWorkerBroken) => options.onError(fromErrorMessage(message.error)));
    // One for each, as the least busy worker gets the next task. It also makes the first query quicker.
    const first = Array.from({ length: workers }, () => this.#pool.run({ kind: "parse", sql: "SELECT 1" }));
    this.#opened = Promise.allSettled(first);
  }

  /** Rejects after a mistake in the worker. */
  run(task: QueryTask): Promise<QueryResult> {
    if (task.kind === "execute") {
      Atomics.store(this.#cancelWords, task.slot, 0);
      Atomics.store(this.#progressWords, task.slot, progressUnknown);
    }
    return this.#pool.run(packTask(task));
  }

  /** Of the query in this slot, 0 to 1 as DuckDB estimates it; null where it does not. A tenth of a second old. */
  progress(slot: number): number | null {
    const word = Atomics.load(this.#progressWords, slot);
    return word === progressUnknown ? null : word / 10_000;
  }

  /** A live query's task takes no slot: its caller sees to it that few run at once. Rejects as `run` does. */
  runLive(task: LiveTask): Promise<LiveResult> {
    // The workers' other function: piscina's types know one task and one result per pool.
    const pool = this.#pool as unknown as Piscina<LiveTask, LiveResult>;
    return pool.run(task, { name: "runLiveTask" });
  }

  /** Interrupts the query in this slot; its result is then an error. */
  cancel(slot: number): void {
    Atomics.store(this.#cancelWords, slot, 1);
    this.#channel.postMessage(null);
  }

  /** Ends the workers; call it when no task runs, as a thread that ends inside DuckDB takes the process down. */
  async close(): Promise<void> {
    await this.#opened;
    this.#channel.close();
    await this.#pool.destroy();
  }

  /** For tests: the threads, to kill one. */
  get threads(): Piscina["threads"] {
    return this.#pool.threads;
  }
}
