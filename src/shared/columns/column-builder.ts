import { assert } from "../assert.js";
import { columnTypeTable, type ColumnType } from "../schema/column-type.js";
import type { ColumnData } from "./column-batch.js";

const initialRows = 64;
const noBytes = new Uint8Array(0);
const noInts = new Int32Array(0);
const noDoubles = new Float64Array(0);
const noView = new DataView(new ArrayBuffer(0));
const initialTextBytes = 1024;
/** Memory above this is given back after `idleResetsMax` batches that used less than 1/idleFactor of it. */
const keptRows = 16 * 1024;
const keptTextBytes = 256 * 1024;
const idleFactor = 8;
const idleResetsMax = 64;
const textEncoder = new TextEncoder();

/**
 * One growing column. One class for all types keeps the decoders' call sites monomorphic; arrays that a type does
 * not use stay empty.
 *
 * The fast readers of the decoders write into the arrays themselves: `prepare(row)` unless the column stands at `row`
 * and has room, then the value, then `length = row + 1`. A reader that gives up leaves `length` alone.
 *
 * Every `set` names its row. Rows skipped since the last `set` become null; a `set` of the last row again replaces
 * it (duplicate keys: the last one wins, as in JSON.parse). `length` is the number of rows that have been decided.
 *
 * ```
 * long, timestamp   ints     [lo, hi] per row (two's complement, little-endian)
 * double            doubles  one per row (same buffer as ints)
 * boolean           bits     one per row
 * string, json      offsets  start per row, then the end;  text: UTF-8 bytes
 * all               validity bit per row; allocated at the first null
 * ```
 */
export class ColumnBuilder {
  readonly fieldId: number;
  readonly type: ColumnType;
  length = 0;
  nullCount = 0;
  ints: Int32Array = noInts;
  doubles: Float64Array = noDoubles;
  bits: Uint8Array = noBytes;
  offsets: Int32Array = noInts;
  text: Uint8Array = noBytes;
  /** The memory of `text`, for unaligned writes of whole words. */
  textView: DataView = noView;
  validity: Uint8Array | null = null;
  /** Rows that the arrays have room for. */
  rowCapacity = 0;
  /** The bitmap of the batch before, kept for the next null. */
  #spareValidity: Uint8Array | null = null;
  #idleResets = 0;

  constructor(fieldId: number, type: ColumnType) {
    this.fieldId = fieldId;
    this.type = type;
    this.#growRows(initialRows);
  }

  setLong(row: number, lo: number, hi: number): void {
    this.prepare(row);
    this.ints[row * 2] = lo;
    this.ints[row * 2 + 1] = hi;
    this.length = row + 1;
  }

  /** An integer within ±2^53. */
  setSafeInteger(row: number, value: number): void {
    const hi = Math.floor(value / 0x1_0000_0000);
    this.setLong(row, (value - hi * 0x1_0000_0000) | 0, hi | 0);
  }

  setDouble(row: number, value: number): void {
    this.prepare(row);
    this.doubles[row] = value;
    this.length = row + 1;
  }

  setBoolean(row: number, value: boolean): void {
    this.prepare(row);
    const index = row >> 3;
    const mask = 1 << (row & 7);
    const byte = this.bits[index] as number;
    this.bits[index] = value ? byte | mask : byte & ~mask;
    this.length = row + 1;
  }

  /** UTF-8 bytes [start, end) of `source`, which the caller has validated. */
  setText(row: number, source: Uint8Array, start: number, end: number): void {
    this.prepare(row);
    const at = this.reserveText(row, end - start);
    const text = this.text;
    if (end - start < 32) {
      for (let from = start, to = at; from < end; from++, to++) text[to] = source[from] as number;
    } else {
      text.set(source.subarray(start, end), at);
    }
    this.offsets[row + 1] = at + end - start;
    this.length = row + 1;
  }

  setString(row: number, value: string): void {
    this.prepare(row);
    const at = this.reserveText(row, value.length * 3);
    const { written } = textEncoder.encodeInto(value, this.text.subarray(at));
    this.offsets[row + 1] = at + written;
    this.length = row + 1;
  }

  setNull(row: number): void {
    this.prepare(row);
    this.#padNulls(row + 1);
  }

  /** Room for `bytes` more of text in `row`; returns where they start. Writers then set offsets[row + 1] and length. */
  reserveText(row: number, bytes: number): number {
    const at = this.offsets[row] as number;
    if (at + bytes > this.text.length) this.#growText(at + bytes);
    return at;
  }

  /** Forgets all rows from `rowCount` on. */
  truncate(rowCount: number): void {
    if (this.length <= rowCount) return;
    if (this.validity !== null) {
      for (let row = rowCount; row < this.length; row++) {
        const index = row >> 3;
        const byte = this.validity[index] as number;
        if ((byte & (1 << (row & 7))) === 0) {
          this.nullCount--;
          this.validity[index] = byte | (1 << (row & 7));
        }
      }
    }
    this.length = rowCount;
  }

  /** Makes room for rows up to `rows` in one step, for bulk appends. */
  ensureRows(rows: number): void {
    if (rows > this.rowCapacity) this.#growRows(rows);
  }

  /** The validity bitmap of all rows there is room for, for bulk appends that are about to clear bits of it. */
  ensureValidity(): Uint8Array {
    this.validity ??= this.#newValidity();
    return this.validity;
  }

  /** Bytes that the column takes over `rowCount` rows. */
  bytesOf(rowCount: number): number {
    const width = columnTypeTable[this.type].width;
    const bits = (rowCount + 7) >> 3;
    const validity = this.nullCount > 0 || this.length < rowCount ? bits : 0;
    if (width === -1) return validity + (rowCount + 1) * 4 + this.#textBytes();
    return validity + (width === 0 ? bits : rowCount * width);
  }

  /** The column over `rowCount` rows, as views on this builder's memory: valid until the next `set` or `reset`. */
  finish(rowCount: number): ColumnData {
    assert(this.length <= rowCount, "a column holds no more rows than its batch");
    this.ensureRows(rowCount);
    this.#padNulls(rowCount);
    const { fieldId, type, nullCount } = this;
    const validity = nullCount === 0 || this.validity === null ? null : this.validity.subarray(0, (rowCount + 7) >> 3);
    const width = columnTypeTable[type].width;
    if (width === -1) {
      const offsets = this.offsets.subarray(0, rowCount + 1);
      return { fieldId, type, nullCount, validity, values: this.text.subarray(0, offsets[rowCount]), offsets };
    }
    const values =
      width === 0
        ? this.bits.subarray(0, (rowCount + 7) >> 3)
        : new Uint8Array(this.ints.buffer, this.ints.byteOffset, rowCount * 8);
    return { fieldId, type, nullCount, validity, values, offsets: null };
  }

  /** Empty again, keeping its memory, unless many batches in a row had no use for most of it. */
  reset(): void {
    const rowsIdle = this.rowCapacity > keptRows && this.length * idleFactor < this.rowCapacity;
    const textIdle = this.text.length > keptTextBytes && this.#textBytes() * idleFactor < this.text.length;
    this.#idleResets = rowsIdle || textIdle ? this.#idleResets + 1 : 0;
    this.length = 0;
    this.nullCount = 0;
    this.#spareValidity = this.validity ?? this.#spareValidity;
    this.validity = null;
    if (this.#idleResets >= idleResetsMax) this.#release();
  }

  #textBytes(): number {
    return this.length === 0 ? 0 : (this.offsets[this.length] as number);
  }

  #release(): void {
    this.#idleResets = 0;
    this.#spareValidity = null;
    this.rowCapacity = 0;
    this.text = noBytes;
    this.textView = noView;
    this.#growRows(initialRows);
  }

  /** Makes room for `row` and makes it the next one: skipped rows become null, later ones are forgotten. */
  prepare(row: number): void {
    if (row >= this.rowCapacity) this.#growRows(row + 1);
    if (this.length !== row) {
      if (this.length > row) this.truncate(row);
      else this.#padNulls(row);
    }
  }

  #padNulls(rowCount: number): void {
    if (this.length >= rowCount) return;
    this.validity ??= this.#newValidity();
    const isText = columnTypeTable[this.type].width === -1;
    for (let row = this.length; row < rowCount; row++) {
      const index = row >> 3;
      this.validity[index] = (this.validity[index] as number) & ~(1 << (row & 7));
      if (isText) this.offsets[row + 1] = this.offsets[row] as number;
      else if (this.ints.length > 0) {
        this.ints[row * 2] = 0;
        this.ints[row * 2 + 1] = 0;
      }
    }
    this.nullCount += rowCount - this.length;
    this.length = rowCount;
  }

  #growRows(rows: number): void {
    const capacity = Math.max(rows, this.rowCapacity * 2, initialRows);
    const width = columnTypeTable[this.type].width;
    // Only decided rows are kept: with none, this also shrinks.
    if (width === 8) {
      const grown = new Int32Array(capacity * 2);
      grown.set(this.ints.subarray(0, this.length * 2));
      this.ints = grown;
      this.doubles = new Float64Array(grown.buffer);
    } else if (width === 0) {
      const grown = new Uint8Array((capacity + 7) >> 3);
      grown.set(this.bits.subarray(0, (this.length + 7) >> 3));
      this.bits = grown;
    } else {
      const grown = new Int32Array(capacity + 1);
      grown.set(this.offsets.subarray(0, this.length + 1));
      this.offsets = grown;
    }
    if (this.validity !== null) {
      const grown = new Uint8Array((capacity + 7) >> 3).fill(0xff);
      grown.set(this.validity);
      this.validity = grown;
    }
    this.rowCapacity = capacity;
  }

  /** All ones: of the rows that the arrays have room for. */
  #newValidity(): Uint8Array {
    const bytes = (this.rowCapacity + 7) >> 3;
    const spare = this.#spareValidity;
    this.#spareValidity = null;
    return (spare !== null && spare.length === bytes ? spare : new Uint8Array(bytes)).fill(0xff);
  }

  #growText(bytes: number): void {
    assert(bytes < 2 ** 31, "the text of one batch has 32-bit offsets");
    const grown = new Uint8Array(Math.max(bytes, Math.min(this.text.length * 2, 2 ** 31 - 1), initialTextBytes));
    grown.set(this.text);
    this.text = grown;
    this.textView = new DataView(grown.buffer);
  }
}
