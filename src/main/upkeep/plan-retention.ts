import { liveRowsOf, storedBytesOf } from "../../shared/iceberg/live-rows.js";
import type { DataFile } from "../../shared/messages.js";

export interface RetentionPlan {
  /** The first day that stays, in days since 1970-01-01. */
  readonly firstDayKept: number;
  /** What goes, the oldest day first. */
  readonly days: readonly ExpiredDay[];
  readonly files: number;
  /** That a query sees: deleted ones are gone already. */
  readonly rows: number;
  /** With those of delete files. */
  readonly bytes: number;
}

export interface ExpiredDay {
  readonly day: number;
  readonly files: number;
  readonly rows: number;
  readonly bytes: number;
}

const dayMs = 86_400_000;

/**
 * Which days of a table are over. Whole days (UTC, of `timestamp`) go at once, when their youngest possible row is as old
 * as the retention: a row lives at least so many days, and at most one more.
 *
 * ```
 * retention 2 days, now day 10, 15:00       days ... 7 │ 8  9  10
 *                                                go    │ stay        a row of day 7, 23:59 is 2 days and 15 hours old
 * ```
 */
export function planRetention(files: readonly DataFile[], retentionDays: number, nowMs: number): RetentionPlan {
  const firstDayKept = Math.floor(nowMs / dayMs) - retentionDays;
  const byDay = new Map<number, ExpiredDay>();
  const total = { files: 0, rows: 0, bytes: 0 };
  for (const file of files) {
    const { day } = file;
    if (day >= firstDayKept) continue;
    const rows = liveRowsOf(file);
    const bytes = storedBytesOf(file);
    const sum = byDay.get(day) ?? { day, files: 0, rows: 0, bytes: 0 };
    byDay.set(day, { day, files: sum.files + 1, rows: sum.rows + rows, bytes: sum.bytes + bytes });
    total.files++;
    total.rows += rows;
    total.bytes += bytes;
  }
  const days = [...byDay.values()].toSorted((left, right) => left.day - right.day);
  return { firstDayKept, days, ...total };
}
