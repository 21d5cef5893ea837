import { readsUnchanged, type TableSchema } from "../../shared/schema/table-schema.js";
import type { HotSegment } from "./hot-segment.js";

export interface SealLimits {
  /** A last segment with at most this many rows is encoded again together with newer rows. */
  readonly tailRowsMax: number;
  /** More segments than this are merged. */
  readonly hotSegmentsMax: number;
}

/**
 * After which sequence the next seal begins: behind the last segment, or at its start when it is small and no flush
 * boundary separates them.
 */
export function planSeal(
  hot: readonly HotSegment[],
  table: { readonly flushedSequence: number; readonly flushBoundary: number },
  limits: SealLimits,
): number {
  const tail = hot.at(-1);
  if (tail === undefined) return table.flushedSequence;
  const mayGrow = tail.rows <= limits.tailRowsMax && tail.lastSequence > table.flushBoundary;
  return mayGrow ? tail.firstSequence - 1 : tail.lastSequence;
}

export interface MergePlan {
  readonly afterSequence: number;
  readonly throughSequence: number;
}

/**
 * Which neighbouring segments to merge, or null. Takes the shortest run at the end whose rows outweigh the segment
 * before it: each row is then encoded about log2(segments) times, as in a binary counter.
 */
export function planMerge(
  hot: readonly HotSegment[],
  table: { readonly flushBoundary: number },
  limits: SealLimits,
): MergePlan | null {
  // The last one may still grow with the next seal: a merge leaves it alone.
  const open = hot.slice(0, -1).filter((segment) => segment.firstSequence > table.flushBoundary);
  if (open.length <= limits.hotSegmentsMax) return null;
  const last = open.at(-1);
  if (last === undefined) return null;
  let first = open.length - 1;
  let rows = last.rows;
  while (first > 0) {
    const before = open[first - 1];
    if (before === undefined || (first < open.length - 1 && before.rows > 2 * rows)) break;
    rows += before.rows;
    first--;
  }
  const start = open[first];
  if (start === undefined || first === open.length - 1) return null;
  return { afterSequence: start.firstSequence - 1, throughSequence: last.lastSequence };
}

/** True when the segments cannot be read under this schema: a column changed its type, and they are sealed anew. */
export function isOutdated(hot: readonly HotSegment[], schema: TableSchema): boolean {
  return hot.some((segment) => !readsUnchanged(segment.schema, schema));
}
