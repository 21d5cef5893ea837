import { isValidUtf8 } from "../../shared/bytes/utf8.js";
import type { ColumnBuilder } from "../../shared/columns/column-builder.js";
import { clearBit, setBit } from "./bulk-bits.js";
import { storeEpochDouble, storeEpochLong } from "./bulk-epoch.js";
import { tags } from "./msgpack-reader.js";
import { copyShortText, shortTextBytesMax, textWordBytes } from "./msgpack-text.js";
import type { MsgpackValues } from "./msgpack-values.js";

/**
 * Loops over the values of one array, from bytes into a column's memory. Each stores rows [row, rowEnd), stops before
 * the first value that it does not expect, and returns that value's row; the reader's position and the column's
 * length are then right for whoever takes the odd one. The column has room for rows up to `rowEnd`.
 */
type Fill = (values: MsgpackValues, column: ColumnBuilder, row: number, rowEnd: number) => number;

/** Bytes of the longest number, its tag included: a loop leaves the body's last ones to readers that check. */
const numberBytesMax = 9;
const twoTo32 = 0x1_0000_0000;

/** Integers of all widths, and floats that are whole. */
const fillLongs: Fill = ({ reader }, column, row, rowEnd) => {
  const { bytes, view } = reader;
  const last = reader.end - numberBytesMax;
  const { ints } = column;
  let position = reader.position;
  for (; row < rowEnd && position <= last; row++) {
    const tag = bytes[position] as number;
    let lo = tag;
    let hi = 0;
    if (tag < 0x80) position++;
    else if (tag === tags.float64) {
      // JavaScript's clients send integers beyond 32 bits like this.
      const value = view.getFloat64(position + 1);
      hi = Math.floor(value / twoTo32);
      lo = value - hi * twoTo32;
      if (!Number.isSafeInteger(value)) break;
      position += 9;
    } else if (tag === tags.uint64 || tag === tags.int64) {
      hi = view.getInt32(position + 1);
      lo = view.getInt32(position + 5);
      if (hi < 0 && tag === tags.uint64) break;
      position += 9;
    } else if (tag === tags.uint32) {
      lo = view.getUint32(position + 1);
      position += 5;
    } else if (tag === tags.uint16) {
      lo = view.getUint16(position + 1);
      position += 3;
    } else if (tag === tags.uint8) {
      lo = bytes[position + 1] as number;
      position += 2;
    } else if (tag >= 0xe0) {
      lo = tag - 0x100;
      hi = -1;
      position++;
    } else if (tag === tags.int32 || tag === tags.int16 || tag === tags.int8) {
      lo = view.getInt32(position + 1) >> (tag === tags.int32 ? 0 : tag === tags.int16 ? 16 : 24);
      hi = lo >> 31;
      position += 1 + (1 << (tag & 3));
    } else break;
    ints[row * 2] = lo;
    ints[row * 2 + 1] = hi;
  }
  reader.position = position;
  column.length = row;
  return row;
};

/** Floats of 64 bits and small integers; other numbers are rare in a column of floats. */
const fillDoubles: Fill = ({ reader }, column, row, rowEnd) => {
  const { bytes, view } = reader;
  const last = reader.end - numberBytesMax;
  const { doubles } = column;
  let position = reader.position;
  for (; row < rowEnd && position <= last; row++) {
    const tag = bytes[position] as number;
    if (tag === tags.float64) {
      const value = view.getFloat64(position + 1);
      // Infinities and NaN: only there a number differs from itself in difference.
      if (value - value !== 0) break;
      doubles[row] = value;
      position += 9;
    } else if (tag < 0x80) {
      doubles[row] = tag;
      position++;
    } else break;
  }
  reader.position = position;
  column.length = row;
  return row;
};

/** A byte per value. */
const fillBooleans: Fill = ({ reader }, column, row, rowEnd) => {
  const { bytes, end } = reader;
  const { bits } = column;
  let position = reader.position;
  for (; row < rowEnd && position < end; row++, position++) {
    const tag = bytes[position] as number;
    if (tag === tags.true) setBit(bits, row);
    else if (tag === tags.false) clearBit(bits, row);
    else break;
  }
  reader.position = position;
  column.length = row;
  return row;
};

/**
 * Texts of up to 255 bytes. They are checked as they are copied: what is ASCII, as the copy tells by the way, is valid
 * UTF-8, and only other texts are looked at again.
 *
 * Kept apart from the storing of single texts on purpose: V8 may compile a function for the inside of its loop only,
 * and calls of it for one text each then run interpreted (seen with Node 20: a quarter of the speed).
 */
const fillTexts: Fill = ({ reader, valueBytesMax }, column, row, rowEnd) => {
  const { bytes } = reader;
  const last = reader.end - textWordBytes;
  const { offsets } = column;
  let { textView } = column;
  let position = reader.position;
  let at = offsets[row] as number;
  for (; row < rowEnd && position <= last; row++) {
    const tag = bytes[position] as number;
    let start = position + 1;
    let length = tag & 0x1f;
    if (tag === tags.text8) {
      start++;
      length = bytes[position + 1] as number;
    } else if ((tag & 0xe0) !== 0xa0) break;
    const stop = start + length;
    if (stop > last || length > valueBytesMax) break;
    if (at + length + textWordBytes > textView.byteLength) {
      column.reserveText(row, length + textWordBytes);
      textView = column.textView;
    }
    reader.textStart = start;
    reader.textEnd = stop;
    if (length <= shortTextBytesMax) {
      if (!copyShortText(reader, textView, at) && !isValidUtf8(bytes, start, stop)) break;
    } else if (isValidUtf8(bytes, start, stop)) column.text.set(bytes.subarray(start, stop), at);
    else break;
    at += length;
    position = stop;
    offsets[row + 1] = at;
  }
  reader.position = position;
  column.length = row;
  return row;
};

/** Epoch numbers as JavaScript and others send them are read in the loop; the reader of single values has the rest. */
const fillTimestamps: Fill = (values, column, row, rowEnd) => {
  const { reader } = values;
  const { bytes, view } = reader;
  const last = reader.end - numberBytesMax;
  const { ints } = column;
  for (; row < rowEnd; row++) {
    const { position } = reader;
    const tag = position <= last ? (bytes[position] as number) : tags.nil;
    let isStored: boolean;
    if (tag === tags.float64) {
      isStored = storeEpochDouble(ints, row, view.getFloat64(position + 1)) === undefined;
      reader.position = position + 9;
    } else if (tag === tags.uint64) {
      const hi = view.getInt32(position + 1);
      isStored = hi >= 0 && storeEpochLong(ints, row, view.getInt32(position + 5), hi) === undefined;
      reader.position = position + 9;
    } else {
      const kind = reader.kind();
      isStored = kind !== "nil" && values.readTimestamp(kind, ints, row) === undefined;
    }
    if (isStored) continue;
    // Read once more by the one who writes down why it is refused.
    reader.position = position;
    break;
  }
  column.length = row;
  return row;
};

/** The loop for the column's type; nested values have none. */
export const fillColumn: Fill = (values, column, row, rowEnd) => {
  switch (column.type) {
    case "long":
      return fillLongs(values, column, row, rowEnd);
    case "double":
      return fillDoubles(values, column, row, rowEnd);
    case "string":
      return fillTexts(values, column, row, rowEnd);
    case "boolean":
      return fillBooleans(values, column, row, rowEnd);
    case "timestamp":
      return fillTimestamps(values, column, row, rowEnd);
    case "json":
      return row;
  }
};
