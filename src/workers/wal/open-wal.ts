import { basename, join } from "node:path";
import { assert } from "../../shared/assert.js";
import type { Disk } from "../../shared/disk/disk.js";
import { MiniodbError } from "../../shared/errors.js";
import type { RecordHeader } from "../../shared/formats/wal-record-v1.js";
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
  writeFully,
} from "./wal-folder.js";
import { WalIndex } from "./wal-index.js";

/** Bytes of the log's end in memory. */
const writtenAgainAtOnce = 1024 * 1024;

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
 * return the stream's uuid and all that a replay will read are durable; no segment says anything else than before, and none
 * is begun before the first record.
 */
export function openWal(options: OpenWalOptions): OpenWal {
  const { disk, folder, segmentBytes, filler, nowMs } = options;
  prepareFolder(disk, folder);
  const stream = openStream(disk, folder);
  const index = new WalIndex();
  const { report, lastGroups } = indexSegments(disk, folder, index);
  writeTailAgain(disk, report.segments, lastGroups);
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
function indexSegments(
  disk: Disk,
  folder: string,
  index: WalIndex,
): { readonly report: ReplayReport; readonly lastGroups: ReadonlyMap<number, number> } {
  const entryOf = (number: number): ReturnType<WalIndex["addSegment"]> =>
    index.segment(number) ?? index.addSegment(number, segmentPath(folder, number), 0);
  /** By segment: where its last commit group starts. */
  const lastGroups = new Map<number, number>();
  const add = (segment: number, header: RecordHeader): void => {
    index.addRecord(entryOf(segment), header);
    lastGroups.set(segment, header.groupOffset);
  };
  const report = replaySegments(disk, folder, {
    rows: ({ segment, header }) => add(segment, header),
    schema: ({ segment, header }) => add(segment, header),
  });
  for (const { number, bytes, end } of report.segments) {
    const entry = entryOf(number);
    entry.end = end;
    index.resizeSegment(entry, bytes);
  }
  return { report, lastGroups };
}

/**
 * What a process wrote and did not live to sync is in the page cache, and reads like all else: queries show it, and a repeat
 * of its batch id is answered as durable. So it becomes durable first, and not by a sync alone: after one that failed, in
 * that process or at a start like this one, Linux takes the pages for clean, and the next sync has nothing to do and nothing
 * to say (https://wiki.postgresql.org/wiki/Fsync_Errors). What is written again, the same bytes to the same place, is synced
 * or refused. Only the last commit group can be such bytes, as a group is begun when the one before it is durable, and only
 * of a segment whose end no later one names. Throws WAL_STALLED: then this start shows nothing, and the next one begins anew.
 */
function writeTailAgain(
  disk: Disk,
  segments: readonly ReplayedSegment[],
  lastGroups: ReadonlyMap<number, number>,
): void {
  for (const { path, number, header, end } of segments.toReversed()) {
    const group = lastGroups.get(number);
    // The first group came with the segment's first page.
    const start = group === segmentHeaderBytes && header !== undefined ? 0 : (group ?? end);
    try {
      writeAgain(disk, path, start, end);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const message = `The end of the log, in ${path}, cannot be made durable: ${reason}`;
      throw new MiniodbError("WAL_STALLED", message, { path }, error);
    }
    // Its header was synced with its first group, and says where the one before it ends.
    if (header !== undefined) return;
  }
}

/** [from, to) of the file is durable when this returns, whatever became of earlier syncs, but see `overwrite`. Throws the disk's error. */
function writeAgain(disk: Disk, path: string, from: number, to: number): void {
  const fd = disk.open(path, "r+");
  try {
    overwrite(disk, fd, from, to);
    disk.fdatasync(fd);
  } finally {
    disk.close(fd);
  }
}

/** With what is there. A full disk that copies on write may refuse it: the sync has to do then, as only a server that starts makes room. */
function overwrite(disk: Disk, fd: number, from: number, to: number): void {
  const chunk = new Uint8Array(Math.min(to - from, writtenAgainAtOnce));
  try {
    for (let at = from; at < to;) {
      const read = disk.read(fd, chunk.subarray(0, Math.min(chunk.length, to - at)), at);
      assert(read > 0, "records that were read are there");
      writeFully(disk, fd, [chunk.subarray(0, read)], at);
      at += read;
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ENOSPC" && code !== "EDQUOT") throw error;
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
