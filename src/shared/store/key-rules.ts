import { assert } from "../assert.js";

const keyBytesMax = 1_024;
const segmentBytesMax = 255;

/** Asserts that a key is one that every store can hold; see object-store.ts. Keys are made by code, never by clients. */
export function assertKey(key: string): void {
  assert(Buffer.byteLength(key) <= keyBytesMax, `key of more than ${keyBytesMax} bytes`);
  for (const segment of key.split("/")) {
    assert(
      segment !== "" && segment !== "." && segment !== "..",
      `key ${JSON.stringify(key)} has an empty or dot segment`,
    );
    assert(Buffer.byteLength(segment) <= segmentBytesMax, `key segment of more than ${segmentBytesMax} bytes`);
  }
  for (let index = 0; index < key.length; index++) {
    const code = key.charCodeAt(index);
    assert(code >= 0x20 && code !== 0x7f, `key ${JSON.stringify(key)} has a control character`);
  }
}

/** Order of keys, by their UTF-8 bytes: what S3 lists by, and not what `<` on strings does beyond U+FFFF. */
export function compareKeys(left: string, right: string): number {
  return Buffer.compare(Buffer.from(left), Buffer.from(right));
}
