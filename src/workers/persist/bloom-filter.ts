import { ByteBuffer } from "./byte-buffer.js";
import { ThriftWriter, thriftTypes } from "./thrift-writer.js";
import { xxhash64 } from "./xxhash64.js";

/** Of a block. */
const blockBytes = 32;
const blockWords = 8;
/** For one value in a hundred that is not there, at most: -8 / ln(1 - 0.01^(1/8)). */
const bitsPerValue = 9.7;
/** Parquet's limit is higher; no row group has so many ids. */
const bytesMax = 16 * 1024 * 1024;
/** Odd numbers that spread the low word of a hash over the words of a block; the format names them. */
const salts = Int32Array.of(
  0x47b6_137b,
  0x4497_4d91,
  0x8824_ad5b,
  0xa2b7_289d,
  0x7054_95c7,
  0x2df1_424b,
  0x9efc_4947,
  0x5c6b_fb31,
);

/**
 * Which values a column chunk may have: never "no" for one that is there, wrongly "yes" for at most one in a hundred of the
 * others. Parquet's split block Bloom filter: https://parquet.apache.org/docs/file-format/bloomfilter/
 *
 * ```
 * in the file   BloomFilterHeader (Thrift) | blocks of 32 bytes
 * hash          high word: which block      low word × 8 salts: one bit in each of its 8 words
 * ```
 * Its length is a power of two, as some readers assume: between 10 and 20 bits a value.
 */
export class BloomFilter {
  readonly #words: Int32Array;

  /** Room for so many different values; more of them only make it answer "yes" more often. */
  constructor(values: number) {
    const bytes = 2 ** Math.ceil(Math.log2((Math.max(1, values) * bitsPerValue) / 8));
    this.#words = new Int32Array(Math.min(bytesMax, Math.max(blockBytes, bytes)) / 4);
  }

  /** The text of bytes [start, end). */
  add(view: DataView, start: number, end: number): void {
    const { low, high } = xxhash64(view, start, end);
    const words = this.#words;
    // The high word times the number of blocks has at most 32 + 19 bits.
    const block = Math.floor(((high >>> 0) * (words.length / blockWords)) / 0x1_0000_0000);
    for (let word = 0; word < blockWords; word++) {
      const at = block * blockWords + word;
      words[at] = (words[at] as number) | (1 << (Math.imul(low, salts[word] as number) >>> 27));
    }
  }

  /** As it stands in the file; little-endian, as every machine that Node runs on. */
  encode(): Uint8Array {
    const out = new ByteBuffer();
    const header = new ThriftWriter(out);
    header.beginStruct();
    header.integer(1, thriftTypes.i32, this.#words.byteLength);
    // Unions of one choice each: split blocks, XXH64, not compressed.
    for (const field of [2, 3, 4]) {
      header.beginStruct(field);
      header.emptyStruct(1);
      header.endStruct();
    }
    header.endStruct();
    out.append(new Uint8Array(this.#words.buffer));
    return out.bytes;
  }
}
