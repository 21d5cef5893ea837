import { ByteWindow } from "../../shared/bytes/byte-window.js";
import type { JsonScanner } from "../../shared/bytes/json-scanner.js";
import { unescapeString } from "../../shared/bytes/json-string.js";
import { readInteger } from "../../shared/bytes/read-integer.js";
import type { ColumnBuilder } from "../../shared/columns/column-builder.js";
import type { ColumnType } from "../../shared/schema/column-type.js";
import { kindBoolean, kindId, kindIgnored, kindJson, kindString, kindTimestamp, type Field } from "./json-field.js";
import type { RowFaults } from "./row-faults.js";
import type { ValueWriter } from "./value-writer.js";

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

/**
 * Any JSON value into any column: what the row reader's fast readers give up on. A value that does not fit becomes a
 * fault of the row, and is walked over all the same.
 */
export class JsonValueReader {
  readonly #scanner: JsonScanner;
  readonly #faults: RowFaults;
  readonly #writer: ValueWriter;
  readonly #expanded = new ByteWindow(timestampBytesMax);

  constructor(scanner: JsonScanner, faults: RowFaults, writer: ValueWriter) {
    this.#scanner = scanner;
    this.#faults = faults;
    this.#writer = writer;
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

  /**
   * Reads the value at `at` for the field's column, which stands at `row`; returns its end, or -1 (see the scanner).
   */
  read(at: number, field: Field, row: number): number {
    const { source } = this.#scanner;
    const end = this.#scanner.skipValue(at);
    if (end < 0 || field.kind === kindIgnored) return end;
    const writer = this.#writer;
    writer.select(field, row);
    const name = tokenName(source.bytes[at] as number);
    if (name === "null") this.#faults.forget(field.index);
    else if (name === "a string") this.#readString(at + 1, end - 1, field, row);
    else if (name === "a number") writer.writeNumber(source, at, end);
    else if (name === "a boolean" && field.kind === kindBoolean) {
      field.column.setBoolean(row, source.bytes[at] === letterT);
    } else if (name === "a boolean" || field.kind !== kindJson) writer.mismatch(name);
    else if (this.#scanner.hasInvalidUtf8) writer.fault("INVALID_UTF8");
    else writer.writeText(source.bytes, at, end);
    return end;
  }

  /** `start` and `end` are inside the quotes. */
  #readString(start: number, end: number, field: Field, row: number): void {
    const { hasEscapes, hasInvalidUtf8, source } = this.#scanner;
    const writer = this.#writer;
    const { kind } = field;
    if (hasInvalidUtf8) writer.fault("INVALID_UTF8");
    else if (kind === kindTimestamp && hasEscapes) this.#readEscapedTimestamp(start, end);
    else if (kind === kindTimestamp) writer.writeTimestamp(source, start, end);
    else if (kind !== kindString && kind !== kindId) writer.mismatch("a string");
    else if (hasEscapes) this.#readEscapedText(start, end, field.column, row);
    else writer.writeText(source.bytes, start, end);
  }

  /** Nobody escapes a timestamp, but everybody may. */
  #readEscapedTimestamp(start: number, end: number): void {
    if (end - start > timestampBytesMax) {
      this.#writer.fault("INVALID_TIMESTAMP");
      return;
    }
    const text = new Uint8Array(end - start);
    const length = unescapeString(this.#scanner.source.bytes, start, end, text);
    this.#expanded.load(text, 0, length);
    this.#writer.writeTimestamp(this.#expanded, 0, length);
  }

  /** Straight into the column's text, which has room for the escaped form. */
  #readEscapedText(start: number, end: number, column: ColumnBuilder, row: number): void {
    if (this.#writer.isTooLarge(Math.ceil((end - start) / escapeBytesMax))) return;
    const at = column.reserveText(row, end - start);
    const target = column.text.subarray(at, at + end - start);
    const length = unescapeString(this.#scanner.source.bytes, start, end, target);
    if (this.#writer.isTooLarge(length)) return;
    column.offsets[row + 1] = at + length;
    column.length = row + 1;
    this.#writer.checkId();
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
