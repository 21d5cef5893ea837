import { flatBytes, flatSizes, flatten } from "./flatten.js";
import { gatherBooleans, gatherValidity, gatherWords, piecesOf, select, type Selection } from "./gather.js";
import { rankTexts } from "./text-ranks.js";
import { bitAt, isText, type ColumnView, type TypedColumn, type TypedRows } from "./typed-rows.js";

/**
 * A column as unsigned 64-bit numbers that order as its values do, so that every type sorts by the same radix
 * sort. Nulls come last; `nulls` marks them with 1 (null: there are none).
 *
 * ```
 * long, timestamp  sign bit flipped
 * double           sign bit flipped, or all bits where negative; NaN last
 * boolean          0, 1
 * string, json     rank of the text among the distinct texts, by unsigned bytes
 * ```
 */
export interface SortKeys {
  readonly high: Uint32Array;
  readonly low: Uint32Array;
  readonly nulls: Uint32Array | null;
}

export function sortKeysOf(rows: TypedRows, column: TypedColumn): SortKeys {
  const { rowCount } = rows;
  const high = new Uint32Array(rowCount);
  const low = new Uint32Array(rowCount);
  const nulls = column.hasNulls ? new Uint32Array(rowCount) : null;
  const { type } = column.column;
  if (isText(type)) {
    const { validity } = rankAllTexts(rows, column, low);
    if (nulls !== null && validity !== null) markNulls(validity, nulls);
  } else {
    for (let from = 0; from < rowCount; from += chunkRows) {
      const to = Math.min(rowCount, from + chunkRows);
      const chunk = { high: high.subarray(from, to), low: low.subarray(from, to) };
      const all = select(rows, null, from, to);
      if (type === "boolean") booleanKeys(column, all, chunk);
      else {
        gatherWords(column, all, chunkWords.subarray(0, (to - from) * 2));
        if (type === "double") doubleKeys(chunkWords, chunk);
        else longKeys(chunkWords, chunk);
      }
      if (nulls === null) continue;
      gatherValidity(column, all, chunkBits);
      markNulls(chunkBits, nulls.subarray(from, to));
    }
  }
  const keys = { high, low, nulls };
  subtractMinimum(keys);
  return keys;
}

/** The day of every row, for tables that are not sorted by timestamp first. */
export function dayKeysOf(rows: TypedRows, timestamps: TypedColumn): SortKeys {
  const { rowCount } = rows;
  const low = new Uint32Array(rowCount);
  for (let from = 0; from < rowCount; from += chunkRows) {
    const to = Math.min(rowCount, from + chunkRows);
    gatherWords(timestamps, select(rows, null, from, to), chunkWords.subarray(0, (to - from) * 2));
    for (let row = from; row < to; row++) {
      const at = (row - from) * 2;
      low[row] = dayOfWords(chunkWords[at] as number, chunkWords[at + 1] as number) ^ 0x8000_0000;
    }
  }
  const keys = { high: new Uint32Array(rowCount), low, nulls: null };
  subtractMinimum(keys);
  return keys;
}

/** Values are gathered so many at a time; a multiple of 8. */
const chunkRows = 8192;
const chunkWords = new Int32Array(chunkRows * 2);
const chunkBits = new Uint8Array(chunkRows / 8);

/** Of some of the rows. */
interface ChunkKeys {
  readonly high: Uint32Array;
  readonly low: Uint32Array;
}

/** Texts are compared with each other: for a moment all of the column are in memory a second time. */
function rankAllTexts(rows: TypedRows, column: TypedColumn, ranks: Uint32Array): ColumnView {
  const all = { rowCount: rows.rowCount, pieces: piecesOf(rows, 0, rows.rowCount) };
  const size = flatSizes(column, all);
  const view = flatten(column, all, { memory: new ArrayBuffer(flatBytes(size)), at: 0, size });
  rankTexts(view, ranks);
  return view;
}

function markNulls(validity: Uint8Array, marks: Uint32Array): void {
  for (let row = 0; row < marks.length; row++) marks[row] = bitAt(validity, row) ^ 1;
}

function booleanKeys(column: TypedColumn, selection: Selection, { low }: ChunkKeys): void {
  gatherBooleans(column, selection, chunkBits);
  for (let row = 0; row < low.length; row++) low[row] = bitAt(chunkBits, row);
}

function longKeys(words: Int32Array, { high, low }: ChunkKeys): void {
  for (let row = 0; row < low.length; row++) {
    low[row] = words[row * 2] as number;
    high[row] = (words[row * 2 + 1] as number) ^ 0x8000_0000;
  }
}

function doubleKeys(words: Int32Array, { high, low }: ChunkKeys): void {
  for (let row = 0; row < low.length; row++) {
    const lowWord = words[row * 2] as number;
    const highWord = words[row * 2 + 1] as number;
    low[row] = highWord < 0 ? ~lowWord : lowWord;
    high[row] = highWord < 0 ? ~highWord : highWord ^ 0x8000_0000;
  }
}

/** Keys of one flush lie close together: counted from the smallest, few of their bits differ, and few are sorted by. */
function subtractMinimum({ high, low, nulls }: SortKeys): void {
  let minimumHigh = 0xffff_ffff;
  let minimumLow = 0xffff_ffff;
  for (let row = 0; row < high.length; row++) {
    if (nulls !== null && nulls[row] === 1) continue;
    const h = high[row] as number;
    const l = low[row] as number;
    if (h < minimumHigh || (h === minimumHigh && l < minimumLow)) {
      minimumHigh = h;
      minimumLow = l;
    }
  }
  for (let row = 0; row < high.length; row++) {
    const isNull = nulls !== null && nulls[row] === 1;
    const l = isNull ? minimumLow : (low[row] as number);
    const h = isNull ? minimumHigh : (high[row] as number);
    low[row] = l - minimumLow;
    high[row] = h - minimumHigh - (l < minimumLow ? 1 : 0);
  }
}

const microsPerDay = 86_400_000_000;

/** Days since 1970-01-01 of a timestamp given as its two words; exact in all 64 bits. */
export function dayOfWords(low: number, high: number): number {
  // Within ±2^53 a double holds the value exactly; further out (years 1684 and 2255) it does not.
  if (high >= -0x20_0000 && high < 0x20_0000) {
    return Math.floor((high * 0x1_0000_0000 + (low >>> 0)) / microsPerDay);
  }
  const micros = (BigInt(high) << 32n) | BigInt(low >>> 0);
  const perDay = BigInt(microsPerDay);
  const day = micros / perDay;
  return Number(micros < 0n && day * perDay !== micros ? day - 1n : day);
}
