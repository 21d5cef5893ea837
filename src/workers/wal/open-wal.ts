import { basename, join } from "node:path";
import type { Disk } from "../../shared/disk/disk.js";
import { segmentHeaderBytes } from "../../shared/formats/wal-segment-v1.js";
import { BatchDigests } from "./batch-digests.js";
import { DroppedTables } from "./dropped-tables.js";
import { readBatchDigests, replaySegments, type ReplayedSegment, type ReplayReport } from "./replay.js";
import { SegmentLog } from "./segment-log.js";
import type { Damage } from "./segment-reader.js";
import { SparePool, type SpareFiller } from "./spare-pool.js";
import { Upkeep } from "./upkeep.js";
import {
  openStream,
  prepareFolder,
  quarantineFolder,
  quarantinePath,
  segmentPath,
  writeFileDurably,
} from "./wal-folder.js";
import { WalIndex } from "./wal-index.js";

export interface OpenWalOptions {
  readonly disk: Disk;
  readonly folder: string;
  readonly segmentBytes: number;
  readonly walBytesMax: number;
  readonly batchIdWindowMs: number;
  readonly batchIdsMax: number;
  /** Without one, spares come from trimmed segments only. */
  readonly filler: SpareFiller | undefined;
  /** Milliseconds since 1970; injected for the window of batch ids. */
  readonly nowMs: () => number;
}

/** A log that is ready to be written. */
export interface OpenWal {
  readonly stream: string;
  readonly index: WalIndex;
  readonly log: SegmentLog;
  readonly spares: SparePool;
  readonly upkeep: Upkeep;
  readonly dropped: DroppedTables;
  readonly damage: readonly Damage[];
  /** Files of batch ids that could not be read, and were moved to `quarantine/`. */
  readonly damagedDigests: number;
}

/**
 * Opens the folder: reads every segment once to know who needs which, and copies damaged bytes to `quarantine/`. On
 * return the stream's uuid and all that a replay will read are durable; no segment has been changed, and none is begun
 * before the first record.
 */
export function openWal(options: OpenWalOptions): OpenWal {
  const { disk, folder, segmentBytes, filler, nowMs } = options;
  prepareFolder(disk, folder);
  const stream = openStream(disk, folder);
  const index = new WalIndex();
  const report = indexSegments(disk, folder, index);
  syncTail(disk, report.segments);
  for (const damage of report.damage) keepAside(disk, folder, damage);
  const digestReport = readBatchDigests(disk, folder, Number.POSITIVE_INFINITY, () => undefined);
  for (const path of digestReport.damaged) {
    disk.rename(path, join(quarantineFolder(folder), `batches-${basename(path)}`));
  }
  const { batchIdWindowMs: windowMs, batchIdsMax: entriesMax } = options;
  const digests = new BatchDigests({ disk, folder, windowMs, entriesMax }, digestReport.digests);
  const spares = new SparePool({ disk, folder, segmentBytes, filler });
  // Numbers go on after every number that a file still shows: a spare and a digest carry their segment's.
  const newestSpare = spares.open();
  const newest = report.segments.at(-1);
  const log = new SegmentLog({
    disk,
    folder,
    stream,
    segmentBytes,
    spares,
    index,
    nowMs,
    lastNumber: Math.max(newest?.number ?? 0, newestSpare, digests.newestSegment),
    previous: { number: newest?.number ?? 0, end: newest?.end ?? segmentHeaderBytes },
  });
  const upkeep = new Upkeep({ disk, log, index, spares, digests, walBytesMax: options.walBytesMax, nowMs });
  const dropped = new DroppedTables(disk, folder, index);
  const damagedDigests = digestReport.damaged.length;
  return { stream, index, log, spares, upkeep, dropped, damage: report.damage, damagedDigests };
}

/**
 * What each segment holds. A segment may be met first by a record of it, or, when it has none, only in the report: an
 * empty one is indexed too, so that it is trimmed.
 */
function indexSegments(disk: Disk, folder: string, index: WalIndex): ReplayReport {
  const entryOf = (number: number): ReturnType<WalIndex["addSegment"]> =>
    index.segment(number) ?? index.addSegment(number, segmentPath(folder, number), 0);
  const report = replaySegments(disk, folder, {
    rows: ({ segment, header }) => index.addRecord(entryOf(segment), header),
    schema: ({ segment, header }) => index.addRecord(entryOf(segment), header),
  });
  for (const { number, bytes, end } of report.segments) {
    const entry = entryOf(number);
    entry.end = end;
    index.resizeSegment(entry, bytes);
  }
  return report;
}

/**
 * What a process wrote and did not live to sync is in the page cache, and reads like all else: queries show it, and a repeat
 * of its batch id is answered as durable. So it becomes durable first. Only a segment whose end no later one names can hold
 * such bytes. Throws the disk's error.
 */
function syncTail(disk: Disk, segments: readonly ReplayedSegment[]): void {
  for (const { path, header } of segments.toReversed()) {
    const fd = disk.open(path, "r+");
    try {
      disk.fdatasync(fd);
    } finally {
      disk.close(fd);
    }
    // Its header was synced with its first group, and says where the one before it ends.
    if (header !== undefined) return;
  }
}

/** Copies what cannot be read as a record to a file of its own, durably: a human may find rows in it. */
function keepAside(disk: Disk, folder: string, damage: Damage): void {
  const path = quarantinePath(folder, damage.segment, `${damage.offset}.${damage.kind}`);
  if (disk.stat(path) !== undefined) return;
  const bytes = new Uint8Array(damage.length);
  const fd = disk.open(segmentPath(folder, damage.segment), "r");
  try {
    disk.read(fd, bytes, damage.offset);
  } catch {
    // Not readable at all: the file of zeros still says where the damage was.
  } finally {
    disk.close(fd);
  }
  writeFileDurably(disk, path, bytes);
}
