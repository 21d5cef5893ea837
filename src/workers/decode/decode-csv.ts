import { ByteWindow } from "../../shared/bytes/byte-window.js";
import { isValidUtf8 } from "../../shared/bytes/utf8.js";
import { MiniodbError } from "../../shared/errors.js";
import { nameKey } from "../../shared/schema/table-schema.js";
import { checkBounds } from "./body-bounds.js";
import { CsvRecordReader } from "./csv-record.js";
import { CsvScanner, fieldCut, fieldMalformed, undoubleQuotes } from "./csv-scanner.js";
import type { Decode, DecodeTarget, Decoding } from "./decoder.js";
import { byteOrderMarkBytes, windowBytes } from "./json-source.js";

const newline = 0x0a;
const carriageReturn = 0x0d;
const comma = 0x2c;

/** One per thread and used only inside of a step, like the JSON decoders' window. */
const scanner = new CsvScanner(new ByteWindow(windowBytes));

/**
 * CSV (RFC 4180, LF as well as CRLF) whose first record names the columns; `timestamp` and `id` are the system
 * columns. An empty unquoted field is null. Values are read by their column's type; a column that the table does not
 * have gets the type of its first value: long, double, boolean (true, false) or string. Throws INVALID_BODY with the
 * byte position for a header that cannot be one, and for a quote that is never closed.
 */
export const decodeCsv: Decode = (body, target) => new CsvDecoding(body, target);

class CsvDecoding implements Decoding {
  readonly #body: Uint8Array;
  readonly #target: DecodeTarget;
  #offset: number;
  #records: CsvRecordReader | null = null;

  constructor(body: Uint8Array, target: DecodeTarget) {
    this.#body = body;
    this.#target = target;
    this.#offset = byteOrderMarkBytes(body);
  }

  step(bytesMax: number): boolean {
    const body = this.#body;
    this.#records?.begin();
    const stepEnd = Math.min(body.length, this.#offset + Math.max(bytesMax, 1));
    // Records end where their quotes say, so where a window may be cut is only known after reading up to there.
    let loadBytes = windowBytes;
    for (;;) {
      const start = this.#offset;
      const end = Math.min(body.length, start + loadBytes);
      scanner.source.load(body, start, end);
      this.#offset = start + this.#decodeWindow(end === body.length);
      checkBounds(this.#target);
      if (end === body.length) return true;
      if (this.#offset >= stepEnd) return false;
      // A record that is longer than the window is read again with more of the body behind it.
      loadBytes = this.#offset === start ? loadBytes * 2 : windowBytes;
    }
  }

  /** Takes the window's records; returns how much of it is done with. */
  #decodeWindow(isLast: boolean): number {
    const records = this.#records;
    if (records !== null) return this.#decodeRecords(records, 0, isLast);
    const at = this.#readHeader(isLast);
    return at === fieldCut || this.#records === null ? 0 : this.#decodeRecords(this.#records, at, isLast);
  }

  /** Takes whole records from `start` on; what the window's end cuts off is left for the next one. */
  #decodeRecords(records: CsvRecordReader, start: number, isLast: boolean): number {
    const { bytes, end } = scanner.source;
    let at = start;
    while (at < end) {
      if (bytes[at] === newline) {
        at++;
      } else if (bytes[at] === carriageReturn && (bytes[at + 1] === newline || (isLast && at + 1 === end))) {
        at++;
      } else {
        const next = records.read(at, isLast, this.#offset);
        if (next === fieldCut) break;
        at = next;
      }
    }
    return at;
  }

  /** The first record's names; returns the position behind it, or `fieldCut`. */
  #readHeader(isLast: boolean): number {
    const { bytes, end } = scanner.source;
    const names: string[] = [];
    const keys = new Set<string>();
    // More columns than the table can have, and the two that every table has, would be none of it anyway.
    const namesMax = this.#target.builder.rules.columnsMax + 2;
    for (let at = 0; ;) {
      const next = scanner.readField(at, isLast);
      if (next === fieldCut) return fieldCut;
      if (next === fieldMalformed) throw this.#invalidHeader(at, "text behind a closing quote, or no closing quote");
      const name = this.#columnName(at);
      if (keys.has(nameKey(name))) throw this.#invalidHeader(at, `the column ${name} comes twice`);
      if (names.length === namesMax) throw this.#invalidHeader(at, `it has more than ${namesMax} columns`);
      keys.add(nameKey(name));
      names.push(name);
      at = next + 1;
      if (next < end && bytes[next] === comma) continue;
      this.#records = new CsvRecordReader(scanner, this.#target, names);
      this.#records.begin();
      return Math.min(at, end);
    }
  }

  /** The last field as a name; `at` is its position. */
  #columnName(at: number): string {
    const { source, start, end, hasDoubled } = scanner;
    if (!isValidUtf8(source.bytes, start, end)) throw this.#invalidHeader(at, "a name is not valid UTF-8");
    const text = new Uint8Array(end - start);
    if (!hasDoubled) text.set(source.bytes.subarray(start, end));
    const length = hasDoubled ? undoubleQuotes(source.bytes, start, end, text) : text.length;
    const name = Buffer.from(text.buffer, 0, length).toString().trim();
    if (name === "") throw this.#invalidHeader(at, "a column has no name");
    return name;
  }

  #invalidHeader(at: number, reason: string): MiniodbError {
    const position = this.#offset + at;
    return new MiniodbError("INVALID_BODY", `The CSV header is not valid at byte ${position}: ${reason}`, { position });
  }
}
