import { rmSync } from "node:fs";
import { assert } from "../../shared/assert.js";
import type { TableColumn } from "../../shared/schema/table-schema.js";
import { quoteName } from "../query/table-view.js";
import { copyFiles, rowGroupRows, type FileCopy } from "./duckdb-copy.js";
import { ParquetJoin } from "./join-parquet.js";
import { valuesOf } from "./merge-order.js";
import { readParquetFooter, type ParquetFooter } from "./parquet-footer.js";
import type { MergeRun } from "./merge-run.js";
import { temporaryPath, type PersistContext } from "./persist-context.js";
import { planSlices } from "./plan-slices.js";

/**
 * A slice may have so many times the memory, as DuckDB spills what it sorts. Smaller ones take less memory, but each opens
 * and closes a DuckDB. Beside merges in slices that fit the memory one-row writes had a p99 of 89 to 201 ms in five runs;
 * with this, 18 to 190 ms in six runs of a restless machine: that slices are the cause is likely, not shown.
 */
const slicePerMemory = 16;
/** What DuckDB takes per value beside the value's bytes in the file: the value itself, or a text's head. */
const valueBytes = 16;
/** A row group of few rows compresses badly, and readers pay for each. */
const sliceRowsMin = 8192;

/** Rows of one slice of a merge with so much memory. */
export function sliceRowsFor(memoryBytes: number, columns: number, footers: readonly ParquetFooter[]): number {
  const rows = footers.reduce((sum, footer) => sum + footer.rows, 0);
  const bytes = footers.reduce((sum, footer) => sum + footer.uncompressedBytes, 0);
  const rowBytes = columns * valueBytes + bytes / Math.max(1, rows);
  const fitting = Math.max(sliceRowsMin, Math.floor((memoryBytes * slicePerMemory) / rowBytes));
  // Whole row groups, where it is more than one.
  return fitting < rowGroupRows ? fitting : Math.round(fitting / rowGroupRows) * rowGroupRows;
}

/** How a merge is cut: one entry per file, each with the conditions of its slices; one without a condition is the whole file. */
export type SlicePlan = readonly (readonly (string | undefined)[])[];

/**
 * Cuts a merge along its first sort column, so that memory is bounded by the slice and not by the files, and the rows come
 * out in `files` files of about as many rows, one behind the other. Files that cannot be cut (no integers in the first sort
 * column, no bounds, few rows) are one slice. `sliceRows`: see sliceRowsFor.
 */
export function planSliceFiles(
  { orderBy }: Pick<FileCopy, "orderBy">,
  footers: readonly ParquetFooter[],
  { sliceRows, files }: { readonly sliceRows: number; readonly files: number },
): SlicePlan {
  const rows = footers.reduce((sum, footer) => sum + footer.rows, 0);
  const perFile = Math.max(1, Math.ceil(rows / files / sliceRows));
  const wanted = files === 1 ? sliceRows : Math.max(1, Math.ceil(rows / (files * perFile)));
  const conditions = sliceConditions(orderBy[0], footers, wanted);
  if (conditions.length < 2) return [[undefined]];
  const plan: string[][] = [];
  for (const [index, condition] of conditions.entries()) {
    // Nulls, which are last, are no file of their own.
    const file = files === 1 ? 0 : Math.min(files - 1, Math.floor(index / perFile));
    (plan[file] ??= []).push(condition);
  }
  return plan;
}

/**
 * As copyFiles, of sorted rows, one slice after the other: each is merged into a file of its own, and their row groups
 * become one file. Row groups outside of a slice are not decoded. Returns the rows.
 *
 * Each slice has a DuckDB instance of its own. One for all, measured with 2.8 M rows in 16 slices: its memory grows by
 * 100 MB, as much as without slices; with an instance for each, 45 MB.
 */
export async function copySlices(
  context: PersistContext,
  copy: FileCopy,
  conditions: readonly (string | undefined)[],
  options: { readonly sliceRows: number; readonly merge: MergeRun; readonly onSlice?: () => void },
): Promise<number> {
  const { sliceRows, merge, onSlice } = options;
  if (conditions.length < 2) {
    onSlice?.();
    const where = conditions[0] === undefined ? {} : { where: conditions[0] };
    const [rows] = await copyFiles(context, [{ ...copy, ...where }], merge);
    assert(rows !== undefined, "a copy has rows");
    return rows;
  }
  const join = new ParquetJoin(copy.path);
  let rows = 0;
  try {
    for (const where of conditions) {
      assert(where !== undefined, "each of several slices has a condition");
      onSlice?.();
      const path = temporaryPath(context);
      try {
        const slice = { ...copy, where, path, rowGroupRows: groupRowsOf(sliceRows), isPassing: true };
        const [sliceCount] = await copyFiles(context, [slice], merge);
        rows += sliceCount ?? 0;
        join.append(path);
      } finally {
        rmSync(path, { force: true });
      }
    }
    join.finish();
  } finally {
    join.close();
  }
  return rows;
}

/** Slices are about as long as wanted: a longer row group leaves no short one behind it. */
function groupRowsOf(sliceRows: number): number {
  return sliceRows <= rowGroupRows * 4 ? rowGroupRows * 1.25 : rowGroupRows;
}

/** SQL conditions of which every row meets exactly one, in the order of the sort; fewer than two: not to be cut. */
function sliceConditions(
  column: TableColumn | undefined,
  footers: readonly ParquetFooter[],
  sliceRows: number,
): string[] {
  if (column === undefined) return [];
  const files = footers.map((footer) => valuesOf(footer, column));
  if (!files.every((values) => values !== null)) return [];
  const name = quoteName(column.name);
  const cuts = planSlices(
    files.flatMap(({ ranges }) => ranges),
    sliceRows,
  ).map((cut) => literal(cut, column));
  if (cuts.length === 0) return [];
  const conditions = [...cuts, undefined].map((cut, index) => {
    const from = index === 0 ? [] : [`${name} >= ${cuts[index - 1]}`];
    const to = cut === undefined ? [] : [`${name} < ${cut}`];
    return [...from, ...to].join(" AND ");
  });
  return files.some(({ nulls }) => nulls > 0) ? [...conditions, `${name} IS NULL`] : conditions;
}

function literal(value: bigint, { type }: TableColumn): string {
  return type === "timestamp" ? `make_timestamptz('${value}'::BIGINT)` : `'${value}'::BIGINT`;
}

/** Of local files, in their order. */
export function readFooters(paths: readonly string[]): ParquetFooter[] {
  return paths.map((path) => readParquetFooter(path).footer);
}
