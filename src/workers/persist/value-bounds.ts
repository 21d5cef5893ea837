import { bitAt } from "./typed-rows.js";

/** Smallest and largest of the values of a column chunk, as Parquet's statistics hold them: PLAIN, without the length. */
export interface ValueBounds {
  readonly lower: Uint8Array;
  readonly upper: Uint8Array;
}

/** Collects over the pages of a column chunk. Values are those that are not null, side by side. */
export class LongBounds {
  #isEmpty = true;
  #lowerHigh = 0;
  #upperHigh = 0;
  /** Low words with their sign bit flipped: signed comparison then orders them as unsigned, and stays in integers. */
  #lowerLow = 0;
  #upperLow = 0;

  add(words: Int32Array, count: number): void {
    if (count === 0) return;
    if (this.#isEmpty) {
      this.#lowerLow = this.#upperLow = (words[0] as number) ^ signBit;
      this.#lowerHigh = this.#upperHigh = words[1] as number;
      this.#isEmpty = false;
    }
    let lowerLow = this.#lowerLow;
    let lowerHigh = this.#lowerHigh;
    let upperLow = this.#upperLow;
    let upperHigh = this.#upperHigh;
    for (let index = 0; index < count; index++) {
      const low = (words[index * 2] as number) ^ signBit;
      const high = words[index * 2 + 1] as number;
      if (high < lowerHigh || (high === lowerHigh && low < lowerLow)) {
        lowerHigh = high;
        lowerLow = low;
      } else if (high > upperHigh || (high === upperHigh && low > upperLow)) {
        upperHigh = high;
        upperLow = low;
      }
    }
    this.#lowerLow = lowerLow;
    this.#lowerHigh = lowerHigh;
    this.#upperLow = upperLow;
    this.#upperHigh = upperHigh;
  }

  finish(): ValueBounds | null {
    if (this.#isEmpty) return null;
    const bytes = (low: number, high: number): Uint8Array => new Uint8Array(Int32Array.of(low ^ signBit, high).buffer);
    return { lower: bytes(this.#lowerLow, this.#lowerHigh), upper: bytes(this.#upperLow, this.#upperHigh) };
  }
}

const signBit = -0x8000_0000;

/** NaN is outside the bounds. Zeros count as -0 below and +0 above, as the Parquet format wants it. */
export class DoubleBounds {
  #lower = Number.POSITIVE_INFINITY;
  #upper = Number.NEGATIVE_INFINITY;

  add(words: Int32Array, count: number): void {
    const values = new Float64Array(words.buffer, words.byteOffset, count);
    let lower = this.#lower;
    let upper = this.#upper;
    for (let index = 0; index < count; index++) {
      const value = values[index] as number;
      if (value < lower) lower = value;
      if (value > upper) upper = value;
    }
    this.#lower = lower;
    this.#upper = upper;
  }

  finish(): ValueBounds | null {
    if (this.#lower > this.#upper) return null;
    const bytes = (value: number): Uint8Array => new Uint8Array(Float64Array.of(value).buffer);
    return { lower: bytes(this.#lower === 0 ? -0 : this.#lower), upper: bytes(this.#upper === 0 ? 0 : this.#upper) };
  }
}

export class BooleanBounds {
  #count = 0;
  #ones = 0;

  add(bits: Uint8Array, count: number): void {
    for (let index = 0; index < count; index++) this.#ones += bitAt(bits, index);
    this.#count += count;
  }

  finish(): ValueBounds | null {
    if (this.#count === 0) return null;
    return { lower: Uint8Array.of(this.#ones === this.#count ? 1 : 0), upper: Uint8Array.of(this.#ones > 0 ? 1 : 0) };
  }
}

/** Orders by unsigned bytes, which for UTF-8 is the order of code points. */
export class TextBounds {
  #lower: DataView | null = null;
  #upper: DataView | null = null;

  /** The text in bytes [start, end); `view` and `texts` are over the same memory. */
  add(view: DataView, texts: Uint8Array, start: number, end: number): void {
    if (this.#lower === null || this.#upper === null) this.#lower = this.#upper = copyOf(texts, start, end);
    else if (compareText(view, start, end, this.#lower) < 0) this.#lower = copyOf(texts, start, end);
    else if (compareText(view, start, end, this.#upper) > 0) this.#upper = copyOf(texts, start, end);
  }

  finish(): ValueBounds | null {
    if (this.#lower === null || this.#upper === null) return null;
    return { lower: new Uint8Array(this.#lower.buffer), upper: new Uint8Array(this.#upper.buffer) };
  }
}

function copyOf(texts: Uint8Array, start: number, end: number): DataView {
  return new DataView(texts.slice(start, end).buffer);
}

/** Four bytes at a time: names such as `device-0001` share their first bytes. */
function compareText(view: DataView, start: number, end: number, other: DataView): number {
  const shared = Math.min(end - start, other.byteLength);
  let at = 0;
  for (; at + 4 <= shared; at += 4) {
    const difference = view.getUint32(start + at) - other.getUint32(at);
    if (difference !== 0) return difference;
  }
  for (; at < shared; at++) {
    const difference = view.getUint8(start + at) - other.getUint8(at);
    if (difference !== 0) return difference;
  }
  return end - start - other.byteLength;
}
