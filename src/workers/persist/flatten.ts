import { assert } from "../../shared/assert.js";
import {
  gatherBooleans,
  gatherOffsets,
  gatherText,
  gatherValidity,
  gatherWords,
  textBytes,
  type PieceSelection,
} from "./gather.js";
import { isText, noBytes, noWords, type ColumnView, type TypedColumn } from "./typed-rows.js";

/** Offsets of a flat column are 32 bits. */
const textBytesMax = 2 ** 31 - 1;

/** Bytes of a flat column's buffers, each a multiple of 8. */
export interface FlatSizes {
  readonly validity: number;
  readonly offsets: number;
  readonly values: number;
}

export function flatSizes(column: TypedColumn, selection: PieceSelection): FlatSizes {
  const { rowCount } = selection;
  const bitmapBytes = padTo8((rowCount + 7) >> 3);
  const { type } = column.column;
  const values = isText(type) ? padTo8(textBytes(column, selection)) : type === "boolean" ? bitmapBytes : rowCount * 8;
  return {
    validity: column.hasNulls ? bitmapBytes : 0,
    offsets: isText(type) ? padTo8((rowCount + 1) * 4) : 0,
    values,
  };
}

export function flatBytes({ validity, offsets, values }: FlatSizes): number {
  return validity + offsets + values;
}

export interface FlatPlace {
  readonly memory: ArrayBuffer;
  /** A multiple of 8. */
  readonly at: number;
  readonly size: FlatSizes;
}

/** The selected rows of a column as one part: a copy, in the place that is given. */
export function flatten(column: TypedColumn, selection: PieceSelection, { memory, at, size }: FlatPlace): ColumnView {
  const { rowCount } = selection;
  const validity = column.hasNulls ? new Uint8Array(memory, at, size.validity) : null;
  if (validity !== null) gatherValidity(column, selection, validity);
  const common = { validity, words: noWords, bytes: noBytes, offsets: noWords, isLongOfDouble: false };
  const valuesAt = at + size.validity + size.offsets;
  if (isText(column.column.type)) {
    const offsets = new Int32Array(memory, at + size.validity, rowCount + 1);
    const done = gatherOffsets(column, selection, offsets, textBytesMax);
    assert(done === rowCount, "the text of these rows is below 2 GiB per column");
    const bytes = new Uint8Array(memory, valuesAt, offsets[rowCount]);
    gatherText(column, selection, bytes);
    return { ...common, bytes, offsets };
  }
  if (column.column.type === "boolean") {
    const bytes = new Uint8Array(memory, valuesAt, size.values);
    gatherBooleans(column, selection, bytes);
    return { ...common, bytes };
  }
  const words = new Int32Array(memory, valuesAt, rowCount * 2);
  gatherWords(column, selection, words);
  return { ...common, words };
}

function padTo8(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}
