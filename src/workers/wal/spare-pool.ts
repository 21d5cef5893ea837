import type { Disk } from "../../shared/disk/disk.js";
import { limits } from "../../shared/limits.js";
import { listSpares, sparePath } from "./wal-folder.js";
import type { IndexedSegment } from "./wal-index.js";

/** Where a segment log gets files from that have their blocks already: syncing into them needs no journal commit. */
export interface SpareSource {
  readonly isReady: boolean;
  /** Path of a spare, which is then the caller's. */
  take(): string | undefined;
}

/** Fills a new file with zeros somewhere off the commit path, see spare-filler.ts. */
export interface SpareFiller {
  /** Starts filling; nothing while one is under way. */
  request(): void;
  /** Path of a finished file, once; undefined while there is none. */
  poll(): string | undefined;
  stop(): void;
}

/** After a spare could not be filled (disk full), the next attempt waits. */
const requestEveryMs = 1_000;
/** In the name of a spare that was never a segment. */
const noSegment = 0;

/** The spares of a folder: old segments under another name, and files of zeros while there are none of those. */
export class SparePool implements SpareSource {
  readonly #disk: Disk;
  readonly #folder: string;
  readonly #segmentBytes: number;
  readonly #filler: SpareFiller | undefined;
  readonly #paths: string[] = [];
  #requestedMs = 0;

  constructor(options: { disk: Disk; folder: string; segmentBytes: number; filler: SpareFiller | undefined }) {
    this.#disk = options.disk;
    this.#folder = options.folder;
    this.#segmentBytes = options.segmentBytes;
    this.#filler = options.filler;
  }

  get isReady(): boolean {
    return this.#paths.length > 0;
  }

  /** Takes over the spares of an earlier run; returns the highest segment number among them. */
  open(): number {
    let newest = 0;
    for (const { number, path } of listSpares(this.#disk, this.#folder)) {
      newest = Math.max(newest, number);
      const isWhole = this.#disk.stat(path)?.bytes === this.#segmentBytes;
      if (isWhole && this.#paths.length < limits.walSparesMax) this.#paths.push(path);
      else this.#disk.unlink(path);
    }
    return newest;
  }

  take(): string | undefined {
    return this.#paths.shift();
  }

  /**
   * Makes the trimmed segment a spare, or deletes it. Its old records cannot come back: they carry another segment
   * number than the file will have. Not durable on return, and need not be.
   */
  recycle(segment: IndexedSegment): void {
    if (segment.isFailed || segment.bytes !== this.#segmentBytes || this.#paths.length >= limits.walSparesMax) {
      this.#disk.unlink(segment.path);
      return;
    }
    const path = sparePath(this.#folder, segment.number);
    this.#disk.rename(segment.path, path);
    this.#paths.push(path);
  }

  /** Sees to it that there will be a spare; cheap, to be called often. */
  prepare(nowMs: number): void {
    if (this.#filler === undefined) return;
    const filled = this.#filler.poll();
    if (filled !== undefined) this.#takeFilled(filled);
    if (this.isReady || nowMs - this.#requestedMs < requestEveryMs) return;
    this.#requestedMs = nowMs;
    this.#filler.request();
  }

  stop(): void {
    this.#filler?.stop();
  }

  #takeFilled(filled: string): void {
    const path = sparePath(this.#folder, noSegment);
    try {
      this.#disk.rename(filled, path);
      this.#paths.push(path);
    } catch {
      // The disk refuses names too: the log goes on without a spare, and the next one is filled in its place.
    }
  }
}
