/**
 * Bounds of columns as bytes: the Iceberg specification's appendix D, "single-value serialization", and its rules for
 * cut text.
 *
 * | type             | bytes                               | JSON-safe value (messages.ts ColumnBounds) |
 * |------------------|-------------------------------------|--------------------------------------------|
 * | boolean          | 00 or 01                            | boolean                                    |
 * | long, timestamp  | 8, little-endian (timestamp: µs)    | decimal text                               |
 * | double           | 8, little-endian                    | number                                     |
 * | string, json     | UTF-8, cut to 16 code points        | string                                     |
 */
import { assert, unreachable } from "../assert.js";
import type { ColumnType } from "../schema/column-type.js";

export type BoundValue = string | number | boolean;

/** Iceberg's default metrics mode, `truncate(16)`. */
const textPointsMax = 16;
const codePointMax = 0x10_ffff;

/** A lower bound as bytes; null where the value bounds nothing (NaN). */
export function encodeLowerBound(type: ColumnType, value: BoundValue): Buffer | null {
  // -0 is below +0 in the total order of the specification, and a zero of either sign may be in the file.
  if (type === "double" && value === 0) return doubleBytes(-0);
  return encodeValue(type, typeof value === "string" && isText(type) ? cutText(value) : value);
}

/** An upper bound as bytes; null where the value bounds nothing (NaN), or is cut and has no successor. */
export function encodeUpperBound(type: ColumnType, value: BoundValue): Buffer | null {
  if (type === "double" && value === 0) return doubleBytes(0);
  if (typeof value !== "string" || !isText(type)) return encodeValue(type, value);
  const cut = cutText(value);
  const bound = cut.length === value.length ? value : successor(cut);
  return bound === null ? null : encodeValue(type, bound);
}

export function decodeBound(type: ColumnType, bytes: Uint8Array): BoundValue | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  switch (type) {
    case "boolean":
      return bytes.length === 1 ? bytes[0] !== 0 : null;
    case "long":
    case "timestamp":
      // A file written before a promotion from int holds 4 bytes.
      if (bytes.length === 4) return String(view.getInt32(0, true));
      return bytes.length === 8 ? String(view.getBigInt64(0, true)) : null;
    case "double":
      if (bytes.length === 4) return view.getFloat32(0, true);
      return bytes.length === 8 ? view.getFloat64(0, true) : null;
    case "string":
    case "json":
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
    default:
      return unreachable(type);
  }
}

/** A partition value or bound of the day partition: 4 bytes, little-endian. */
export function encodeDay(day: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(day);
  return bytes;
}

function encodeValue(type: ColumnType, value: BoundValue): Buffer | null {
  switch (type) {
    case "boolean":
      assert(typeof value === "boolean", "a bound of a boolean column is a boolean");
      return Buffer.of(value ? 1 : 0);
    case "long":
    case "timestamp": {
      assert(typeof value === "string", `a bound of a ${type} column is decimal text`);
      const bytes = Buffer.alloc(8);
      bytes.writeBigInt64LE(BigInt(value));
      return bytes;
    }
    case "double":
      assert(typeof value === "number", "a bound of a double column is a number");
      return Number.isNaN(value) ? null : doubleBytes(value);
    case "string":
    case "json":
      assert(typeof value === "string", `a bound of a ${type} column is text`);
      return Buffer.from(value, "utf8");
    default:
      return unreachable(type);
  }
}

function doubleBytes(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return bytes;
}

function isText(type: ColumnType): boolean {
  return type === "string" || type === "json";
}

/** The first 16 code points. */
function cutText(text: string): string {
  if (text.length <= textPointsMax) return text;
  let end = 0;
  for (let points = 0; points < textPointsMax && end < text.length; points++) {
    end += (text.codePointAt(end) as number) > 0xffff ? 2 : 1;
  }
  return text.slice(0, end);
}

/** The least text of no more code points that is above every text with this beginning; null where there is none. */
function successor(text: string): string | null {
  const points = Array.from(text, (character) => character.codePointAt(0) as number);
  while (points.length > 0) {
    const last = points.pop() as number;
    // The surrogates are no characters.
    const next = last === 0xd7ff ? 0xe000 : last + 1;
    if (next <= codePointMax) return String.fromCodePoint(...points, next);
  }
  return null;
}
