import { MiniodbError } from "../../shared/errors.js";
import { limits } from "../../shared/limits.js";
import type { ReplayGap } from "../../shared/messages.js";
import { parseToken } from "../../shared/sequence-token.js";
import type { RecordBroker } from "../catalog/record-broker.js";
import type { TableEntry } from "../catalog/table-entry.js";
import type { TableRegistry } from "../catalog/table-registry.js";
import type { PersistPool } from "../lifecycle/persist-pool.js";
import { LiveFolder } from "./live-folder.js";
import { LiveTail } from "./live-tail.js";
import type { SequenceGap } from "./plan-deltas.js";

export interface LiveLimits {
  readonly intervalMs: number;
  readonly retainBytes: number;
  readonly retainMs: number;
}

export interface LiveTailsOptions {
  readonly limits: LiveLimits;
  readonly registry: TableRegistry;
  readonly records: RecordBroker;
  readonly pool: PersistPool;
  /** `<data>/live`. */
  readonly folder: string;
  /** Uuid of this node's log. */
  readonly stream: string;
  readonly onError: (message: string, error: unknown) => void;
}

/** Where a subscription begins. */
export interface TailPlace {
  readonly tail: LiveTail;
  readonly position: number;
}

/** Looks for a place again, when what it rested on went meanwhile. */
const attemptsMax = 5;
const trimIntervalMs = 1_000;

/**
 * The tails of this node: a table has one from its first live query on, until a while after its last. Tables without
 * live queries cost nothing: their rows are sealed and flushed as if there were none.
 *
 * ```
 * acknowledged rows ─▶ wake ─▶ tail takes them from the owner ─▶ delta (a file each) ─▶ subscriptions read it
 *                               before a flush commits them: the owner forgets them    └▶ trimmed by age and bytes
 * ```
 * One timer for all, as the bound on bytes is that of all tails together.
 */
export class LiveTails {
  readonly #options: LiveTailsOptions;
  readonly #folder: LiveFolder;
  readonly #tails = new Map<TableEntry, LiveTail>();
  readonly #gaps = new Map<string, SequenceGap[]>();
  /** Told when a tail ends, with its reason: the subscriptions on it end too. */
  #onEnded: (tail: LiveTail, error: MiniodbError) => void = () => {};
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;
  /** A worker that is ready first may report a full table before the others have replayed theirs. */
  readonly #started: Promise<void>;
  #onStarted: () => void = () => {};

  constructor(options: LiveTailsOptions) {
    this.#options = options;
    this.#folder = new LiveFolder(options.folder, options.stream);
    this.#started = new Promise((resolve) => {
      this.#onStarted = resolve;
    });
  }

  whenEnded(onEnded: (tail: LiveTail, error: MiniodbError) => void): void {
    this.#onEnded = onEnded;
  }

  /** On disk, of all deltas. */
  get bytes(): number {
    let bytes = 0;
    for (const tail of this.#tails.values()) bytes += tail.bytes;
    return bytes;
  }

  get count(): number {
    return this.#tails.size;
  }

  /** What the log has lost, as its replay said. */
  noteGaps(gaps: readonly ReplayGap[]): void {
    for (const { tableUuid, ...gap } of gaps) this.#gaps.set(tableUuid, [...(this.#gaps.get(tableUuid) ?? []), gap]);
  }

  /** After the replay, before the first flush: tables that had a tail have one again, for clients that come back. */
  start(): void {
    const { registry } = this.#options;
    for (const [uuid, deltas] of this.#folder.recover()) {
      const entry = registry.byUuid(uuid);
      if (entry === undefined) {
        for (const { segment } of deltas) segment.release();
        this.#folder.forget(uuid);
      } else this.#open(entry, entry.flushedSequence).adopt(deltas);
    }
    this.#timer = setInterval(() => this.#trim(Date.now()), trimIntervalMs);
    this.#onStarted();
  }

  /** Rows were acknowledged. */
  onProgress(): void {
    for (const tail of this.#tails.values()) tail.wake();
  }

  /** Before a flush commits rows up to `sequence`: whoever reads them live must have them apart, as the owner forgets them. */
  async beforeCommit(entry: TableEntry, sequence: number): Promise<void> {
    await this.#started;
    await this.#tails.get(entry)?.reach(sequence);
  }

  /** Who follows it is told, rather than left to wait for rows that cannot come. */
  onDropped(entry: TableEntry): void {
    const tail = this.#tails.get(entry);
    if (tail !== undefined) this.#end(tail, new MiniodbError("TABLE_NOT_FOUND", `Table ${entry.name} was dropped`));
  }

  /** Columns that only the owner knows of so far become known here. */
  async learnSchema(entry: TableEntry): Promise<void> {
    const { ackedSequence } = entry;
    const nothing = { afterSequence: ackedSequence, throughSequence: ackedSequence, purpose: "live" } as const;
    const taken = await this.#options.records.take(entry, nothing);
    taken.release();
    entry.noteSchema(taken.schema);
  }

  /**
   * Where to begin for `from`: a token, or null for now (behind every row that was durable when this was called).
   * Rejects with INVALID_REQUEST for a text that is no token, SEQUENCE_EXPIRED with the oldest token that can be had.
   */
  async place(entry: TableEntry, from: string | null): Promise<TailPlace> {
    if (from === null) return this.#placeNow(entry);
    const sequence = this.#sequenceOf(entry, from);
    for (let attempt = 1; attempt <= attemptsMax; attempt++) {
      this.#check(entry);
      const wanted = Math.min(sequence, entry.ackedSequence);
      const tail = this.#tails.get(entry) ?? this.#openIfHeld(entry, wanted);
      if (tail !== undefined && tail.oldest <= wanted) return { tail, position: wanted };
      if (tail === undefined || wanted < entry.flushedSequence) throw this.#expired(entry, tail?.oldest);
      await tail.reachBack(wanted);
    }
    throw new MiniodbError("SERVER_BUSY", "The rows after the token are being moved");
  }

  /** Ends every tail, but leaves its deltas for the next process. After the last flush: one that commits needs its tail. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearInterval(this.#timer);
    const tails = [...this.#tails.values()];
    for (const tail of tails) tail.stop();
    await Promise.all(tails.map((tail) => tail.settled()));
  }

  async #placeNow(entry: TableEntry): Promise<TailPlace> {
    const known = this.#tails.get(entry);
    if (known === undefined) {
      // The owner's answer says how far the log is; a tail that begins there misses nothing: see `LiveTail`.
      const { records } = this.#options;
      const afterSequence = entry.flushedSequence;
      const taken = await records.take(entry, { afterSequence, throughSequence: null, purpose: "live" });
      taken.release();
      this.#check(entry);
      const position = Math.max(taken.lastSequence, entry.flushedSequence);
      const tail = this.#tails.get(entry) ?? this.#open(entry, position);
      return { tail, position: Math.max(position, tail.oldest) };
    }
    await known.take();
    this.#check(entry);
    return known.isClosed ? this.#placeNow(entry) : { tail: known, position: known.position };
  }

  /** After each pause: the table, or the server, may be gone meanwhile. */
  #check(entry: TableEntry): void {
    if (this.#isStopped) throw new MiniodbError("SHUTTING_DOWN", "The server is shutting down");
    if (entry.isDropped) throw new MiniodbError("TABLE_NOT_FOUND", `Table ${entry.name} was dropped`);
  }

  #sequenceOf(entry: TableEntry, token: string): number {
    let parsed;
    try {
      parsed = parseToken(token);
    } catch (error) {
      const message = 'from is neither "now" nor a token of this table';
      throw new MiniodbError("INVALID_REQUEST", message, { field: "from" }, error);
    }
    const { stream, tableUuid, sequence } = parsed;
    if (stream === entry.stream && tableUuid === entry.identity.uuid) return sequence;
    // The table was dropped and made anew since, or its log was: what came after the token is not here.
    throw this.#expired(entry, this.#tails.get(entry)?.oldest);
  }

  /** The oldest token that works goes along, so that the client can choose between a gap and a query of its own. */
  #expired(entry: TableEntry, oldest: number | undefined): MiniodbError {
    const first = Math.min(oldest ?? entry.flushedSequence, entry.flushedSequence);
    return new MiniodbError("SEQUENCE_EXPIRED", "The rows after this token are not kept one by one any more", {
      oldest: entry.tokenPrefix + first.toString(36),
    });
  }

  /** A new tail, where the owner still holds all after `position`; its first take is asked for in the same turn. */
  #openIfHeld(entry: TableEntry, position: number): LiveTail | undefined {
    if (position < entry.flushedSequence) return undefined;
    const tail = this.#open(entry, position);
    void tail.take();
    return tail;
  }

  /** Marked on disk before it has a delta: a restart opens it again, for clients that come back with a token. */
  #open(entry: TableEntry, position: number): LiveTail {
    const { records, pool, limits: live } = this.#options;
    const { uuid } = entry.identity;
    const options = {
      records,
      pool,
      folder: this.#folder,
      intervalMs: live.intervalMs,
      gaps: () => this.#gaps.get(uuid) ?? [],
      onBroken: (tail: LiveTail, error: MiniodbError) => {
        this.#options.onError(`following ${entry.name} for live queries`, error);
        this.#end(tail, error);
      },
    };
    const tail = new LiveTail(entry, options, position);
    this.#folder.mark(uuid);
    this.#tails.set(entry, tail);
    return tail;
  }

  /** Out of the map first: a subscription that begins again at once gets a new tail. */
  #end(tail: LiveTail, error: MiniodbError): void {
    if (this.#tails.get(tail.entry) === tail) this.#tails.delete(tail.entry);
    tail.close();
    this.#folder.forget(tail.entry.identity.uuid);
    this.#onEnded(tail, error);
  }

  /** Lets go of what is too old or too much, and of tails that nobody has read for long. */
  #trim(nowMs: number): void {
    const { retainMs, retainBytes } = this.#options.limits;
    for (const tail of this.#tails.values()) {
      if (tail.readers.size > 0) tail.idleSinceMs = nowMs;
      if (nowMs - tail.idleSinceMs > retainMs) {
        this.#end(tail, new MiniodbError("INTERNAL", "nobody reads a tail that ends for want of readers"));
        continue;
      }
      while ((tail.deltas[0]?.createdMs ?? nowMs) < nowMs - retainMs) tail.dropOldest();
      while (tail.deltas.length > limits.liveDeltasMax) tail.dropOldest();
    }
    // Over all tables the oldest goes first: a token lasts about as long, whichever table it is of.
    for (let bytes = this.bytes; bytes > retainBytes;) {
      const oldest = this.#tailOfOldestDelta();
      if (oldest === undefined) return;
      bytes -= oldest.deltas[0]?.segment.bytes ?? 0;
      oldest.dropOldest();
    }
  }

  /** The first delta of each tail is its oldest. Linear in the tails, of which there are as many as tables with readers. */
  #tailOfOldestDelta(): LiveTail | undefined {
    let oldest: LiveTail | undefined;
    for (const tail of this.#tails.values()) {
      const createdMs = tail.deltas[0]?.createdMs;
      if (createdMs !== undefined && createdMs < (oldest?.deltas[0]?.createdMs ?? Infinity)) oldest = tail;
    }
    return oldest;
  }
}
