import { columnTypeTable } from "../schema/column-type.js";
import type { ColumnBatch, ColumnData } from "./column-batch.js";

/** Texts shorter than this are copied by a loop, which is cheaper than a view for each. */
const loopBytesMax = 32;

/**
 * Some rows of a batch, as a batch with memory of its own; the same one where that is all of them. `rows` are row numbers in
 * ascending order, none twice. Columns that have no value in them are left out, but for the one with the field id `kept`.
 */
export function takeRows(batch: ColumnBatch, rows: Uint32Array, kept: number): ColumnBatch {
  if (rows.length === batch.rowCount) return batch;
  const columns = batch.columns
    .map((column) => takeColumn(column, rows))
    .filter(({ fieldId, nullCount }) => fieldId === kept || nullCount < rows.length);
  return { rowCount: rows.length, columns };
}

function takeColumn(column: ColumnData, rows: Uint32Array): ColumnData {
  const { fieldId, type } = column;
  const taken = column.validity === null ? null : takeBits(column.validity, rows);
  const nullCount = taken === null ? 0 : rows.length - taken.setCount;
  const validity = taken === null || nullCount === 0 ? null : taken.bits;
  const { width } = columnTypeTable[type];
  if (width === -1) return { fieldId, type, nullCount, validity, ...takeTexts(column, rows) };
  const values = width === 0 ? takeBits(column.values, rows).bits : takeWords(column.values, rows);
  return { fieldId, type, nullCount, validity, values, offsets: null };
}

function takeBits(bits: Uint8Array, rows: Uint32Array): { readonly bits: Uint8Array; readonly setCount: number } {
  const taken = new Uint8Array((rows.length + 7) >> 3);
  let setCount = 0;
  for (let index = 0; index < rows.length; index++) {
    const row = rows[index] as number;
    if (((bits[row >> 3] as number) & (1 << (row & 7))) === 0) continue;
    taken[index >> 3] = (taken[index >> 3] as number) | (1 << (index & 7));
    setCount++;
  }
  return { bits: taken, setCount };
}

/** Values of 8 bytes, as halves: a double that is read and written as one may come out as another NaN. */
function takeWords(values: Uint8Array, rows: Uint32Array): Uint8Array {
  const source = new Int32Array(values.buffer, values.byteOffset, values.length >> 2);
  const taken = new Int32Array(rows.length * 2);
  for (let index = 0; index < rows.length; index++) {
    const row = rows[index] as number;
    taken[index * 2] = source[row * 2] as number;
    taken[index * 2 + 1] = source[row * 2 + 1] as number;
  }
  return new Uint8Array(taken.buffer);
}

function takeTexts(
  { values, offsets }: ColumnData,
  rows: Uint32Array,
): { readonly values: Uint8Array; readonly offsets: Int32Array } {
  const from = offsets ?? new Int32Array(0);
  const takenOffsets = new Int32Array(rows.length + 1);
  for (let index = 0; index < rows.length; index++) {
    const row = rows[index] as number;
    const length = (from[row + 1] as number) - (from[row] as number);
    takenOffsets[index + 1] = (takenOffsets[index] as number) + length;
  }
  const taken = new Uint8Array(takenOffsets[rows.length] as number);
  for (let index = 0; index < rows.length; index++) {
    const start = from[rows[index] as number] as number;
    const end = from[(rows[index] as number) + 1] as number;
    let to = takenOffsets[index] as number;
    if (end - start >= loopBytesMax) taken.set(values.subarray(start, end), to);
    else for (let at = start; at < end; at++) taken[to++] = values[at] as number;
  }
  return { values: taken, offsets: takenOffsets };
}
