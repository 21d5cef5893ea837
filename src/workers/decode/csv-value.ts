import { ByteWindow } from "../../shared/bytes/byte-window.js";
import { JsonScanner } from "../../shared/bytes/json-scanner.js";
import { readDecimal } from "../../shared/bytes/read-decimal.js";
import { readInteger } from "../../shared/bytes/read-integer.js";
import type { ColumnType } from "../../shared/schema/column-type.js";
import { undoubleQuotes, type CsvScanner } from "./csv-scanner.js";
import { kindBoolean, kindDouble, kindId, kindJson, kindLong, kindString, kindTimestamp } from "./json-field.js";
import type { ValuePlace, ValueWriter } from "./value-writer.js";

const tab = 0x09;
const space = 0x20;
const minus = 0x2d;
const zero = 0x30;
const openBracket = 0x5b;
const openBrace = 0x7b;

const long = new Int32Array(2);
const double = new Float64Array(1);
/** What other programs print for a double that JSON has no number for. */
const notFinite = /^[+-]?(?:nan|inf|infinity)$/i;
/** Longer fields are not looked at for words. */
const wordBytesMax = 16;

/**
 * The last field of a CsvScanner as a value of a column. Numbers, booleans, timestamps and JSON may have spaces
 * around them, and an empty field, quoted or not, is null to them; a string is taken as it is, and only unquoted
 * emptiness is null.
 */
export class CsvValueReader {
  readonly #scanner: CsvScanner;
  readonly #writer: ValueWriter;
  /** A quoted field whose quotes were doubled. */
  readonly #undoubled = new ByteWindow(1024);
  /** Checks the text of json columns; reads what `#source` names. */
  readonly #fieldJson: JsonScanner;
  readonly #undoubledJson = new JsonScanner(this.#undoubled);
  #source: ByteWindow;
  #start = 0;
  #end = 0;

  constructor(scanner: CsvScanner, writer: ValueWriter) {
    this.#scanner = scanner;
    this.#writer = writer;
    this.#source = scanner.source;
    this.#fieldJson = new JsonScanner(scanner.source);
  }

  /** The limit of the request in hand. */
  begin(depthMax: number): void {
    this.#fieldJson.configure(depthMax, true);
    this.#undoubledJson.configure(depthMax, true);
  }

  /** The type of a new column for the field, which is not empty. */
  type(): ColumnType {
    this.#open();
    const { start, end } = this.#trimmed();
    if (readInteger(this.#source, start, long, 0) === end) return "long";
    if (readDecimal(this.#source, start, double, 0) === end) return "double";
    const word = this.#word(start, end);
    return word === "true" || word === "false" ? "boolean" : "string";
  }

  /** Writes the field to the column at `place`, which stands at `row`; notes a fault where it does not fit. */
  read(place: ValuePlace, row: number): void {
    const writer = this.#writer;
    writer.select(place, row);
    this.#open();
    if (place.kind === kindString || place.kind === kindId) {
      writer.writeCheckedText(this.#source.bytes, this.#start, this.#end);
      return;
    }
    const { start, end } = this.#trimmed();
    if (start === end) return;
    switch (place.kind) {
      case kindLong:
      case kindDouble:
        this.#readNumber(start, end);
        break;
      case kindBoolean: {
        const word = this.#word(start, end);
        if (word === "true" || word === "false") place.column.setBoolean(row, word === "true");
        else writer.mismatch("another text");
        break;
      }
      case kindTimestamp:
        if (this.#isNumber(start, end)) writer.writeNumber(this.#source, start, end);
        else writer.writeTimestamp(this.#source, start, end);
        break;
      case kindJson:
        this.#readJson(start, end);
    }
  }

  /** Numbers are JSON's: "1.", "+1" and "0x1" are text, and so is what some write for values that are none. */
  #readNumber(start: number, end: number): void {
    if (this.#isNumber(start, end)) this.#writer.writeNumber(this.#source, start, end);
    else if (notFinite.test(this.#word(start, end))) this.#writer.fault("NUMBER_OUT_OF_RANGE");
    else this.#writer.mismatch("another text");
  }

  /** The scanner may look past the field's end, which then is not where the value ends. */
  #readJson(start: number, end: number): void {
    const scanner = this.#source === this.#undoubled ? this.#undoubledJson : this.#fieldJson;
    const byte = this.#source.bytes[start];
    if (byte !== openBrace && byte !== openBracket) this.#writer.mismatch("another text");
    else if (scanner.skipValue(start) !== end) this.#writer.fault("INVALID_JSON", "the text is not valid JSON");
    else if (scanner.hasInvalidUtf8) this.#writer.fault("INVALID_UTF8");
    else this.#writer.writeText(this.#source.bytes, start, end);
  }

  /** Makes the field's text [#start, #end) of #source. */
  #open(): void {
    const { source, start, end, hasDoubled } = this.#scanner;
    this.#source = source;
    this.#start = start;
    this.#end = end;
    if (!hasDoubled) return;
    const text = new Uint8Array(end - start);
    const length = undoubleQuotes(source.bytes, start, end, text);
    this.#undoubled.load(text, 0, length);
    this.#source = this.#undoubled;
    this.#start = 0;
    this.#end = length;
  }

  /** The text without spaces and tabs around it. */
  #trimmed(): { readonly start: number; readonly end: number } {
    const { bytes } = this.#source;
    let start = this.#start;
    let end = this.#end;
    while (start < end && (bytes[start] === space || bytes[start] === tab)) start++;
    while (end > start && (bytes[end - 1] === space || bytes[end - 1] === tab)) end--;
    return { start, end };
  }

  /** All of the text is a number of JSON's grammar, in range or not. */
  #isNumber(start: number, end: number): boolean {
    const byte = this.#source.bytes[start] as number;
    if (byte !== minus && (byte - zero) >>> 0 > 9) return false;
    const scanner = this.#source === this.#undoubled ? this.#undoubledJson : this.#fieldJson;
    return scanner.skipValue(start) === end;
  }

  /** Of letters in any case; empty where the text is too long to be one of the words that are asked for. */
  #word(start: number, end: number): string {
    if (end - start > wordBytesMax) return "";
    return Buffer.from(this.#source.bytes.subarray(start, end)).toString("latin1").toLowerCase();
  }
}
