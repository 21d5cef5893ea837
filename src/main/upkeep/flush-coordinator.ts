import { MiniodbError } from "../../shared/errors.js";
import type { RecordBroker, TakenRecords } from "../catalog/record-broker.js";
import type { TableEntry } from "../catalog/table-entry.js";
import type { PersistPool } from "../lifecycle/persist-pool.js";

export interface FlushLimits {
  readonly bytes: number;
  readonly rows: number;
  readonly intervalMs: number;
}

export interface FlushOptions {
  readonly limits: FlushLimits;
  readonly records: RecordBroker;
  readonly pool: PersistPool;
  /** A flush is about to commit rows up to here: the commit waits for it. */
  readonly beforeCommit: (entry: TableEntry, sequence: number) => Promise<void>;
  /** A commit covers the table up to here: owner and log may forget. `sequences` were not in the store before it. */
  readonly onFlushed: (entry: TableEntry, sequence: number, sequences: number) => void;
  readonly onError: (message: string, error: unknown) => void;
}

/** Pause after a failed flush of a table, doubling up to the maximum. */
const retryMs = 500;
const retryMsMax = 10_000;
/** Pause before a flush looks again whether the log holds what it waits for. */
const durableWaitMs = 5;
/** Longest wait of a flush for rows of durability `memory` that it has to have. */
const throughWaitMsMax = 3_000;

interface Waiter {
  readonly sequence: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

interface TableFlush {
  running: Promise<void> | null;
  failures: number;
  retryAtMs: number;
  waiters: Waiter[];
  /** Pieces of work that wait for the running flush to end, or run: no flush begins. */
  reservations: number;
}

/**
 * Decides when a table's buffered rows become files and commits: on size, on age, on demand. Single flight per table; a
 * failed flush is tried again for ever, with pauses, while the log keeps the rows.
 */
export class FlushCoordinator {
  readonly #options: FlushOptions;
  readonly #tables = new Map<TableEntry, TableFlush>();
  #stopped = false;

  constructor(options: FlushOptions) {
    this.#options = options;
  }

  /** Tables whose last flush failed: for health and metrics. */
  get failing(): number {
    let count = 0;
    for (const flush of this.#tables.values()) if (flush.failures > 0) count++;
    return count;
  }

  /** To be called with each report of a table's size, and about every second. */
  consider(entry: TableEntry, nowMs: number): void {
    if (this.#stopped || entry.bufferedRows === 0 || entry.isDropped) return;
    const { limits } = this.#options;
    const { settings } = entry.state;
    const isDue =
      entry.bufferedBytes >= (settings.flushBytes ?? limits.bytes) ||
      entry.bufferedRows >= (settings.flushRows ?? limits.rows) ||
      nowMs - entry.oldestMs >= (settings.flushIntervalMs ?? limits.intervalMs);
    const flush = this.#tableFlush(entry);
    if (isDue && nowMs >= flush.retryAtMs) this.#start(entry, flush);
  }

  /** Flushes a table that is not due, as its rows hold the room (of log or memory) that all tables share. */
  relieve(entry: TableEntry, nowMs: number): void {
    if (this.#stopped || entry.isDropped) return;
    const flush = this.#tableFlush(entry);
    if (nowMs >= flush.retryAtMs) this.#start(entry, flush);
  }

  /**
   * Resolves when a commit in the object store covers `sequence` of the table. Rejects with the error of the flush that
   * should have brought it there (the log still holds the rows, and flushing goes on), or TABLE_NOT_FOUND.
   */
  stored(entry: TableEntry, sequence: number): Promise<void> {
    if (entry.flushedSequence >= sequence) return Promise.resolve();
    if (this.#stopped) return Promise.reject(new MiniodbError("SHUTTING_DOWN", "The server is shutting down"));
    const flush = this.#tableFlush(entry);
    return new Promise((resolve, reject) => {
      flush.waiters.push({ sequence, resolve, reject });
      this.#start(entry, flush);
    });
  }

  /** Does the work while no flush of the table runs: rows that are acknowledged meanwhile stay in the buffer. */
  async exclusively<Result>(entry: TableEntry, work: () => Promise<Result>): Promise<Result> {
    const flush = this.#tableFlush(entry);
    flush.reservations++;
    try {
      await flush.running;
      return await work();
    } finally {
      flush.reservations--;
      if (flush.waiters.length > 0 && !this.#stopped && !entry.isDropped) this.#start(entry, flush);
    }
  }

  /**
   * Commits the rows up to `sequence`, which the table's flush boundary says too, and none after it. Only within
   * `exclusively`. Rejects as a flush fails; whether it was made is found out by the next flush. Rejects with COMMIT_CONFLICT
   * where the owner hands no such rows over: a column changed its type after them, and all rows up to there go together.
   */
  async flushThrough(entry: TableEntry, sequence: number): Promise<void> {
    if (entry.flushedSequence >= sequence) return;
    await this.#flushOnce(entry, this.#tableFlush(entry).failures > 0, sequence);
  }

  /** The store is back: tables that failed are tried again at once, and with short pauses. */
  retryNow(): void {
    for (const flush of this.#tables.values()) {
      flush.retryAtMs = 0;
      flush.failures = Math.min(flush.failures, 1);
    }
  }

  /** The table is gone: whoever waits for it hears so. */
  forget(entry: TableEntry): void {
    const flush = this.#tables.get(entry);
    this.#tables.delete(entry);
    const error = new MiniodbError("TABLE_NOT_FOUND", `Table ${entry.name} was dropped`);
    for (const waiter of flush?.waiters ?? []) waiter.reject(error);
  }

  /** Starts no more flushes, and waits for those that run. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.allSettled([...this.#tables.values()].map(async (flush) => flush.running));
  }

  #tableFlush(entry: TableEntry): TableFlush {
    let flush = this.#tables.get(entry);
    if (flush === undefined) {
      flush = { running: null, failures: 0, retryAtMs: 0, waiters: [], reservations: 0 };
      this.#tables.set(entry, flush);
    }
    return flush;
  }

  /** Unless one runs, or may not. */
  #start(entry: TableEntry, flush: TableFlush): void {
    if (flush.running !== null || flush.reservations > 0) return;
    flush.running = this.#flushOnce(entry, flush.failures > 0)
      .then(
        () => this.#succeeded(entry, flush),
        (error: unknown) => this.#failed(entry, flush, error),
      )
      .finally(() => {
        flush.running = null;
        const isWaitedFor = flush.waiters.length > 0 && flush.failures === 0;
        if (isWaitedFor && !this.#stopped && !entry.isDropped) this.#start(entry, flush);
      });
  }

  /** After a failure nobody knows whether the commit happened: the table's own position says. */
  async #recover(entry: TableEntry): Promise<void> {
    const state = await this.#options.pool.loadTable(entry.identity);
    const position = state.positions[entry.stream] ?? 0;
    const { flushedSequence } = entry;
    if (position <= flushedSequence || entry.isDropped) return;
    entry.adopt(state, position);
    this.#options.onFlushed(entry, position, position - flushedSequence);
  }

  async #flushOnce(entry: TableEntry, isRetry: boolean, throughSequence: number | null = null): Promise<void> {
    if (isRetry) await this.#recover(entry);
    const afterSequence = entry.flushedSequence;
    const taken = await this.#takeDurable(entry, afterSequence, throughSequence);
    // Its rows are found in the files that there are: a merge that began now would put them elsewhere.
    if (taken.isReplacing) entry.deletesUnderWay++;
    try {
      await this.#commit(entry, afterSequence, taken);
    } finally {
      if (taken.isReplacing) entry.deletesUnderWay--;
      taken.release();
    }
  }

  async #takeDurable(entry: TableEntry, afterSequence: number, throughSequence: number | null): Promise<TakenRecords> {
    const startMs = performance.now();
    for (;;) {
      const request = { afterSequence, throughSequence, purpose: "flush" } as const;
      const taken = await this.#options.records.take(entry, request);
      if (taken.lastSequence >= (throughSequence ?? entry.sealedSequence) || entry.isDropped) return taken;
      // Rows answered with durability `memory` may be in hot segments before the log holds them.
      taken.release();
      if (throughSequence !== null && performance.now() - startMs > throughWaitMsMax) {
        throw new MiniodbError(
          "COMMIT_CONFLICT",
          `Rows of ${entry.name} cannot be flushed up to ${throughSequence} alone`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, durableWaitMs));
    }
  }

  async #commit(entry: TableEntry, afterSequence: number, taken: TakenRecords): Promise<void> {
    const { pool, beforeCommit, onFlushed } = this.#options;
    const { slice, lastSequence, schema, isReplacing } = taken;
    if (lastSequence <= afterSequence) return;
    await beforeCommit(entry, lastSequence);
    entry.flushBoundary = lastSequence;
    entry.noteSchema(schema);
    const { identity, state, stream } = entry;
    const { settings } = state;
    const task = { identity, stream, afterSequence, lastSequence, schema, settings, slice };
    const searched = isReplacing ? state.files.flatMap((file) => [file, ...(file.deletes ?? [])]) : [];
    const commit = await pool.flush(task, searched);
    const committed = await pool.stateAfter(commit, () => entry.state);
    if (entry.isDropped) return;
    entry.adopt(committed, lastSequence);
    onFlushed(entry, lastSequence, lastSequence - afterSequence);
  }

  #succeeded(entry: TableEntry, flush: TableFlush): void {
    flush.failures = 0;
    flush.retryAtMs = 0;
    const done = flush.waiters.filter((waiter) => waiter.sequence <= entry.flushedSequence);
    flush.waiters = flush.waiters.filter((waiter) => waiter.sequence > entry.flushedSequence);
    for (const waiter of done) waiter.resolve();
  }

  #failed(entry: TableEntry, flush: TableFlush, error: unknown): void {
    flush.failures++;
    flush.retryAtMs = Date.now() + Math.min(retryMsMax, retryMs * 2 ** (flush.failures - 1));
    const { waiters } = flush;
    flush.waiters = [];
    for (const waiter of waiters) waiter.reject(error);
    if (!entry.isDropped) this.#options.onError(`flushing ${entry.name}`, error);
  }
}
