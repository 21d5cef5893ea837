import { isPowerOfTwo } from "./ring-layout.js";
import { assert } from "../assert.js";

const textDecoder = new TextDecoder();

/**
 * Turns short UTF-8 texts that repeat (table names, principals) into strings without making the same string twice.
 * Direct-mapped: a slot holds the text that was seen last for its hash, so it is bounded and never needs cleaning.
 */
export class TextCache {
  readonly #keys: (Uint8Array | undefined)[];
  readonly #texts: string[];
  readonly #mask: number;

  /** `slots` is a power of two. */
  constructor(slots: number) {
    assert(isPowerOfTwo(slots), "a text cache has a power of two of slots");
    this.#mask = slots - 1;
    this.#keys = new Array<Uint8Array | undefined>(slots).fill(undefined);
    this.#texts = new Array<string>(slots).fill("");
  }

  /** The text of bytes [start, end). */
  text(bytes: Uint8Array, start: number, end: number): string {
    if (start === end) return "";
    // FNV-1a, 32 bits.
    let hash = 0x811c9dc5;
    for (let at = start; at < end; at++) hash = Math.imul(hash ^ (bytes[at] as number), 0x01000193);
    const slot = (hash ^ (hash >>> 16)) & this.#mask;
    const key = this.#keys[slot];
    if (key !== undefined && sameBytes(key, bytes, start, end)) return this.#texts[slot] as string;
    const copy = bytes.slice(start, end);
    const text = textDecoder.decode(copy);
    this.#keys[slot] = copy;
    this.#texts[slot] = text;
    return text;
  }
}

function sameBytes(key: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (key.length !== end - start) return false;
  for (let index = 0; index < key.length; index++) {
    if (key[index] !== bytes[start + index]) return false;
  }
  return true;
}
