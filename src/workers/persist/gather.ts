import { bitAt, partOfRow, type ColumnView, type TypedColumn, type TypedRows } from "./typed-rows.js";

/**
 * Copies one column's rows into contiguous Arrow buffers. Rows of a part that lacks the column become null. Output
 * buffers are reused memory: every byte that is read later is written here.
 *
 * A selection is either pieces, rows that lie side by side in their parts and are copied as blocks, or row numbers of
 * rows that are one part (row-windows.ts).
 */
export type Selection = PieceSelection | RowSelection;

/**
 * ```
 * pieces   part, row, length | part, row, length | ...     row: the first one, counted in the part's views
 * ```
 */
export interface PieceSelection {
  readonly rowCount: number;
  readonly pieces: Uint32Array;
}

/** A piece that is no longer is copied row by row: a call of `set` costs as much as about this many rows. */
const shortPieceRows = 8;

interface RowSelection {
  readonly rowCount: number;
  readonly rows: Uint32Array;
}

/** Positions [from, to) of the order; null: the rows' own order. */
export function select(rows: TypedRows, order: Uint32Array | null, from: number, to: number): Selection {
  if (order !== null) return { rowCount: to - from, rows: order.subarray(from, to) };
  return { rowCount: to - from, pieces: piecesOf(rows, from, to) };
}

/** Rows [from, to), in their own order. */
export function piecesOf(rows: TypedRows, from: number, to: number): Uint32Array {
  const pieces: number[] = [];
  let row = from;
  for (let part = partOfRow(rows.starts, from); row < to; part++) {
    const end = Math.min(rows.starts[part + 1] as number, to);
    const start = rows.starts[part] as number;
    pieces.push(part, row - start + (rows.froms[part] as number), end - row);
    row = end;
  }
  return Uint32Array.from(pieces);
}

/** The first rows of a selection. */
export function shorten(selection: Selection, rowCount: number): Selection {
  if ("rows" in selection) return { rowCount, rows: selection.rows.subarray(0, rowCount) };
  let left = rowCount;
  let at = 0;
  for (; left > 0; at += 3) left -= selection.pieces[at + 2] as number;
  const pieces = selection.pieces.slice(0, at);
  // What the last piece has too many.
  if (left < 0) pieces[at - 1] = (pieces[at - 1] as number) + left;
  return { rowCount, pieces };
}

/** 8-byte values, [lo, hi] per row. A long that is to be a double is converted, rounding once. */
export function gatherWords(column: TypedColumn, selection: Selection, out: Int32Array): void {
  const doubles =
    column.column.type === "double" ? new Float64Array(out.buffer, out.byteOffset, out.length >> 1) : null;
  if ("rows" in selection) {
    pickWords((column.views[0] as ColumnView).words, selection.rows, out);
    return;
  }
  const { pieces } = selection;
  let at = 0;
  for (let piece = 0; piece < pieces.length; piece += 3) {
    const view = column.views[pieces[piece] as number] ?? null;
    const row = pieces[piece + 1] as number;
    const length = pieces[piece + 2] as number;
    if (view === null) out.fill(0, at * 2, (at + length) * 2);
    else if (view.isLongOfDouble && doubles !== null) {
      longsToDoubles(view.words, row, doubles.subarray(at, at + length));
    } else if (length > shortPieceRows) out.set(view.words.subarray(row * 2, (row + length) * 2), at * 2);
    else for (let word = 0; word < length * 2; word++) out[at * 2 + word] = view.words[row * 2 + word] as number;
    at += length;
  }
}

function pickWords(words: Int32Array, rows: Uint32Array, out: Int32Array): void {
  for (let at = 0; at < rows.length; at++) {
    const from = (rows[at] as number) * 2;
    out[at * 2] = words[from] as number;
    out[at * 2 + 1] = words[from + 1] as number;
  }
}

function longsToDoubles(words: Int32Array, row: number, out: Float64Array): void {
  for (let index = 0; index < out.length; index++) {
    const at = (row + index) * 2;
    out[index] = (words[at + 1] as number) * 0x1_0000_0000 + ((words[at] as number) >>> 0);
  }
}

/** Bit per row, 1 = true; null rows hold any bit. */
export function gatherBooleans(column: TypedColumn, selection: Selection, out: Uint8Array): void {
  gatherBits(column, selection, out, (view) => view.bytes);
}

/** Bit per row, 1 = present. Returns the number of nulls. */
export function gatherValidity(column: TypedColumn, selection: Selection, out: Uint8Array): number {
  return selection.rowCount - gatherBits(column, selection, out, (view) => view.validity);
}

/** Returns how many bits are 1. A view without bits (null) has all of them set, a part without a view none. */
function gatherBits(
  column: TypedColumn,
  selection: Selection,
  out: Uint8Array,
  bitsOf: (view: ColumnView) => Uint8Array | null,
): number {
  const writer = { out, bit: 0, ones: 0 };
  if ("rows" in selection) {
    const bits = bitsOf(column.views[0] as ColumnView);
    if (bits === null) fillBits(writer, 1, selection.rowCount);
    else pickBits(writer, bits, selection.rows);
    return writer.ones;
  }
  const { pieces } = selection;
  for (let piece = 0; piece < pieces.length; piece += 3) {
    const view = column.views[pieces[piece] as number] ?? null;
    const row = pieces[piece + 1] as number;
    const length = pieces[piece + 2] as number;
    const bits = view === null ? null : bitsOf(view);
    if (bits === null) fillBits(writer, view === null ? 0 : 1, length);
    else copyBits(writer, bits, row, length);
  }
  return writer.ones;
}

interface BitWriter {
  readonly out: Uint8Array;
  bit: number;
  ones: number;
}

function fillBits(writer: BitWriter, value: number, length: number): void {
  const end = writer.bit + length;
  while (writer.bit < end && (writer.bit & 7) !== 0) pushBit(writer, value);
  const wholeBytes = (end - writer.bit) >> 3;
  writer.out.fill(value === 1 ? 0xff : 0, writer.bit >> 3, (writer.bit >> 3) + wholeBytes);
  writer.bit += wholeBytes * 8;
  writer.ones += wholeBytes * 8 * value;
  while (writer.bit < end) pushBit(writer, value);
}

function copyBits(writer: BitWriter, bits: Uint8Array, from: number, length: number): void {
  for (let index = from; index < from + length; index++) pushBit(writer, bitAt(bits, index));
}

function pickBits(writer: BitWriter, bits: Uint8Array, rows: Uint32Array): void {
  for (let at = 0; at < rows.length; at++) pushBit(writer, bitAt(bits, rows[at] as number));
}

/** The first bit of a byte clears what the byte held before. */
function pushBit(writer: BitWriter, value: number): void {
  const { out, bit } = writer;
  const before = (bit & 7) === 0 ? 0 : (out[bit >> 3] as number);
  out[bit >> 3] = before | (value << (bit & 7));
  writer.bit = bit + 1;
  writer.ones += value;
}

/**
 * Where each row's text starts in the gathered text, and its end: rowCount + 1 entries. Stops before the row whose text
 * would go beyond `bytesMax`, but not before the first. Returns the number of rows done.
 */
export function gatherOffsets(column: TypedColumn, selection: Selection, out: Int32Array, bytesMax: number): number {
  out[0] = 0;
  if ("rows" in selection) return pickOffsets((column.views[0] as ColumnView).offsets, selection.rows, out, bytesMax);
  const { pieces } = selection;
  let at = 0;
  let bytes = 0;
  for (let piece = 0; piece < pieces.length; piece += 3) {
    const view = column.views[pieces[piece] as number] ?? null;
    const row = pieces[piece + 1] as number;
    const length = pieces[piece + 2] as number;
    if (view === null) {
      out.fill(bytes, at + 1, at + length + 1);
      at += length;
      continue;
    }
    const { offsets } = view;
    const start = offsets[row] as number;
    for (let index = row + 1; index <= row + length; index++) {
      const end = bytes + (offsets[index] as number) - start;
      if (end > bytesMax && at > 0) return at;
      out[++at] = end;
    }
    bytes = out[at] as number;
  }
  return at;
}

function pickOffsets(offsets: Int32Array, rows: Uint32Array, out: Int32Array, bytesMax: number): number {
  let bytes = 0;
  for (let at = 0; at < rows.length; at++) {
    const row = rows[at] as number;
    bytes += (offsets[row + 1] as number) - (offsets[row] as number);
    if (bytes > bytesMax && at > 0) return at;
    out[at + 1] = bytes;
  }
  return rows.length;
}

/** Bytes of text that the selection holds of this column. */
export function textBytes(column: TypedColumn, selection: Selection): number {
  let bytes = 0;
  if ("rows" in selection) {
    const { offsets } = column.views[0] as ColumnView;
    for (const row of selection.rows) bytes += (offsets[row + 1] as number) - (offsets[row] as number);
    return bytes;
  }
  const { pieces } = selection;
  for (let piece = 0; piece < pieces.length; piece += 3) {
    const view = column.views[pieces[piece] as number] ?? null;
    if (view === null) continue;
    const row = pieces[piece + 1] as number;
    bytes += (view.offsets[row + (pieces[piece + 2] as number)] as number) - (view.offsets[row] as number);
  }
  return bytes;
}

/** Short texts are copied byte by byte: a call of `set` costs as much as about this many bytes. */
const shortTextBytes = 32;

/** The text itself. */
export function gatherText(column: TypedColumn, selection: Selection, out: Uint8Array): void {
  if ("rows" in selection) {
    pickText(column.views[0] as ColumnView, selection.rows, out);
    return;
  }
  const { pieces } = selection;
  let at = 0;
  for (let piece = 0; piece < pieces.length; piece += 3) {
    const view = column.views[pieces[piece] as number] ?? null;
    if (view === null) continue;
    const row = pieces[piece + 1] as number;
    const start = view.offsets[row] as number;
    const end = view.offsets[row + (pieces[piece + 2] as number)] as number;
    if (end - start > shortTextBytes) {
      out.set(view.bytes.subarray(start, end), at);
      at += end - start;
    } else {
      const { bytes } = view;
      for (let from = start; from < end; from++) out[at++] = bytes[from] as number;
    }
  }
}

function pickText({ bytes, offsets }: ColumnView, rows: Uint32Array, out: Uint8Array): void {
  let at = 0;
  for (let index = 0; index < rows.length; index++) {
    const row = rows[index] as number;
    const start = offsets[row] as number;
    const end = offsets[row + 1] as number;
    if (end - start > shortTextBytes) {
      out.set(bytes.subarray(start, end), at);
      at += end - start;
    } else {
      for (let from = start; from < end; from++) out[at++] = bytes[from] as number;
    }
  }
}
