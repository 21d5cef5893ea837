import { ByteBuffer } from "./byte-buffer.js";

/**
 * Dictionaries of one column chunk: distinct values in order of first appearance, as Parquet's dictionary page holds them
 * (PLAIN), and a hash table over them.
 *
 * ```
 * slots   open addressing, at most half full: position of the value + 1, or 0
 * hashes  by slot, so that most misses are told without a look at the value
 * ```
 */

/** A larger dictionary does not fit readers' caches, and what has so many values repeats little. */
const dictionaryBytesMax = 1024 * 1024;
const dictionaryValuesMax = 65_536;
const initialSlots = 1024;
/**
 * Slots that are passed by per value, on average, beyond which a dictionary is given up as one that is too large: with a good
 * hash it is 0.5 to 1.5. These hashes have no key, so whoever chooses the values can make all of them meet in one slot.
 */
const passedPerValueMax = 16;

/** Texts: u32 length and bytes each. */
export class TextDictionary {
  count = 0;
  readonly page: ByteBuffer = new ByteBuffer();
  /** Where each text starts in `page`, behind its length. */
  readonly #starts = new GrowingInts();
  readonly #lengths = new GrowingInts();
  #slots = new Int32Array(initialSlots);
  #hashes = new Int32Array(initialSlots);
  /** Over the memory of `page`. */
  #known = new DataView(this.page.memory.buffer);
  /** Slots that may still be passed by. */
  #passesLeft = 0;

  /**
   * Writes the position of each text to `positions`: of the rows named, or of all. False when the dictionary would grow
   * too large, or its values collide: it then keeps what it had, and whatever was added, which no page refers to, does no harm.
   */
  encode(texts: Uint8Array, offsets: Int32Array, rows: Int32Array | null, positions: Int32Array): boolean {
    const view = new DataView(texts.buffer, texts.byteOffset, texts.byteLength);
    const count = rows === null ? offsets.length - 1 : rows.length;
    this.#passesLeft += count * passedPerValueMax;
    for (let index = 0; index < count; index++) {
      const row = rows === null ? index : (rows[index] as number);
      const start = offsets[row] as number;
      const end = offsets[row + 1] as number;
      const hash = hashText(view, start, end);
      let position = this.#find(view, start, end, hash);
      if (position < 0) position = this.#add(texts.subarray(start, end), ~position, hash);
      if (position < 0 || this.#passesLeft < 0) return false;
      positions[index] = position;
    }
    return true;
  }

  /** The position of a known text; of an unknown one ~slot, where it belongs. */
  #find(view: DataView, start: number, end: number, hash: number): number {
    const slots = this.#slots;
    const hashes = this.#hashes;
    const starts = this.#starts.values;
    const lengths = this.#lengths.values;
    const known = this.#known;
    const mask = slots.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask, this.#passesLeft--) {
      const position = (slots[slot] as number) - 1;
      if (position < 0) return ~slot;
      if (hashes[slot] !== hash || lengths[position] !== end - start) continue;
      let at = start;
      let other = starts[position] as number;
      for (; at + 4 <= end && view.getInt32(at, true) === known.getInt32(other, true); at += 4) other += 4;
      // A difference among four bytes is found again here.
      for (; at < end && view.getUint8(at) === known.getUint8(other); at++) other++;
      if (at === end) return position;
    }
  }

  #add(text: Uint8Array, slot: number, hash: number): number {
    if (this.count === dictionaryValuesMax || this.page.length + 4 + text.length > dictionaryBytesMax) return -1;
    const position = this.count++;
    this.page.uint32(text.length);
    this.#starts.set(position, this.page.length);
    this.#lengths.set(position, text.length);
    this.page.append(text);
    if (this.#known.buffer !== this.page.memory.buffer) this.#known = new DataView(this.page.memory.buffer);
    this.#slots[slot] = position + 1;
    this.#hashes[slot] = hash;
    if (this.count * 2 > this.#slots.length) this.#grow();
    return position;
  }

  #grow(): void {
    const slots = new Int32Array(this.#slots.length * 2);
    const hashes = new Int32Array(slots.length);
    const mask = slots.length - 1;
    for (let from = 0; from < this.#slots.length; from++) {
      if (this.#slots[from] === 0) continue;
      let slot = (this.#hashes[from] as number) & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = this.#slots[from] as number;
      hashes[slot] = this.#hashes[from] as number;
    }
    this.#slots = slots;
    this.#hashes = hashes;
  }
}

/** FNV-1a over four bytes at a time, with the high bits folded into the low ones, which choose the slot. */
function hashText(view: DataView, start: number, end: number): number {
  let hash = (end - start) ^ 0x811c_9dc5;
  let at = start;
  for (; at + 4 <= end; at += 4) {
    hash = Math.imul(hash ^ view.getInt32(at, true), 0x0100_0193);
    hash ^= hash >>> 15;
  }
  for (; at < end; at++) hash = Math.imul(hash ^ view.getUint8(at), 0x0100_0193);
  return hash ^ (hash >>> 13);
}

/** 64-bit values, [lo, hi] words each. */
export class WordDictionary {
  count = 0;
  readonly #low = new GrowingInts();
  readonly #high = new GrowingInts();
  #slots = new Int32Array(initialSlots);
  #passesLeft = 0;

  /** As TextDictionary's. */
  encode(words: Int32Array, count: number, positions: Int32Array): boolean {
    this.#passesLeft += count * passedPerValueMax;
    for (let index = 0; index < count; index++) {
      const position = this.#positionOf(words[index * 2] as number, words[index * 2 + 1] as number);
      if (position < 0 || this.#passesLeft < 0) return false;
      positions[index] = position;
    }
    return true;
  }

  /** The dictionary page. */
  words(): Int32Array {
    const words = new Int32Array(this.count * 2);
    for (let position = 0; position < this.count; position++) {
      words[position * 2] = this.#low.values[position] as number;
      words[position * 2 + 1] = this.#high.values[position] as number;
    }
    return words;
  }

  #positionOf(low: number, high: number): number {
    const slots = this.#slots;
    const lows = this.#low.values;
    const highs = this.#high.values;
    const mask = slots.length - 1;
    for (let slot = hashWords(low, high) & mask; ; slot = (slot + 1) & mask, this.#passesLeft--) {
      const position = (slots[slot] as number) - 1;
      if (position < 0) return this.#add(low, high, slot);
      if (lows[position] === low && highs[position] === high) return position;
    }
  }

  #add(low: number, high: number, slot: number): number {
    if (this.count === dictionaryValuesMax) return -1;
    const position = this.count++;
    this.#low.set(position, low);
    this.#high.set(position, high);
    this.#slots[slot] = position + 1;
    if (this.count * 2 > this.#slots.length) this.#grow();
    return position;
  }

  #grow(): void {
    const slots = new Int32Array(this.#slots.length * 2);
    const mask = slots.length - 1;
    for (let position = 0; position < this.count; position++) {
      const low = this.#low.values[position] as number;
      let slot = hashWords(low, this.#high.values[position] as number) & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = position + 1;
    }
    this.#slots = slots;
  }
}

function hashWords(low: number, high: number): number {
  const hash = Math.imul(low ^ Math.imul(high, 0x9e37_79b1), 0x85eb_ca6b);
  return hash ^ (hash >>> 15);
}

class GrowingInts {
  values = new Int32Array(256);

  set(index: number, value: number): void {
    if (index === this.values.length) {
      const grown = new Int32Array(this.values.length * 2);
      grown.set(this.values);
      this.values = grown;
    }
    this.values[index] = value;
  }
}
