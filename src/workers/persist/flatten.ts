import { assert } from "../../shared/assert.js";
import {
  gatherBooleans,
  gatherOffsets,
  gatherText,
  gatherValidity,
  gatherWords,
  select,
  textBytes,
  type Selection,
} from "./gather.js";
import { takeMemory } from "./spare-memory.js";
import { isText, noBytes, noWords, type ColumnView, type TypedColumn, type TypedRows } from "./typed-rows.js";

/** Offsets of a flat column are 32 bits. */
const textBytesMax = 2 ** 31 - 1;

export interface FlatRows {
  readonly rows: TypedRows;
  /** To be given back (spare-memory.ts) when the rows are done with; null where nothing was copied. */
  readonly memory: ArrayBuffer | null;
}

/**
 * The same rows as one part: a copy, for rows that must be reordered. Picking rows one by one out of many parts costs
 * about as much as encoding them (a dependent load per part, column and row); out of one part, a tenth of it.
 */
export function flatten(rows: TypedRows): FlatRows {
  if (rows.froms.length === 1 && rows.froms[0] === 0 && rows.columns.every(isPlain)) return { rows, memory: null };
  const all = select(rows, null, 0, rows.rowCount);
  const sizes = rows.columns.map((column) => flatSizes(column, all));
  const total = sizes.reduce((sum, { validity, offsets, values }) => sum + validity + offsets + values, 0);
  const memory = takeMemory(total);
  let at = 0;
  const columns = rows.columns.map((column, index) => {
    const size = sizes[index] as FlatSizes;
    const views = [flatView(column, all, { memory, at, size })];
    at += size.validity + size.offsets + size.values;
    return { ...column, views };
  });
  const flat = { rowCount: rows.rowCount, starts: Uint32Array.of(0, rows.rowCount), froms: Uint32Array.of(0), columns };
  return { rows: flat, memory };
}

function isPlain(column: TypedColumn): boolean {
  const view = column.views[0] ?? null;
  return view !== null && !view.isLongOfDouble;
}

/** Bytes of a flat column's buffers, each a multiple of 8. */
interface FlatSizes {
  readonly validity: number;
  readonly offsets: number;
  readonly values: number;
}

function flatSizes(column: TypedColumn, all: Selection): FlatSizes {
  const { rowCount } = all;
  const bitmapBytes = padTo8((rowCount + 7) >> 3);
  const { type } = column.column;
  const values = isText(type) ? padTo8(textBytes(column, all)) : type === "boolean" ? bitmapBytes : rowCount * 8;
  return {
    validity: column.hasNulls ? bitmapBytes : 0,
    offsets: isText(type) ? padTo8((rowCount + 1) * 4) : 0,
    values,
  };
}

interface FlatPlace {
  readonly memory: ArrayBuffer;
  readonly at: number;
  readonly size: FlatSizes;
}

function flatView(column: TypedColumn, all: Selection, { memory, at, size }: FlatPlace): ColumnView {
  const { rowCount } = all;
  const validity = column.hasNulls ? new Uint8Array(memory, at, size.validity) : null;
  if (validity !== null) gatherValidity(column, all, validity);
  const common = { validity, words: noWords, bytes: noBytes, offsets: noWords, isLongOfDouble: false };
  const valuesAt = at + size.validity + size.offsets;
  if (isText(column.column.type)) {
    const offsets = new Int32Array(memory, at + size.validity, rowCount + 1);
    const done = gatherOffsets(column, all, offsets, textBytesMax);
    assert(done === rowCount, "the text of one flush is below 2 GiB per column");
    const bytes = new Uint8Array(memory, valuesAt, offsets[rowCount]);
    gatherText(column, all, bytes);
    return { ...common, bytes, offsets };
  }
  if (column.column.type === "boolean") {
    const bytes = new Uint8Array(memory, valuesAt, size.values);
    gatherBooleans(column, all, bytes);
    return { ...common, bytes };
  }
  const words = new Int32Array(memory, valuesAt, rowCount * 2);
  gatherWords(column, all, words);
  return { ...common, words };
}

function padTo8(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}
