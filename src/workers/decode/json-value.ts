import { ByteWindow } from "../../shared/bytes/byte-window.js";
import type { JsonScanner } from "../../shared/bytes/json-scanner.js";
import { unescapeString } from "../../shared/bytes/json-string.js";
import { readDecimal } from "../../shared/bytes/read-decimal.js";
import { notAnInteger, readInteger } from "../../shared/bytes/read-integer.js";
import { readEpoch, readTimestampText, timestampOutOfRange } from "../../shared/bytes/read-timestamp.js";
import type { RowErrorCode } from "../../shared/columns/row-account.js";
import type { ColumnType } from "../../shared/schema/column-type.js";
import type { DecodeTarget } from "./decoder.js";
import {
  kindBoolean,
  kindDouble,
  kindId,
  kindIgnored,
  kindJson,
  kindLong,
  kindString,
  kindTimestamp,
  type Field,
} from "./json-field.js";
import type { RowFaults } from "./row-faults.js";

const quote = 0x22;
const minus = 0x2d;
const zero = 0x30;
const openBracket = 0x5b;
const letterF = 0x66;
const letterN = 0x6e;
const letterT = 0x74;
const openBrace = 0x7b;

/** No timestamp is longer, however many of its characters are escaped. */
const timestampBytesMax = 256;
/** An escape of six bytes stands for one byte of text at least. */
const escapeBytesMax = 6;
const long = new Int32Array(2);
const double = new Float64Array(1);

const wanted: Readonly<Record<number, string>> = {
  [kindBoolean]: "true or false",
  [kindLong]: "an integer",
  [kindDouble]: "a number",
  [kindString]: "a string",
  [kindTimestamp]: "a timestamp",
  [kindJson]: "an object or an array",
  [kindId]: "a string or an integer",
};

/**
 * Any JSON value into any column: what the row reader's fast readers give up on. A value that does not fit becomes a
 * fault of the row, and is walked over all the same.
 */
export class JsonValueReader {
  readonly #scanner: JsonScanner;
  readonly #faults: RowFaults;
  readonly #expanded = new ByteWindow(timestampBytesMax);
  #target: DecodeTarget;
  /** The column that the value in hand is for, and its row. */
  #field: Field;
  #row = 0;

  constructor(scanner: JsonScanner, faults: RowFaults, target: DecodeTarget, field: Field) {
    this.#scanner = scanner;
    this.#faults = faults;
    this.#target = target;
    this.#field = field;
  }

  begin(target: DecodeTarget): void {
    this.#target = target;
  }

  /** The type of a new column for the value at `at`; null for null and for what is no value: neither makes a column. */
  typeAt(at: number): ColumnType | null {
    const { source } = this.#scanner;
    switch (tokenName(source.bytes[at] as number)) {
      case "a string":
        return "string";
      case "a number":
        // An integer that no long can hold is kept as a double, as a fraction is.
        return readInteger(source, at, long, 0) >= 0 ? "long" : "double";
      case "a boolean":
        return "boolean";
      case "an object":
      case "an array":
        return "json";
      default:
        return null;
    }
  }

  /** Reads the value at `at` for the field's column, which stands at `row`; returns its end, or -1 (see the scanner). */
  read(at: number, field: Field, row: number): number {
    const { bytes } = this.#scanner.source;
    const end = this.#scanner.skipValue(at);
    if (end < 0 || field.kind === kindIgnored) return end;
    this.#field = field;
    this.#row = row;
    const name = tokenName(bytes[at] as number);
    if (name === "null") this.#faults.forget(field.index);
    else if (name === "a string") this.#readString(at + 1, end - 1);
    else if (name === "a number") this.#readNumber(at, end);
    else if (name === "a boolean" && field.kind === kindBoolean) field.column.setBoolean(row, bytes[at] === letterT);
    else if (name !== "a boolean" && field.kind === kindJson) this.#readNested(at, end);
    else this.#mismatch(name);
    return end;
  }

  /** `start` and `end` are inside the quotes. */
  #readString(start: number, end: number): void {
    const { hasEscapes, hasInvalidUtf8, source } = this.#scanner;
    const { kind } = this.#field;
    if (hasInvalidUtf8) this.#fault("INVALID_UTF8");
    else if (kind === kindTimestamp && hasEscapes) this.#readEscapedTimestamp(start, end);
    else if (kind === kindTimestamp) this.#readTimestamp(source, start, end);
    else if (kind !== kindString && kind !== kindId) this.#mismatch("a string");
    else if (hasEscapes) this.#setEscapedText(start, end);
    else this.#setText(start, end);
  }

  #readNumber(at: number, end: number): void {
    const { source } = this.#scanner;
    const { column, kind } = this.#field;
    if (kind === kindDouble) {
      if (readDecimal(source, at, column.doubles, this.#row) === end) column.length = this.#row + 1;
      else this.#fault("NUMBER_OUT_OF_RANGE", "the number is not finite as a double");
    } else if (kind === kindLong) {
      const outcome = readInteger(source, at, column.ints, this.#row);
      if (outcome === end) column.length = this.#row + 1;
      else if (outcome === notAnInteger) this.#readFraction(at, end);
      else this.#fault("NUMBER_OUT_OF_RANGE", "the integer does not fit 64 bits");
    } else if (kind === kindTimestamp) {
      const outcome = readEpoch(source, at, column.ints, this.#row);
      if (outcome === end) column.length = this.#row + 1;
      else this.#timestampFault(outcome);
    } else if (kind === kindId && readInteger(source, at, long, 0) !== notAnInteger) {
      this.#setText(at, end);
    } else {
      this.#mismatch("a number");
    }
  }

  /** A long column meets a fraction or an exponent: taken where it is an integer after all, else the column widens. */
  #readFraction(at: number, end: number): void {
    const { source } = this.#scanner;
    const { column, index } = this.#field;
    const row = this.#row;
    const integer = integralPart(Buffer.from(source.bytes.subarray(at, end)).toString("latin1"));
    if (integer !== undefined) {
      column.setLong(row, Number(integer & 0xffff_ffffn) | 0, Number(integer >> 32n));
      return;
    }
    if (readDecimal(source, at, double, 0) !== end) {
      this.#fault("NUMBER_OUT_OF_RANGE", "the number is not finite as a double");
      return;
    }
    const { builder } = this.#target;
    const refusal = builder.widenToDouble(index);
    if (refusal === undefined) builder.columns[index]?.setDouble(row, double[0] as number);
    else this.#fault(refusal, "the column takes integers; the value has a fraction or an exponent");
  }

  #readNested(at: number, end: number): void {
    if (this.#scanner.hasInvalidUtf8) this.#fault("INVALID_UTF8");
    else this.#setText(at, end);
  }

  #readTimestamp(source: ByteWindow, start: number, end: number): void {
    const { column } = this.#field;
    const outcome = readTimestampText(source, start, column.ints, this.#row);
    if (outcome === end) column.length = this.#row + 1;
    else this.#timestampFault(outcome);
  }

  #readEscapedTimestamp(start: number, end: number): void {
    if (end - start > timestampBytesMax) {
      this.#fault("INVALID_TIMESTAMP");
      return;
    }
    const text = new Uint8Array(end - start);
    const length = unescapeString(this.#scanner.source.bytes, start, end, text);
    this.#expanded.load(text, 0, length);
    this.#readTimestamp(this.#expanded, 0, length);
  }

  #setText(start: number, end: number): void {
    if (this.#isTooLarge(end - start)) return;
    this.#field.column.setText(this.#row, this.#scanner.source.bytes, start, end);
    this.#checkId();
  }

  #setEscapedText(start: number, end: number): void {
    const { column } = this.#field;
    if (this.#isTooLarge(Math.ceil((end - start) / escapeBytesMax))) return;
    const at = column.reserveText(this.#row, end - start);
    const target = column.text.subarray(at, at + end - start);
    const length = unescapeString(this.#scanner.source.bytes, start, end, target);
    if (this.#isTooLarge(length)) return;
    column.offsets[this.#row + 1] = at + length;
    column.length = this.#row + 1;
    this.#checkId();
  }

  /** An empty id counts as none. */
  #checkId(): void {
    const { column, kind } = this.#field;
    if (kind !== kindId) return;
    const start = column.offsets[this.#row] as number;
    const end = column.offsets[this.#row + 1] as number;
    if (end > start && this.#target.acceptsId(column.text, start, end)) return;
    column.truncate(this.#row);
    if (end > start) this.#fault("INVALID_ID");
    else this.#faults.forget(this.#field.index);
  }

  #isTooLarge(bytes: number): boolean {
    if (bytes <= this.#target.valueBytesMax) return false;
    this.#fault("VALUE_TOO_LARGE", `the value is longer than ${this.#target.valueBytesMax} bytes`);
    return true;
  }

  #timestampFault(outcome: number): void {
    this.#fault(outcome === timestampOutOfRange ? "TIMESTAMP_OUT_OF_RANGE" : "INVALID_TIMESTAMP");
  }

  #mismatch(found: string): void {
    this.#fault("TYPE_MISMATCH", `the column takes ${wanted[this.#field.kind]}; the value is ${found}`);
  }

  #fault(code: RowErrorCode, message?: string): void {
    this.#faults.addValue(this.#field.index, this.#field.name, code, message);
  }
}

/** What kind of value starts with a byte, in words. */
function tokenName(byte: number): string {
  if (byte === quote) return "a string";
  if (byte === minus || (byte - zero) >>> 0 < 10) return "a number";
  if (byte === letterT || byte === letterF) return "a boolean";
  if (byte === letterN) return "null";
  if (byte === openBrace) return "an object";
  return byte === openBracket ? "an array" : "nothing";
}

/** The integer that a JSON number with fraction or exponent stands for, where it is one within 64 bits. */
function integralPart(text: string): bigint | undefined {
  const plain = /^(-?\d{1,19})\.0+$/.exec(text);
  const value = Number(text);
  const integer = plain !== null ? BigInt(plain[1] as string) : Number.isSafeInteger(value) ? BigInt(value) : undefined;
  return integer === undefined || BigInt.asIntN(64, integer) !== integer ? undefined : integer;
}
