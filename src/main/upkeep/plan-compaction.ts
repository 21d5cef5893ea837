import { deletedRowsOf, liveRowsOf } from "../../shared/iceberg/live-rows.js";
import type { DataFile } from "../../shared/messages.js";
import { deleteFileCreatedMs } from "../../shared/store/store-paths.js";
import { timestampFieldId } from "../../shared/schema/table-schema.js";

export interface CompactionRules {
  /** Files below this are small. */
  readonly smallFileBytes: number;
  /** A partition with fewer small files is left alone, so that a row is rewritten a few times only. */
  readonly smallFilesMin: number;
  /** Bytes of the files that are merged into one, at most. */
  readonly targetBytes: number;
  /** A file of any size is written anew when one of so many rows is deleted, in percent, ... */
  readonly deletedPercent: number;
  /** ... or when its deletes are older: so that what was deleted is gone from the files some day. */
  readonly deletedAgeMs: number;
}

/** Files of one day to merge into one; one file alone to be written anew without its deleted rows. */
export interface CompactionPlan {
  readonly day: number;
  readonly files: readonly DataFile[];
}

/**
 * Which small files to merge, the days with the most of them first, and which files to write anew without their deleted
 * rows. Files are taken in the order of their time, so that merged files overlap as little as their sources.
 */
export function planCompaction(files: readonly DataFile[], rules: CompactionRules, nowMs: number): CompactionPlan[] {
  const merges = planMerges(files, rules);
  const merged = new Set(merges.flatMap((plan) => plan.files));
  const rest = files.filter((file) => !merged.has(file) && areDeletesDue(file, rules, nowMs));
  return [...merges, ...rest.map((file) => ({ day: file.day, files: [file] }))];
}

/** Whether the deleted rows of the file are many or old. A delete file counts from its writing, also where it took others in. */
function areDeletesDue(file: DataFile, rules: CompactionRules, nowMs: number): boolean {
  const { deletes = [] } = file;
  if (deletes.length === 0 || liveRowsOf(file) <= 0) return false;
  if (deletedRowsOf(file) * 100 >= file.rows * rules.deletedPercent) return true;
  return deletes.some(({ key }) => nowMs - (deleteFileCreatedMs(key) ?? 0) >= rules.deletedAgeMs);
}

function planMerges(files: readonly DataFile[], rules: CompactionRules): CompactionPlan[] {
  const days = new Map<number, DataFile[]>();
  for (const file of files) {
    if (file.bytes >= rules.smallFileBytes) continue;
    const small = days.get(file.day);
    if (small === undefined) days.set(file.day, [file]);
    else small.push(file);
  }
  const plans: CompactionPlan[] = [];
  for (const [day, small] of days) {
    if (small.length < rules.smallFilesMin) continue;
    for (const group of groupByTarget(small.toSorted(compareByTime), rules.targetBytes)) {
      if (group.length > 1) plans.push({ day, files: group });
    }
  }
  return plans.toSorted((left, right) => right.files.length - left.files.length || left.day - right.day);
}

function groupByTarget(files: readonly DataFile[], targetBytes: number): DataFile[][] {
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

function compareByTime(left: DataFile, right: DataFile): number {
  const difference = startOf(left) - startOf(right);
  if (difference !== 0n) return difference < 0n ? -1 : 1;
  return left.key < right.key ? -1 : left.key > right.key ? 1 : 0;
}

/** Files without a known bound come first. */
function startOf(file: DataFile): bigint {
  const lower = file.bounds[timestampFieldId]?.lower;
  return typeof lower === "string" ? BigInt(lower) : -(2n ** 63n);
}
