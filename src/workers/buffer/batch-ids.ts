import type { BatchEntry } from "../../shared/formats/wal-batches-v1.js";

/** A batch id and the account of its request, which a repeat gets again. */
export interface RememberedBatch {
  readonly entry: BatchEntry;
  /** Of the last row it brought. */
  readonly lastSequence: number;
  /** In this worker's log: durable once the WAL thread has let this many completions out. */
  readonly logPosition: number;
}

export interface BatchIdLimits {
  readonly windowMs: number;
  readonly countMax: number;
}

/**
 * The batch ids of one table, oldest first. Kept for a window of time and a number of ids, whichever ends first;
 * across restarts they come back from the WAL's records and its digest files.
 */
export class BatchIds {
  readonly #batches = new Map<string, RememberedBatch>();
  readonly #limits: BatchIdLimits;

  constructor(limits: BatchIdLimits) {
    this.#limits = limits;
  }

  get count(): number {
    return this.#batches.size;
  }

  /** By `principal NUL batch id`. */
  find(key: string, nowMs: number): RememberedBatch | undefined {
    const batch = this.#batches.get(key);
    if (batch === undefined || nowMs - batch.entry.createdMs > this.#limits.windowMs) return undefined;
    return batch;
  }

  /** A Map keeps insertion order, so the oldest are the first to go. */
  remember(batch: RememberedBatch): void {
    const { key, createdMs } = batch.entry;
    this.#batches.delete(key);
    this.#batches.set(key, batch);
    this.#evict(createdMs);
  }

  #evict(nowMs: number): void {
    for (const [key, { entry }] of this.#batches) {
      const isExpired = nowMs - entry.createdMs > this.#limits.windowMs;
      if (!isExpired && this.#batches.size <= this.#limits.countMax) return;
      this.#batches.delete(key);
    }
  }
}
