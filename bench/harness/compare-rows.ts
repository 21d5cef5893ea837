/** Whether two answers are the same. */
import type { Cell } from "../references/duckdb-job.js";

type Rows = readonly (readonly Cell[])[];

/** A sum of doubles depends on the order in which threads add, in its last digits. */
const doubleTolerance = 1e-9;

/** Null when they are the same, else the first difference in words. Without an order, rows are put in one first. */
export function differenceOf(reached: Rows, expected: Rows, isOrdered: boolean): string | null {
  if (reached.length !== expected.length) return `${reached.length} rows instead of ${expected.length}`;
  const [left, right] = isOrdered ? [reached, expected] : [sorted(reached), sorted(expected)];
  for (const [index, row] of left.entries()) {
    const other = right[index] as readonly Cell[];
    if (row.length !== other.length || row.some((cell, column) => !isSame(cell, other[column] as Cell))) {
      return `row ${index} is ${JSON.stringify(row)} instead of ${JSON.stringify(other)}`.slice(0, 600);
    }
  }
  return null;
}

function isSame(left: Cell, right: Cell): boolean {
  if (left === right) return true;
  if (typeof left !== "number" || typeof right !== "number") return false;
  if (Number.isInteger(left) && Number.isInteger(right)) return false;
  return Math.abs(left - right) <= doubleTolerance * Math.max(Math.abs(left), Math.abs(right));
}

function sorted(rows: Rows): Rows {
  const keyed = rows.map((row) => ({ row, key: JSON.stringify(row.map(sortKey)) }));
  keyed.sort((left, right) => (left.key < right.key ? -1 : left.key > right.key ? 1 : 0));
  return keyed.map(({ row }) => row);
}

function sortKey(cell: Cell): Cell {
  return typeof cell === "number" && !Number.isInteger(cell) ? cell.toPrecision(8) : cell;
}
