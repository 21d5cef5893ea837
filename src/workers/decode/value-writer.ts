import type { ByteWindow } from "../../shared/bytes/byte-window.js";
import { readDecimal } from "../../shared/bytes/read-decimal.js";
import { notAnInteger, readInteger } from "../../shared/bytes/read-integer.js";
import { readEpoch, readTimestampText, timestampOutOfRange } from "../../shared/bytes/read-timestamp.js";
import { isValidUtf8 } from "../../shared/bytes/utf8.js";
import type { ColumnBuilder } from "../../shared/columns/column-builder.js";
import type { RowErrorCode } from "../../shared/columns/row-account.js";
import type { DecodeTarget } from "./decoder.js";
import { kindBoolean, kindDouble, kindId, kindJson, kindLong, kindString, kindTimestamp } from "./json-field.js";
import type { RowFaults } from "./row-faults.js";

const double = new Float64Array(1);
const long = new Int32Array(2);

const wanted: Readonly<Record<number, string>> = {
  [kindBoolean]: "true or false",
  [kindLong]: "an integer",
  [kindDouble]: "a number",
  [kindString]: "a string",
  [kindTimestamp]: "a timestamp",
  [kindJson]: "an object or an array",
  [kindId]: "a string or an integer",
};

/** The column that a value is for: the column's builder, what its type asks for, and its place and name for faults. */
export interface ValuePlace {
  readonly kind: number;
  readonly index: number;
  readonly name: string;
  readonly column: ColumnBuilder;
}

/**
 * Writes one value of the row in hand, or notes why it cannot stand: the rules of the types, for every text format. The
 * column stands at the row (`ColumnBuilder.prepare`) before a value is written, and still does after a fault.
 */
export class ValueWriter {
  readonly #faults: RowFaults;
  #target: DecodeTarget;
  #place: ValuePlace;
  #row = 0;

  constructor(faults: RowFaults, target: DecodeTarget, place: ValuePlace) {
    this.#faults = faults;
    this.#target = target;
    this.#place = place;
  }

  /** The rules and limits of the request in hand. */
  begin(target: DecodeTarget): void {
    this.#target = target;
  }

  /** What the next write is for. */
  select(place: ValuePlace, row: number): void {
    this.#place = place;
    this.#row = row;
  }

  /**
   * The number [at, end) of JSON's grammar. A long column that meets a fraction widens, where the table's rules allow
   * it.
   */
  writeNumber(source: ByteWindow, at: number, end: number): void {
    const { column, kind } = this.#place;
    const row = this.#row;
    if (kind === kindDouble) {
      if (readDecimal(source, at, column.doubles, row) === end) column.length = row + 1;
      else this.fault("NUMBER_OUT_OF_RANGE", "the number is not finite as a double");
    } else if (kind === kindLong) {
      const outcome = readInteger(source, at, column.ints, row);
      if (outcome === end) column.length = row + 1;
      else if (outcome === notAnInteger) this.#writeFraction(source, at, end);
      else this.fault("NUMBER_OUT_OF_RANGE", "the integer does not fit 64 bits");
    } else if (kind === kindTimestamp) {
      this.#endTimestamp(readEpoch(source, at, column.ints, row), end);
    } else if (kind === kindId && readInteger(source, at, long, 0) !== notAnInteger) {
      this.writeText(source.bytes, at, end);
    } else {
      this.mismatch("a number");
    }
  }

  /** RFC 3339 text. */
  writeTimestamp(source: ByteWindow, start: number, end: number): void {
    this.#endTimestamp(readTimestampText(source, start, this.#place.column.ints, this.#row), end);
  }

  /** Text that is known to be UTF-8, for a string, id or json column. */
  writeText(bytes: Uint8Array, start: number, end: number): void {
    if (this.isTooLarge(end - start)) return;
    this.#place.column.setText(this.#row, bytes, start, end);
    this.checkId();
  }

  /** Text of any bytes: broken UTF-8 is a fault. */
  writeCheckedText(bytes: Uint8Array, start: number, end: number): void {
    if (isValidUtf8(bytes, start, end)) this.writeText(bytes, start, end);
    else this.fault("INVALID_UTF8");
  }

  /** After a text was written to an id column. An empty id counts as none. */
  checkId(): void {
    const { column, kind, index } = this.#place;
    if (kind !== kindId) return;
    const start = column.offsets[this.#row] as number;
    const end = column.offsets[this.#row + 1] as number;
    if (end > start && this.#target.acceptsId(column.text, start, end)) return;
    column.truncate(this.#row);
    if (end > start) this.fault("INVALID_ID");
    else this.#faults.forget(index);
  }

  /** True, and a fault, where a text is longer than a value may be. */
  isTooLarge(bytes: number): boolean {
    if (bytes <= this.#target.valueBytesMax) return false;
    this.fault("VALUE_TOO_LARGE", `the value is longer than ${this.#target.valueBytesMax} bytes`);
    return true;
  }

  /** `found` says in words what came instead of what the column takes. */
  mismatch(found: string): void {
    this.fault("TYPE_MISMATCH", `the column takes ${wanted[this.#place.kind]}; the value is ${found}`);
  }

  /** Notes that the value cannot stand; without a message the code's own sentence serves. */
  fault(code: RowErrorCode, message?: string): void {
    this.#faults.addValue(this.#place.index, this.#place.name, code, message);
  }

  /**
   * A long column meets a fraction or an exponent. 3.0 and 1e3 are integers in other words and stay long; for
   * anything else the column becomes double, rows so far and all, or the table's rules say no.
   */
  #writeFraction(source: ByteWindow, at: number, end: number): void {
    const { column, index } = this.#place;
    const integer = integralPart(Buffer.from(source.bytes.subarray(at, end)).toString("latin1"));
    if (integer !== undefined) {
      column.setLong(this.#row, Number(BigInt.asIntN(32, integer)), Number(integer >> 32n));
      return;
    }
    if (readDecimal(source, at, double, 0) !== end) {
      this.fault("NUMBER_OUT_OF_RANGE", "the number is not finite as a double");
      return;
    }
    const { builder } = this.#target;
    const refusal = builder.widenToDouble(index);
    if (refusal === undefined) builder.columns[index]?.setDouble(this.#row, double[0] as number);
    else this.fault(refusal, "the column takes integers; the value has a fraction or an exponent");
  }

  /** `outcome` is what a timestamp reader answered; it must have read up to `end`. */
  #endTimestamp(outcome: number, end: number): void {
    const { column } = this.#place;
    if (outcome === end) column.length = this.#row + 1;
    else this.fault(outcome === timestampOutOfRange ? "TIMESTAMP_OUT_OF_RANGE" : "INVALID_TIMESTAMP");
  }
}

/** The integer that a JSON number with fraction or exponent stands for, where it is one within 64 bits. */
function integralPart(text: string): bigint | undefined {
  // By its digits where it can be: a double would round what lies past 2^53.
  const plain = /^(-?\d{1,19})\.0+$/.exec(text);
  const value = Number(text);
  const integer = plain !== null ? BigInt(plain[1] as string) : Number.isSafeInteger(value) ? BigInt(value) : undefined;
  return integer === undefined || BigInt.asIntN(64, integer) !== integer ? undefined : integer;
}
