import { isUtf8 } from "node:buffer";

/** From here on the native check (simdutf) is worth its call. */
const nativeBytesMin = 96;

/** True when bytes[start, end) is well-formed UTF-8 (Unicode 15, table 3-7: no overlong forms, no surrogates). */
export function isValidUtf8(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start >= nativeBytesMin) return isUtf8(bytes.subarray(start, end));
  let at = start;
  while (at < end) {
    if ((bytes[at] as number) < 0x80) {
      at++;
      continue;
    }
    const length = sequenceLength(bytes, at, end);
    if (length === 0) return false;
    at += length;
  }
  return true;
}

/**
 * Length (2 to 4) of the well-formed sequence of a non-ASCII character at `at`, or 0 where it is broken or cut at
 * `end`.
 */
export function sequenceLength(bytes: Uint8Array, at: number, end: number): number {
  const lead = bytes[at] as number;
  const length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (lead < 0xc2 || lead > 0xf4 || at + length > end) return 0;
  const second = bytes[at + 1] as number;
  // The second byte's range depends on the first: it keeps out overlong forms, surrogates, and what is past U+10FFFF.
  const least = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
  const most = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  if (second < least || second > most) return 0;
  for (let offset = 2; offset < length; offset++) {
    if (((bytes[at + offset] as number) & 0xc0) !== 0x80) return 0;
  }
  return length;
}
