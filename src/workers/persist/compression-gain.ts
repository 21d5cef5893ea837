import { deflateRawSync } from "node:zlib";
import type { ColumnEncoding } from "./column-encodings.js";
import { gatherOffsets, gatherText, gatherWords, select } from "./gather.js";
import { isText, type TypedColumn, type TypedRows } from "./typed-rows.js";

const sampleRows = 2_048;
const sampleBytesMax = 64 * 1024;
/**
 * Compressed to less than this share of its length, a column is worth the time: WebAssembly needs as long for a file
 * as all the rest of a flush, and the merges compress it later in any case.
 */
const gainShare = 0.66;

/**
 * True when a column has values that general compression would make much smaller, going by a sample. Differences and
 * positions in a dictionary have nothing left to gain.
 */
export function gainsByCompression(rows: TypedRows, encodings: ReadonlyMap<string, ColumnEncoding>): boolean {
  return rows.columns.some((column) => {
    const encoding = encodings.get(column.column.name) ?? "plain";
    if (encoding === "delta" || encoding === "dictionary" || column.column.type === "boolean") return false;
    const sample = sampleOf(rows, column);
    return deflateRawSync(sample, { level: 1 }).length < sample.length * gainShare;
  });
}

function sampleOf(rows: TypedRows, column: TypedColumn): Uint8Array {
  const count = Math.min(rows.rowCount, sampleRows);
  const selection = select(rows, null, 0, count);
  if (!isText(column.column.type)) {
    const words = new Int32Array(count * 2);
    gatherWords(column, selection, words);
    return new Uint8Array(words.buffer);
  }
  const offsets = new Int32Array(count + 1);
  const done = gatherOffsets(column, selection, offsets, sampleBytesMax);
  const text = new Uint8Array(offsets[done] as number);
  if (done === count) gatherText(column, selection, text);
  else gatherText(column, select(rows, null, 0, done), text);
  return text;
}
