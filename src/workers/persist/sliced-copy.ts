import { rmSync } from "node:fs";
import { assert } from "../../shared/assert.js";
import type { TableColumn } from "../../shared/schema/table-schema.js";
import { quoteName } from "../query/table-view.js";
import { copyFiles, rowGroupRows, type FileCopy } from "./duckdb-copy.js";
import { ParquetJoin } from "./join-parquet.js";
import { readParquetFooter, type ParquetFooter } from "./parquet-footer.js";
import { checkStop, temporaryPath, type PersistContext } from "./persist-context.js";
import { planSlices, type GroupRange } from "./plan-slices.js";

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

/**
 * As copyFiles, of sorted rows, one slice of the first sort column after the other, so that memory is bounded by the
 * slice and not by the files: each slice is merged into a file of its own, and their row groups become one file.
 * Row groups outside of a slice are not decoded. Files that cannot be cut (no integers in the first sort column, no
 * bounds, few rows) are one slice. `sliceRows`: see sliceRowsFor. Returns the rows.
 *
 * Each slice has a DuckDB instance of its own. One for all, measured with 2.8 M rows in 16 slices: its memory grows by
 * 100 MB, as much as without slices; with an instance for each, 45 MB.
 */
export async function copySorted(
  context: PersistContext,
  copy: FileCopy,
  footers: readonly ParquetFooter[],
  sliceRows: number,
): Promise<number> {
  const conditions = sliceConditions(copy.orderBy[0], footers, sliceRows);
  if (conditions.length < 2) {
    const [rows] = await copyFiles(context, [copy]);
    assert(rows !== undefined, "a copy has rows");
    return rows;
  }
  const join = new ParquetJoin(copy.path);
  let rows = 0;
  try {
    for (const where of conditions) {
      checkStop(context);
      const path = temporaryPath(context);
      try {
        const [sliceCount] = await copyFiles(context, [{ ...copy, where, path, rowGroupRows: groupRowsOf(sliceRows) }]);
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
  if (column === undefined || (column.type !== "timestamp" && column.type !== "long")) return [];
  const files = footers.map((footer) => valuesOf(footer, column.fieldId));
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

interface FileValues {
  readonly ranges: readonly GroupRange[];
  readonly nulls: number;
}

/** Null where the file does not say. A file without the column has nulls only. */
function valuesOf(footer: ParquetFooter, fieldId: number): FileValues | null {
  const leaf = footer.fieldIds.indexOf(fieldId);
  if (leaf < 0) return { ranges: [], nulls: footer.rows };
  const ranges: GroupRange[] = [];
  let nulls = 0;
  for (const group of footer.statistics) {
    const chunk = group[leaf] ?? null;
    if (chunk === null) return null;
    nulls += chunk.nulls;
    if (chunk.nulls === chunk.values) continue;
    if (chunk.lower?.length !== 8 || chunk.upper?.length !== 8) return null;
    const lower = chunk.lower.readBigInt64LE(0);
    ranges.push({ lower, upper: chunk.upper.readBigInt64LE(0), rows: chunk.values - chunk.nulls });
  }
  return { ranges, nulls };
}

function literal(value: bigint, { type }: TableColumn): string {
  return type === "timestamp" ? `make_timestamptz('${value}'::BIGINT)` : `'${value}'::BIGINT`;
}

/** Of local files, in their order. */
export function readFooters(paths: readonly string[]): ParquetFooter[] {
  return paths.map((path) => readParquetFooter(path).footer);
}
