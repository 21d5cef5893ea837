import { assert } from "../assert.js";
import { keyedHash, newHashKey } from "../bytes/keyed-hash.js";

/** Ids are what clients choose. */
const hashKey = newHashKey();

/**
 * Ids and the last sequence that was put in for each: a hash table over UTF-8 bytes that stay where they are, as a million
 * strings in a Map would take ten times the memory and the time.
 *
 * ```
 * slots      [ . 3 . . 1 2 . . ]     number of an entry + 1, at its hash or behind it; at most half are taken
 * entries    text, start, end, hash, sequence: side by side in arrays
 * ```
 */
export class IdTable {
  readonly #slots: Int32Array;
  readonly #mask: number;
  readonly #texts: Uint8Array[] = [];
  readonly #textOf: Int32Array;
  readonly #starts: Int32Array;
  readonly #ends: Int32Array;
  readonly #hashes: Int32Array;
  readonly #sequences: Float64Array;
  #size = 0;

  /** For at most so many different ids. */
  constructor(idsMax: number) {
    let slots = 16;
    while (slots < idsMax * 2) slots *= 2;
    this.#slots = new Int32Array(slots);
    this.#mask = slots - 1;
    this.#textOf = new Int32Array(idsMax);
    this.#starts = new Int32Array(idsMax);
    this.#ends = new Int32Array(idsMax);
    this.#hashes = new Int32Array(idsMax);
    this.#sequences = new Float64Array(idsMax);
  }

  /** Different ids. */
  get size(): number {
    return this.#size;
  }

  /** The ids at [start, end) of `text` from now on; many calls in a row name the same text. */
  put(text: Uint8Array, start: number, end: number, sequence: number): void {
    const hash = keyedHash(text, start, end, hashKey);
    const slot = this.#find(text, start, end, hash);
    const known = (this.#slots[slot] as number) - 1;
    if (known >= 0) {
      this.#sequences[known] = sequence;
      return;
    }
    const entry = this.#size++;
    assert(entry < this.#starts.length, "a table has room for the ids that it was made for");
    if (this.#texts.at(-1) !== text) this.#texts.push(text);
    this.#textOf[entry] = this.#texts.length - 1;
    this.#starts[entry] = start;
    this.#ends[entry] = end;
    this.#hashes[entry] = hash;
    this.#sequences[entry] = sequence;
    this.#slots[slot] = entry + 1;
  }

  /** The last one of this id; 0 where it is not in. */
  sequenceOf(text: Uint8Array, start: number, end: number): number {
    const entry = (this.#slots[this.#find(text, start, end, keyedHash(text, start, end, hashKey))] as number) - 1;
    return entry < 0 ? 0 : (this.#sequences[entry] as number);
  }

  /** Each id once, in the order in which they came first: text i at [offsets[i], offsets[i + 1]) of `values`. */
  texts(): { readonly values: Uint8Array; readonly offsets: Int32Array } {
    const offsets = new Int32Array(this.#size + 1);
    for (let entry = 0; entry < this.#size; entry++) {
      const length = (this.#ends[entry] as number) - (this.#starts[entry] as number);
      offsets[entry + 1] = (offsets[entry] as number) + length;
    }
    const values = new Uint8Array(offsets[this.#size] as number);
    for (let entry = 0; entry < this.#size; entry++) {
      const text = this.#texts[this.#textOf[entry] as number] as Uint8Array;
      const start = this.#starts[entry] as number;
      const to = offsets[entry] as number;
      // Ids are short: a loop is cheaper than a view for each.
      const length = (offsets[entry + 1] as number) - to;
      for (let at = 0; at < length; at++) values[to + at] = text[start + at] as number;
    }
    return { values, offsets };
  }

  /** The slot of this id, or the free one where it would be. */
  #find(text: Uint8Array, start: number, end: number, hash: number): number {
    let slot = hash & this.#mask;
    for (;;) {
      const entry = (this.#slots[slot] as number) - 1;
      if (entry < 0 || (this.#hashes[entry] === hash && this.#isAt(entry, text, start, end))) return slot;
      slot = (slot + 1) & this.#mask;
    }
  }

  #isAt(entry: number, text: Uint8Array, start: number, end: number): boolean {
    const from = this.#starts[entry] as number;
    if ((this.#ends[entry] as number) - from !== end - start) return false;
    const own = this.#texts[this.#textOf[entry] as number] as Uint8Array;
    for (let at = start; at < end; at++) if (text[at] !== own[from + at - start]) return false;
    return true;
  }
}
