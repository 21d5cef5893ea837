import { ColumnBuilder } from "../../shared/columns/column-builder.js";
import type { ColumnType } from "../../shared/schema/column-type.js";

/** What to do with a value. The system column `id` has rules of its own; `ignored` values are only walked over. */
export const kindRowEnd = 0;
export const kindIgnored = 1;
export const kindBoolean = 2;
export const kindLong = 3;
export const kindDouble = 4;
export const kindString = 5;
export const kindTimestamp = 6;
export const kindJson = 7;
export const kindId = 8;

const kindOfType: Record<ColumnType, number> = {
  boolean: kindBoolean,
  long: kindLong,
  double: kindDouble,
  string: kindString,
  timestamp: kindTimestamp,
  json: kindJson,
};

/** Position of the column `id` in every table. */
export const idIndex = 1;

export function kindOf(index: number, type: ColumnType): number {
  return index === idIndex ? kindId : kindOfType[type];
}

/** Longer gaps (somebody's indentation) are not learned. */
const gapBytesMax = 256;

const noGap = new Int32Array(0);
/** "}" and "{}" with zeros behind. */
export const closeBraceView = new DataView(Uint8Array.of(0x7d, 0, 0, 0).buffer);
export const emptyRowView = new DataView(Uint8Array.of(0x7b, 0x7d, 0, 0).buffer);

/**
 * One spelling of a key, and what came behind its value the last time: the bytes from the value's end to the next value
 * (`,"cpu":`, with whatever white space the client puts there) and that next value's field. Rows of one client look
 * alike, so comparing these bytes replaces parsing them. A gap is only ever learned from text that was parsed in the same
 * place (behind a value, or at a row's start), so wherever it matches it is right.
 *
 * ```
 * gap      the bytes as little-endian words      gapLast  index of the last word
 * gapMask  the bytes of it that count            gapBytes their number in all
 * ```
 */
export class Field {
  /** Between the quotes, as sent. */
  readonly key: Uint8Array;
  readonly hash: number;
  readonly index: number;
  readonly name: string;
  readonly kind: number;
  readonly column: ColumnBuilder;
  gap: Int32Array = noGap;
  gapLast = 0;
  gapMask = 0;
  gapBytes = 0;
  next: Field;

  /** `rowEnd` is the first guess of what follows; without it the field is the row end itself. */
  constructor(place: FieldPlace, kind: number, rowEnd?: Field) {
    this.key = place.key;
    this.hash = place.hash;
    this.index = place.index;
    this.name = place.name;
    this.kind = kind;
    this.column = place.column;
    this.next = rowEnd ?? this;
    this.learn(closeBraceView, 0, 1, this.next);
  }

  /** Notes that the bytes [start, end) led from this field's value to the value of `next`. */
  learn(view: DataView, start: number, end: number, next: Field): void {
    const length = end - start;
    if (length > gapBytesMax) return;
    const words = (length + 3) >> 2;
    if (this.gap.length < words) this.gap = new Int32Array(words);
    for (let word = 0; word < words; word++) this.gap[word] = view.getInt32(start + word * 4, true);
    this.gapLast = words - 1;
    this.gapMask = (length & 3) === 0 ? -1 : (1 << ((length & 3) * 8)) - 1;
    this.gapBytes = length;
    this.next = next;
  }
}

export interface FieldPlace {
  readonly key: Uint8Array;
  readonly hash: number;
  /** Position in the builder's columns, or -1. */
  readonly index: number;
  /** Of the column. */
  readonly name: string;
  readonly column: ColumnBuilder;
}

/** The place of fields that belong to no column. */
export const noPlace: FieldPlace = {
  key: new Uint8Array(0),
  hash: 0,
  index: -1,
  name: "",
  column: new ColumnBuilder(-1, "boolean"),
};
