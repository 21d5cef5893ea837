import type { JsonScanner } from "../../shared/bytes/json-scanner.js";
import { unescapeString } from "../../shared/bytes/json-string.js";

/** Keys longer than this, with their escapes, are none of ours. */
const keyBytesMax = 64;
const unescaped = new Uint8Array(keyBytesMax);

/**
 * True when the key that the scanner has just passed over, [start, end) without its quotes, is `name` (lower-case
 * ASCII letters), in any case and however it is escaped.
 */
export function isEnvelopeKey(scanner: JsonScanner, start: number, end: number, name: string): boolean {
  const { bytes } = scanner.source;
  if (!scanner.hasEscapes) return end - start === name.length && isName(bytes, start, name);
  if (end - start > keyBytesMax) return false;
  return unescapeString(bytes, start, end, unescaped) === name.length && isName(unescaped, 0, name);
}

function isName(bytes: Uint8Array, start: number, name: string): boolean {
  for (let at = 0; at < name.length; at++) {
    // Only the two cases of a letter become that letter.
    if (((bytes[start + at] as number) | 0x20) !== name.charCodeAt(at)) return false;
  }
  return true;
}
