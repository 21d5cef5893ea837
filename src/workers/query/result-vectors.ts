import type { DuckDBDataChunk } from "@duckdb/node-api";
import { createRequire } from "node:module";

/**
 * The bytes of a chunk's columns as DuckDB has them, for formats that are built from columns: no JavaScript value is
 * made per row. node-api gives values only, so that this goes to the bindings below it.
 *
 * A text or blob is 16 bytes (https://duckdb.org/docs/stable/clients/c/vector, duckdb_string_t):
 *
 * ```
 *   up to 12 bytes   u32 length | bytes, rest 0
 *   longer           u32 length | 4 first bytes | u64 address
 * ```
 * Texts of one vector lie one behind the other as far as they were made together, so that a run of them is fetched by
 * one call. Nothing between two texts is ever read.
 */
interface Bindings {
  data_chunk_get_vector(chunk: unknown, column: number): unknown;
  vector_get_data(vector: unknown, bytes: number): Uint8Array;
  vector_get_validity(vector: unknown, bytes: number): Uint8Array | null;
  get_data_from_pointer(buffer: ArrayBufferLike, offset: number, bytes: number): Uint8Array;
}

const require = createRequire(import.meta.url);
// A dependency of node-api, not of ours: found from there.
const bindings = createRequire(require.resolve("@duckdb/node-api"))("@duckdb/node-bindings") as Bindings;

/** Valid while the chunk is. */
export interface ColumnBytes {
  /** `width` bytes per row; what stands at a NULL is anything. */
  readonly data: Uint8Array;
  /** One bit per row from the lowest on, 0 for NULL; null when there is no NULL. */
  readonly validity: Uint8Array | null;
}

export function columnBytes(chunk: DuckDBDataChunk, column: number, width: number): ColumnBytes {
  const rows = chunk.rowCount;
  const inside = chunk as unknown as { readonly chunk: unknown };
  const vector = bindings.data_chunk_get_vector(inside.chunk, column);
  const data = bindings.vector_get_data(vector, rows * width);
  return { data, validity: bindings.vector_get_validity(vector, Math.ceil(rows / 64) * 8) };
}

export function isValid(validity: Uint8Array | null, row: number): boolean {
  return validity === null || (((validity[row >> 3] as number) >> (row & 7)) & 1) === 1;
}

const wordValues = 4_294_967_296;

/** 64-bit integers as near as doubles come, which is exactly for safe ones. */
export function readLongs({ buffer, byteOffset }: Uint8Array, rows: number, target: Float64Array): void {
  const words = new Int32Array(buffer, byteOffset, rows * 2);
  for (let row = 0; row < rows; row++) {
    target[row] = (words[row * 2 + 1] as number) * wordValues + ((words[row * 2] as number) >>> 0);
  }
}

export const textWidth = 16;
/** A text of up to so many bytes is within its entry. */
export const inlineBytesMax = 12;

/** Lengths by row, 0 at a NULL, for the first `rows` rows, and their sum. `lengths` has room for them. */
export function textLengths({ data, validity }: ColumnBytes, rows: number, lengths: Uint32Array): number {
  const words = new Uint32Array(data.buffer, data.byteOffset, rows * 4);
  let total = 0;
  for (let row = 0; row < rows; row++) {
    const length = isValid(validity, row) ? (words[row * 4] as number) : 0;
    lengths[row] = length;
    total += length;
  }
  return total;
}

/** The length of the longest text of the first `rows` rows. */
export function longestText({ data, validity }: ColumnBytes, rows: number): number {
  const words = new Uint32Array(data.buffer, data.byteOffset, rows * 4);
  let longest = 0;
  for (let row = 0; row < rows; row++) {
    const length = words[row * 4] as number;
    if (length > longest && isValid(validity, row)) longest = length;
  }
  return longest;
}

/** What `target` has room for behind the texts: the twelve bytes within an entry are always copied whole. */
export const gatherSlackBytes = 12;

/** The texts of the first `rows` rows, one behind the other, to the start of `target`. `lengths` as above. */
export function gatherTexts({ data }: ColumnBytes, rows: number, lengths: Uint32Array, target: Uint8Array): void {
  const words = new Uint32Array(data.buffer, data.byteOffset, rows * 4);
  const view = new DataView(target.buffer, target.byteOffset, target.byteLength);
  let to = 0;
  for (let row = 0; row < rows;) {
    const length = lengths[row] as number;
    if (length <= inlineBytesMax) {
      view.setUint32(to, words[row * 4 + 1] as number, true);
      view.setUint32(to + 4, words[row * 4 + 2] as number, true);
      view.setUint32(to + 8, words[row * 4 + 3] as number, true);
      to += length;
      row++;
      continue;
    }
    const first = row;
    const high = words[row * 4 + 3] as number;
    let next = (words[row * 4 + 2] as number) + length;
    let bytes = length;
    // A run ends where the next text is elsewhere, or NULL, or in its place; also where the low word would wrap.
    for (row++; row < rows; row++) {
      const more = lengths[row] as number;
      if (more <= inlineBytesMax || words[row * 4 + 2] !== next || words[row * 4 + 3] !== high) break;
      next += more;
      bytes += more;
    }
    target.set(bindings.get_data_from_pointer(data.buffer, data.byteOffset + first * textWidth + 8, bytes), to);
    to += bytes;
  }
}

/** Bytes in which DuckDB has a decimal of so many digits. */
export function decimalWidth(digits: number): 2 | 4 | 8 | 16 {
  if (digits <= 4) return 2;
  if (digits <= 9) return 4;
  return digits <= 18 ? 8 : 16;
}
