import { join } from "node:path";
import type { PersistPool } from "../lifecycle/persist-pool.js";
import { HotSegment } from "./hot-segment.js";
import { isOutdated, planMerge, planSeal, type SealLimits } from "./plan-seal.js";
import type { RecordBroker, TakenRecords } from "./record-broker.js";
import type { TableEntry } from "./table-entry.js";

export interface SealOptions {
  readonly limits: SealLimits;
  readonly hotFolder: string;
  readonly records: RecordBroker;
  /** A pool of its own, so that a query's seal never waits for a flush. */
  readonly pool: PersistPool;
  readonly onError: (message: string, error: unknown) => void;
}

/**
 * Makes acknowledged rows readable: encodes the unsealed end of a table's buffer into hot segments. Single flight per
 * table; whoever asks while a seal runs joins the next one, which begins after the question.
 */
export class SealCoordinator {
  readonly #options: SealOptions;
  readonly #running = new Map<TableEntry, Promise<void>>();
  readonly #next = new Map<TableEntry, Promise<void>>();
  readonly #merging = new Set<TableEntry>();
  #fileNumber = 0;

  constructor(options: SealOptions) {
    this.#options = options;
  }

  /** When it resolves, every row that was acknowledged at the time of the call is in a file. */
  async seal(entry: TableEntry): Promise<void> {
    if (entry.sealedSequence >= entry.ackedSequence) return;
    const running = this.#running.get(entry);
    if (running === undefined) return this.#start(entry);
    const queued = this.#next.get(entry);
    if (queued !== undefined) return queued;
    const next = running.then(
      () => this.#startQueued(entry),
      () => this.#startQueued(entry),
    );
    this.#next.set(entry, next);
    return next;
  }

  #startQueued(entry: TableEntry): Promise<void> {
    this.#next.delete(entry);
    return entry.sealedSequence >= entry.ackedSequence ? Promise.resolve() : this.#start(entry);
  }

  #start(entry: TableEntry): Promise<void> {
    const work = this.#sealOnce(entry).finally(() => {
      if (this.#running.get(entry) === work) this.#running.delete(entry);
    });
    this.#running.set(entry, work);
    return work;
  }

  async #sealOnce(entry: TableEntry): Promise<void> {
    const { limits, records } = this.#options;
    const afterSequence = planSeal(entry.hot, entry, limits);
    const taken = await records.take(entry, { afterSequence, throughSequence: null, purpose: "seal" });
    try {
      entry.noteSchema(taken.schema);
      if (isOutdated(entry.hot, taken.schema)) {
        // A column changed its type: everything unflushed is encoded again under the new schema.
        await this.#replace(entry, entry.flushedSequence, null);
        return;
      }
      await this.#install(entry, afterSequence, taken);
    } finally {
      taken.release();
    }
    this.#mergeLater(entry);
  }

  /** Encodes (after, through] anew, in place of the segments that lie there. */
  async #replace(entry: TableEntry, afterSequence: number, throughSequence: number | null): Promise<void> {
    const taken = await this.#options.records.take(entry, { afterSequence, throughSequence, purpose: "seal" });
    try {
      entry.noteSchema(taken.schema);
      await this.#install(entry, afterSequence, taken);
    } finally {
      taken.release();
    }
  }

  async #install(entry: TableEntry, askedAfter: number, taken: TakenRecords): Promise<void> {
    const { slice, lastSequence, schema } = taken;
    // A flush that was committed since the question has taken its rows out of the owner's buffer, and perhaps all.
    const afterSequence = Math.max(askedAfter, entry.flushedSequence);
    if (lastSequence <= afterSequence) return;
    const boundary = entry.flushBoundary;
    if (afterSequence < boundary && boundary < lastSequence) {
      // A flush took its rows between the plan and the answer: no segment may lie across its boundary.
      await this.#replace(entry, afterSequence, boundary);
      await this.#replace(entry, boundary, null);
      return;
    }
    const path = join(this.#options.hotFolder, `${entry.identity.uuid}-${++this.#fileNumber}.parquet`);
    const sealed = await this.#options.pool.seal({ slice, schema, afterSequence, lastSequence, path });
    const segment = new HotSegment({ path, schema, ...sealed });
    // Superfluous when a flush committed these rows meanwhile, or a seal under a new schema replaced the whole.
    if (entry.isDropped || afterSequence < entry.flushedSequence || !entry.fitsHot(segment)) segment.release();
    else entry.replaceHot(segment);
  }

  /** Few segments per table, as each costs a query about a third of a millisecond to open. */
  #mergeLater(entry: TableEntry): void {
    const plan = planMerge(entry.hot, entry, this.#options.limits);
    if (plan === null || this.#merging.has(entry)) return;
    this.#merging.add(entry);
    this.#replace(entry, plan.afterSequence, plan.throughSequence)
      .catch((error: unknown) => this.#options.onError(`merging hot segments of ${entry.name}`, error))
      .finally(() => this.#merging.delete(entry));
  }
}
