import type { Disk } from "../../shared/disk/disk.js";
import { failpoint } from "../../shared/failpoints.js";
import type { DigestBuilder, DigestHeader } from "../../shared/formats/batch-digest-v1.js";
import { digestPath, writeFileDurably } from "./wal-folder.js";

export interface BatchDigestOptions {
  readonly disk: Disk;
  readonly folder: string;
  readonly windowMs: number;
  /** Entries beyond this many newer ones are not worth a file. */
  readonly entriesMax: number;
}

/** The files that keep the batch ids of trimmed segments until they are too old. */
export class BatchDigests {
  readonly #options: BatchDigestOptions;
  /** Oldest segment first. */
  #headers: DigestHeader[];

  constructor(options: BatchDigestOptions, headers: readonly DigestHeader[]) {
    this.#options = options;
    this.#headers = [...headers];
  }

  /** The highest segment number among them. */
  get newestSegment(): number {
    return this.#headers.reduce((newest, header) => Math.max(newest, header.segment), 0);
  }

  /** Batch ids older than this are forgotten. */
  sinceMs(nowMs: number): number {
    return nowMs - this.#options.windowMs;
  }

  /** Keeps a segment's entries; on return they are durable, and the segment may go. */
  write(segment: number, builder: DigestBuilder): void {
    if (builder.entryCount === 0) return;
    const { disk, folder } = this.#options;
    const { header, bytes } = builder.finish(segment);
    failpoint("wal.digest.written");
    writeFileDurably(disk, digestPath(folder, segment), bytes);
    failpoint("wal.digest.named");
    this.#headers = [...this.#headers.filter((other) => other.segment !== segment), header].toSorted(
      (a, b) => a.segment - b.segment,
    );
  }

  /** Deletes digests that are out of the window, or behind `entriesMax` newer entries. */
  prune(nowMs: number): void {
    const { disk, folder, entriesMax } = this.#options;
    const sinceMs = this.sinceMs(nowMs);
    let newer = 0;
    const kept: DigestHeader[] = [];
    for (const header of this.#headers.toReversed()) {
      if (header.newestMs < sinceMs || newer >= entriesMax) disk.unlink(digestPath(folder, header.segment));
      else kept.push(header);
      newer += header.entryCount;
    }
    this.#headers = kept.toReversed();
  }
}
