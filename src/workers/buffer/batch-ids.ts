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
  /** Characters of the row errors in the remembered accounts. */
  readonly errorsMax: number;
}

/**
 * The batch ids of one worker's tables, oldest first. Kept for a window of time and a number of ids, whichever ends first;
 * across restarts they come back from the WAL's records and its digest files. Those of a dropped table stay until then.
 *
 * An account with the errors of a hundred rows has ten kilobytes, and a client that sends such batches all day would fill
 * the thread's heap with them, again after each restart. So their errors are bounded together: the oldest accounts keep
 * their counts, and lose the list.
 */
export class BatchIds {
  readonly #batches = new Map<string, RememberedBatch>();
  readonly #limits: BatchIdLimits;
  #errors = 0;

  constructor(limits: BatchIdLimits) {
    this.#limits = limits;
  }

  get count(): number {
    return this.#batches.size;
  }

  /** By the table's slot and `principal NUL batch id`. */
  find(slot: number, key: string, nowMs: number): RememberedBatch | undefined {
    const batch = this.#batches.get(nameOf(slot, key));
    if (batch === undefined || nowMs - batch.entry.createdMs > this.#limits.windowMs) return undefined;
    return batch;
  }

  /** A Map keeps insertion order, so the oldest are the first to go. */
  remember(slot: number, batch: RememberedBatch): void {
    const { key, createdMs, errorsJson } = batch.entry;
    const name = nameOf(slot, key);
    this.#forget(name);
    this.#batches.set(name, batch);
    this.#errors += errorsJson.length;
    this.#evict(createdMs);
    if (this.#errors > this.#limits.errorsMax) this.#dropErrors();
  }

  #evict(nowMs: number): void {
    for (const [name, { entry }] of this.#batches) {
      const isExpired = nowMs - entry.createdMs > this.#limits.windowMs;
      if (!isExpired && this.#batches.size <= this.#limits.countMax) return;
      this.#forget(name);
    }
  }

  #forget(name: string): void {
    this.#errors -= this.#batches.get(name)?.entry.errorsJson.length ?? 0;
    this.#batches.delete(name);
  }

  /** Down to half, so that the way to the oldest that has some is not gone for every batch. */
  #dropErrors(): void {
    for (const [name, batch] of this.#batches) {
      if (this.#errors <= this.#limits.errorsMax / 2) return;
      const { length } = batch.entry.errorsJson;
      if (length === 0) continue;
      this.#errors -= length;
      this.#batches.set(name, { ...batch, entry: { ...batch.entry, errorsJson: "" } });
    }
  }
}

function nameOf(slot: number, key: string): string {
  return `${slot} ${key}`;
}
