import type { DataFile } from "../../shared/messages.js";
import {
  areDeletesDue,
  byDay,
  compareByTime,
  groupByTarget,
  isFinished,
  planOf,
  withDueDeletes,
  type CompactionPlan,
  type CompactionRules,
} from "./plan-compaction.js";

/** What a request wants merged. */
export interface CompactionScope {
  /** Also files that overlap, and those with any deleted row. */
  readonly isFull: boolean;
  /** Days since 1970-01-01, both included. */
  readonly fromDay: number;
  readonly throughDay: number;
}

export interface AskedRules extends CompactionRules {
  readonly nowMs: number;
  /** The first column that the table is sorted by, where its values are whole numbers or times; else null. */
  readonly sortFieldId: number | null;
}

/**
 * What a request merges: all unfinished files of a day, however few, and what is due for its deletes. A full one leaves a
 * table whose files have the target's size and no deletes, and do not overlap in the sort order, as far as the bound on what
 * a merge reads allows. Asked again when it is done, it plans nothing.
 */
export function planAskedCompaction(
  files: readonly DataFile[],
  scope: CompactionScope,
  rules: AskedRules,
): CompactionPlan[] {
  const inScope = files.filter(({ day }) => day >= scope.fromDay && day <= scope.throughDay);
  const merges: CompactionPlan[] = [];
  for (const [day, ofDay] of [...byDay(inScope)].toSorted(([left], [right]) => left - right)) {
    const groups = scope.isFull ? fullGroups(ofDay, rules) : smallGroups(ofDay, rules);
    merges.push(...groups.map((group) => planOf(day, group)));
  }
  if (scope.isFull) return merges;
  return withDueDeletes(merges, inScope, (file) => areDeletesDue(file, rules, rules.nowMs));
}

function smallGroups(files: readonly DataFile[], rules: CompactionRules): DataFile[][] {
  const small = files.filter((file) => !isFinished(file, rules)).toSorted(compareByTime);
  return groupByTarget(small, rules).filter((group) => group.length > 1);
}

/**
 * The day's files in the order of the sort, in pieces that a merge takes whole: files that overlap, or one file. Pieces
 * side by side that need a merge share one, up to the target.
 *
 * ```
 * files    |--a--|      |---c---|   |e|  |f|  |---------- g ----------|        g is large: settled
 *             |--b--|       |-d-|
 * pieces   |   a b  |   |  c d  |   |e|  |f|  |           g           |
 * merges   |─────── as the target allows ──|
 * ```
 * Where files overlap that are more than one merge may read, those that are large and have no deletes are settled, too:
 * cutting through them would make files that overlap again.
 */
function fullGroups(files: readonly DataFile[], rules: AskedRules): DataFile[][] {
  const groups: DataFile[][] = [];
  let group: DataFile[] = [];
  let bytes = 0;
  const close = (): void => {
    if (group.length > 1 || group.some(hasDeletes)) groups.push(group);
    group = [];
    bytes = 0;
  };
  for (const piece of piecesOf(files, rules)) {
    const isSettled = piece.length === 1 && piece.every((file) => isFinished(file, rules) && !hasDeletes(file));
    const pieceBytes = piece.reduce((sum, file) => sum + file.bytes, 0);
    if (isSettled || (group.length > 0 && bytes + pieceBytes > rules.targetBytes)) close();
    if (isSettled) continue;
    group.push(...piece);
    bytes += pieceBytes;
  }
  close();
  return groups;
}

function piecesOf(files: readonly DataFile[], { sortFieldId, inputBytesMax }: AskedRules): DataFile[][] {
  if (sortFieldId === null) return files.toSorted(compareByTime).map((file) => [file]);
  const ranges = files.map((file) => rangeOf(file, sortFieldId)).toSorted(compareRanges);
  const pieces: DataFile[][] = [];
  let overlapping: DataFile[] = [];
  let bytes = 0;
  let upper: bigint | null = null;
  const close = (): void => {
    if (bytes <= inputBytesMax) pieces.push(overlapping);
    else pieces.push(...overlapping.map((file) => [file]));
  };
  for (const range of ranges) {
    // Equal values at the border of two files are in order.
    if (upper !== null && range.lower >= upper) {
      close();
      overlapping = [];
      bytes = 0;
      upper = null;
    }
    overlapping.push(range.file);
    bytes += range.file.bytes;
    if (upper === null || range.upper > upper) upper = range.upper;
  }
  if (overlapping.length > 0) close();
  return pieces;
}

interface FileRange {
  readonly file: DataFile;
  readonly lower: bigint;
  readonly upper: bigint;
}

const lowest = -(2n ** 63n);
const highest = 2n ** 63n;

/** A file that does not say what it holds may hold anything; so may one with nulls, which are last in the order. */
function rangeOf(file: DataFile, fieldId: number): FileRange {
  const { lower, upper, nulls } = file.bounds[fieldId] ?? { lower: null, upper: null, nulls: 1 };
  return {
    file,
    lower: typeof lower === "string" ? BigInt(lower) : lowest,
    upper: typeof upper === "string" && nulls === 0 ? BigInt(upper) : highest,
  };
}

function compareRanges(left: FileRange, right: FileRange): number {
  if (left.lower !== right.lower) return left.lower < right.lower ? -1 : 1;
  if (left.upper !== right.upper) return left.upper < right.upper ? -1 : 1;
  return left.file.key < right.file.key ? -1 : 1;
}

function hasDeletes(file: DataFile): boolean {
  return (file.deletes ?? []).length > 0;
}
