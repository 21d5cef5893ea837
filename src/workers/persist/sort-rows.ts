import { assert } from "../../shared/assert.js";
import { nameKey, timestampFieldId } from "../../shared/schema/table-schema.js";
import { flatten } from "./flatten.js";
import { dayKeysOf, dayOfWords, sortKeysOf, type SortKeys } from "./sort-keys.js";
import { partOfRow, type ColumnView, type TypedColumn, type TypedRows } from "./typed-rows.js";

/** The rows of one UTC day: positions [from, to) of the order. */
export interface DayRows {
  readonly day: number;
  readonly from: number;
  readonly to: number;
}

export interface SortedRows {
  /** The rows that were given; made one part where they had to be reordered. */
  readonly rows: TypedRows;
  /** Row numbers in output order; null where the rows are in order already. */
  readonly order: Uint32Array | null;
  /** Ascending by day. */
  readonly days: readonly DayRows[];
  /** What `rows` lie in where they were copied, to be given back when they are done with (spare-memory.ts). */
  readonly memory: ArrayBuffer | null;
}

/**
 * The order in which rows are written: by day of `timestamp`, then by the named columns ascending, nulls last, then by
 * sequence. Names that the schema does not have, and columns without a value, sort nothing.
 */
export function sortRows(rows: TypedRows, sortOrder: readonly string[]): SortedRows {
  const timestamps = timestampsOf(rows);
  const wanted = sortOrder.length === 0 ? [timestamps.column.name] : sortOrder;
  const isTimestampFirst = nameKey(wanted[0] as string) === nameKey(timestamps.column.name);
  if (isTimestampFirst && wanted.length === 1 && isAscending(rows, timestamps)) {
    return { rows, order: null, days: daysOf(rows, null), memory: null };
  }
  const { rows: flat, memory } = flatten(rows);
  let order = new Uint32Array(rows.rowCount);
  for (let row = 0; row < order.length; row++) order[row] = row;
  // Least significant first: each pass is stable, so that earlier passes decide between equals.
  for (const name of wanted.toReversed()) {
    const column = flat.columns.find((candidate) => nameKey(candidate.column.name) === nameKey(name));
    if (column === undefined) continue;
    order = sortByKeys(order, sortKeysOf(column.views[0] as ColumnView, column.column.type, rows.rowCount));
  }
  if (!isTimestampFirst) {
    order = sortByKeys(order, dayKeysOf(timestampsOf(flat).views[0] as ColumnView, rows.rowCount));
  }
  return { rows: flat, order, days: daysOf(flat, order), memory };
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
  let from = 0;
  while (from < rows.rowCount) {
    const day = dayAt(from);
    let low = from + 1;
    let high = rows.rowCount;
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

/** Wider digits need fewer passes, but more buckets than the first cache holds. */
const digitBitsMax = 12;

/** A stable radix sort of row numbers by their keys; bits that no key has set cost nothing. */
function sortByKeys(order: Uint32Array<ArrayBuffer>, keys: SortKeys): Uint32Array<ArrayBuffer> {
  let sorted = order;
  for (const words of [keys.low, keys.high, keys.nulls]) if (words !== null) sorted = sortByWords(sorted, words);
  return sorted;
}

function sortByWords(order: Uint32Array<ArrayBuffer>, words: Uint32Array): Uint32Array<ArrayBuffer> {
  const bits = usedBits(words);
  if (bits === 0) return order;
  const passes = Math.ceil(bits / digitBitsMax);
  const digitBits = Math.ceil(bits / passes);
  // Keys travel with their rows, so that every pass but its writes runs through memory in order.
  let rows = order;
  let keys = new Uint32Array(order.length);
  for (let at = 0; at < order.length; at++) keys[at] = words[order[at] as number] as number;
  let nextRows = new Uint32Array(order.length);
  let nextKeys = new Uint32Array(order.length);
  for (let pass = 0; pass < passes; pass++) {
    scatter({ rows, keys, nextRows, nextKeys, shift: pass * digitBits, buckets: 1 << digitBits });
    [rows, nextRows] = [nextRows, rows];
    [keys, nextKeys] = [nextKeys, keys];
  }
  return rows;
}

/** Position of the highest bit that is set in any word, from 1; 0 where none is. */
function usedBits(words: Uint32Array): number {
  let any = 0;
  for (let row = 0; row < words.length; row++) any |= words[row] as number;
  return 32 - Math.clz32(any);
}

interface Pass {
  readonly rows: Uint32Array;
  readonly keys: Uint32Array;
  readonly nextRows: Uint32Array;
  readonly nextKeys: Uint32Array;
  readonly shift: number;
  readonly buckets: number;
}

function scatter({ rows, keys, nextRows, nextKeys, shift, buckets }: Pass): void {
  const mask = buckets - 1;
  const next = new Uint32Array(buckets);
  for (let at = 0; at < keys.length; at++) {
    const digit = ((keys[at] as number) >>> shift) & mask;
    next[digit] = (next[digit] as number) + 1;
  }
  let sum = 0;
  for (let bucket = 0; bucket < buckets; bucket++) {
    const count = next[bucket] as number;
    next[bucket] = sum;
    sum += count;
  }
  for (let at = 0; at < keys.length; at++) {
    const key = keys[at] as number;
    const digit = (key >>> shift) & mask;
    const to = next[digit] as number;
    next[digit] = to + 1;
    nextKeys[to] = key;
    nextRows[to] = rows[at] as number;
  }
}
