import { ByteWindow } from "../../shared/bytes/byte-window.js";
import { readTimestampText, timestampOutOfRange } from "../../shared/bytes/read-timestamp.js";
import { isValidUtf8 } from "../../shared/bytes/utf8.js";
import type { ColumnBuilder } from "../../shared/columns/column-builder.js";
import type { RowErrorCode } from "../../shared/columns/row-account.js";
import type { ColumnType } from "../../shared/schema/column-type.js";
import { storeEpochDouble, storeEpochLong, storeSeconds, textOfInteger } from "./bulk-epoch.js";
import { RowFailure } from "./bulk-failure.js";
import { MsgpackJson } from "./msgpack-json.js";
import { tags, type MsgpackReader, type ValueKind } from "./msgpack-reader.js";
import { copyShortText, shortTextBytesMax, textWordBytes } from "./msgpack-text.js";

/** Answer of `store` where a fraction met a long column: the value was not stored, and the position is before it. */
export const needsDouble = "needs double";
export type StoreOutcome = RowErrorCode | typeof needsDouble | undefined;

/** The type of a new column by its first value; kinds that are not here make no column. */
const naturalTypes: Readonly<Partial<Record<ValueKind, ColumnType>>> = {
  boolean: "boolean",
  integer: "long",
  float: "double",
  text: "string",
  timestamp: "timestamp",
  array: "json",
  map: "json",
};

const wanted: Readonly<Record<ColumnType, string>> = {
  boolean: "true or false",
  long: "an integer",
  double: "a number",
  string: "a string",
  timestamp: "a timestamp",
  json: "an object or an array",
};

const found: Readonly<Record<ValueKind, string>> = {
  nil: "nil",
  boolean: "a boolean",
  integer: "an integer",
  float: "a floating-point number",
  text: "a string",
  binary: "binary data, which no column holds: send text, base64 for example",
  array: "an array",
  map: "a map",
  timestamp: "a timestamp",
  extension: "an extension value, which no column holds",
};

/** The type of a column for the value at the position, or null where none holds it (and for nil). */
export function naturalTypeAt(reader: MsgpackReader): ColumnType | null {
  const isPast63Bits = reader.tag() === tags.uint64 && (reader.bytes[reader.position + 1] as number) >= 0x80;
  return isPast63Bits ? "double" : (naturalTypes[reader.kind()] ?? null);
}

/** "2026-11-22T19:20:21.123456789+01:00" and more digits than anyone's clock has. */
const timestampTextBytesMax = 64;
const nanosPerSecond = 1e9;

/**
 * Stores MessagePack values of any kind in columns of any type, one at a time: for rows, and for what the loops over
 * whole columns do not expect.
 *
 * | column    | takes                                                                                  |
 * |-----------|----------------------------------------------------------------------------------------|
 * | long      | integers below 2^63; floats that are whole (JavaScript has no other numbers past 2^32) |
 * | double    | integers, finite floats                                                                |
 * | boolean   | booleans                                                                               |
 * | string    | text in UTF-8; for the column id also integers, as their digits                        |
 * | timestamp | extension -1, RFC 3339 text, epoch numbers with their unit by magnitude                |
 * | json      | maps and arrays                                                                        |
 *
 * Nil is no value and is the caller's. A value that is refused is skipped, so that the row or column goes on behind it;
 * only bytes that are no MessagePack throw.
 */
export class MsgpackValues {
  readonly reader: MsgpackReader;
  /** The sentence of the last refusal; undefined where the code says it all. */
  message: string | undefined = undefined;
  readonly valueBytesMax: number;
  readonly #json: MsgpackJson;
  readonly #words = new Int32Array(2);
  readonly #timestampText = new ByteWindow(timestampTextBytesMax);

  constructor(reader: MsgpackReader, bounds: { readonly valueBytesMax: number; readonly depthMax: number }) {
    this.reader = reader;
    this.valueBytesMax = bounds.valueBytesMax;
    this.#json = new MsgpackJson(this, bounds);
  }

  /**
   * Reads the value at the position, which is not nil, into a row of the column. Returns undefined when it is there,
   * or why not; the position is then behind it all the same. In an id column an integer counts as its digits.
   */
  store(column: ColumnBuilder, row: number, isId: boolean): StoreOutcome {
    this.message = undefined;
    const kind = this.reader.kind();
    switch (column.type) {
      case "long":
        if (kind === "integer") return this.#storeLong(column, row);
        return kind === "float" ? this.#storeFloatAsLong(column, row) : this.refuse(column.type, kind);
      case "double":
        if (kind !== "integer" && kind !== "float") return this.refuse(column.type, kind);
        return this.#storeDouble(column, row, this.readNumber());
      case "string":
        if (kind === "text") return this.#storeText(column, row);
        return isId && kind === "integer" ? this.#storeDigits(column, row) : this.refuse(column.type, kind);
      case "boolean":
        if (kind !== "boolean") return this.refuse(column.type, kind);
        column.setBoolean(row, this.reader.tag() === tags.true);
        this.reader.position++;
        return undefined;
      case "timestamp": {
        const refusal = this.readTimestamp(kind, this.#words, 0);
        if (refusal === undefined) column.setLong(row, this.#words[0] as number, this.#words[1] as number);
        return refusal;
      }
      case "json":
        return kind === "map" || kind === "array" ? this.#storeJson(column, row) : this.refuse(column.type, kind);
    }
  }

  /** Skips the value at the position, which a column of this type does not take. */
  refuse(type: ColumnType, kind: ValueKind): RowErrorCode {
    this.message = `the column takes ${wanted[type]}; the value is ${found[kind]}`;
    this.reader.skip();
    return "TYPE_MISMATCH";
  }

  /** Why a value of this kind makes no column. */
  explain(kind: ValueKind): string {
    return `the value is ${found[kind]}`;
  }

  /**
   * Reads the integer at the position into words[0] and words[1] (low, high); returns true where they are unsigned
   * and past 2^63. The words are the reader's own: valid until the next read.
   */
  readInteger(words: Int32Array): boolean {
    const { reader } = this;
    const { view, position } = reader;
    const tag = reader.tag();
    let lo = 0;
    let bytes = 1;
    if (tag < 0x80) lo = tag;
    else if (tag >= 0xe0) lo = tag - 0x100;
    else {
      bytes += 1 << (tag & 3);
      reader.need(bytes);
      if (bytes === 9) {
        words[1] = view.getInt32(position + 1);
        words[0] = view.getInt32(position + 5);
        reader.position = position + bytes;
        return tag === tags.uint64 && words[1] < 0;
      }
      if (tag === tags.uint8) lo = view.getUint8(position + 1);
      else if (tag === tags.uint16) lo = view.getUint16(position + 1);
      else if (tag === tags.uint32) lo = view.getUint32(position + 1);
      else if (tag === tags.int8) lo = view.getInt8(position + 1);
      else if (tag === tags.int16) lo = view.getInt16(position + 1);
      else lo = view.getInt32(position + 1);
    }
    reader.position = position + bytes;
    words[0] = lo;
    words[1] = lo < 0 ? -1 : 0;
    return false;
  }

  /** Reads the integer or float at the position as a double. */
  readNumber(): number {
    const { reader } = this;
    const { view, position } = reader;
    const tag = reader.tag();
    if (tag === tags.float64) {
      reader.need(9);
      reader.position = position + 9;
      return view.getFloat64(position + 1);
    }
    if (tag === tags.float32) {
      reader.need(5);
      reader.position = position + 5;
      return view.getFloat32(position + 1);
    }
    const isUnsigned = this.readInteger(this.#words);
    const hi = this.#words[1] as number;
    return (isUnsigned ? hi >>> 0 : hi) * 0x1_0000_0000 + ((this.#words[0] as number) >>> 0);
  }

  /** Reads the value at the position as a point in time into out[2 × index] and the next; returns why not. */
  readTimestamp(kind: ValueKind, out: Int32Array, index: number): RowErrorCode | undefined {
    switch (kind) {
      case "integer": {
        const words = this.#words;
        const isUnsigned = this.readInteger(words);
        if (isUnsigned) return "TIMESTAMP_OUT_OF_RANGE";
        return storeEpochLong(out, index, words[0] as number, words[1] as number);
      }
      case "float": {
        const value = this.readNumber();
        return Number.isNaN(value) ? "INVALID_TIMESTAMP" : storeEpochDouble(out, index, value);
      }
      case "timestamp":
        return this.#readTimestampExtension(out, index);
      case "text":
        return this.#readTimestampText(out, index);
      case "nil":
      case "boolean":
      case "binary":
      case "array":
      case "map":
      case "extension":
        return this.refuse("timestamp", kind);
    }
  }

  /**
   * Extension type -1: 4 bytes of seconds; or 30 bits of nanoseconds and 34 of seconds; or 4 bytes of nanoseconds and
   * 8 of seconds.
   */
  #readTimestampExtension(out: Int32Array, index: number): RowErrorCode | undefined {
    const { reader } = this;
    const { view, position } = reader;
    const tag = reader.tag();
    reader.skip();
    let seconds: number;
    let nanos = 0;
    if (tag === tags.fixedExtension4) seconds = view.getUint32(position + 2);
    else if (tag === tags.fixedExtension8) {
      const high = view.getUint32(position + 2);
      nanos = high >>> 2;
      seconds = (high & 3) * 0x1_0000_0000 + view.getUint32(position + 6);
    } else if (tag === tags.extension8 && view.getUint8(position + 1) === 12) {
      nanos = view.getUint32(position + 3);
      seconds = view.getInt32(position + 7) * 0x1_0000_0000 + view.getUint32(position + 11);
    } else return "INVALID_TIMESTAMP";
    if (nanos >= nanosPerSecond) return "INVALID_TIMESTAMP";
    return storeSeconds(out, index, seconds, Math.floor(nanos / 1000));
  }

  #readTimestampText(out: Int32Array, index: number): RowErrorCode | undefined {
    const { reader } = this;
    reader.readText();
    const bytes = reader.textEnd - reader.textStart;
    if (bytes > timestampTextBytesMax) return "INVALID_TIMESTAMP";
    this.#timestampText.load(reader.bytes, reader.textStart, reader.textEnd);
    const end = readTimestampText(this.#timestampText, 0, out, index);
    if (end === bytes) return undefined;
    return end === timestampOutOfRange ? "TIMESTAMP_OUT_OF_RANGE" : "INVALID_TIMESTAMP";
  }

  #storeLong(column: ColumnBuilder, row: number): RowErrorCode | undefined {
    const words = this.#words;
    if (this.readInteger(words)) {
      this.message = "the integer does not fit 64 bits";
      return "NUMBER_OUT_OF_RANGE";
    }
    column.setLong(row, words[0] as number, words[1] as number);
    return undefined;
  }

  /** A fraction leaves the position where it was: the caller widens the column and stores the value there. */
  #storeFloatAsLong(column: ColumnBuilder, row: number): StoreOutcome {
    const start = this.reader.position;
    const value = this.readNumber();
    if (Number.isSafeInteger(value)) {
      column.setSafeInteger(row, value);
      return undefined;
    }
    if (!Number.isFinite(value)) return "NUMBER_OUT_OF_RANGE";
    this.reader.position = start;
    return needsDouble;
  }

  #storeDouble(column: ColumnBuilder, row: number, value: number): RowErrorCode | undefined {
    if (!Number.isFinite(value)) return "NUMBER_OUT_OF_RANGE";
    column.setDouble(row, value);
    return undefined;
  }

  #storeText(column: ColumnBuilder, row: number): RowErrorCode | undefined {
    const { reader } = this;
    reader.readText();
    const { bytes, textStart, textEnd } = reader;
    const length = textEnd - textStart;
    if (length > this.valueBytesMax) return this.#tooLarge();
    if (length <= shortTextBytesMax && textEnd + textWordBytes <= reader.end) {
      column.prepare(row);
      const at = column.reserveText(row, length + textWordBytes);
      if (!copyShortText(reader, column.textView, at) && !isValidUtf8(bytes, textStart, textEnd)) return "INVALID_UTF8";
      column.offsets[row + 1] = at + length;
      column.length = row + 1;
      return undefined;
    }
    if (!isValidUtf8(bytes, textStart, textEnd)) return "INVALID_UTF8";
    column.setText(row, bytes, textStart, textEnd);
    return undefined;
  }

  #storeDigits(column: ColumnBuilder, row: number): RowErrorCode | undefined {
    const isUnsigned = this.readInteger(this.#words);
    column.setString(row, textOfInteger(this.#words, 0, isUnsigned));
    return undefined;
  }

  /** A failure deep inside goes back to the value's beginning and skips it from there. */
  #storeJson(column: ColumnBuilder, row: number): RowErrorCode | undefined {
    const start = this.reader.position;
    try {
      column.setString(row, this.#json.read());
      return undefined;
    } catch (error) {
      if (!(error instanceof RowFailure)) throw error;
      this.message = error.message;
      this.reader.position = start;
      this.reader.skip();
      return error.code;
    }
  }

  #tooLarge(): RowErrorCode {
    this.message = `the value is longer than ${this.valueBytesMax} bytes`;
    return "VALUE_TOO_LARGE";
  }
}
