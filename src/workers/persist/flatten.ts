import { assert } from "../../shared/assert.js";
import {
  gatherBooleans,
  gatherOffsets,
  gatherText,
  gatherValidity,
  gatherWords,
  select,
  type Selection,
} from "./gather.js";
import { isText, noBytes, noWords, type ColumnView, type TypedColumn, type TypedRows } from "./typed-rows.js";

/** Offsets of a flat column are 32 bits. */
const textBytesMax = 2 ** 31 - 1;

/**
 * The same rows as one part: a copy, for rows that must be reordered. Picking rows one by one out of many parts costs
 * about as much as encoding them (a dependent load per part, column and row); out of one part, a tenth of it.
 */
export function flatten(rows: TypedRows): TypedRows {
  if (rows.froms.length === 1 && rows.froms[0] === 0 && rows.columns.every(isPlain)) return rows;
  const all = select(rows, null, 0, rows.rowCount);
  const columns = rows.columns.map((column) => ({ ...column, views: [flatView(column, all)] }));
  return { rowCount: rows.rowCount, starts: Uint32Array.of(0, rows.rowCount), froms: Uint32Array.of(0), columns };
}

function isPlain(column: TypedColumn): boolean {
  const view = column.views[0] ?? null;
  return view !== null && !view.isLongOfDouble;
}

function flatView(column: TypedColumn, all: Selection): ColumnView {
  const { rowCount } = all;
  const bitmapBytes = (rowCount + 7) >> 3;
  const validity = column.hasNulls ? new Uint8Array(bitmapBytes) : null;
  if (validity !== null) gatherValidity(column, all, validity);
  const common = { validity, words: noWords, bytes: noBytes, offsets: noWords, isLongOfDouble: false };
  if (isText(column.column.type)) {
    const offsets = new Int32Array(rowCount + 1);
    const done = gatherOffsets(column, all, offsets, textBytesMax);
    assert(done === rowCount, "the text of one flush is below 2 GiB per column");
    const bytes = new Uint8Array(offsets[rowCount] as number);
    gatherText(column, all, bytes);
    return { ...common, bytes, offsets };
  }
  if (column.column.type === "boolean") {
    const bytes = new Uint8Array(bitmapBytes);
    gatherBooleans(column, all, bytes);
    return { ...common, bytes };
  }
  const words = new Int32Array(rowCount * 2);
  gatherWords(column, all, words);
  return { ...common, words };
}
