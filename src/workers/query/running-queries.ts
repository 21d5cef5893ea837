import type { DuckDBConnection } from "@duckdb/node-api";
import { BroadcastChannel } from "node:worker_threads";
import { CoarseTimeout } from "../../shared/coarse-timeout.js";
import { MiniodbError } from "../../shared/errors.js";
import { limits } from "../../shared/limits.js";
import { progressUnknown } from "../../shared/query-messages.js";

/** DuckDB forgets an interrupt that comes between two statements, so that it is said again until the query ends. */
const interruptAgainMs = 20;
/** How often running queries are looked at: their progress is written where main reads it, and some are moved. */
const tickMs = 100;

export interface RunningQueriesOptions {
  readonly cancelWords: SharedArrayBuffer;
  readonly cancelChannel: string;
  readonly progressWords: SharedArrayBuffer;
  /** Of DuckDB: with fewer queries than that, some have nothing to do. */
  readonly threads: number;
}

export interface QueryStart {
  readonly slot: number;
  readonly connection: DuckDBConnection;
  readonly timeoutMs: number;
  /** It runs on one thread, and may begin anew with all of them. */
  readonly mayMove: boolean;
}

/**
 * The queries of this worker that can be stopped: by their time limit, by main, by a limit of the result, or because they
 * are to begin anew in another DuckDB instance.
 *
 * Main stores 1 in the query's word before it says anything on the channel, and a query looks at its word after it is
 * registered here: whichever comes first, the stop is seen.
 */
export class RunningQueries {
  readonly #cancelled: Int32Array;
  readonly #progress: Int32Array;
  readonly #queries = new Set<RunningQuery>();
  readonly #channel: BroadcastChannel;
  readonly #ticks: NodeJS.Timeout;
  readonly #threads: number;
  /** Why no query may run any more. */
  #ended: MiniodbError | undefined;

  constructor(options: RunningQueriesOptions) {
    this.#threads = options.threads;
    this.#cancelled = new Int32Array(options.cancelWords);
    this.#progress = new Int32Array(options.progressWords);
    this.#channel = new BroadcastChannel(options.cancelChannel);
    this.#channel.addEventListener("message", () => this.#stopCancelled());
    // Neither must keep a worker alive that the pool lets go.
    this.#channel.unref();
    this.#ticks = setInterval(() => this.#tick(), tickMs).unref();
  }

  /** Interrupts every query, and those that begin anew. */
  stopAll(reason: MiniodbError): void {
    this.#ended ??= reason;
    for (const query of this.#queries) query.stop(reason);
  }

  close(): void {
    clearInterval(this.#ticks);
    this.#channel.close();
  }

  /** Call `end` on it when the query is over, whatever its end. */
  start(options: QueryStart): RunningQuery {
    const query = new RunningQuery(options, (ended) => this.#queries.delete(ended));
    this.#queries.add(query);
    if (this.#ended !== undefined) query.stop(this.#ended);
    this.#stopCancelled();
    return query;
  }

  #stopCancelled(): void {
    for (const query of this.#queries) {
      if (Atomics.load(this.#cancelled, query.slot) === 0) continue;
      query.stop(new MiniodbError("QUERY_CANCELLED", "the query was cancelled"));
    }
  }

  /**
   * While all processors are busy a query on one thread only leaves the others their share. It is when there are fewer queries
   * than threads that one which was taken for small, and is not, waits for nothing.
   */
  #tick(): void {
    const isIdle = this.#queries.size < this.#threads;
    for (const query of this.#queries) {
      Atomics.store(this.#progress, query.slot, query.progress);
      if (isIdle && query.mayMove && query.elapsedMs > limits.oneThreadMsMax) query.move();
    }
  }
}

export class RunningQuery {
  readonly slot: number;
  readonly mayMove: boolean;
  readonly #startMs = performance.now();
  readonly #connection: DuckDBConnection;
  readonly #onEnd: (query: RunningQuery) => void;
  readonly #timeout: CoarseTimeout;
  #again: NodeJS.Timeout | undefined;
  #reason: MiniodbError | undefined;
  #isMoved = false;

  constructor({ slot, connection, timeoutMs, mayMove }: QueryStart, onEnd: (query: RunningQuery) => void) {
    this.slot = slot;
    this.mayMove = mayMove;
    this.#connection = connection;
    this.#onEnd = onEnd;
    this.#timeout = new CoarseTimeout(timeoutMs, () => this.stop(queryTimeout(timeoutMs)));
  }

  get elapsedMs(): number {
    return performance.now() - this.#startMs;
  }

  /** DuckDB's estimate for the statement that runs now, in hundredths of a percent. */
  get progress(): number {
    const { percentage } = this.#connection.progress;
    return percentage < 0 ? progressUnknown : Math.min(10_000, Math.round(percentage * 100));
  }

  /** Why the query was stopped; undefined while it was not. The first reason stays. */
  get reason(): MiniodbError | undefined {
    return this.#reason;
  }

  /** It was stopped to begin anew with all threads, and by nothing else before that. */
  get isMoved(): boolean {
    return this.#isMoved;
  }

  /** Stops it; whoever runs it begins it anew with all threads. */
  move(): void {
    if (this.#reason !== undefined) return;
    this.#isMoved = true;
    this.stop(new MiniodbError("INTERNAL", "the query begins anew with all threads"));
  }

  /** Interrupts DuckDB; the query's next `checkpoint` throws the reason. */
  stop(reason: MiniodbError): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#connection.interrupt();
    this.#again = setInterval(() => this.#connection.interrupt(), interruptAgainMs);
  }

  /** Throws the reason when the query was stopped. */
  checkpoint(): void {
    if (this.#reason !== undefined) throw this.#reason;
  }

  end(): void {
    this.#timeout.clear();
    clearInterval(this.#again);
    this.#onEnd(this);
  }
}

function queryTimeout(timeoutMs: number): MiniodbError {
  return new MiniodbError("QUERY_TIMEOUT", `the query ran longer than ${Math.ceil(timeoutMs)} ms`, {
    timeoutMs: Math.ceil(timeoutMs),
  });
}
