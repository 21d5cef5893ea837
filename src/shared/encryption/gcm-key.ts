/**
 * AES-256-GCM (NIST SP 800-38D) over many short texts at once, each with a nonce and a tag of its own.
 *
 * A call of OpenSSL costs some 10 µs, whatever the length of its text, and a column has a million of them. So the blocks of
 * a whole group are encrypted by one call, as AES-ECB over their counters, which is what counter mode is:
 *
 * ```
 * counters   nonce,1 │ nonce,2 │ nonce,3 │ nonce',1 │ nonce',2 │ ...     ─ one call ─▶ masks
 *            of the tag  of the text ..    the next item
 * ```
 * The tag is GHASH over associated bytes, cipher text and their lengths, by a table of the multiples of the hash key, 64 KiB
 * (Shoup's method, 8 bits at 16 places), plus its mask. That its results are OpenSSL's, bit for bit, is what the test is about.
 */
import { createCipheriv } from "node:crypto";
import { assert } from "../assert.js";

export const nonceBytes = 12;
export const tagBytes = 16;
/** What an item has beside its text. */
export const itemExtraBytes = nonceBytes + tagBytes;
const blockBytes = 16;
const wordsPerBlock = 4;
/** Of the table: the multiples of one byte of a block. */
const wordsPerPlace = 256 * wordsPerBlock;
/** x^128 = x^7 + x^2 + x + 1, in GCM's order of bits. */
const polynomial = 0xe1000000;

/** Items lie in `bytes`, each as `nonce | text | tag`. */
export interface GcmItems {
  readonly bytes: Uint8Array;
  /** Of the nonces. */
  readonly starts: Int32Array;
  /** Of the texts, in bytes. */
  readonly lengths: Int32Array;
  readonly count: number;
}

/** One key with the bytes that are associated with every text under it. */
export class GcmKey {
  readonly #secret: Uint8Array;
  readonly #multiples: Int32Array;
  /** The hash after the associated bytes. */
  readonly #start: Int32Array;
  readonly #hash = new Int32Array(wordsPerBlock);
  /** Of the group in hand. */
  #masks: Uint8Array = new Uint8Array(0);

  /** `secret` is 32 bytes, `associated` one block of 16. */
  constructor(secret: Uint8Array, associated: Uint8Array) {
    assert(secret.length === 32, "AES-256 has keys of 32 bytes");
    assert(associated.length === blockBytes, "the associated bytes are one block");
    this.#secret = secret;
    this.#multiples = multiplesOf(wordsOf(this.#encryptBlocks(new Uint8Array(blockBytes))));
    this.#start = wordsOf(associated);
    multiply(this.#start, this.#multiples);
  }

  /** Texts become cipher texts in their places, and the tags behind them are written. No nonce may ever come twice. */
  encrypt(items: GcmItems): void {
    const { bytes, starts, lengths, count } = items;
    const masks = this.#makeMasks(items);
    for (let item = 0, mask = 0; item < count; item++) {
      const text = (starts[item] as number) + nonceBytes;
      const length = lengths[item] as number;
      this.#applyMask(bytes, text, length, mask + blockBytes);
      this.#digest(bytes, text, length);
      for (let i = 0; i < tagBytes; i++) {
        bytes[text + length + i] = hashByte(this.#hash, i) ^ (masks[mask + i] as number);
      }
      mask += masksBytes(length);
    }
  }

  /** Cipher texts become texts in their places. Returns the first item whose tag is not right, or -1: all are proved. */
  decrypt(items: GcmItems): number {
    const { bytes, starts, lengths, count } = items;
    const masks = this.#makeMasks(items);
    for (let item = 0, mask = 0; item < count; item++) {
      const text = (starts[item] as number) + nonceBytes;
      const length = lengths[item] as number;
      this.#digest(bytes, text, length);
      let difference = 0;
      for (let i = 0; i < tagBytes; i++) {
        difference |= (bytes[text + length + i] as number) ^ hashByte(this.#hash, i) ^ (masks[mask + i] as number);
      }
      if (difference !== 0) return item;
      this.#applyMask(bytes, text, length, mask + blockBytes);
      mask += masksBytes(length);
    }
    return -1;
  }

  /** Of each item, one behind the other: a block for the tag, and those of its text. */
  #makeMasks({ bytes, starts, lengths, count }: GcmItems): Uint8Array {
    let total = 0;
    for (let item = 0; item < count; item++) total += masksBytes(lengths[item] as number);
    const counters = new Uint8Array(total);
    let at = 0;
    for (let item = 0; item < count; item++) {
      const start = starts[item] as number;
      const end = at + masksBytes(lengths[item] as number);
      for (let counter = 1; at < end; counter++, at += blockBytes) {
        for (let i = 0; i < nonceBytes; i++) counters[at + i] = bytes[start + i] as number;
        counters[at + 12] = counter >>> 24;
        counters[at + 13] = counter >>> 16;
        counters[at + 14] = counter >>> 8;
        counters[at + 15] = counter;
      }
    }
    this.#masks = this.#encryptBlocks(counters);
    return this.#masks;
  }

  #applyMask(bytes: Uint8Array, start: number, length: number, mask: number): void {
    const masks = this.#masks;
    for (let i = 0; i < length; i++) bytes[start + i] = (bytes[start + i] as number) ^ (masks[mask + i] as number);
  }

  #encryptBlocks(blocks: Uint8Array): Uint8Array {
    const cipher = createCipheriv("aes-256-ecb", this.#secret, null).setAutoPadding(false);
    const encrypted = cipher.update(blocks);
    assert(encrypted.length === blocks.length, "whole blocks leave nothing behind");
    return encrypted;
  }

  /** GHASH of the associated bytes and this cipher text, into `#hash`. */
  #digest(bytes: Uint8Array, start: number, length: number): void {
    const hash = this.#hash;
    hash.set(this.#start);
    const end = start + length;
    let at = start;
    for (; at + blockBytes <= end; at += blockBytes) {
      for (let word = 0; word < wordsPerBlock; word++) {
        hash[word] = (hash[word] as number) ^ wordAt(bytes, at + word * 4);
      }
      multiply(hash, this.#multiples);
    }
    if (at < end) {
      for (let i = 0; at + i < end; i++) {
        hash[i >> 2] = (hash[i >> 2] as number) ^ ((bytes[at + i] as number) << (24 - 8 * (i & 3)));
      }
      multiply(hash, this.#multiples);
    }
    // Both lengths in bits, as numbers of 64.
    hash[1] = (hash[1] as number) ^ (blockBytes * 8);
    hash[2] = (hash[2] as number) ^ Math.floor(length / 2 ** 29);
    hash[3] = (hash[3] as number) ^ (length << 3);
    multiply(hash, this.#multiples);
  }
}

/** Bytes of the masks of a text of so many bytes, its tag's included. */
function masksBytes(length: number): number {
  return blockBytes + ((length + blockBytes - 1) & -blockBytes);
}

// ---- GF(2^128): an element is 4 words, the coefficient of x^0 the highest bit of the first

function wordAt(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number)
  );
}

function wordsOf(block: Uint8Array): Int32Array {
  return Int32Array.from({ length: wordsPerBlock }, (_, word) => wordAt(block, word * 4));
}

function hashByte(hash: Int32Array, index: number): number {
  return ((hash[index >> 2] as number) >>> (24 - 8 * (index & 3))) & 255;
}

function timesX(element: Int32Array): void {
  const [a = 0, b = 0, c = 0, d = 0] = element;
  element[3] = (d >>> 1) | (c << 31);
  element[2] = (c >>> 1) | (b << 31);
  element[1] = (b >>> 1) | (a << 31);
  element[0] = (a >>> 1) ^ ((d & 1) === 0 ? 0 : polynomial);
}

/**
 * The hash key times each byte at each of its 16 places: 4 words each. The highest bit of the first byte is the coefficient of
 * x^0.
 */
function multiplesOf(hashKey: Int32Array): Int32Array {
  const multiples = new Int32Array(blockBytes * wordsPerPlace);
  const element = hashKey.slice();
  for (let start = 0; start < multiples.length; start += wordsPerPlace) {
    for (let bit = 128; bit > 0; bit >>= 1) {
      multiples.set(element, start + bit * wordsPerBlock);
      timesX(element);
    }
    for (let byte = 1; byte < 256; byte++) {
      const low = byte & -byte;
      if (low === byte) continue;
      const one = start + low * wordsPerBlock;
      const other = start + (byte ^ low) * wordsPerBlock;
      for (let word = 0; word < wordsPerBlock; word++) {
        const sum = (multiples[one + word] as number) ^ (multiples[other + word] as number);
        multiples[start + byte * wordsPerBlock + word] = sum;
      }
    }
  }
  return multiples;
}

/** `element` times the hash key: the sum of the multiples of its bytes. */
function multiply(element: Int32Array, multiples: Int32Array): void {
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  let place = 0;
  for (let index = 0; index < wordsPerBlock; index++) {
    const word = element[index] as number;
    for (let shift = 24; shift >= 0; shift -= 8) {
      const at = place + (((word >>> shift) & 255) << 2);
      a ^= multiples[at] as number;
      b ^= multiples[at + 1] as number;
      c ^= multiples[at + 2] as number;
      d ^= multiples[at + 3] as number;
      place += wordsPerPlace;
    }
  }
  element[0] = a;
  element[1] = b;
  element[2] = c;
  element[3] = d;
}
