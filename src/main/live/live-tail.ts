import { setTimeout as sleep } from "node:timers/promises";
import { assert } from "../../shared/assert.js";
import { MiniodbError } from "../../shared/errors.js";
import { limits } from "../../shared/limits.js";
import { HotSegment } from "../catalog/hot-segment.js";
import type { RecordBroker, TakenRecords } from "../catalog/record-broker.js";
import type { TableEntry } from "../catalog/table-entry.js";
import type { PersistPool } from "../lifecycle/persist-pool.js";
import type { LiveDelta, LiveFolder } from "./live-folder.js";
import { planDeltas, tombstoneGaps, type SequenceGap, type SequenceSpan } from "./plan-deltas.js";

export interface LiveTailOptions {
  readonly records: RecordBroker;
  /** The pool of what somebody waits for. */
  readonly pool: PersistPool;
  readonly folder: LiveFolder;
  /** Shortest time between the beginnings of two takes. */
  readonly intervalMs: number;
  /** Sequences of the table that damage took from the log. */
  readonly gaps: () => readonly SequenceGap[];
  /** The tail cannot go on; it has been closed. */
  readonly onBroken: (tail: LiveTail, error: MiniodbError) => void;
}

/** Who is told of new deltas, and of those that went before it had read them. */
export interface TailReader {
  /** Everything up to here has been read. */
  readonly position: number;
  /** Rows are on their way to it; false while it waits for its client. */
  readonly isReading: boolean;
  wake(): void;
}

/** Pause before a lost worker is asked again. */
const workerRetryMs = 100;
/** Rows with durability `memory` that the log does not hold yet are looked for again after twice as long each time. */
const durableWaitMsMax = 250;
/** Readers that do not keep up get fewer and larger deltas, down to one in so long. */
const intervalMsMax = 1_000;

/**
 * The durable rows of one table as they come, in deltas: small immutable Parquet files in sequence order, without
 * overlap, kept for a while for those who lag or resume.
 *
 * ```
 *           oldest                               position            acked
 *   gone      │ delta │ delta │ delta │ ... delta │ in the owner's      │
 *             │                                   │ buffer only         │
 * ```
 * Invariant: every durable row in (oldest, position] is in exactly one delta, and the owner still holds all after
 * position. A flush commits only up to `position` (see `reach`), so that neither the owner's forgetting nor a crash
 * right after the commit can open a hole.
 */
export class LiveTail {
  readonly entry: TableEntry;
  readonly readers = new Set<TailReader>();
  /** When the last reader left. */
  idleSinceMs = Date.now();
  readonly #options: LiveTailOptions;
  #deltas: LiveDelta[] = [];
  #bytes = 0;
  #oldest: number;
  #position: number;
  #taking: Promise<void> | null = null;
  #takenMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #durableWaitMs = 0;
  #isClosed = false;

  /** Rows after `position` must be in the owner's buffer, or in the deltas of a process before. */
  constructor(entry: TableEntry, options: LiveTailOptions, position: number) {
    this.entry = entry;
    this.#options = options;
    this.#oldest = position;
    this.#position = position;
  }

  /** Rows after this can be had. */
  get oldest(): number {
    return this.#oldest;
  }

  get position(): number {
    return this.#position;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Of all its deltas. */
  get bytes(): number {
    return this.#bytes;
  }

  get deltas(): readonly LiveDelta[] {
    return this.#deltas;
  }

  /** Takes over the newest deltas of the process before that follow each other; false when the table has moved on since. */
  adopt(recovered: readonly LiveDelta[]): boolean {
    const kept: LiveDelta[] = [];
    for (const delta of recovered.toReversed()) {
      const next = kept[0];
      if (next === undefined || delta.segment.lastSequence + 1 === next.segment.firstSequence) kept.unshift(delta);
      else delta.segment.release();
    }
    const first = kept[0];
    const last = kept.at(-1);
    if (first === undefined || last === undefined) return false;
    const { flushedSequence, ackedSequence } = this.entry;
    if (last.segment.lastSequence < flushedSequence || last.segment.lastSequence > ackedSequence) {
      for (const { segment } of kept) segment.release();
      return false;
    }
    this.#deltas = kept;
    this.#bytes = bytesOf(kept);
    this.#oldest = first.segment.firstSequence - 1;
    this.#position = last.segment.lastSequence;
    return true;
  }

  /** The first delta with rows after `sequence`. */
  deltaAfter(sequence: number): HotSegment | undefined {
    return this.#deltas[this.#indexAfter(sequence)]?.segment;
  }

  #indexAfter(sequence: number): number {
    let low = 0;
    let high = this.#deltas.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const delta = this.#deltas[middle];
      assert(delta !== undefined, "the search stays inside the deltas");
      if (delta.segment.lastSequence <= sequence) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Bytes of the deltas with rows after `sequence`. */
  bytesAfter(sequence: number): number {
    let bytes = 0;
    for (const { segment } of this.#deltas) if (segment.lastSequence > sequence) bytes += segment.bytes;
    return bytes;
  }

  /** Something was acknowledged somewhere: takes it soon, if it is of this table and somebody reads it. */
  wake(): void {
    if (this.#isClosed || this.#timer !== undefined || this.#taking !== null || this.readers.size === 0) return;
    if (this.entry.ackedSequence <= this.#position) return;
    const waitMs = this.#takenMs + Math.max(this.#intervalMs(), this.#durableWaitMs) - performance.now();
    if (waitMs <= 0) void this.take();
    else this.#timer = setTimeout(() => this.#onTimer(), waitMs);
  }

  /** Resolves when every row that was durable at the time of the call is in a delta; also when the tail is closed. */
  async take(): Promise<void> {
    // The take that runs may have asked before this call.
    if (this.#taking !== null) await this.#taking;
    if (this.#isClosed) return;
    this.#taking ??= this.#run();
    await this.#taking;
  }

  /** Resolves when the rows up to `sequence`, which are durable, are in deltas; also when the tail is closed. */
  async reach(sequence: number): Promise<void> {
    while (this.#position < sequence && !this.#isClosed) await this.take();
  }

  /** Takes rows before the oldest delta again, which the owner must still hold. */
  async reachBack(after: number): Promise<void> {
    const through = this.#oldest;
    // Asked in the same turn in which the caller looked, ahead of any word that lets the owner forget.
    const asking = this.#ask(after, through);
    const taken = await asking;
    const deltas: LiveDelta[] = [];
    try {
      await this.#seal(taken, { after, through: taken.lastSequence }, (delta) => deltas.push(delta));
    } finally {
      taken.release();
    }
    const isFitting = !this.#isClosed && this.#oldest === through && taken.lastSequence === through;
    if (!isFitting) {
      // Others went back at the same time, or the oldest deltas went meanwhile: the caller looks again.
      for (const { segment } of deltas) segment.release();
      return;
    }
    this.#deltas = [...deltas, ...this.#deltas];
    this.#bytes += bytesOf(deltas);
    this.#oldest = after;
  }

  /** Lets the oldest delta go. Who had not read it is told at once, as nothing else may happen that would wake it. */
  dropOldest(): void {
    const delta = this.#deltas.shift();
    if (delta === undefined) return;
    this.#oldest = delta.segment.lastSequence;
    this.#bytes -= delta.segment.bytes;
    delta.segment.release();
    for (const reader of this.readers) if (reader.position < this.#oldest) reader.wake();
  }

  /** Ends the tail and removes its deltas, but for those that are being read. */
  close(): void {
    if (this.#isClosed) return;
    this.stop();
    for (const { segment } of this.#deltas) segment.release();
    this.#deltas = [];
    this.#bytes = 0;
  }

  /** Ends the tail, but leaves its deltas for the next process. */
  stop(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  /** When what runs has ended. */
  async settled(): Promise<void> {
    await this.#taking;
  }

  /** Longer by as many deltas as the last of those who read has before it: a delta costs each filter a query. */
  #intervalMs(): number {
    let position = this.#position;
    for (const reader of this.readers) if (reader.isReading) position = Math.min(position, reader.position);
    const behind = this.#deltas.length - this.#indexAfter(position);
    return Math.min(this.#options.intervalMs * (1 + behind), Math.max(intervalMsMax, this.#options.intervalMs));
  }

  #onTimer(): void {
    this.#timer = undefined;
    if (!this.#isClosed) void this.take();
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    this.#takenMs = performance.now();
    try {
      await this.#takeOnce();
    } catch (error) {
      await this.#failed(error);
    } finally {
      this.#taking = null;
    }
    this.wake();
  }

  async #takeOnce(): Promise<void> {
    const after = this.#position;
    const taken = await this.#ask(after, null);
    try {
      if (this.#isClosed) return;
      const hasRows = taken.lastSequence > after;
      this.#durableWaitMs = hasRows ? 0 : Math.min(durableWaitMsMax, (this.#durableWaitMs || 1) * 2);
      if (!hasRows) return;
      await this.#seal(taken, { after, through: taken.lastSequence }, (delta) => this.#append(delta));
      // Sequences at the end may have been lost to damage: there is nothing of them to wait for.
      if (!this.#isClosed) this.#position = taken.lastSequence;
    } finally {
      taken.release();
    }
  }

  #append(delta: LiveDelta): void {
    if (this.#isClosed) {
      delta.segment.release();
      return;
    }
    this.#deltas.push(delta);
    this.#bytes += delta.segment.bytes;
    this.#position = delta.segment.lastSequence;
    for (const reader of this.readers) reader.wake();
  }

  async #ask(afterSequence: number, throughSequence: number | null): Promise<TakenRecords> {
    assert(afterSequence >= this.entry.flushedSequence, "the owner still holds what a tail asks for");
    const taken = await this.#options.records.take(this.entry, { afterSequence, throughSequence, purpose: "live" });
    this.entry.noteSchema(taken.schema);
    return taken;
  }

  async #seal(taken: TakenRecords, span: SequenceSpan, add: (delta: LiveDelta) => void): Promise<void> {
    const { pool, folder, gaps } = this.#options;
    const { slice, schema } = taken;
    this.entry.noteSchema(schema);
    const { uuid } = this.entry.identity;
    const lost = taken.isReplacing ? [...gaps(), ...tombstoneGaps(slice)] : gaps();
    for (const { after, through } of planDeltas(span, lost, limits.liveDeltaRowsMax)) {
      if (this.#isClosed) return;
      const path = folder.pathFor(uuid, schema, after, through);
      const sealed = await pool.seal({
        slice,
        schema,
        afterSequence: after,
        lastSequence: through,
        path,
        withReplaced: true,
      });
      assert(sealed.rows === through - after, "a delta has a row for each of its sequences");
      add({ segment: new HotSegment({ path, schema, ...sealed }), createdMs: Date.now() });
    }
  }

  async #failed(error: unknown): Promise<void> {
    if (this.#isClosed) return;
    const known = error instanceof MiniodbError ? error : new MiniodbError("INTERNAL", String(error), {}, error);
    if (known.code === "WORKER_LOST") {
      // The new worker has the rows back from the log.
      await sleep(workerRetryMs);
      return;
    }
    this.close();
    this.#options.onBroken(this, known);
  }
}

function bytesOf(deltas: readonly LiveDelta[]): number {
  return deltas.reduce((sum, { segment }) => sum + segment.bytes, 0);
}
