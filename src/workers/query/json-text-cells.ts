import type { DuckDBDataChunk } from "@duckdb/node-api";
import { writeAscii, writeNull } from "./json-bytes.js";
import type { JsonCells } from "./json-cells.js";
import {
  type ColumnBytes,
  columnBytes,
  gatherSlackBytes,
  gatherTexts,
  inlineBytesMax,
  isValid,
  longestText,
  textLengths,
  textWidth,
} from "./result-vectors.js";

const quote = 0x22;
const backslash = 0x5c;

/** What stands for a byte in a JSON string: 0 the byte itself, 1 `\u00XX`, else a backslash and this byte. */
const escapes = new Uint8Array(256);
escapes.fill(1, 0, 0x20);
escapes[quote] = quote;
escapes[backslash] = backslash;
for (const [byte, letter] of [
  [0x08, "b"],
  [0x09, "t"],
  [0x0a, "n"],
  [0x0c, "f"],
  [0x0d, "r"],
] as const) {
  escapes[byte] = letter.charCodeAt(0);
}

const hexDigits = "0123456789ABCDEF";
/** `\u00XX` for one byte. */
const escapedBytesMax = 6;
/** `null`, or two quotes. */
const frameBytesMax = 4;

/** Texts within a vector, by their length: spaces where a word of the text has none of its bytes. */
const padding = new Int32Array((inlineBytesMax + 1) * 3);
for (let length = 0; length <= inlineBytesMax; length++) {
  new Uint8Array(padding.buffer, length * 12, 12).fill(0x20, length);
}

/**
 * Not 0 where one of four bytes is below 0x20, a quote or a backslash: the high bit of a byte then comes from a borrow
 * of its own. Bytes of 0x80 and more are plain, and a byte above one that was found may be found wrongly.
 */
function oddBytes(word: number): number {
  const below = word - 0x20202020;
  const quotes = (word ^ 0x22222222) - 0x01010101;
  const backslashes = (word ^ 0x5c5c5c5c) - 0x01010101;
  return (below | quotes | backslashes) & ~word & 0x80808080;
}

/** Texts as JSON strings, or JSON texts as they are. Those that DuckDB has outside of the vector are gathered first. */
export class JsonTextCells implements JsonCells {
  readonly #isJson: boolean;
  #validity: Uint8Array | null = null;
  /** Of the vector: see result-vectors.ts. */
  #words: Int32Array = new Int32Array(0);
  #lengths = new Uint32Array(0);
  /** Where a text begins in `#texts`. */
  #starts = new Uint32Array(0);
  #texts = new Uint8Array(0);
  #textView = new DataView(this.#texts.buffer);

  constructor(isJson: boolean) {
    this.#isJson = isJson;
  }

  load(chunk: DuckDBDataChunk, column: number, rows: number): number {
    const loaded = columnBytes(chunk, column, textWidth);
    this.#validity = loaded.validity;
    this.#words = new Int32Array(loaded.data.buffer, loaded.data.byteOffset, rows * 4);
    const longest = longestText(loaded, rows);
    if (longest > inlineBytesMax || this.#isJson) this.#gather(loaded, rows);
    return this.#isJson ? longest + frameBytesMax : longest * escapedBytesMax + frameBytesMax;
  }

  #gather(loaded: ColumnBytes, rows: number): void {
    if (this.#lengths.length < rows) {
      this.#lengths = new Uint32Array(rows);
      this.#starts = new Uint32Array(rows);
    }
    const total = textLengths(loaded, rows, this.#lengths);
    if (this.#texts.length < total + gatherSlackBytes) {
      this.#texts = new Uint8Array(total * 2 + gatherSlackBytes);
      this.#textView = new DataView(this.#texts.buffer);
    }
    gatherTexts(loaded, rows, this.#lengths, this.#texts);
    for (let row = 0, at = 0; row < rows; row++) {
      this.#starts[row] = at;
      at += this.#lengths[row] as number;
    }
  }

  write(row: number, out: DataView, at: number): number {
    if (!isValid(this.#validity, row)) return writeNull(out, at);
    const length = this.#words[row * 4] as number;
    if (this.#isJson) return this.#copy(row, length, out, at);
    return length <= inlineBytesMax ? this.#writeInline(row, length, out, at) : this.#writeLong(row, length, out, at);
  }

  /** Copies all three words of the vector's entry; what is behind the text is overwritten. */
  #writeInline(row: number, length: number, out: DataView, at: number): number {
    const first = this.#words[row * 4 + 1] as number;
    const second = this.#words[row * 4 + 2] as number;
    const third = this.#words[row * 4 + 3] as number;
    const odd =
      oddBytes(first | (padding[length * 3] as number)) |
      oddBytes(second | (padding[length * 3 + 1] as number)) |
      oddBytes(third | (padding[length * 3 + 2] as number));
    if (odd !== 0) return this.#escape(row, length, out, at);
    out.setUint8(at, quote);
    out.setInt32(at + 1, first, true);
    out.setInt32(at + 5, second, true);
    out.setInt32(at + 9, third, true);
    out.setUint8(at + 1 + length, quote);
    return at + length + 2;
  }

  /** Copies word by word until one has a byte that needs an escape. */
  #writeLong(row: number, length: number, out: DataView, at: number): number {
    const texts = this.#textView;
    const start = this.#starts[row] as number;
    const last = length - 4;
    let odd = 0;
    for (let index = 0; index < last; index += 4) {
      const word = texts.getInt32(start + index, true);
      odd |= oddBytes(word);
      out.setInt32(at + 1 + index, word, true);
    }
    // The last word reaches back into the one before it.
    const word = texts.getInt32(start + last, true);
    odd |= oddBytes(word);
    out.setInt32(at + 1 + last, word, true);
    if (odd !== 0) return this.#escape(row, length, out, at);
    out.setUint8(at, quote);
    out.setUint8(at + 1 + length, quote);
    return at + length + 2;
  }

  #copy(row: number, length: number, out: DataView, at: number): number {
    const start = this.#starts[row] as number;
    new Uint8Array(out.buffer, at, length).set(this.#texts.subarray(start, start + length));
    return at + length;
  }

  #escape(row: number, length: number, out: DataView, start: number): number {
    const { buffer, byteOffset } = this.#words;
    const from = this.#starts[row] as number;
    const text =
      length <= inlineBytesMax
        ? new Uint8Array(buffer, byteOffset + row * textWidth + 4, length)
        : this.#texts.subarray(from, from + length);
    let at = start;
    out.setUint8(at++, quote);
    for (let index = 0; index < length; index++) {
      const byte = text[index] as number;
      const escape = escapes[byte] as number;
      if (escape === 0) out.setUint8(at++, byte);
      else if (escape === 1) {
        at = writeAscii(`\\u00${hexDigits[byte >> 4]}${hexDigits[byte & 15]}`, out, at);
      } else {
        out.setUint8(at++, backslash);
        out.setUint8(at++, escape);
      }
    }
    out.setUint8(at++, quote);
    return at;
  }
}
