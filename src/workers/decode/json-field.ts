import { readAheadBytes } from "../../shared/bytes/byte-window.js";
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
const gapBytesMax = readAheadBytes - 8;

/** "}" and "{}" with zeros behind. */
const closeBraceView = new DataView(Uint8Array.of(0x7d, 0, 0, 0, 0, 0, 0, 0).buffer);
export const emptyRowView = new DataView(Uint8Array.of(0x7b, 0x7d, 0, 0, 0, 0, 0, 0).buffer);
const noMiddle = new Float64Array(0);

/**
 * One spelling of a key, and what came behind its value the last time: the bytes from the value's end to the next
 * value (`,"cpu":`, with whatever white space the client puts there) and that next value's field. Rows of one client
 * look alike, so comparing these bytes replaces parsing them. A gap is only ever learned from text that was parsed in
 * the same place (behind a value, or at a row's start), so wherever it matches it is right, but for white space that
 * may follow.
 *
 * ```
 * gapBytes < 8    (word at 0 ^ head) & headMask, (word at 4 ^ tail) & tailMask     32-bit words, little-endian
 * gapBytes >= 8   first8, last8 (they may overlap), middle8 from 8 on past 16      64 bits, compared as doubles
 * ```
 *
 * Doubles are the one 64-bit comparison that JavaScript has. It is exact here: no NaN and no -0 is made of valid
 * UTF-8 without zero bytes, which is all that a gap ever holds.
 */
export class Field {
  /** Between the quotes, as sent. */
  readonly key: Uint8Array;
  readonly hash: number;
  readonly index: number;
  readonly name: string;
  readonly kind: number;
  readonly column: ColumnBuilder;
  gapBytes = 0;
  head = 0;
  headMask = 0;
  tail = 0;
  tailMask = 0;
  // Fields that hold fractions from the start are kept as doubles, which a 0 would not do.
  first8 = 0.5;
  last8 = 0.5;
  middle8: Float64Array = noMiddle;
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
    this.forget(this.next);
  }

  /** Back to the first guess, which is true wherever it matches: a "}" behind a value ends the row. */
  forget(rowEnd: Field): void {
    this.learn(closeBraceView, 0, 1, rowEnd);
  }

  /** Notes that the bytes [start, end) led from this field's value to the value of `next`. */
  learn(view: DataView, start: number, end: number, next: Field): void {
    const length = end - start;
    if (length > gapBytesMax) return;
    this.next = next;
    this.gapBytes = length;
    if (length < 8) {
      this.head = view.getInt32(start, true);
      this.headMask = length >= 4 ? -1 : lowBytes(length);
      this.tail = view.getInt32(start + 4, true);
      this.tailMask = length > 4 ? lowBytes(length - 4) : 0;
      return;
    }
    this.first8 = view.getFloat64(start, true);
    this.last8 = view.getFloat64(end - 8, true);
    if (length <= 16) return;
    this.middle8 = new Float64Array((length - 9) >> 3);
    for (let index = 0; index < this.middle8.length; index++) {
      this.middle8[index] = view.getFloat64(start + 8 + index * 8, true);
    }
  }

  /** For gaps of more than 16 bytes: whether what lies between the first and the last 8 is the same too. */
  matchesMiddle(view: DataView, start: number): boolean {
    const middle = this.middle8;
    for (let index = 0; index < middle.length; index++) {
      if (view.getFloat64(start + 8 + index * 8, true) !== middle[index]) return false;
    }
    return true;
  }
}

/** A mask of the first 1 to 3 bytes of a little-endian word. */
function lowBytes(count: number): number {
  return (1 << (count * 8)) - 1;
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
