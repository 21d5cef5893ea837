import { keyedHash, newHashKey } from "../../shared/bytes/keyed-hash.js";
import type { ColumnView } from "./typed-rows.js";

/** Texts are what clients choose. */
const hashKey = newHashKey();

/** Distinct texts in order of first appearance, as [start, end) in the column's bytes, with a hash table over them. */
interface DistinctTexts {
  readonly bytes: Uint8Array;
  starts: number[];
  ends: number[];
  /** Open addressing: hash slot -> position in `starts` + 1; 0 is free. At most half full. */
  slots: Int32Array;
}

/** Writes to `ranks` for each row the rank of its text among the column's distinct texts, by unsigned bytes. */
export function rankTexts({ bytes, offsets }: Pick<ColumnView, "bytes" | "offsets">, ranks: Uint32Array): void {
  const distinct: DistinctTexts = { bytes, starts: [], ends: [], slots: new Int32Array(1024) };
  for (let row = 0; row < ranks.length; row++) {
    ranks[row] = ordinalOf(distinct, offsets[row] as number, offsets[row + 1] as number);
  }
  const rankOf = rankByBytes(distinct);
  for (let row = 0; row < ranks.length; row++) ranks[row] = rankOf[ranks[row] as number] as number;
}

function rankByBytes({ bytes, starts, ends }: DistinctTexts): Uint32Array {
  const texts = starts.map((start, ordinal) => bytes.subarray(start, ends[ordinal]));
  const sorted = texts
    .map((_, ordinal) => ordinal)
    .toSorted((a, b) => Buffer.compare(texts[a] as Uint8Array, texts[b] as Uint8Array));
  const rankOf = new Uint32Array(texts.length);
  for (const [rank, ordinal] of sorted.entries()) rankOf[ordinal] = rank;
  return rankOf;
}

function ordinalOf(distinct: DistinctTexts, start: number, end: number): number {
  const { bytes, starts, ends, slots } = distinct;
  const mask = slots.length - 1;
  let slot = keyedHash(bytes, start, end, hashKey) & mask;
  for (;;) {
    const ordinal = (slots[slot] as number) - 1;
    if (ordinal < 0) break;
    const other = starts[ordinal] as number;
    if ((ends[ordinal] as number) - other === end - start && equals(bytes, other, start, end)) return ordinal;
    slot = (slot + 1) & mask;
  }
  starts.push(start);
  ends.push(end);
  slots[slot] = starts.length;
  if (starts.length * 2 > slots.length) growSlots(distinct);
  return starts.length - 1;
}

function growSlots(distinct: DistinctTexts): void {
  const slots = new Int32Array(distinct.slots.length * 2);
  const mask = slots.length - 1;
  for (const [ordinal, start] of distinct.starts.entries()) {
    let slot = keyedHash(distinct.bytes, start, distinct.ends[ordinal] as number, hashKey) & mask;
    while (slots[slot] !== 0) slot = (slot + 1) & mask;
    slots[slot] = ordinal + 1;
  }
  distinct.slots = slots;
}

/** Compares bytes [start, end) with as many at `other`. */
function equals(bytes: Uint8Array, other: number, start: number, end: number): boolean {
  for (let index = start; index < end; index++) if (bytes[other + index - start] !== bytes[index]) return false;
  return true;
}
