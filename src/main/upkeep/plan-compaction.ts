import { deletedRowsOf, liveRowsOf } from "../../shared/iceberg/live-rows.js";
import type { DataFile } from "../../shared/messages.js";
import { deleteFileCreatedMs } from "../../shared/store/store-paths.js";
import { timestampFieldId } from "../../shared/schema/table-schema.js";

export interface CompactionRules {
  /** A day with fewer unfinished files is left alone, so that a row is rewritten a few times only. */
  readonly smallFilesMin: number;
  /** Size of a file that is made of small ones; from half of it on a file is finished, and not merged again. */
  readonly targetBytes: number;
  /** Bytes that one merge reads, at most: only files that overlap need more than the target. */
  readonly inputBytesMax: number;
  /** A file of any size is written anew when one of so many rows is deleted, in percent, ... */
  readonly deletedPercent: number;
  /** ... or when its deletes are older: so that what was deleted is gone from the files some day. */
  readonly deletedAgeMs: number;
}

/** Files of one day to merge; one file alone to be written anew without its deleted rows. */
export interface CompactionPlan {
  readonly day: number;
  /** In the order of their time. */
  readonly files: readonly DataFile[];
  /** Of these files. */
  readonly bytes: number;
}

/**
 * Files up to it are merged whatever the others have: what they cost is the file, not its bytes, and a day of tiny files is
 * to have few of them, too.
 */
const tinyBytesMax = 256 * 1024;

/**
 * What the server merges by itself, the days with most files first, and which files it writes anew without their deleted
 * rows. Per day, the unfinished files are ordered by size:
 *
 * ```
 * fewer than smallFilesMin: nothing      else the longest run from the smallest on, whose largest is no larger than the rest
 * 1 1 1 2 3 5 8 ... │ 90                 of it together: ──────── merged ────────│ stays until there is as much beside it
 * ```
 * So each merge that does not finish its rows at least doubles the file that a row is in, but for tiny ones: a row is
 * rewritten at most log2(targetBytes / 2 / size of the file that brought it) + 1 times. What stays is fewer than
 * smallFilesMin files, or files each larger than all smaller ones together, some log2(targetBytes / tinyBytesMax).
 * Merged are files side by side in time, so that the results overlap as little as their sources.
 */
export function planCompaction(files: readonly DataFile[], rules: CompactionRules, nowMs: number): CompactionPlan[] {
  const merges: CompactionPlan[] = [];
  for (const [day, ofDay] of byDay(files)) {
    const small = ofDay.filter((file) => !isFinished(file, rules));
    if (small.length < rules.smallFilesMin) continue;
    for (const group of groupByTarget(doublingRun(small, rules).toSorted(compareByTime), rules)) {
      // What a cut has left beside a large file would rewrite it for little.
      const isDone = bytesOf(group) >= finishedBytes(rules);
      const due = isDone ? group : doublingRun(group, rules).toSorted(compareByTime);
      if (due.length > 1) merges.push(planOf(day, due));
    }
  }
  merges.sort((left, right) => right.files.length - left.files.length || left.day - right.day);
  return withDueDeletes(merges, files, (file) => areDeletesDue(file, rules, nowMs));
}

/** Merges, then the files that no merge takes and whose deletes are due. */
export function withDueDeletes(
  merges: readonly CompactionPlan[],
  files: readonly DataFile[],
  isDue: (file: DataFile) => boolean,
): CompactionPlan[] {
  const merged = new Set(merges.flatMap((plan) => plan.files));
  const rest = files.filter((file) => !merged.has(file) && isDue(file));
  return [...merges, ...rest.map((file) => planOf(file.day, [file]))];
}

/** Whether the deleted rows of the file are many or old. A delete file counts from its writing, also where it took others in. */
export function areDeletesDue(file: DataFile, rules: CompactionRules, nowMs: number): boolean {
  const { deletes = [] } = file;
  if (deletes.length === 0 || liveRowsOf(file) <= 0) return false;
  if (deletedRowsOf(file) * 100 >= file.rows * rules.deletedPercent) return true;
  return deletes.some(({ key }) => nowMs - (deleteFileCreatedMs(key) ?? 0) >= rules.deletedAgeMs);
}

export function isFinished(file: DataFile, rules: CompactionRules): boolean {
  return file.bytes >= finishedBytes(rules);
}

function finishedBytes({ targetBytes }: CompactionRules): number {
  return targetBytes / 2;
}

/** The most of the smallest files of which the largest is tiny, or no larger than the others together; maybe one, or none. */
function doublingRun(files: readonly DataFile[], { targetBytes }: CompactionRules): DataFile[] {
  const tiny = Math.min(tinyBytesMax, targetBytes / 64);
  const bySize = files.toSorted((left, right) => left.bytes - right.bytes || compareByTime(left, right));
  let end = 0;
  let smaller = 0;
  for (const [index, { bytes }] of bySize.entries()) {
    if (bytes <= Math.max(tiny, smaller)) end = index + 1;
    smaller += bytes;
  }
  return bySize.slice(0, end);
}

/** Runs of the files, in their order, of at most the target together. */
export function groupByTarget(files: readonly DataFile[], { targetBytes }: CompactionRules): DataFile[][] {
  const groups: DataFile[][] = [];
  let group: DataFile[] = [];
  let bytes = 0;
  for (const file of files) {
    if (group.length > 0 && bytes + file.bytes > targetBytes) {
      groups.push(group);
      group = [];
      bytes = 0;
    }
    group.push(file);
    bytes += file.bytes;
  }
  if (group.length > 0) groups.push(group);
  return groups;
}

export function planOf(day: number, files: readonly DataFile[]): CompactionPlan {
  return { day, files, bytes: bytesOf(files) };
}

export function byDay(files: readonly DataFile[]): Map<number, DataFile[]> {
  const days = new Map<number, DataFile[]>();
  for (const file of files) {
    const ofDay = days.get(file.day);
    if (ofDay === undefined) days.set(file.day, [file]);
    else ofDay.push(file);
  }
  return days;
}

export function compareByTime(left: DataFile, right: DataFile): number {
  const difference = startOf(left) - startOf(right);
  if (difference !== 0n) return difference < 0n ? -1 : 1;
  return left.key < right.key ? -1 : left.key > right.key ? 1 : 0;
}

/** Files without a known bound come first. */
function startOf(file: DataFile): bigint {
  const lower = file.bounds[timestampFieldId]?.lower;
  return typeof lower === "string" ? BigInt(lower) : -(2n ** 63n);
}

function bytesOf(files: readonly DataFile[]): number {
  return files.reduce((sum, file) => sum + file.bytes, 0);
}
