import type { MsgpackReader } from "./msgpack-reader.js";

const wordBytes = 4;

interface KeyPlace {
  /** Where the key begins with its tag, and where its text lies. */
  readonly start: number;
  readonly textStart: number;
  readonly textEnd: number;
  /** Position of its column in the builder, or -1. */
  readonly index: number;
}

/**
 * Which column the keys of a row belong to. Rows of one body look alike, so a key is first held against the bytes of
 * the key that was in the same place in an earlier row; only where they differ is it decoded and looked up.
 */
export class MsgpackKeys {
  readonly #reader: MsgpackReader;
  /** By place in the row; -1 where nothing is known. */
  #starts: number[] = [];
  #textStarts: number[] = [];
  #ends: number[] = [];
  #indexes: number[] = [];

  constructor(reader: MsgpackReader) {
    this.#reader = reader;
  }

  /** True when the key at the reader's position is the known one of this place; the reader is then behind it. */
  isKnown(place: number): boolean {
    if (place >= this.#starts.length) return false;
    const reader = this.#reader;
    const { bytes, position, view } = reader;
    const start = this.#starts[place] as number;
    const length = (this.#ends[place] as number) - start;
    if (start < 0 || position + length > reader.end) return false;
    let offset = 0;
    for (; offset <= length - wordBytes; offset += wordBytes) {
      if (view.getInt32(position + offset) !== view.getInt32(start + offset)) return false;
    }
    for (; offset < length; offset++) {
      if (bytes[position + offset] !== bytes[start + offset]) return false;
    }
    reader.position = position + length;
    return true;
  }

  /** Of the known key of this place. */
  indexOf(place: number): number {
    return this.#indexes[place] as number;
  }

  /** The text of the known key of this place, or null where there is none. */
  nameOf(place: number): string | null {
    const textStart = this.#textStarts[place] as number;
    return (this.#starts[place] as number) < 0 ? null : this.text(textStart, this.#ends[place] as number);
  }

  learn(place: number, { start, textStart, textEnd, index }: KeyPlace): void {
    this.#starts[place] = start;
    this.#textStarts[place] = textStart;
    this.#ends[place] = textEnd;
    this.#indexes[place] = index;
  }

  /** What was read here is no key that could come again; returns -1, for no column. */
  noKey(place: number): -1 {
    this.learn(place, { start: -1, textStart: -1, textEnd: -1, index: -1 });
    return -1;
  }

  /** The column of the key of this place has been added. */
  place(place: number, index: number): void {
    this.#indexes[place] = index;
  }

  /** Positions have changed. */
  forget(): void {
    this.#starts = [];
    this.#textStarts = [];
    this.#ends = [];
    this.#indexes = [];
  }

  text(start: number, end: number): string {
    const { bytes } = this.#reader;
    return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("utf8");
  }
}
