import type { DuckDBDataChunk } from "@duckdb/node-api";
import { tooLarge } from "./result-sink.js";
import {
  type ColumnBytes,
  columnBytes,
  gatherSlackBytes,
  gatherTexts,
  isValid,
  textLengths,
} from "./result-vectors.js";

/**
 * How DuckDB has the values, and how many bytes each takes there.
 *
 * ```
 *   fixed     the same bytes in Arrow
 *   boolean   a byte each; in Arrow a bit, from the lowest on
 *   decimal   an integer of 2, 4, 8 or 16 bytes by its digits; in Arrow always of 16
 *   text      16 bytes each, see result-vectors.ts; in Arrow 32-bit offsets into the texts, one behind the other
 * ```
 */
export interface ArrowColumnKind {
  readonly values: "fixed" | "boolean" | "decimal" | "text";
  readonly width: number;
}

/** Offsets of texts are 32 bits, with a sign. */
const textBytesMax = 2 ** 31 - 1;
/** What a column has room for at first: a chunk of DuckDB. It grows with the batch, and keeps its room for the next. */
const firstRows = 2_048;
const decimalBytes = 16;

/** One column of a record batch as it grows. A NULL takes zeros, whatever DuckDB has there. */
export class ArrowColumn {
  readonly #kind: ArrowColumnKind;
  readonly #outWidth: number;
  #values: Uint8Array;
  #validity = new Uint8Array(firstRows / 8);
  #offsets = new Int32Array(firstRows + 1);
  #lengths = new Uint32Array(firstRows);
  #rows = 0;
  #textBytes = 0;
  #nulls = 0;

  constructor(kind: ArrowColumnKind) {
    this.#kind = kind;
    this.#outWidth = kind.values === "decimal" ? decimalBytes : kind.width;
    this.#values = new Uint8Array(firstRows * this.#outWidth);
  }

  get nulls(): number {
    return this.#nulls;
  }

  get textBytes(): number {
    return this.#textBytes;
  }

  /** Copies the first `rows` values of the chunk's column. Throws RESULT_TOO_LARGE for texts of 2 GiB in a batch. */
  append(chunk: DuckDBDataChunk, index: number, rows: number): void {
    const column = columnBytes(chunk, index, this.#kind.width);
    this.#appendValidity(column.validity, rows);
    if (this.#kind.values === "text") this.#appendTexts(column, rows);
    else this.#appendFixed(column, rows);
    this.#rows += rows;
  }

  /** Validity, offsets of texts, values; valid until the next append. */
  buffers(): Uint8Array[] {
    const validity = this.#nulls === 0 ? new Uint8Array(0) : this.#validity.subarray(0, Math.ceil(this.#rows / 8));
    switch (this.#kind.values) {
      case "text": {
        const offsets = new Uint8Array(this.#offsets.buffer, 0, (this.#rows + 1) * 4);
        return [validity, offsets, this.#values.subarray(0, this.#textBytes)];
      }
      case "boolean":
        return [validity, packBits(this.#values, this.#rows)];
      case "decimal":
      case "fixed":
        return [validity, this.#values.subarray(0, this.#rows * this.#outWidth)];
    }
  }

  /** Empties it for the next batch; what was there is overwritten. */
  clear(): void {
    this.#rows = 0;
    this.#textBytes = 0;
    this.#nulls = 0;
  }

  /** Bits that are 1 are written while there is a NULL only; the first one writes those before it. */
  #appendValidity(validity: Uint8Array | null, rows: number): void {
    let nulls = 0;
    for (let row = 0; validity !== null && row < rows; row++) if (!isValid(validity, row)) nulls++;
    if (nulls === 0 && this.#nulls === 0) return;
    const end = this.#rows + rows;
    if (this.#validity.length * 8 < end) this.#validity = grown(this.#validity, Math.ceil(end / 8));
    if (this.#nulls === 0) this.#validity.fill(0xff);
    const bits = this.#validity;
    for (let row = 0, at = this.#rows; row < rows; row++, at++) {
      const bit = 1 << (at & 7);
      if (isValid(validity, row)) bits[at >> 3] = (bits[at >> 3] as number) | bit;
      else bits[at >> 3] = (bits[at >> 3] as number) & ~bit;
    }
    this.#nulls += nulls;
  }

  /** Copies all, then puts zeros where there is NULL: DuckDB leaves old memory there. */
  #appendFixed({ data, validity }: ColumnBytes, rows: number): void {
    const { width, values } = this.#kind;
    const outWidth = this.#outWidth;
    const start = this.#rows * outWidth;
    this.#values = grown(this.#values, start + rows * outWidth);
    const target = this.#values;
    if (values === "decimal" && width < outWidth) widen(data, { target, start, width, rows });
    else target.set(data.subarray(0, rows * width), start);
    if (validity === null) return;
    for (let row = 0; row < rows; row++) {
      if (!isValid(validity, row)) target.fill(0, start + row * outWidth, start + (row + 1) * outWidth);
    }
  }

  /** Offsets go on from the last chunk's end; the first one, 0, is there from the start. */
  #appendTexts(column: ColumnBytes, rows: number): void {
    const first = this.#rows;
    if (this.#lengths.length < rows) this.#lengths = new Uint32Array(rows);
    if (this.#offsets.length < first + rows + 1) {
      const offsets = new Int32Array(Math.max(this.#offsets.length * 2, first + rows + 1));
      offsets.set(this.#offsets);
      this.#offsets = offsets;
    }
    const bytes = textLengths(column, rows, this.#lengths);
    if (this.#textBytes + bytes > textBytesMax) throw tooLarge(textBytesMax);
    this.#values = grown(this.#values, this.#textBytes + bytes + gatherSlackBytes);
    gatherTexts(column, rows, this.#lengths, this.#values.subarray(this.#textBytes));
    let offset = this.#textBytes;
    for (let row = 0; row < rows; row++) {
      offset += this.#lengths[row] as number;
      this.#offsets[first + row + 1] = offset;
    }
    this.#textBytes = offset;
  }
}

/** The same bytes with room for so many, twice as much as before at least. */
function grown(bytes: Uint8Array, room: number): Uint8Array<ArrayBuffer> {
  if (bytes.length >= room) return bytes as Uint8Array<ArrayBuffer>;
  const larger = new Uint8Array(Math.max(bytes.length * 2, room));
  larger.set(bytes);
  return larger;
}

/** One bit for each byte that is not 0. */
function packBits(bytes: Uint8Array, count: number): Uint8Array {
  const bits = new Uint8Array(Math.ceil(count / 8));
  for (let at = 0; at < count; at++) {
    if (bytes[at] !== 0) bits[at >> 3] = (bits[at >> 3] as number) | (1 << (at & 7));
  }
  return bits;
}

interface Widening {
  readonly target: Uint8Array;
  readonly start: number;
  readonly width: number;
  readonly rows: number;
}

/** Signed integers of `width` bytes, little endian, as such of 16. */
function widen(data: Uint8Array, { target, start, width, rows }: Widening): void {
  for (let row = 0; row < rows; row++) {
    const from = row * width;
    const to = start + row * decimalBytes;
    for (let byte = 0; byte < width; byte++) target[to + byte] = data[from + byte] as number;
    const sign = (data[from + width - 1] as number) >= 0x80 ? 0xff : 0;
    target.fill(sign, to + width, to + decimalBytes);
  }
}
