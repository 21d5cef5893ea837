import type { Disk } from "../../shared/disk/disk.js";
import { failpoint } from "../../shared/failpoints.js";
import { DigestBuilder } from "../../shared/formats/batch-digest-v1.js";
import { hasSequences } from "../../shared/formats/wal-record-v1.js";
import type { BatchDigests } from "./batch-digests.js";
import type { SegmentLog } from "./segment-log.js";
import { SegmentReader, type SegmentRecord } from "./segment-reader.js";
import type { SparePool } from "./spare-pool.js";
import type { IndexedSegment, WalIndex } from "./wal-index.js";

export interface UpkeepOptions {
  readonly disk: Disk;
  readonly log: SegmentLog;
  readonly index: WalIndex;
  readonly spares: SparePool;
  readonly digests: BatchDigests;
  /** Log size from which pinned segments are copied forward. */
  readonly walBytesMax: number;
  readonly nowMs: () => number;
}

/** A piece of work in slices of about a millisecond, so that no commit waits long behind it. */
type Job = Generator<undefined, void, undefined>;

/** Bytes of a segment that one slice reads. */
const sliceBytes = 512 * 1024;
const pruneEveryMs = 60_000;

/**
 * Segments are copied forward only when that frees at least this share of them: otherwise a log whose tables are all
 * stuck would be copied round and round.
 */
const freedShareMin = 0.5;

/** Trims the log between group commits: recycles what no table needs, and copies a few stuck records forward. */
export class Upkeep {
  readonly #options: UpkeepOptions;
  #job: Job | undefined;
  #isEnabled = false;
  #isDue = true;
  #segmentsSeen = 0;
  #prunedMs = 0;

  constructor(options: UpkeepOptions) {
    this.#options = options;
  }

  /** From now on segments may go: every ingest worker has read them. */
  enable(): void {
    this.#isEnabled = true;
  }

  /** Positions changed: a segment may have become free. */
  wake(): void {
    this.#isDue = true;
  }

  /** No segment goes until `enable`. Leaves the work at hand where it is: all of it may be done again. */
  pause(): void {
    this.#isEnabled = false;
    this.#job?.return();
    this.#job = undefined;
  }

  /** Does one slice; false when there is nothing to do. Throws the disk's errors; the work then starts again later. */
  step(): boolean {
    if (!this.#isEnabled) return false;
    try {
      if (this.#job === undefined) {
        const nowMs = this.#options.nowMs();
        if (nowMs - this.#prunedMs >= pruneEveryMs) {
          this.#prunedMs = nowMs;
          this.#options.digests.prune(nowMs);
        }
        if (!this.#isDue && this.#options.index.count === this.#segmentsSeen) return false;
        this.#segmentsSeen = this.#options.index.count;
        this.#job = this.#nextJob();
        this.#isDue = this.#job !== undefined;
      }
      if (this.#job?.next().done !== false) this.#job = undefined;
    } catch (error) {
      this.#job = undefined;
      throw error;
    }
    return this.#job !== undefined || this.#isDue;
  }

  /** Trimming comes before copying: what is free needs no copy. */
  #nextJob(): Job | undefined {
    const { index, walBytesMax } = this.#options;
    // The newest segment stays, written or not: so no number comes back after a restart.
    const closed = [...index.segments()].slice(0, -1);
    const free = closed.find((segment) => index.pinsOf(segment).uuids.length === 0);
    if (free !== undefined) return this.#trim(free);
    if (index.bytes <= walBytesMax) return undefined;
    const stuck = closed.find((segment) => index.pinsOf(segment).bytes <= segment.end * (1 - freedShareMin));
    return stuck === undefined ? undefined : this.#copyForward(stuck);
  }

  /** Nothing of the segment is needed but its batch ids: those go to a digest, durably, and the file goes. */
  *#trim(segment: IndexedSegment): Job {
    const { index, spares, digests, nowMs } = this.#options;
    if (segment.hasBatches) {
      const builder = new DigestBuilder(digests.sinceMs(nowMs()));
      for (const record of this.#records(segment)) {
        if (record === undefined) yield;
        else if (hasSequences(record.header.kind) && !index.isDropped(record.header.tableUuid)) {
          builder.add(record.bytes, record.at, record.header);
        }
      }
      digests.write(segment.number, builder);
    }
    spares.recycle(segment);
    index.removeSegment(segment.number);
    failpoint("wal.trim.removed");
  }

  /**
   * Writes the records that are still needed once more, durably, so that the segment can be trimmed. They keep their
   * sequences and come late in the log; readers put them in order. Broken off, it leaves duplicates, which readers
   * pass over. Their batch entries go along, and into the digest too: the same key twice is harmless.
   */
  *#copyForward(segment: IndexedSegment): Job {
    const { index, log } = this.#options;
    let waiting: Uint8Array[] = [];
    const flush = (): void => {
      for (let from = 0; from < waiting.length;) from = log.append(waiting, from);
      waiting = [];
      failpoint("wal.copy.written");
    };
    for (const record of this.#records(segment)) {
      if (record === undefined) {
        flush();
        yield;
      } else if (index.isNeeded(record.header)) {
        waiting.push(record.bytes.slice(record.at, record.at + record.header.length));
      }
    }
    flush();
    segment.isCopied = true;
  }

  /** The segment's records, and undefined where a slice ends. A record is valid until the next one. */
  *#records(segment: IndexedSegment): Generator<SegmentRecord | undefined> {
    const reader = new SegmentReader(this.#options.disk, segment, { knownEnd: segment.end, chunkBytes: sliceBytes });
    try {
      let sliceEnd = sliceBytes;
      for (let record = reader.next(); record !== undefined; record = reader.next()) {
        yield record;
        if (record.offset < sliceEnd) continue;
        sliceEnd = record.offset + sliceBytes;
        yield undefined;
      }
    } finally {
      reader.close();
    }
  }
}
