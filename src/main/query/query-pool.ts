import { randomUUID } from "node:crypto";
import { mkdirSync, rmSync } from "node:fs";
import { BroadcastChannel } from "node:worker_threads";
import { Piscina } from "piscina";
import type { QueryResult, QueryTask, QueryWorkerOptions } from "../../shared/messages.js";
import { workerUrls } from "../lifecycle/worker-urls.js";

export interface QueryPoolOptions {
  readonly workers: number;
  /** Queries that run at once on one worker. */
  readonly concurrency: number;
  /** Of all workers together. */
  readonly memoryBytes: number;
  readonly threads: number;
  readonly spillBytesMax: number;
  readonly resultBytesMax: number;
  /** Absolute, the pool's alone: emptied at the start. */
  readonly temporaryFolder: string;
  /** Absolute: the embedded warehouse, the hot segments, the file cache. */
  readonly readableFolders: readonly string[];
  /** A worker could not start or died outside a query. */
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
  readonly #pool: Piscina<QueryTask, QueryResult>;
  readonly #cancelWords: Int32Array;
  readonly #channel: BroadcastChannel;

  constructor(options: QueryPoolOptions) {
    const { workers, concurrency } = options;
    this.slots = workers * concurrency;
    rmSync(options.temporaryFolder, { recursive: true, force: true });
    mkdirSync(options.temporaryFolder, { recursive: true });
    const cancelWords = new SharedArrayBuffer(this.slots * Int32Array.BYTES_PER_ELEMENT);
    const cancelChannel = `miniodb-query-${randomUUID()}`;
    this.#cancelWords = new Int32Array(cancelWords);
    this.#channel = new BroadcastChannel(cancelChannel);
    this.#channel.unref();
    const workerData: QueryWorkerOptions = {
      memoryBytes: Math.floor(options.memoryBytes / workers),
      threads: Math.max(1, Math.floor(options.threads / workers)),
      spillBytesMax: Math.floor(options.spillBytesMax / workers),
      temporaryFolder: options.temporaryFolder,
      readableFolders: options.readableFolders,
      resultBytesMax: options.resultBytesMax,
      cancelWords,
      cancelChannel,
    };
    this.#pool = new Piscina({
      filename: workerUrls.query,
      name: "runQueryTask",
      minThreads: workers,
      maxThreads: workers,
      concurrentTasksPerWorker: concurrency + parsesPerWorker,
      workerData,
    });
    this.#pool.on("error", options.onError);
  }

  /** Rejects when the worker died; its other tasks reject too, and piscina starts another worker. */
  run(task: QueryTask): Promise<QueryResult> {
    if (task.kind === "execute") Atomics.store(this.#cancelWords, task.slot, 0);
    return this.#pool.run(task);
  }

  /** Interrupts the query in this slot; its result is then an error. */
  cancel(slot: number): void {
    Atomics.store(this.#cancelWords, slot, 1);
    this.#channel.postMessage(null);
  }

  /** Ends the workers; call it when no task runs. */
  async close(): Promise<void> {
    this.#channel.close();
    await this.#pool.destroy();
  }

  /** For tests: the threads, to kill one. */
  get threads(): Piscina["threads"] {
    return this.#pool.threads;
  }
}
