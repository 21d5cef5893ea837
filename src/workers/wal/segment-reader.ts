import { assert } from "../../shared/assert.js";
import type { Disk } from "../../shared/disk/disk.js";
import {
  parseRecordHeader,
  recordHeaderBytes,
  recordLengthAt,
  verifyRecord,
  viewOf,
  walRecordMagic,
  headerFields,
  type RecordHeader,
} from "../../shared/formats/wal-record-v1.js";
import { parseSegmentHeader, segmentHeaderBytes, type SegmentHeader } from "../../shared/formats/wal-segment-v1.js";
import type { NumberedFile } from "./wal-folder.js";

/** One whole, undamaged record of a segment. */
export interface SegmentRecord {
  readonly header: RecordHeader;
  /** The record is at [at, at + header.length); valid until the next call of `next`. */
  readonly bytes: Uint8Array;
  readonly at: number;
  /** In the file. */
  readonly offset: number;
}

export interface Damage {
  /**
   * `corrupt`: these bytes had been durable. `torn`: a part of the last commit group did not arrive; nobody was told
   * that it had.
   */
  readonly kind: "corrupt" | "torn";
  readonly segment: number;
  readonly offset: number;
  readonly length: number;
}

export interface SegmentReaderOptions {
  /** Where the records end, from the next segment's header, where there is one. */
  readonly knownEnd?: number | undefined;
  /** Bytes read at once. */
  readonly chunkBytes?: number;
}

const chunkBytesDefault = 4 * 1024 * 1024;
const pageBytes = 4096;

/**
 * Reads one segment from front to back. A torn tail ends it; damage in the middle is noted in `damage` and the
 * reading goes on at the next record whose checksum holds for this segment's number.
 */
export class SegmentReader {
  readonly number: number;
  /** Undefined where the first page is not a header of this segment (the crash came before its first sync). */
  readonly header: SegmentHeader | undefined;
  readonly damage: Damage[] = [];
  /** Size of the file. */
  readonly bytes: number;
  /** Where the records end; the writer's fact, or what the reading found. */
  end: number;
  readonly #disk: Disk;
  readonly #fd: number;
  readonly #limit: number;
  readonly #isEndKnown: boolean;
  #window: Uint8Array<ArrayBuffer>;
  #windowStart = 0;
  #windowLength = 0;
  #offset = segmentHeaderBytes;

  constructor(disk: Disk, file: NumberedFile, options: SegmentReaderOptions = {}) {
    const { knownEnd, chunkBytes = chunkBytesDefault } = options;
    this.number = file.number;
    this.#disk = disk;
    this.#window = new Uint8Array(chunkBytes);
    this.#fd = disk.open(file.path, "r");
    this.bytes = disk.size(this.#fd);
    this.#isEndKnown = knownEnd !== undefined;
    this.#limit = Math.min(this.bytes, knownEnd ?? this.bytes);
    this.end = segmentHeaderBytes;
    this.#load(0, Math.min(segmentHeaderBytes, this.bytes), this.bytes);
    this.header = parseSegmentHeader(
      this.#window.subarray(0, Math.min(this.#windowLength, segmentHeaderBytes)),
      file.number,
    );
  }

  close(): void {
    this.#disk.close(this.#fd);
  }

  /** The next record, or undefined at the end. */
  next(): SegmentRecord | undefined {
    for (;;) {
      const offset = this.#offset;
      const length = this.#validAt(offset);
      if (length > 0) {
        this.#offset = offset + length;
        this.end = this.#offset;
        return this.#recordAt(offset);
      }
      if (!this.#resynchronise(offset)) return undefined;
    }
  }

  #recordAt(offset: number): SegmentRecord {
    const at = offset - this.#windowStart;
    const header = parseRecordHeader(viewOf(this.#window), at);
    assert(header !== undefined && header.groupOffset <= offset, "a record's group starts at it or before it");
    return { header, bytes: this.#window, at, offset };
  }

  /** Length of the whole, undamaged record at `offset`, which is then in the window; 0 where there is none. */
  #validAt(offset: number): number {
    if (offset + recordHeaderBytes > this.#limit) return 0;
    this.#load(offset, recordHeaderBytes, this.#limit);
    const view = viewOf(this.#window);
    const at = offset - this.#windowStart;
    const length = recordLengthAt(view, at);
    if (length === 0 || offset + length > this.#limit) return 0;
    if (view.getUint32(at + headerFields.segment, true) !== this.number) return 0;
    this.#load(offset, length, this.#limit);
    return verifyRecord(this.#window, offset - this.#windowStart, this.number) ? length : 0;
  }

  /**
   * After an invalid record at `hole`: notes what it means and moves on; false at the segment's end.
   *
   * ```
   * end known       hole before it: corrupt up to the next valid record; hole at it: the end
   * end not known   a later group is there: the hole had been durable, so it is corrupt
   *                 only records of the hole's own group: torn; they go with it, as nobody was told of them
   *                 nothing valid: the end
   * ```
   * Dropping the rest of a torn group keeps the sequences of its tables without a gap.
   */
  #resynchronise(hole: number): boolean {
    if (this.#isEndKnown) {
      if (hole >= this.#limit) return false;
      const next = this.#findValid(hole + 8) ?? this.#limit;
      this.#note("corrupt", hole, next);
      this.#offset = next;
      this.end = next;
      return next < this.#limit;
    }
    // Only a later commit group proves that the bytes at the hole had been durable.
    const first = this.#findValid(hole + 8);
    let last = hole;
    for (let offset = first; offset !== undefined; offset = this.#findValid(last)) {
      if (this.#recordAt(offset).header.groupOffset > hole) {
        if (this.#isThereNow(hole)) return true;
        this.#note("corrupt", hole, first as number);
        this.#offset = first as number;
        return true;
      }
      last = offset + this.#validAt(offset);
    }
    if (first !== undefined) this.#note("torn", hole, last);
    this.end = hole;
    this.#offset = this.#limit;
    return false;
  }

  /**
   * A segment that is being written may have grown while it was read: a group seen without the one before it. That
   * one was synced before the later one was begun, so a second look sees it whole.
   */
  #isThereNow(hole: number): boolean {
    this.#windowLength = 0;
    return this.#validAt(hole) > 0;
  }

  /** Offset of the first valid record from `from` on. Records start at multiples of 8; the magic is looked for first. */
  #findValid(from: number): number | undefined {
    let offset = from;
    while (offset + recordHeaderBytes <= this.#limit) {
      this.#load(offset, recordHeaderBytes, this.#limit);
      const view = viewOf(this.#window);
      const until = this.#windowLength - recordHeaderBytes;
      let at = offset - this.#windowStart;
      while (at <= until && view.getUint32(at, true) !== walRecordMagic) at += 8;
      offset = this.#windowStart + at;
      if (at > until) continue;
      if (this.#validAt(offset) > 0) return offset;
      offset += 8;
    }
    return undefined;
  }

  #note(kind: Damage["kind"], offset: number, end: number): void {
    this.damage.push({ kind, segment: this.number, offset, length: end - offset });
  }

  /** Brings [offset, offset + bytes) of the file into the window; offsets are multiples of 8, so views stay aligned. */
  #load(offset: number, bytes: number, limit: number): void {
    const start = this.#windowStart;
    if (offset >= start && offset + bytes <= start + this.#windowLength) return;
    assert(offset % 8 === 0 && offset + bytes <= limit, "a record lies within its segment");
    if (bytes > this.#window.length) this.#window = new Uint8Array(bytes + pageBytes);
    const wanted = Math.min(this.#window.length, limit - offset);
    this.#windowStart = offset;
    this.#windowLength = readUpTo(this.#disk, this.#fd, this.#window.subarray(0, wanted), offset);
    // Shorter than its size says: the rest counts as zeros.
    if (this.#windowLength < wanted) this.#window.fill(0, this.#windowLength, wanted);
    this.#windowLength = wanted;
  }
}

/** Reads until the target is full or the file ends. Pages that cannot be read become zeros: damage like any other. */
function readUpTo(disk: Disk, fd: number, target: Uint8Array, position: number): number {
  let at = 0;
  while (at < target.length) {
    try {
      const read = disk.read(fd, target.subarray(at), position + at);
      if (read === 0) return at;
      at += read;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EIO") throw error;
      at += readPages(disk, fd, target.subarray(at), position + at);
    }
  }
  return at;
}

function readPages(disk: Disk, fd: number, target: Uint8Array, position: number): number {
  let end = 0;
  for (let at = 0; at < target.length; at = end) {
    // To the next page of the file, wherever the reading began.
    end = at + pageBytes - ((position + at) % pageBytes);
    const page = target.subarray(at, end);
    page.fill(0);
    try {
      disk.read(fd, page, position + at);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EIO") throw error;
    }
  }
  return target.length;
}
