import type { ByteWindow } from "../../shared/bytes/byte-window.js";

const newline = 0x0a;
const carriageReturn = 0x0d;
const quote = 0x22;
const comma = 0x2c;

/** What `readField` answers instead of a position. */
export const fieldCut = -1;
export const fieldMalformed = -2;

/** Bytes that may end an unquoted field: comma, line break, and the zeros behind the window's content. */
const stops = new Uint8Array(256);
for (const byte of [0, newline, comma]) stops[byte] = 1;

/**
 * Finds the fields of CSV (RFC 4180) in a window: comma, CRLF or LF, fields in double quotes with the quote doubled
 * inside. A quote inside an unquoted field stands for itself.
 */
export class CsvScanner {
  readonly source: ByteWindow;
  /** The text of the last field, without its quotes; quotes inside are still doubled where `hasDoubled` says so. */
  start = 0;
  end = 0;
  isQuoted = false;
  hasDoubled = false;
  /** Where a field was malformed. */
  failedAt = 0;

  constructor(source: ByteWindow) {
    this.source = source;
  }

  /**
   * Reads the field at `at`. Returns the position of the comma or line break behind it, or of the window's end, which
   * ends it only where `isLast` says that the body ends there too (else `fieldCut`); `fieldMalformed` for text behind
   * a closing quote, and for a quote that the body never closes (`failedAt` is the window's end then).
   */
  readField(at: number, isLast: boolean): number {
    const { bytes, end } = this.source;
    this.isQuoted = bytes[at] === quote;
    this.hasDoubled = false;
    const next = this.isQuoted ? this.#skipQuoted(at + 1) : this.#skipPlain(at);
    if (next < 0) {
      if (this.failedAt < end) return next;
      return isLast ? fieldMalformed : fieldCut;
    }
    // A carriage return at the very end may have its line feed in the next window.
    return next >= end && !isLast ? fieldCut : next;
  }

  /** Behind the line break at or after `at`, whatever is in between. */
  skipLine(at: number): number {
    const { bytes, end } = this.source;
    const found = bytes.indexOf(newline, at);
    return found < 0 || found >= end ? end : found + 1;
  }

  #skipPlain(start: number): number {
    const { bytes, end } = this.source;
    let at = start;
    for (;;) {
      while (stops[bytes[at] as number] === 0) at++;
      // A zero byte inside of the content is text like any other.
      if (bytes[at] !== 0 || at >= end) break;
      at++;
    }
    this.start = start;
    this.end = this.#isLineEnd(at) && at > start && bytes[at - 1] === carriageReturn ? at - 1 : at;
    return at;
  }

  #skipQuoted(start: number): number {
    const { bytes, end } = this.source;
    let at = start;
    for (;;) {
      const found = bytes.indexOf(quote, at);
      if (found < 0 || found >= end) return this.#fail(end);
      at = found + 1;
      if (bytes[at] !== quote) break;
      this.hasDoubled = true;
      at++;
    }
    this.start = start;
    this.end = at - 1;
    if (bytes[at] === carriageReturn && this.#isLineEnd(at + 1)) at++;
    return bytes[at] === comma || this.#isLineEnd(at) ? at : this.#fail(at);
  }

  #isLineEnd(at: number): boolean {
    return this.source.bytes[at] === newline || at >= this.source.end;
  }

  #fail(at: number): number {
    this.failedAt = at;
    return fieldMalformed;
  }
}

/** Copies the text bytes[start, end) to `target` with doubled quotes made single; returns its length. */
export function undoubleQuotes(bytes: Uint8Array, start: number, end: number, target: Uint8Array): number {
  let to = 0;
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number;
    target[to++] = byte;
    if (byte === quote) at++;
  }
  return to;
}
