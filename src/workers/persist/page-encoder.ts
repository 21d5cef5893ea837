import type { ByteBuffer } from "./byte-buffer.js";
import type { ColumnEncoding } from "./column-encodings.js";
import { writeDeltaLengths, writeDeltaLongs } from "./delta-binary.js";
import { TextDictionary, WordDictionary } from "./dictionaries.js";
import type { ParquetEncoding } from "./parquet-format.js";
import { writeHybrid } from "./rle-hybrid.js";
import { bitAt } from "./typed-rows.js";
import { BooleanBounds, DoubleBounds, LongBounds, TextBounds, type ValueBounds } from "./value-bounds.js";

/** A page's gathered rows; what a type lacks is empty. Encoders may change the arrays. */
export interface PageValues {
  readonly rowCount: number;
  readonly nulls: number;
  readonly validity: Uint8Array | null;
  readonly words: Int32Array;
  readonly bytes: Uint8Array;
  readonly offsets: Int32Array;
}

export interface DictionaryPage {
  readonly values: number;
  readonly bytes: Uint8Array;
}

/** Encodes the values of one column chunk, page by page: one object per chunk. */
export interface PageEncoder {
  /** Appends the page's values, nulls left out, and returns how it did. */
  encode(page: PageValues, out: ByteBuffer): ParquetEncoding;
  /** After the last page; null where no page refers to it. */
  dictionary(): DictionaryPage | null;
  /** After the last page; null where there is no value with a bound. */
  bounds(): ValueBounds | null;
}

/** long, timestamp, double. */
export class WordPageEncoder implements PageEncoder {
  readonly #encoding: ColumnEncoding;
  readonly #bounds: LongBounds | DoubleBounds;
  readonly #withBounds: boolean;
  #dictionary: WordDictionary | null;
  #isGivenUp = false;

  constructor(encoding: ColumnEncoding, isDouble: boolean, withBounds: boolean) {
    this.#encoding = encoding;
    this.#withBounds = withBounds;
    this.#bounds = isDouble ? new DoubleBounds() : new LongBounds();
    this.#dictionary = encoding === "dictionary" ? new WordDictionary() : null;
  }

  encode(page: PageValues, out: ByteBuffer): ParquetEncoding {
    const { words } = page;
    const count = compactWords(page);
    if (count === 0) return "plain";
    if (this.#dictionary !== null && !this.#isGivenUp) {
      const positions = positionsScratch(count);
      if (this.#dictionary.encode(words, count, positions)) {
        writePositions(out, positions, { count, size: this.#dictionary.count });
        return "dictionary";
      }
      this.#isGivenUp = true;
    }
    if (this.#withBounds) this.#bounds.add(words, count);
    if (this.#encoding === "delta" && writeDeltaLongs(out, words, count)) return "delta";
    out.append(new Uint8Array(words.buffer, words.byteOffset, count * 8));
    return "plain";
  }

  dictionary(): DictionaryPage | null {
    if (this.#dictionary === null || this.#dictionary.count === 0) return null;
    const words = this.#dictionary.words();
    if (this.#withBounds) this.#bounds.add(words, this.#dictionary.count);
    return { values: this.#dictionary.count, bytes: new Uint8Array(words.buffer) };
  }

  bounds(): ValueBounds | null {
    return this.#bounds.finish();
  }
}

export class BooleanPageEncoder implements PageEncoder {
  readonly #bounds = new BooleanBounds();

  encode(page: PageValues, out: ByteBuffer): ParquetEncoding {
    const count = compactBits(page);
    this.#bounds.add(page.bytes, count);
    out.append(page.bytes.subarray(0, (count + 7) >> 3));
    return "plain";
  }

  dictionary(): null {
    return null;
  }

  bounds(): ValueBounds | null {
    return this.#bounds.finish();
  }
}

/** string, json. */
export class TextPageEncoder implements PageEncoder {
  readonly #bounds = new TextBounds();
  readonly #withBounds: boolean;
  readonly #dictionary: TextDictionary | null;
  #isGivenUp = false;

  constructor(encoding: ColumnEncoding, withBounds: boolean) {
    this.#withBounds = withBounds;
    this.#dictionary = encoding === "dictionary" ? new TextDictionary() : null;
  }

  encode(page: PageValues, out: ByteBuffer): ParquetEncoding {
    const { bytes, offsets } = page;
    const rows = page.nulls === 0 ? null : presentRows(page);
    const count = rows === null ? page.rowCount : rows.length;
    if (count === 0) return "plain";
    if (this.#dictionary !== null && !this.#isGivenUp) {
      const positions = positionsScratch(count);
      if (this.#dictionary.encode(bytes, offsets, rows, positions)) {
        writePositions(out, positions, { count, size: this.#dictionary.count });
        return "dictionary";
      }
      this.#isGivenUp = true;
    }
    const lengths = positionsScratch(count);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let total = 0;
    for (let index = 0; index < count; index++) {
      const row = rows === null ? index : (rows[index] as number);
      const start = offsets[row] as number;
      const end = offsets[row + 1] as number;
      lengths[index] = end - start;
      total += end - start;
      if (this.#withBounds) this.#bounds.add(view, bytes, start, end);
    }
    writeDeltaLengths(out, lengths, count);
    // Null rows have no text as a rule: what is there lies side by side. Arrow allows them some, that nobody sees.
    if (total === bytes.length || rows === null) out.append(bytes);
    else for (const row of rows) out.append(bytes.subarray(offsets[row], offsets[row + 1]));
    return "delta-length";
  }

  dictionary(): DictionaryPage | null {
    const dictionary = this.#dictionary;
    if (dictionary === null || dictionary.count === 0) return null;
    const { bytes } = dictionary.page;
    if (this.#withBounds) {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      for (let at = 0; at < bytes.length;) {
        const end = at + 4 + view.getUint32(at, true);
        this.#bounds.add(view, bytes, at + 4, end);
        at = end;
      }
    }
    return { values: dictionary.count, bytes };
  }

  bounds(): ValueBounds | null {
    return this.#bounds.finish();
  }
}

let positions = new Int32Array(0);
let rowNumbers = new Int32Array(0);

/** Reused from page to page, as is `rowNumbers`. */
function positionsScratch(count: number): Int32Array {
  if (positions.length < count) positions = new Int32Array(count);
  return positions;
}

function presentRows({ rowCount, validity }: PageValues): Int32Array {
  if (rowNumbers.length < rowCount) rowNumbers = new Int32Array(rowCount);
  let count = 0;
  for (let row = 0; row < rowCount; row++) {
    if (validity !== null && bitAt(validity, row) === 0) continue;
    rowNumbers[count++] = row;
  }
  return rowNumbers.subarray(0, count);
}

/** Closes the gaps of null rows, in place; returns the number of values. */
function compactWords({ rowCount, nulls, validity, words }: PageValues): number {
  if (nulls === 0 || validity === null) return rowCount;
  let count = 0;
  for (let row = 0; row < rowCount; row++) {
    if (bitAt(validity, row) === 0) continue;
    words[count * 2] = words[row * 2] as number;
    words[count * 2 + 1] = words[row * 2 + 1] as number;
    count++;
  }
  return count;
}

function compactBits({ rowCount, nulls, validity, bytes }: PageValues): number {
  if (nulls === 0 || validity === null) return rowCount;
  let count = 0;
  for (let row = 0; row < rowCount; row++) {
    if (bitAt(validity, row) === 0) continue;
    // Bits behind `count` are read later only: row is never less than count.
    const bit = bitAt(bytes, row);
    const before = (bytes[count >> 3] as number) & ~(1 << (count & 7));
    bytes[count >> 3] = before | (bit << (count & 7));
    count++;
  }
  return count;
}

function writePositions(
  out: ByteBuffer,
  positions: Int32Array,
  { count, size }: { count: number; size: number },
): void {
  const width = size <= 2 ? 1 : 32 - Math.clz32(size - 1);
  out.byte(width);
  writeHybrid(out, positions, count, width);
}
