import { assert } from "../../shared/assert.js";
import type { ColumnBounds, DataFile } from "../../shared/messages.js";
import type { ColumnType } from "../../shared/schema/column-type.js";
import type { TableColumn } from "../../shared/schema/table-schema.js";
import type { ParquetFooter } from "./parquet-footer.js";

/** Bounds of all files together; files without the column have nulls in its place. */
export function mergeBounds(files: readonly DataFile[], column: TableColumn): ColumnBounds {
  let lower: ColumnBounds["lower"] = null;
  let upper: ColumnBounds["upper"] = null;
  let nulls = 0;
  let isLowerKnown = true;
  let isUpperKnown = true;
  for (const file of files) {
    if (!file.fieldIds.includes(column.fieldId)) {
      nulls += file.rows;
      continue;
    }
    const bounds = file.bounds[column.fieldId];
    nulls += bounds?.nulls ?? 0;
    if (bounds !== undefined && bounds.nulls === file.rows) continue;
    // A file with values but without their bound leaves the merged file without.
    if (bounds === undefined || bounds.lower === null) isLowerKnown = false;
    else if (lower === null || compare(bounds.lower, lower, column.type) < 0) lower = bounds.lower;
    if (bounds === undefined || bounds.upper === null) isUpperKnown = false;
    else if (upper === null || compare(bounds.upper, upper, column.type) > 0) upper = bounds.upper;
  }
  return { lower: isLowerKnown ? lower : null, upper: isUpperKnown ? upper : null, nulls };
}

/**
 * Takes the numbers of nulls from the file that was written: some of the nulls of its sources may have been in deleted rows,
 * and a planner takes a column with as many nulls as rows for one without values. The bounds stay as they are: they bound
 * the rows that are left, too.
 */
export function countNulls(bounds: Record<number, ColumnBounds>, footer: ParquetFooter): void {
  for (const [id, known] of Object.entries(bounds)) {
    const leaf = footer.fieldIds.indexOf(Number(id));
    assert(leaf >= 0, "a written column is in its file");
    let nulls = 0;
    for (const group of footer.statistics) {
      const chunk = group[leaf] ?? null;
      assert(chunk !== null, "DuckDB writes statistics of every column");
      nulls += chunk.nulls;
    }
    bounds[Number(id)] = { ...known, nulls };
  }
}

type Bound = string | number | boolean;

function compare(left: Bound, right: Bound, type: ColumnType): number {
  if (typeof left === "string" && typeof right === "string") {
    if (type !== "long" && type !== "timestamp") return Buffer.compare(Buffer.from(left), Buffer.from(right));
    const difference = BigInt(left) - BigInt(right);
    return difference < 0n ? -1 : difference > 0n ? 1 : 0;
  }
  return Number(left) - Number(right);
}
