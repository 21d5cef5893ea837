import { assert } from "../../shared/assert.js";
import { hasSequences, type RecordHeader } from "../../shared/formats/wal-record-v1.js";

/** What one segment holds of one table. */
interface TableInSegment {
  /** The highest sequence that must be in the store before this segment may go. */
  lastSequence: number;
  /** Of all its records here, flushed ones included. */
  bytes: number;
}

export interface IndexedSegment {
  readonly number: number;
  readonly path: string;
  /** Size of the file. */
  bytes: number;
  /** Where its records end. */
  end: number;
  readonly tables: Map<string, TableInSegment>;
  hasBatches: boolean;
  /** Its needed records stand in a later segment too. */
  isCopied: boolean;
  /** A write or sync of it failed: the file is never used again. */
  isFailed: boolean;
}

/** Which segment is needed by whom. Kept in memory, rebuilt by reading the log at start. */
export class WalIndex {
  readonly #segments = new Map<number, IndexedSegment>();
  readonly #flushed = new Map<string, number>();
  readonly #dropped = new Set<string>();
  #bytes = 0;

  /** File sizes of all segments. */
  get bytes(): number {
    return this.#bytes;
  }

  get count(): number {
    return this.#segments.size;
  }

  /** Oldest first. */
  segments(): IterableIterator<IndexedSegment> {
    return this.#segments.values();
  }

  segment(number: number): IndexedSegment | undefined {
    return this.#segments.get(number);
  }

  addSegment(number: number, path: string, bytes: number): IndexedSegment {
    assert(!this.#segments.has(number), "a segment number is used once");
    const segment: IndexedSegment = {
      number,
      path,
      bytes,
      end: 0,
      tables: new Map(),
      hasBatches: false,
      isCopied: false,
      isFailed: false,
    };
    this.#segments.set(number, segment);
    this.#bytes += bytes;
    return segment;
  }

  removeSegment(number: number): void {
    const segment = this.#segments.get(number);
    assert(segment !== undefined, "only a known segment is removed");
    this.#segments.delete(number);
    this.#bytes -= segment.bytes;
  }

  resizeSegment(segment: IndexedSegment, bytes: number): void {
    this.#bytes += bytes - segment.bytes;
    segment.bytes = bytes;
  }

  /** Notes a record that is durable in the segment. */
  addRecord(segment: IndexedSegment, header: RecordHeader): void {
    // A schema is kept until the first row that needs it is in the store, and the schema with it.
    const last = hasSequences(header.kind) ? header.firstSequence + header.rowCount - 1 : header.firstSequence;
    const known = segment.tables.get(header.tableUuid);
    if (known === undefined) {
      segment.tables.set(header.tableUuid, { lastSequence: last, bytes: header.length });
    } else {
      known.lastSequence = Math.max(known.lastSequence, last);
      known.bytes += header.length;
    }
    if (hasSequences(header.kind) && header.batchCount > 0) segment.hasBatches = true;
  }

  /** A commit of the catalog covers the table up to this sequence. */
  noteFlushed(uuid: string, sequence: number): void {
    if (sequence > this.flushedSequence(uuid)) this.#flushed.set(uuid, sequence);
  }

  noteDropped(uuid: string): void {
    // For the life of the process: a record that was under way may still arrive.
    this.#dropped.add(uuid);
  }

  /** True while a segment has records of the table, needed or not. */
  holds(uuid: string): boolean {
    for (const segment of this.#segments.values()) if (segment.tables.has(uuid)) return true;
    return false;
  }

  /** Of all tables that have records here and were not dropped. */
  tables(): Set<string> {
    const uuids = new Set<string>();
    for (const { tables } of this.#segments.values()) for (const uuid of tables.keys()) uuids.add(uuid);
    for (const uuid of this.#dropped) uuids.delete(uuid);
    return uuids;
  }

  flushedSequence(uuid: string): number {
    return this.#flushed.get(uuid) ?? 0;
  }

  isDropped(uuid: string): boolean {
    return this.#dropped.has(uuid);
  }

  /** True while the log must keep the table's record. */
  isNeeded(header: RecordHeader): boolean {
    const { tableUuid, firstSequence, rowCount } = header;
    if (this.#dropped.has(tableUuid)) return false;
    const last = hasSequences(header.kind) ? firstSequence + rowCount - 1 : firstSequence;
    return last > this.flushedSequence(tableUuid);
  }

  /** Tables that keep the segment from being trimmed, with an upper bound of the bytes that they need in it. */
  pinsOf(segment: IndexedSegment): { readonly uuids: string[]; readonly bytes: number } {
    const uuids: string[] = [];
    let bytes = 0;
    if (segment.isCopied) return { uuids, bytes };
    for (const [uuid, table] of segment.tables) {
      if (this.#dropped.has(uuid) || table.lastSequence <= this.flushedSequence(uuid)) continue;
      uuids.push(uuid);
      bytes += table.bytes;
    }
    return { uuids, bytes };
  }

  /** A table that keeps the oldest segment from being trimmed. */
  oldestPin(): string | undefined {
    for (const segment of this.#segments.values()) {
      const pin = this.pinsOf(segment).uuids[0];
      if (pin !== undefined) return pin;
    }
    return undefined;
  }
}
