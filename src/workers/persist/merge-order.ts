import type { TableColumn } from "../../shared/schema/table-schema.js";
import { quoteName } from "../query/table-view.js";
import { rowsSql, withDuckDB, type FileCopy } from "./duckdb-copy.js";
import type { MergeRun } from "./merge-run.js";
import type { ParquetFooter } from "./parquet-footer.js";
import type { PersistContext } from "./persist-context.js";
import type { GroupRange } from "./plan-slices.js";

/**
 * Files that a flush wrote are sorted, and those of a day lie one behind the other unless rows came late. Then a merge has
 * nothing to sort: the files are read in the order of their first sort column, and the rows are in order as they come.
 *
 * ```
 * file a   |--1--|--2--|                     row groups by their statistics: 1 2 3 4 5, none reaches back behind the
 * file b               |--3--|               one before it
 * file c                      |-4-|--5--|
 * ```
 * Statistics say that of row groups only, not of the rows within one, so that this is a guess. What came of it is looked at
 * before anything counts: areInOrder.
 */
export function orderOfFiles(orderBy: readonly TableColumn[], footers: readonly ParquetFooter[]): number[] | null {
  const [first] = orderBy;
  if (first === undefined || !orderBy.every((column) => hasNoNulls(column, footers))) return null;
  const files: FileRanges[] = [];
  for (const [index, footer] of footers.entries()) {
    const ranges = valuesOf(footer, first)?.ranges ?? [];
    const [start] = ranges;
    if (start === undefined) return null;
    files.push({ index, ranges, lower: start.lower, upper: (ranges.at(-1) ?? start).upper });
  }
  // By the upper bound where files begin alike: the one that ends first may be of this one value only.
  files.sort((left, right) => compare(left.lower, right.lower) || compare(left.upper, right.upper));
  const ranges = files.flatMap((file) => file.ranges);
  const isAscending = ranges.every(({ lower }, index) => lower >= (ranges[index - 1]?.upper ?? lower));
  return isAscending ? files.map(({ index }) => index) : null;
}

/**
 * Whether the rows of the files, read one behind the other, are in the order of the columns, which have no nulls. Reads
 * these columns only, in one thread, without sorting: `lag` without an order of its own takes rows as they come.
 */
export async function areInOrder(
  context: PersistContext,
  files: Pick<FileCopy, "columns" | "schema" | "orderBy"> & { readonly sources: readonly string[] },
  merge: MergeRun,
): Promise<boolean> {
  const { orderBy, schema, sources } = files;
  const names = orderBy.map(({ name }) => quoteName(name));
  const value = names.length === 1 ? names.join("") : `row(${names.join(", ")})`;
  const rows = rowsSql({ columns: orderBy, schema, sources });
  const sql = `SELECT count(*)::DOUBLE FROM (SELECT ${value} AS v, lag(${value}) OVER () AS p FROM (${rows})) WHERE v < p`;
  // Of several threads none would know which row came before its first.
  return withDuckDB(context, (connection) =>
    merge.watch(connection, async () => {
      const [row] = await (await connection.run(sql)).getRows();
      return row?.[0] === 0;
    }),
  );
}

export interface FileValues {
  readonly ranges: readonly GroupRange[];
  readonly nulls: number;
}

/** Of a column of whole numbers or times; null where the file does not say. A file without the column has nulls only. */
export function valuesOf(footer: ParquetFooter, { fieldId, type }: TableColumn): FileValues | null {
  if (type !== "timestamp" && type !== "long") return null;
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

/** Nulls are last in the sort, and first or last in no statistics. */
function hasNoNulls({ fieldId }: TableColumn, footers: readonly ParquetFooter[]): boolean {
  return footers.every(({ fieldIds, statistics }) => {
    const leaf = fieldIds.indexOf(fieldId);
    return leaf >= 0 && statistics.every((group) => group[leaf]?.nulls === 0);
  });
}

interface FileRanges {
  /** In the order that the files were given in. */
  readonly index: number;
  readonly ranges: readonly GroupRange[];
  readonly lower: bigint;
  readonly upper: bigint;
}

function compare(left: bigint, right: bigint): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
