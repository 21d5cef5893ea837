import type { JsonScanner } from "../../shared/bytes/json-scanner.js";
import type { Decode, DecodeTarget, Decoding } from "./decoder.js";
import { isEnvelopeKey } from "./envelope-key.js";
import { byteOrderMarkBytes, invalidJson, RowReaders } from "./json-source.js";
import type { RowReader } from "./row-reader.js";

const quote = 0x22;
const comma = 0x2c;
const openBrace = 0x7b;
const closeBrace = 0x7d;

/** The keys of the envelope that make the row; the first two by the position of their columns. */
const timestamp = 0;
const id = 1;
const payload = 2;
const other = -1;

const readers = new RowReaders("payload", true);

/**
 * One row in the shape of the original API, `{"table":..., "id":..., "timestamp":..., "payload":{...}}`, its keys in
 * any order and case; other keys are passed over, of a key that comes twice the last counts. The payload's keys are
 * the columns. A body that is not JSON throws INVALID_BODY with the byte position.
 */
export const decodeJsonObject: Decode = (body, target) => new JsonObjectDecoding(body, target);

class JsonObjectDecoding implements Decoding {
  readonly #body: Uint8Array;
  readonly #target: DecodeTarget;
  /** Where the values of timestamp, id and payload start; -1 for a key that has not come. */
  #timestampAt = -1;
  #idAt = -1;
  #payloadAt = -1;
  #hasRepeats = false;

  constructor(body: Uint8Array, target: DecodeTarget) {
    this.#body = body;
    this.#target = target;
  }

  /** One row is one step, however large. */
  step(): boolean {
    const reader = readers.begin(this.#target);
    const { scanner } = reader;
    const start = byteOrderMarkBytes(this.#body);
    scanner.source.load(this.#body, start, this.#body.length);
    const at = this.#readEnvelope(reader);
    // Decided before the row ends, so that a body with something behind its value leaves neither row nor column.
    const end = at < 0 ? at : scanner.skipSpace(at);
    if (end !== scanner.source.end) throw invalidJson(scanner, end < 0 ? scanner.failedAt : end, start);
    this.#endRow(reader);
    return true;
  }

  /** Reads the values into their columns as they come; returns the position behind the body's value, or -1. */
  #readEnvelope(reader: RowReader): number {
    const { scanner } = reader;
    const { bytes } = scanner.source;
    let at = scanner.skipSpace(0);
    if (bytes[at] !== openBrace) return scanner.skipValue(at);
    at = scanner.skipSpace(at + 1);
    if (bytes[at] === closeBrace) return at + 1;
    for (;;) {
      if (bytes[at] !== quote) return scanner.fail(at);
      const keyEnd = scanner.skipString(at + 1);
      if (keyEnd < 0) return keyEnd;
      const key = envelopeKey(scanner, at + 1, keyEnd - 1);
      const valueAt = scanner.skipColon(keyEnd);
      if (valueAt < 0) return valueAt;
      const isFirst = key !== other && this.#note(key, valueAt);
      const end = isFirst ? readMember(reader, key, valueAt) : scanner.skipValue(valueAt);
      if (end < 0) return end;
      at = scanner.skipSpace(end);
      if (bytes[at] === closeBrace) return at + 1;
      if (bytes[at] !== comma) return scanner.fail(at);
      at = scanner.skipSpace(at + 1);
    }
  }

  /** Remembers where a key's value is; false when it had one before. */
  #note(key: number, valueAt: number): boolean {
    const before = key === timestamp ? this.#timestampAt : key === id ? this.#idAt : this.#payloadAt;
    if (key === timestamp) this.#timestampAt = valueAt;
    else if (key === id) this.#idAt = valueAt;
    else this.#payloadAt = valueAt;
    if (before >= 0) this.#hasRepeats = true;
    return before < 0;
  }

  /** Without a payload there is no row, whatever else the body says. */
  #endRow(reader: RowReader): void {
    if (this.#hasRepeats) this.#readAgain(reader);
    const { bytes } = reader.scanner.source;
    if (this.#payloadAt >= 0 && bytes[this.#payloadAt] === openBrace) reader.endRow();
    else reader.refuseRow("INVALID_ROW", "payload", "payload is required and must be an object");
  }

  /** Some key came twice: the last value of each makes the row. */
  #readAgain(reader: RowReader): void {
    reader.undoRow();
    if (this.#timestampAt >= 0) readMember(reader, timestamp, this.#timestampAt);
    if (this.#idAt >= 0) readMember(reader, id, this.#idAt);
    if (this.#payloadAt >= 0) readMember(reader, payload, this.#payloadAt);
  }
}

/** Which member a key is; the scanner has just passed over it. */
function envelopeKey(scanner: JsonScanner, start: number, end: number): number {
  // Their lengths differ, so one comparison is enough, unless there are escapes.
  const length = scanner.hasEscapes ? 0 : end - start;
  if ((length === 2 || length === 0) && isEnvelopeKey(scanner, start, end, "id")) return id;
  if ((length === 7 || length === 0) && isEnvelopeKey(scanner, start, end, "payload")) return payload;
  return (length === 9 || length === 0) && isEnvelopeKey(scanner, start, end, "timestamp") ? timestamp : other;
}

/** Reads one value of the envelope into its column or columns; returns its end, or -1. */
function readMember(reader: RowReader, key: number, valueAt: number): number {
  if (key !== payload) return reader.readSystemValue(valueAt, key);
  const { scanner } = reader;
  return scanner.source.bytes[valueAt] === openBrace ? reader.readRow(valueAt) : scanner.skipValue(valueAt);
}
