import { ByteWindow } from "../../shared/bytes/byte-window.js";
import { frameFormats } from "../../shared/ring/frame.js";
import { CsvScanner, fieldMalformed } from "./csv-scanner.js";
import { isMsgpackColumns } from "./decode-msgpack-columns.js";
import { byteOrderMarkBytes, windowBytes } from "./json-source.js";
import { MsgpackReader } from "./msgpack-reader.js";

const tab = 0x09;
const newline = 0x0a;
const carriageReturn = 0x0d;
const quote = 0x22;
const comma = 0x2c;
const backslash = 0x5c;
const space = 0x20;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;

/** Where a row is in its body: [start, end) in bytes. */
type Place = readonly [start: number, end: number];

const csvScanner = new CsvScanner(new ByteWindow(windowBytes));

/**
 * Where the rows of a body are that its decoder has read to the end, counted as the decoder counts them; null where the
 * format has columns instead of rows (Arrow, columnar MessagePack). For the few bodies with rejected rows: the decoders
 * themselves do not note where a row began.
 */
export function rowPlaces(format: number, body: Uint8Array): Iterable<Place> | null {
  switch (format) {
    case frameFormats.ndjson:
      return lines(body);
    case frameFormats.json:
      return elements(body);
    case frameFormats.csv:
      return records(body);
    case frameFormats.messagePack:
      return isMsgpackColumns(body) ? null : maps(body);
    default:
      return null;
  }
}

/** Behind the header of a CSV body, its line break included. */
export function csvHeaderEnd(body: Uint8Array): number {
  const start = byteOrderMarkBytes(body);
  csvScanner.source.load(body, start, body.length);
  return start + recordEnd(0);
}

function* lines(body: Uint8Array): Generator<Place> {
  for (let at = byteOrderMarkBytes(body); at < body.length;) {
    const found = body.indexOf(newline, at);
    const end = found < 0 ? body.length : found;
    if (!isBlank(body, at, end)) yield [at, end];
    at = end + 1;
  }
}

/** Of a JSON array, or the one object that there is. The body is known to be JSON: brackets and texts end. */
function* elements(body: Uint8Array): Generator<Place> {
  let first = byteOrderMarkBytes(body);
  while ((body[first] ?? quote) <= space) first++;
  if (body[first] !== openBracket) {
    yield [first, body.length];
    return;
  }
  let start = -1;
  let depth = 0;
  for (let at = first + 1; at < body.length; at++) {
    const byte = body[at] as number;
    if (depth === 0 && (byte === comma || byte === closeBracket)) {
      if (start >= 0) yield [start, at];
      start = -1;
      continue;
    }
    if (start < 0 && byte > space) start = at;
    if (byte === openBrace || byte === openBracket) depth++;
    else if (byte === closeBrace || byte === closeBracket) depth--;
    else if (byte === quote) at = textEnd(body, at);
  }
}

/** The closing quote of the text that begins at `start`. */
function textEnd(body: Uint8Array, start: number): number {
  let at = start + 1;
  while (at < body.length && body[at] !== quote) at += body[at] === backslash ? 2 : 1;
  return at;
}

/** As CsvDecoding goes from record to record. */
function* records(body: Uint8Array): Generator<Place> {
  const base = byteOrderMarkBytes(body);
  csvScanner.source.load(body, base, body.length);
  const { bytes, end } = csvScanner.source;
  for (let at = recordEnd(0); at < end;) {
    if (bytes[at] === newline || (bytes[at] === carriageReturn && (bytes[at + 1] === newline || at + 1 === end))) at++;
    else {
      const next = recordEnd(at);
      yield [base + at, base + next];
      at = next;
    }
  }
}

function recordEnd(start: number): number {
  const { bytes, end } = csvScanner.source;
  for (let at = start; ;) {
    const next = csvScanner.readField(at, true);
    if (next === fieldMalformed) return csvScanner.skipLine(csvScanner.failedAt);
    at = next + 1;
    if (next >= end || bytes[next] !== comma) return Math.min(at, end);
  }
}

function* maps(body: Uint8Array): Generator<Place> {
  const reader = new MsgpackReader(body);
  const count = reader.readArray();
  for (let row = 0; count < 0 ? reader.position < reader.end : row < count; row++) {
    const start = reader.position;
    reader.skip();
    yield [start, reader.position];
  }
}

function isBlank(body: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; at++) {
    const byte = body[at] as number;
    if (byte !== space && byte !== tab && byte !== carriageReturn) return false;
  }
  return true;
}
