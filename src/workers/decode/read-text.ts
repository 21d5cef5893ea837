import type { ByteWindow } from "../../shared/bytes/byte-window.js";
import { escapeValues } from "../../shared/bytes/json-string.js";
import { sequenceLength } from "../../shared/bytes/utf8.js";
import type { ColumnBuilder } from "../../shared/columns/column-builder.js";

const quote = 0x22;
const backslash = 0x5c;
/** As a constant of this module, which V8 folds into the loop. */
const escapes = escapeValues;
/** Room asked for ahead of what is known to be needed. */
const roomBytes = 1024;

/**
 * Copies the JSON string whose opening quote is at `start` to the column's text at `row` and sets its end there
 * (`length` is the caller's). Returns the position behind the closing quote, or -1 where there is no quote, or a \u
 * escape, a control character or broken UTF-8 comes first.
 *
 * Four bytes at a time: a byte's high bit in `marks` is set where the byte is below 0x20, a quote, a backslash, or
 * not ASCII (Mycroft 1987: (x - 1) sets the high bit of a zero byte; borrows reach only bytes above the first hit, so
 * the lowest mark is always true).
 */
export function readText(source: ByteWindow, start: number, column: ColumnBuilder, row: number): number {
  const { bytes, view } = source;
  if (bytes[start] !== quote) return -1;
  const text = column.textView;
  // Not the very last word of it: V8 13's Maglev takes that for out of bounds, and never inlines the write again.
  const last = column.text.length - 8;
  let from = start + 1;
  let to = column.offsets[row] as number;
  while (to <= last) {
    const word = view.getInt32(from, true);
    const marks =
      ((word - 0x20202020) | ((word ^ 0x22222222) - 0x01010101) | ((word ^ 0x5c5c5c5c) - 0x01010101) | word) &
      0x80808080;
    text.setInt32(to, word, true);
    if (marks === 0) {
      from += 4;
      to += 4;
      continue;
    }
    const plain = (31 - Math.clz32(marks & -marks)) >> 3;
    from += plain;
    to += plain;
    const byte = bytes[from] as number;
    if (byte === quote) {
      column.offsets[row + 1] = to;
      return from + 1;
    }
    if (to > last) break;
    if (byte < 0x80) {
      const escape = byte === backslash ? (escapes[bytes[from + 1] as number] as number) : 0;
      if (escape === 0) return -1;
      text.setUint8(to++, escape);
      from += 2;
      continue;
    }
    const length = sequenceLength(bytes, from, source.end);
    if (length === 0) return -1;
    text.setInt32(to, view.getInt32(from, true), true);
    from += length;
    to += length;
  }
  // Out of room: more of it, and once again from the start. `text` stays one constant for the loop above.
  column.reserveText(row, (from - start) * 2 + roomBytes);
  return readText(source, start, column, row);
}
