import type { DuckDBConnection } from "@duckdb/node-api";
import { BroadcastChannel } from "node:worker_threads";
import { CoarseTimeout } from "../../shared/coarse-timeout.js";
import { MiniodbError } from "../../shared/errors.js";
import { progressUnknown } from "../../shared/query-messages.js";

/** DuckDB forgets an interrupt that comes between two statements, so that it is said again until the query ends. */
const interruptAgainMs = 20;
/** How often the progress of running queries is written where main reads it. */
const progressMs = 100;

export interface QueryWords {
  readonly cancelWords: SharedArrayBuffer;
  readonly cancelChannel: string;
  readonly progressWords: SharedArrayBuffer;
}

/**
 * The queries of this worker that can be stopped: by their time limit, by main, or by a limit of the result.
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

  constructor(words: QueryWords) {
    this.#cancelled = new Int32Array(words.cancelWords);
    this.#progress = new Int32Array(words.progressWords);
    this.#channel = new BroadcastChannel(words.cancelChannel);
    this.#channel.addEventListener("message", () => this.#stopCancelled());
    // Neither must keep a worker alive that the pool lets go.
    this.#channel.unref();
    this.#ticks = setInterval(() => this.#noteProgress(), progressMs).unref();
  }

  /** Interrupts every query. */
  stopAll(reason: MiniodbError): void {
    for (const query of this.#queries) query.stop(reason);
  }

  close(): void {
    clearInterval(this.#ticks);
    this.#channel.close();
  }

  /** Call `end` on it when the query is over, whatever its end. */
  start(slot: number, connection: DuckDBConnection, timeoutMs: number): RunningQuery {
    const query = new RunningQuery(slot, connection, timeoutMs, (ended) => this.#queries.delete(ended));
    this.#queries.add(query);
    this.#stopCancelled();
    return query;
  }

  #stopCancelled(): void {
    for (const query of this.#queries) {
      if (Atomics.load(this.#cancelled, query.slot) === 0) continue;
      query.stop(new MiniodbError("QUERY_CANCELLED", "the query was cancelled"));
    }
  }

  #noteProgress(): void {
    for (const query of this.#queries) Atomics.store(this.#progress, query.slot, query.progress);
  }
}

export class RunningQuery {
  readonly slot: number;
  readonly #startMs = performance.now();
  readonly #connection: DuckDBConnection;
  readonly #onEnd: (query: RunningQuery) => void;
  readonly #timeout: CoarseTimeout;
  #again: NodeJS.Timeout | undefined;
  #reason: MiniodbError | undefined;

  constructor(slot: number, connection: DuckDBConnection, timeoutMs: number, onEnd: (query: RunningQuery) => void) {
    this.slot = slot;
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
