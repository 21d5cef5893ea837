import { CoarseTimeout } from "../../shared/coarse-timeout.js";
import { MiniodbError } from "../../shared/errors.js";
import { type CancelSignal, Canceller } from "./cancel-signal.js";

/** How far a query is: DuckDB's parser, its tables' files, the line for a slot, DuckDB. */
export type QueryStage = "parsing" | "preparing" | "waiting" | "running";

/** What a query came to for its caller. */
export interface QueryEnd {
  readonly error?: unknown;
  readonly rows?: number;
  readonly elapsedMs: number;
}

export interface QueryRunOptions {
  /** Of no other query under way. */
  readonly id: string;
  readonly sql: string;
  readonly timeoutMs: number;
  /** Aborts the query, as when its client has gone. */
  readonly signal: CancelSignal | undefined;
  readonly onOver: (run: QueryRun) => void;
}

/**
 * One admitted query: its deadline, what may abort it, and what still works for it. A query is over when its caller has
 * left and all its work has ended, so that an aborted query counts against the limits while a worker is busy with it.
 */
export class QueryRun {
  readonly id: string;
  readonly sql: string;
  readonly timeoutMs: number;
  /** By the monotonic clock of performance.now(). */
  readonly startMs: number;
  stage: QueryStage = "parsing";
  /** The slot that it runs in; null before and after. */
  slot: number | null = null;
  /** Spent in the line for a slot. */
  waitedMs = 0;
  /** DuckDB's plan, where the worker found the query slow. */
  plan: string | null = null;
  /** Null until its caller has left. */
  end: QueryEnd | null = null;
  readonly #canceller = new Canceller();
  readonly #timeout: CoarseTimeout;
  readonly #outer: CancelSignal | undefined;
  readonly #onOver: (run: QueryRun) => void;
  /** The caller, and each piece of work. */
  #holds = 1;

  constructor(options: QueryRunOptions) {
    const { timeoutMs } = options;
    this.id = options.id;
    this.sql = options.sql;
    this.timeoutMs = timeoutMs;
    this.startMs = performance.now();
    this.#onOver = options.onOver;
    this.#outer = options.signal;
    this.#timeout = new CoarseTimeout(timeoutMs, () => {
      this.abort(new MiniodbError("QUERY_TIMEOUT", `the query ran longer than ${timeoutMs} ms`, { timeoutMs }));
    });
    this.#outer?.addEventListener("abort", this.#onOuterAbort, { once: true });
    if (this.#outer?.aborted === true) this.#onOuterAbort();
  }

  get signal(): CancelSignal {
    return this.#canceller;
  }

  get elapsedMs(): number {
    return performance.now() - this.startMs;
  }

  /** At least 1. */
  get remainingMs(): number {
    return Math.max(1, this.timeoutMs - this.elapsedMs);
  }

  abort(reason: MiniodbError): void {
    this.#canceller.abort(reason);
  }

  /**
   * The work's result, or the reason as soon as the query is aborted. `onEnd` runs when the work has ended, before its
   * result is handed on, and gets the result where there is one.
   */
  track<Result>(work: Promise<Result>, onEnd: (result?: Result) => void): Promise<Result> {
    const { signal } = this;
    this.#holds++;
    return new Promise((resolve, reject) => {
      const onAbort = (): void => reject(signal.reason);
      signal.addEventListener("abort", onAbort, { once: true });
      if (signal.aborted) onAbort();
      const end = (result?: Result): void => {
        signal.removeEventListener("abort", onAbort);
        onEnd(result);
        this.#drop();
      };
      work.then(
        (result) => {
          end(result);
          resolve(result);
        },
        (error: unknown) => {
          end();
          reject(error instanceof MiniodbError ? error : brokenOff(error));
        },
      );
    });
  }

  /** The caller has its answer. */
  leave(): void {
    this.#timeout.clear();
    this.#outer?.removeEventListener("abort", this.#onOuterAbort);
    this.#drop();
  }

  #drop(): void {
    this.#holds--;
    if (this.#holds === 0) this.#onOver(this);
  }

  readonly #onOuterAbort = (): void => {
    const reason: unknown = this.#outer?.reason;
    this.abort(
      reason instanceof MiniodbError ? reason : new MiniodbError("QUERY_CANCELLED", "the query was cancelled"),
    );
  };
}

/** A worker that died, or a mistake in it: not the client's fault, and not one that it can tell apart. */
function brokenOff(error: unknown): MiniodbError {
  const message = error instanceof Error ? error.message : String(error);
  return new MiniodbError("INTERNAL", `the query worker broke off: ${message}`, {}, error);
}
