import { readAheadBytes, type ByteWindow } from "../../shared/bytes/byte-window.js";
import { checkBounds } from "./body-bounds.js";
import type { Decode, DecodeTarget, Decoding } from "./decoder.js";
import { byteOrderMarkBytes, RowReaders, windowBytes } from "./json-source.js";
import type { RowReader } from "./row-reader.js";

const newline = 0x0a;
const openBrace = 0x7b;

/** From here on two views cost less than a copy. */
const borrowedBytesMin = 4 * 1024;

const readers = new RowReaders("flat", false);

/**
 * NDJSON of flat rows: `{"timestamp":..., "id":..., "any column":...}` per line. A line that is not such a row is
 * rejected alone; blank lines are passed over; CRLF will do. Throws BODY_TOO_LARGE only.
 */
export const decodeNdjson: Decode = (body, target) => new NdjsonDecoding(body, target);

class NdjsonDecoding implements Decoding {
  readonly #body: Uint8Array;
  readonly #target: DecodeTarget;
  #offset: number;

  constructor(body: Uint8Array, target: DecodeTarget) {
    this.#body = body;
    this.#target = target;
    this.#offset = byteOrderMarkBytes(body);
  }

  step(bytesMax: number): boolean {
    const body = this.#body;
    const reader = readers.begin(this.#target);
    const source = reader.scanner.source;
    const stepEnd = Math.min(body.length, this.#offset + Math.max(bytesMax, 1));
    while (this.#offset < stepEnd) {
      const end = openLines(source, body, this.#offset);
      decodeLines(reader, source);
      checkBounds(this.#target);
      this.#offset = end;
    }
    source.release();
    return this.#offset >= body.length;
  }
}

/**
 * Makes whole lines the window's content, from `start` to about `windowBytes` on, or one line where that is longer;
 * returns where they end. They stay in place where enough of the body follows: no token reaches past its line break.
 */
function openLines(source: ByteWindow, body: Uint8Array, start: number): number {
  const { length } = body;
  const aheadEnd = linesEnd(body, start, Math.min(length - readAheadBytes, start + windowBytes));
  if (aheadEnd - start >= borrowedBytesMin) {
    source.borrow(body, start, aheadEnd);
    return aheadEnd;
  }
  let end = Math.min(length, start + windowBytes);
  if (end < length) end = linesEnd(body, start, end);
  if (end === start) {
    const found = body.indexOf(newline, start);
    end = found < 0 ? length : found + 1;
  }
  source.load(body, start, end);
  return end;
}

/** Behind the last line break of body[start, end), or `start` where there is none. */
function linesEnd(body: Uint8Array, start: number, end: number): number {
  return end <= start ? start : start + body.subarray(start, end).lastIndexOf(newline) + 1;
}

/** The loop that nearly all lines stay in: a row from the line's first byte to its last. */
function decodeLines(reader: RowReader, source: ByteWindow): void {
  const { bytes, end } = source;
  let at = 0;
  while (at < end) {
    const rowEnd = bytes[at] === openBrace ? reader.readRow(at) : -1;
    if (rowEnd >= 0 && bytes[rowEnd] === newline) {
      reader.endRow();
      at = rowEnd + 1;
    } else {
      at = endLine(reader, at, rowEnd);
    }
  }
}

/** Deals with a line that is not just a row and a line break; returns where the next line starts. */
function endLine(reader: RowReader, start: number, readEnd: number): number {
  const { scanner } = reader;
  const { bytes, end } = scanner.source;
  const first = scanner.skipSpace(start);
  if (first >= end) return end;
  if (bytes[first] === newline) return first + 1;
  const isObject = bytes[first] === openBrace;
  const isRead = readEnd >= 0 || bytes[start] === openBrace;
  const valueEnd = isRead ? readEnd : isObject ? reader.readRow(first) : scanner.skipValue(first);
  let at = scanner.failedAt;
  if (valueEnd >= 0) {
    at = scanner.skipSpace(valueEnd);
    if (at >= end || bytes[at] === newline) {
      if (isObject) reader.endRow();
      else reader.refuseRow("INVALID_ROW", null, "the line is not a JSON object");
      return Math.min(at + 1, end);
    }
    scanner.fail(at);
  }
  reader.refuseRow("INVALID_JSON", null, `not JSON at byte ${at - start} of the line: ${scanner.failure()}`);
  const lineEnd = bytes.indexOf(newline, at);
  return lineEnd < 0 ? end : Math.min(lineEnd + 1, end);
}
