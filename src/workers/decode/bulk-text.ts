import { isUtf8 } from "node:buffer";
import { isValidUtf8 } from "../../shared/bytes/utf8.js";
import type { ColumnBuilder } from "../../shared/columns/column-builder.js";
import { isBitSet } from "./bulk-bits.js";
import type { BulkRows } from "./bulk-rows.js";

/** Texts as Arrow has them: row i is text[offsets[i], offsets[i + 1]). */
export interface TextRows {
  readonly nullCount: number;
  readonly validity: Uint8Array | null;
  /** One more than rows; they never decrease and lie within `text`. */
  readonly offsets: Int32Array;
  readonly text: Uint8Array;
}

/**
 * Fills a string column's rows with one copy of all their bytes. Only where one of them is not UTF-8, too long, or
 * null with bytes behind it does it go row by row: `reject` is called for the first two.
 * Does not touch the validity bitmap; throws BODY_TOO_LARGE past what a column can address.
 */
export function appendTexts(bulk: BulkRows, column: ColumnBuilder, name: string, rows: TextRows): void {
  const { base, count } = bulk;
  const start = rows.offsets[0] as number;
  const end = rows.offsets[count] as number;
  const at = column.offsets[base] as number;
  bulk.checkText(column, 0, end - start);
  column.reserveText(base, end - start);
  if (!copyOffsets(bulk, column, rows) || !isUtf8(rows.text.subarray(start, end))) {
    appendOneByOne(bulk, column, name, rows);
    return;
  }
  column.text.set(rows.text.subarray(start, end), at);
  column.length = base + count;
}

/**
 * Writes the column's offsets; true when they stand if the texts together are valid UTF-8. Then each of them is valid
 * alone, because none begins inside a character; none is too long; and null rows are empty.
 */
function copyOffsets(bulk: BulkRows, column: ColumnBuilder, { offsets, text, validity }: TextRows): boolean {
  const { base, count } = bulk;
  const { valueBytesMax } = bulk.target;
  const target = column.offsets;
  let previous = offsets[0] as number;
  const shift = (target[base] as number) - previous;
  for (let row = 0; row < count; row++) {
    const next = offsets[row + 1] as number;
    target[base + row + 1] = next + shift;
    if (next > previous) {
      // 10xxxxxx is a byte inside a character.
      if (((text[previous] as number) & 0xc0) === 0x80 || next - previous > valueBytesMax) return false;
      if (validity !== null && !isBitSet(validity, row)) return false;
    }
    previous = next;
  }
  return true;
}

function appendOneByOne(bulk: BulkRows, column: ColumnBuilder, name: string, rows: TextRows): void {
  const { base, count } = bulk;
  const { offsets, text, validity } = rows;
  const { valueBytesMax } = bulk.target;
  let at = column.offsets[base] as number;
  for (let row = 0; row < count; row++) {
    const start = offsets[row] as number;
    const end = offsets[row + 1] as number;
    if (validity === null || isBitSet(validity, row)) {
      if (end - start > valueBytesMax) {
        bulk.reject(row, "VALUE_TOO_LARGE", name, `the value is longer than ${valueBytesMax} bytes`);
      } else if (isValidUtf8(text, start, end)) {
        column.text.set(text.subarray(start, end), at);
        at += end - start;
      } else bulk.reject(row, "INVALID_UTF8", name);
    }
    column.offsets[base + row + 1] = at;
  }
  column.length = base + count;
}
