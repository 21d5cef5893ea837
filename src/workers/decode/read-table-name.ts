import { TextCache } from "../../shared/ring/text-cache.js";
import { unescapeString } from "../../shared/bytes/json-string.js";
import { limits } from "../../shared/limits.js";
import { isEnvelopeKey } from "./envelope-key.js";
import { byteOrderMarkBytes, jsonScanner } from "./json-source.js";

const quote = 0x22;
const comma = 0x2c;
const openBrace = 0x7b;

/** The table is named at the front of nearly every body; only where it is not, more is looked at. */
const firstBytes = 1024;
/** The same few tables are named again and again. */
const names = new TextCache(1024);

/**
 * The table that a body in the original shape names: its first top-level key `table`. Null where there is none before
 * the body ends or stops being JSON, or it is no string.
 */
export function readTableName(body: Uint8Array): string | null {
  const { source } = jsonScanner;
  jsonScanner.configure(limits.valueDepthMax, true);
  const start = byteOrderMarkBytes(body);
  for (let bytes = firstBytes; ; bytes *= 16) {
    const end = Math.min(body.length, start + bytes);
    source.load(body, start, end);
    const name = findTable();
    if (name !== null || end === body.length || jsonScanner.failedAt < source.end) return name;
  }
}

/** In the window; null also where its end cuts the name off, and `failedAt` is that end then. */
function findTable(): string | null {
  const scanner = jsonScanner;
  const { bytes, end } = scanner.source;
  scanner.fail(0);
  let at = scanner.skipSpace(0);
  if (bytes[at] !== openBrace) return notFound(at);
  at = scanner.skipSpace(at + 1);
  while (bytes[at] === quote) {
    const keyEnd = scanner.skipString(at + 1);
    if (keyEnd < 0) return null;
    const isTable = isEnvelopeKey(scanner, at + 1, keyEnd - 1, "table");
    const valueAt = scanner.skipColon(keyEnd);
    if (valueAt < 0) return null;
    if (isTable && bytes[valueAt] !== quote) return notFound(valueAt);
    const valueEnd = scanner.skipValue(valueAt);
    if (valueEnd < 0) return null;
    if (isTable) return tableText(bytes, valueAt + 1, valueEnd - 1);
    at = scanner.skipSpace(valueEnd);
    if (bytes[at] !== comma) return notFound(at);
    at = scanner.skipSpace(at + 1);
  }
  return notFound(Math.min(at, end));
}

/** The name cannot be found from `at` on: for good, unless that is where the window ends. */
function notFound(at: number): null {
  jsonScanner.fail(at);
  return null;
}

/** The name without its escapes; whether it can be a table's name is for the caller to say. */
function tableText(bytes: Uint8Array, start: number, end: number): string {
  if (!jsonScanner.hasEscapes) return names.text(bytes, start, end);
  const text = new Uint8Array(end - start);
  return names.text(text, 0, unescapeString(bytes, start, end, text));
}
