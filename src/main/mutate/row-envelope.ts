import { ByteWindow } from "../../shared/bytes/byte-window.js";
import { JsonScanner } from "../../shared/bytes/json-scanner.js";
import { MiniodbError } from "../../shared/errors.js";
import { limits } from "../../shared/limits.js";

/** `{table, id, timestamp, payload, partial}` as it was sent: values stay text, so that no number loses a digit. */
export interface RowEnvelope {
  readonly table: string;
  readonly id: string;
  /** JSON of the value; null where there is none. */
  readonly timestamp: string | null;
  /** JSON of an object. */
  readonly payload: string;
  /** The payload's keys. */
  readonly payloadKeys: readonly string[];
}

const quote = 0x22;
const comma = 0x2c;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const textDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
/** Nothing else can spell the key, in whatever case or with escapes. */
const partialMark = /partial|\\u/i;
const window = new ByteWindow(64 * 1024);
const scanner = new JsonScanner(window);

/**
 * The row of a body that says `"partial": true`, else null: then the worker that decodes the row finds what is wrong with it.
 * A body that does not even have the word costs a glance, as replaces are as frequent as inserts. Throws INVALID_BODY,
 * INVALID_REQUEST.
 */
export function readPartialRow(body: Uint8Array): RowEnvelope | null {
  const view = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  if (!partialMark.test(view.toString("latin1"))) return null;
  const members = new Map(readMembers(view).map(([key, json]) => [key.toLowerCase(), json]));
  const partial = members.get("partial") ?? "false";
  if (partial === "false" || partial === "null") return null;
  if (partial !== "true") throw wrong("partial", "true or false");
  const payload = members.get("payload") ?? "";
  if (!payload.startsWith("{")) throw wrong("payload", "an object");
  return {
    table: textOf(members, "table"),
    id: textOf(members, "id"),
    timestamp: members.get("timestamp") ?? null,
    payload,
    payloadKeys: Object.keys(JSON.parse(payload) as object),
  };
}

/** Keys and values of a JSON object, the values as they stand there. Throws INVALID_BODY. */
export function readMembers(body: Uint8Array): [key: string, json: string][] {
  const members: [string, string][] = [];
  window.load(body, 0, body.length);
  scanner.configure(limits.valueDepthMax + 1, true);
  const { bytes } = window;
  const textAt = (start: number, end: number): string => {
    try {
      return textDecoder.decode(bytes.subarray(start, end));
    } catch {
      throw invalid(start, "text is not UTF-8");
    }
  };
  let at = scanner.skipSpace(0);
  if (bytes[at] !== openBrace) throw invalid(at, "the body must be a JSON object");
  at = scanner.skipSpace(at + 1);
  while (bytes[at] !== closeBrace) {
    const keyEnd = bytes[at] === quote ? scanner.skipString(at + 1) : scanner.fail(at);
    const valueAt = keyEnd < 0 ? keyEnd : scanner.skipColon(keyEnd);
    const end = valueAt < 0 ? valueAt : scanner.skipValue(valueAt);
    if (end < 0) throw invalid(scanner.failedAt, scanner.failure());
    const key = JSON.parse(textAt(at, keyEnd)) as string;
    members.push([key, textAt(valueAt, end)]);
    at = scanner.skipSpace(end);
    if (bytes[at] === closeBrace) break;
    if (bytes[at] !== comma) throw invalid(at, "a comma or the end of the object is missing");
    at = scanner.skipSpace(at + 1);
    if (bytes[at] !== quote) throw invalid(at, "a key is missing");
  }
  if (scanner.skipSpace(at + 1) !== window.end) throw invalid(at + 1, "something follows the object");
  return members;
}

function textOf(members: ReadonlyMap<string, string>, field: string): string {
  const json = members.get(field) ?? "";
  const value: unknown = json.startsWith('"') ? JSON.parse(json) : "";
  if (typeof value !== "string" || value === "") throw wrong(field, "a text");
  return value;
}

function wrong(field: string, expected: string): MiniodbError {
  return new MiniodbError("INVALID_REQUEST", `${field} must be ${expected}`, { field });
}

function invalid(position: number, message: string): MiniodbError {
  return new MiniodbError("INVALID_BODY", `The body is not valid JSON at byte ${position}: ${message}`, { position });
}
