import { assert } from "../../shared/assert.js";
import type { Disk } from "../../shared/disk/disk.js";
import { failpoint } from "../../shared/failpoints.js";
import { parseRecordHeader, sealRecord, viewOf } from "../../shared/formats/wal-record-v1.js";
import { encodeSegmentHeader, segmentHeaderBytes } from "../../shared/formats/wal-segment-v1.js";
import type { WalTotals } from "../../shared/wal-messages.js";
import type { SpareSource } from "./spare-pool.js";
import { segmentPath, writeFully } from "./wal-folder.js";
import type { IndexedSegment, WalIndex } from "./wal-index.js";

export interface SegmentLogOptions {
  readonly disk: Disk;
  readonly folder: string;
  readonly stream: string;
  readonly segmentBytes: number;
  readonly spares: SpareSource;
  readonly index: WalIndex;
  readonly nowMs: () => number;
  /** The newest number that was ever used, and what is known of that segment. */
  readonly lastNumber: number;
  readonly previous: PreviousSegment;
}

/** What the next segment's header says of the one before it. */
export interface PreviousSegment {
  readonly number: number;
  readonly end: number;
}

/** The segment that is written now. Everything before `end` is durable. */
interface ActiveSegment {
  readonly entry: IndexedSegment;
  readonly fd: number;
  /** Bytes of records it takes, its first page included. */
  readonly capacity: number;
  readonly isPreallocated: boolean;
  /** Null once the first page is written. */
  headerPage: Uint8Array | null;
  end: number;
}

/**
 * The writing side of the log: one active segment, written group by group.
 *
 * Invariants:
 * - The name of a segment is durable before a record with its number is written: so no number can mean two files.
 * - A group is written only when everything before it in the segment is durable (`groupOffset` of the record format).
 * - After any failed call the segment is never written again; the group goes to a new one as a whole.
 */
export class SegmentLog {
  readonly #options: SegmentLogOptions;
  #active: ActiveSegment | undefined;
  #lastNumber: number;
  #previous: PreviousSegment;
  #writtenBytes = 0;
  #syncs = 0;

  constructor(options: SegmentLogOptions) {
    this.#options = options;
    this.#lastNumber = options.lastNumber;
    this.#previous = options.previous;
  }

  get totals(): WalTotals {
    return { writtenBytes: this.#writtenBytes, syncs: this.#syncs };
  }

  /** Commits of this process. */
  get syncs(): number {
    return this.#syncs;
  }

  /**
   * Writes records from `from` on, as many as the segment takes, and returns the index of the first that was left.
   * On return those before it are durable. Throws the disk's error: then none of them counts as written, and the
   * caller calls again with the same arguments, now or later.
   */
  append(records: readonly Uint8Array[], from: number): number {
    const first = records[from];
    assert(first !== undefined, "a group has a record");
    const active = this.#room(first.length);
    let to = from;
    let bytes = 0;
    for (; to < records.length; to++) {
      const { length } = records[to] as Uint8Array;
      if (active.end + bytes + length > active.capacity) break;
      bytes += length;
    }
    try {
      this.#writeGroup(active, records.slice(from, to));
    } catch (error) {
      this.#abandon(active);
      throw error;
    }
    active.end += bytes;
    this.#writtenBytes += bytes;
    this.#noteDurable(active, records.slice(from, to));
    return to;
  }

  /** Leaves the active segment, if there is one, so that the next group starts another. */
  rotate(): void {
    const active = this.#active;
    if (active === undefined) return;
    this.#active = undefined;
    this.#previous = { number: active.entry.number, end: active.end };
    // A file that was not preallocated is as long as what was written.
    this.#options.index.resizeSegment(active.entry, Math.max(active.end, this.#sizeOf(active)));
    this.#closeQuietly(active.fd);
  }

  /** The first group takes the segment's first page along: one sync for both. */
  #writeGroup(active: ActiveSegment, records: readonly Uint8Array[]): void {
    const { disk } = this.#options;
    for (const record of records) sealRecord(record, 0, active.entry.number, active.end);
    if (active.headerPage === null) writeFully(disk, active.fd, records, active.end);
    else writeFully(disk, active.fd, [active.headerPage, ...records], 0);
    failpoint("wal.group.written");
    disk.fdatasync(active.fd);
    failpoint("wal.group.synced");
    this.#syncs++;
    active.headerPage = null;
  }

  /** Only now may the index count on the records: upkeep trims by it. */
  #noteDurable(active: ActiveSegment, records: readonly Uint8Array[]): void {
    const { index } = this.#options;
    active.entry.end = active.end;
    for (const record of records) {
      const header = parseRecordHeader(viewOf(record), 0);
      assert(header !== undefined, "what was written was a record");
      index.addRecord(active.entry, header);
    }
    if (active.end > active.entry.bytes) index.resizeSegment(active.entry, active.end);
  }

  /** The active segment, or the next one where it has no room for `bytes`. */
  #room(bytes: number): ActiveSegment {
    const active = this.#active;
    if (active !== undefined) {
      // A file that grows costs a journal commit per sync: it is left for a spare as soon as there is one.
      const isOutdone = !active.isPreallocated && this.#options.spares.isReady;
      if (active.end + bytes <= active.capacity && !isOutdone) return active;
      this.rotate();
    }
    return this.#open(bytes);
  }

  /** A new active segment with room for a record of `bytes`, its name durable. A number whose attempt failed stays unused. */
  #open(bytes: number): ActiveSegment {
    const { disk, folder, segmentBytes, index, spares, stream, nowMs } = this.#options;
    const number = ++this.#lastNumber;
    const path = segmentPath(folder, number);
    const spare = segmentHeaderBytes + bytes <= segmentBytes ? spares.take() : undefined;
    let fd = -1;
    try {
      if (spare !== undefined) disk.rename(spare, path);
      fd = disk.open(path, spare === undefined ? "wx" : "r+");
      failpoint("wal.rotate.named");
      disk.syncFolder(folder);
      failpoint("wal.rotate.synced");
    } catch (error) {
      if (fd >= 0) this.#closeQuietly(fd);
      this.#removeQuietly(path);
      // Where the rename failed, the spare has its old name, which nobody knows any more.
      if (spare !== undefined) this.#removeQuietly(spare);
      throw error;
    }
    const { number: previousNumber, end: previousEnd } = this.#previous;
    const headerPage = encodeSegmentHeader({ number, previousNumber, stream, previousEnd, createdMs: nowMs() });
    this.#active = {
      entry: index.addSegment(number, path, spare === undefined ? 0 : segmentBytes),
      fd,
      capacity: Math.max(segmentBytes, segmentHeaderBytes + bytes),
      isPreallocated: spare !== undefined,
      headerPage,
      end: segmentHeaderBytes,
    };
    return this.#active;
  }

  /** The file failed: what is durable in it stays, nothing is added. A file that holds nothing goes. */
  #abandon(active: ActiveSegment): void {
    this.#active = undefined;
    this.#closeQuietly(active.fd);
    active.entry.isFailed = true;
    if (active.headerPage === null) {
      this.#previous = { number: active.entry.number, end: active.end };
      return;
    }
    this.#options.index.removeSegment(active.entry.number);
    this.#removeQuietly(active.entry.path);
  }

  #sizeOf(active: ActiveSegment): number {
    try {
      return this.#options.disk.size(active.fd);
    } catch {
      return active.end;
    }
  }

  /** All that counts in the file was synced before; an error of close has nothing to add. */
  #closeQuietly(fd: number): void {
    try {
      this.#options.disk.close(fd);
    } catch {
      // See above.
    }
  }

  /** If it stays, it is an unused number with nothing that counts in it. */
  #removeQuietly(path: string): void {
    try {
      this.#options.disk.unlink(path);
    } catch {
      // See above.
    }
  }
}
