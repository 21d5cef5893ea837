import { assert } from "../../shared/assert.js";
import { nameKey, timestampFieldId } from "../../shared/schema/table-schema.js";
import { sortRowsByWords, sortScratchBytes, sortScratchOf, type SortScratch } from "./radix-sort.js";
import { dayKeysOf, dayOfWords, sortKeysOf, type SortKeys } from "./sort-keys.js";
import { giveBackMemory, takeMemory } from "./spare-memory.js";
import { partOfRow, type ColumnView, type TypedColumn, type TypedRows } from "./typed-rows.js";

/** The rows of one UTC day: positions [from, to) of the order. */
export interface DayRows {
  readonly day: number;
  readonly from: number;
  readonly to: number;
}

export interface SortedRows {
  readonly rows: TypedRows;
  /** Row numbers in output order; null where the rows are in order already. */
  readonly order: Uint32Array | null;
  /** Ascending by day. */
  readonly days: readonly DayRows[];
}

/**
 * The order in which rows are written: by day of `timestamp`, then by the named columns ascending, nulls last, then by
 * sequence. Names that the schema does not have, and columns without a value, sort nothing. `living` are the numbers of the
 * rows to be written, ascending; null: all.
 */
export function sortRows(rows: TypedRows, sortOrder: readonly string[], living: Uint32Array | null = null): SortedRows {
  const timestamps = timestampsOf(rows);
  const wanted = sortOrder.length === 0 ? [timestamps.column.name] : sortOrder;
  const isTimestampFirst = nameKey(wanted[0] as string) === nameKey(timestamps.column.name);
  if (living === null && isTimestampFirst && wanted.length === 1 && isAscending(rows, timestamps)) {
    return { rows, order: null, days: daysOf(rows, null) };
  }
  const order = living === null ? allRows(rows.rowCount) : living.slice();
  const memory = takeMemory(sortScratchBytes(order.length));
  const scratch = sortScratchOf(memory, 0, order.length);
  // Least significant first: each pass is stable, so that earlier passes decide between equals.
  for (const name of wanted.toReversed()) {
    const column = rows.columns.find((candidate) => nameKey(candidate.column.name) === nameKey(name));
    if (column !== undefined) sortByKeys(order, sortKeysOf(rows, column), scratch);
  }
  if (!isTimestampFirst) sortByKeys(order, dayKeysOf(rows, timestamps), scratch);
  giveBackMemory(memory);
  return { rows, order, days: daysOf(rows, order) };
}

function allRows(rowCount: number): Uint32Array {
  const order = new Uint32Array(rowCount);
  for (let row = 0; row < order.length; row++) order[row] = row;
  return order;
}

function sortByKeys(order: Uint32Array, keys: SortKeys, scratch: SortScratch): void {
  for (const words of [keys.low, keys.high, keys.nulls]) if (words !== null) sortRowsByWords(order, words, scratch);
}

function timestampsOf(rows: TypedRows): TypedColumn {
  const timestamps = rows.columns.find((column) => column.column.fieldId === timestampFieldId);
  assert(timestamps !== undefined, "every table has timestamps");
  return timestamps;
}

function isAscending(rows: TypedRows, timestamps: TypedColumn): boolean {
  let lastHigh = -0x8000_0000;
  let lastLow = 0;
  for (let part = 0; part < rows.froms.length; part++) {
    const { words } = timestamps.views[part] as ColumnView;
    const from = rows.froms[part] as number;
    const to = from + (rows.starts[part + 1] as number) - (rows.starts[part] as number);
    for (let row = from; row < to; row++) {
      const low = (words[row * 2] as number) >>> 0;
      const high = words[row * 2 + 1] as number;
      if (high < lastHigh || (high === lastHigh && low < lastLow)) return false;
      lastHigh = high;
      lastLow = low;
    }
  }
  return true;
}

/** Days lie one behind the other in the order: their ends are found by bisection. */
function daysOf(rows: TypedRows, order: Uint32Array | null): DayRows[] {
  const timestamps = timestampsOf(rows);
  const dayAt = (position: number): number => {
    const row = order === null ? position : (order[position] as number);
    const part = partOfRow(rows.starts, row);
    const { words } = timestamps.views[part] as ColumnView;
    const at = (row - (rows.starts[part] as number) + (rows.froms[part] as number)) * 2;
    return dayOfWords(words[at] as number, words[at + 1] as number);
  };
  const days: DayRows[] = [];
  const rowCount = order === null ? rows.rowCount : order.length;
  let from = 0;
  while (from < rowCount) {
    const day = dayAt(from);
    let low = from + 1;
    let high = rowCount;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (dayAt(middle) === day) low = middle + 1;
      else high = middle;
    }
    days.push({ day, from, to: low });
    from = low;
  }
  return days;
}
