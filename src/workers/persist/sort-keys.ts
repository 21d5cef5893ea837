import type { ColumnType } from "../../shared/schema/column-type.js";
import { rankTexts } from "./text-ranks.js";
import { bitAt, isText, type ColumnView } from "./typed-rows.js";

/**
 * A flat column as unsigned 64-bit numbers that order as its values do, so that every type sorts by the same radix
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

export function sortKeysOf(view: ColumnView, type: ColumnType, rowCount: number): SortKeys {
  const high = new Uint32Array(rowCount);
  const low = new Uint32Array(rowCount);
  const nulls = view.validity === null ? null : nullMarks(view.validity, rowCount);
  if (isText(type)) rankTexts(view, low);
  else if (type === "boolean") for (let row = 0; row < rowCount; row++) low[row] = bitAt(view.bytes, row);
  else if (type === "double") doubleKeys(view.words, high, low);
  else longKeys(view.words, high, low);
  const keys = { high, low, nulls };
  subtractMinimum(keys);
  return keys;
}

/** The day of every row, for tables that are not sorted by timestamp first. */
export function dayKeysOf({ words }: ColumnView, rowCount: number): SortKeys {
  const low = new Uint32Array(rowCount);
  for (let row = 0; row < rowCount; row++) {
    low[row] = dayOfWords(words[row * 2] as number, words[row * 2 + 1] as number) ^ 0x8000_0000;
  }
  const keys = { high: new Uint32Array(rowCount), low, nulls: null };
  subtractMinimum(keys);
  return keys;
}

function nullMarks(validity: Uint8Array, rowCount: number): Uint32Array {
  const marks = new Uint32Array(rowCount);
  for (let row = 0; row < rowCount; row++) marks[row] = bitAt(validity, row) ^ 1;
  return marks;
}

function longKeys(words: Int32Array, high: Uint32Array, low: Uint32Array): void {
  for (let row = 0; row < low.length; row++) {
    low[row] = words[row * 2] as number;
    high[row] = (words[row * 2 + 1] as number) ^ 0x8000_0000;
  }
}

function doubleKeys(words: Int32Array, high: Uint32Array, low: Uint32Array): void {
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
