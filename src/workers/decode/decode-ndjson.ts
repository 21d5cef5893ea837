import type { ByteWindow } from "../../shared/bytes/byte-window.js";
import { checkBounds } from "./body-bounds.js";
import type { Decode, DecodeTarget, Decoding } from "./decoder.js";
import { byteOrderMarkBytes, RowReaders, windowBytes } from "./json-source.js";
import type { RowReader } from "./row-reader.js";

const newline = 0x0a;
const openBrace = 0x7b;

const readers = new RowReaders("flat", false);

/**
 * NDJSON of flat rows: `{"timestamp":..., "id":..., "any column":...}` per line. A line that is not such a row is rejected
 * alone; blank lines are passed over; CRLF will do. Throws BODY_TOO_LARGE only.
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
      const end = loadLines(source, body, this.#offset, Math.min(body.length, this.#offset + windowBytes));
      decodeLines(reader, source);
      checkBounds(this.#target);
      this.#offset = end;
    }
    return this.#offset >= body.length;
  }
}

/** Loads the whole lines of body[start, end), or one line where that is longer; returns where they end. */
function loadLines(source: ByteWindow, body: Uint8Array, start: number, end: number): number {
  let linesEnd = end;
  if (end < body.length) {
    const last = body.subarray(start, end).lastIndexOf(newline);
    const next = last < 0 ? body.indexOf(newline, end) : start + last;
    linesEnd = next < 0 ? body.length : next + 1;
  }
  source.load(body, start, linesEnd);
  return linesEnd;
}

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
