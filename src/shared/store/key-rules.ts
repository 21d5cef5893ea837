import { assert } from "../assert.js";

const keyBytesMax = 1_024;
const segmentBytesMax = 255;

/** Control characters; empty, `.` and `..` segments. */
const forbiddenPattern = /[\u0000-\u001f\u007f]|(?:^|\/)\.{0,2}(?:\/|$)/;

/** Asserts that a key is one that every store can hold; see object-store.ts. Keys are made by code, never by clients. */
export function assertKey(key: string): void {
  assert(!forbiddenPattern.test(key), `key ${JSON.stringify(key)} has an empty or dot segment or a control character`);
  if (key.length <= segmentBytesMax / 3) return;
  assert(Buffer.byteLength(key) <= keyBytesMax, `key of more than ${keyBytesMax} bytes`);
  const isShort = key.split("/").every((segment) => Buffer.byteLength(segment) <= segmentBytesMax);
  assert(isShort, `key segment of more than ${segmentBytesMax} bytes`);
}

/** Order of keys, by their UTF-8 bytes: what S3 lists by, and not what `<` on strings does beyond U+FFFF. */
export function compareKeys(left: string, right: string): number {
  const length = Math.min(left.length, right.length);
  for (let index = 0; index < length; index++) {
    const difference = rankOf(left.charCodeAt(index)) - rankOf(right.charCodeAt(index));
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}

/** Surrogates stand for the code points above U+FFFF, and so come after U+E000 to U+FFFF. */
function rankOf(codeUnit: number): number {
  if (codeUnit < 0xd800) return codeUnit;
  return codeUnit < 0xe000 ? codeUnit + 0x2000 : codeUnit - 0x800;
}
