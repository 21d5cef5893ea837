import type { ArrowArray } from "./arrow-array.js";
import { concatenateValues, gatherValues } from "./arrow-dictionary.js";
import type { ArrowType } from "./arrow-schema.js";
import type { ArrowValues, ValuesContext } from "./arrow-values.js";
import { isBitSet } from "./bulk-bits.js";

/**
 * The array's values in form:
 *
 * ```
 * int64, uint64, float64, bool, timestamp, date64, utf8   views on the body, nothing is copied
 * int8 to uint32      widened to 64 bits                  float16, float32, decimal   doubles
 * date32              days as seconds                     large_utf8   offsets narrowed to 32 bits
 * utf8_view           its texts one behind the other      dictionary   each row's entry (see gatherValues)
 * ```
 * A buffer that is not aligned for its elements (a body may begin anywhere) is copied first. Throws INVALID_BODY
 * where offsets or indices lead outside the array's buffers.
 */
export function arrowValues(array: ArrowArray, context: ValuesContext): ArrowValues {
  if (array.dictionary !== null) return dictionaryValues(array, array.dictionary, context);
  const { length, nullCount, validity, values: bytes } = array;
  const nulls = { length, nullCount, validity };
  const { type } = array.field;
  switch (type.kind) {
    case "null":
      return { kind: "null", ...nulls };
    case "boolean":
      return { kind: "boolean", ...nulls, bits: bytes };
    case "int":
      return { kind: "long", ...nulls, words: longWords(array), unsigned: type.bytes === 8 && !type.signed };
    case "float":
    case "decimal":
      return { kind: "double", ...nulls, doubles: doublesOf(array) };
    case "date": {
      if (type.bytes === 8) return { kind: "timestamp", ...nulls, words: typedView(Int32Array, bytes), unit: "ms" };
      return { kind: "timestamp", ...nulls, words: secondsOfDays(typedView(Int32Array, bytes)), unit: "s" };
    }
    case "timestamp":
      return { kind: "timestamp", ...nulls, words: typedView(Int32Array, bytes), unit: type.unit };
    case "text": {
      const text = array.text[0] as Uint8Array;
      return { kind: "text", ...nulls, text, offsets: checkedOffsets(array, type.offsetBytes, text.length, context) };
    }
    case "textView":
      return { kind: "text", ...nulls, ...flattenViews(array, context) };
    case "list":
    case "map":
    case "struct":
    case "fixedList":
      return { kind: "json", ...nulls, array };
  }
}

/**
 * Offsets of `length` rows as 32-bit integers; throws where one decreases or is beyond `limit`. Ascending offsets are
 * what bounds the work on a list or text: together its rows are no longer than what they point into.
 */
export function checkedOffsets(
  array: ArrowArray,
  offsetBytes: 4 | 8,
  limit: number,
  context: ValuesContext,
): Int32Array {
  const words = typedView(Int32Array, array.values.subarray(0, (array.length + 1) * offsetBytes));
  const offsets = offsetBytes === 4 ? words : new Int32Array(array.length + 1);
  if (offsetBytes === 8) {
    for (let row = 0; row < offsets.length; row++) {
      if (words[row * 2 + 1] !== 0) throw context.fail("an offset leads outside its text or list");
      offsets[row] = words[row * 2] as number;
    }
  }
  let previous = 0;
  for (let row = 0; row <= array.length; row++) {
    const offset = offsets[row] as number;
    if (offset < previous) throw context.fail("an offset is smaller than the one before it");
    previous = offset;
  }
  if (previous > limit) throw context.fail("an offset leads outside its text or list");
  return offsets;
}

type TypedArrayConstructor<Result> = {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): Result;
};

/** A typed view of the bytes; of a copy where they are not aligned in their buffer. */
export function typedView<Result>(constructor: TypedArrayConstructor<Result>, bytes: Uint8Array): Result {
  const width = constructor.BYTES_PER_ELEMENT;
  const aligned = bytes.byteOffset % width === 0 ? bytes : new Uint8Array(bytes);
  return new constructor(aligned.buffer, aligned.byteOffset, Math.floor(bytes.length / width));
}

/** Integers of any width as [lo, hi] pairs; of 64 bits, the buffer itself. */
function longWords(array: ArrowArray): Int32Array {
  const source = intView(array.field.type, array.values);
  if (source === null) return typedView(Int32Array, array.values);
  const words = new Int32Array(array.length * 2);
  for (let row = 0; row < array.length; row++) {
    const value = source[row] as number;
    words[row * 2] = value;
    // Unsigned sources hold no negative numbers; of 32 bits the top one is data.
    words[row * 2 + 1] = value < 0 ? -1 : 0;
  }
  return words;
}

type SmallInts = Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array | Uint32Array;

/** The integers of a type of up to 32 bits; null for one of 64 bits. */
function intView(type: ArrowType, bytes: Uint8Array): SmallInts | null {
  if (type.kind !== "int") return null;
  switch (type.bytes) {
    case 1:
      return type.signed ? typedView(Int8Array, bytes) : bytes;
    case 2:
      return type.signed ? typedView(Int16Array, bytes) : typedView(Uint16Array, bytes);
    case 4:
      return type.signed ? typedView(Int32Array, bytes) : typedView(Uint32Array, bytes);
    case 8:
      return null;
  }
}

/** Floats of any width, and decimals, as doubles. */
function doublesOf(array: ArrowArray): Float64Array {
  const { field, length, values } = array;
  const { type } = field;
  if (type.kind === "float" && type.bytes === 8) return typedView(Float64Array, values);
  if (type.kind === "float" && type.bytes === 4) return Float64Array.from(typedView(Float32Array, values));
  if (type.kind === "float") return Float64Array.from(typedView(Uint16Array, values), halfToDouble);
  const doubles = new Float64Array(length);
  if (type.kind !== "decimal") return doubles;
  for (let row = 0; row < length; row++) {
    const unscaled = littleEndianInteger(values.subarray(row * type.bytes, (row + 1) * type.bytes));
    // Through text, because Number() rounds once: the quotient of two rounded numbers can be off by one unit.
    doubles[row] = Number(`${unscaled}e${-type.scale}`);
  }
  return doubles;
}

/** IEEE 754 binary16: sign, 5 bits of exponent (bias 15), 10 bits of fraction. */
function halfToDouble(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** A two's complement integer of 4 to 32 bytes: the unscaled value of a decimal. */
function littleEndianInteger(bytes: Uint8Array): bigint {
  let value = 0n;
  for (let index = bytes.length - 1; index >= 0; index--) value = (value << 8n) | BigInt(bytes[index] as number);
  return BigInt.asIntN(bytes.length * 8, value);
}

const secondsPerDay = 86_400;

function secondsOfDays(days: Int32Array): Int32Array {
  const words = new Int32Array(days.length * 2);
  for (let row = 0; row < days.length; row++) {
    const seconds = (days[row] as number) * secondsPerDay;
    words[row * 2] = seconds;
    words[row * 2 + 1] = Math.floor(seconds / 0x1_0000_0000);
  }
  return words;
}

/**
 * Utf8View: 16 bytes per row: i32 length, then up to 12 bytes of text in place, or 4 bytes of prefix, i32 number of
 * the buffer and i32 offset in it.
 */
function flattenViews(array: ArrowArray, context: ValuesContext): { offsets: Int32Array; text: Uint8Array } {
  const { length, values, text: buffers, validity } = array;
  const words = typedView(Int32Array, values);
  const offsets = new Int32Array(length + 1);
  let bytes = 0;
  for (let row = 0; row < length; row++) {
    const isPresent = validity === null || isBitSet(validity, row);
    const viewBytes = isPresent ? (words[row * 4] as number) : 0;
    if (viewBytes < 0) throw context.fail("a text view has a negative length");
    bytes += viewBytes;
    context.decodedBytes.take(viewBytes);
    offsets[row + 1] = bytes;
  }
  const text = new Uint8Array(bytes);
  for (let row = 0; row < length; row++) {
    const at = offsets[row] as number;
    const viewBytes = (offsets[row + 1] as number) - at;
    if (viewBytes <= 12) {
      for (let index = 0; index < viewBytes; index++) text[at + index] = values[row * 16 + 4 + index] as number;
      continue;
    }
    const buffer = buffers[words[row * 4 + 2] as number];
    const start = words[row * 4 + 3] as number;
    if (buffer === undefined || start < 0 || start + viewBytes > buffer.length) {
      throw context.fail("a text view leads outside its buffers");
    }
    text.set(buffer.subarray(start, start + viewBytes), at);
  }
  return { offsets, text };
}

/** Brings the dictionary in form once, however many batches name it. */
function dictionaryValues(array: ArrowArray, parts: readonly ArrowArray[], context: ValuesContext): ArrowValues {
  let dictionary = context.dictionaryValues.get(parts);
  if (dictionary === undefined) {
    const values = parts.map((part) => arrowValues(part, context));
    dictionary = values.length === 1 ? (values[0] as ArrowValues) : concatenateValues(values, context);
    context.dictionaryValues.set(parts, dictionary);
  }
  const { length, nullCount, validity } = array;
  return gatherValues({ length, nullCount, validity, indices: indicesOf(array) }, dictionary, context);
}

/** Indices as 32-bit integers; what does not fit becomes negative, which no index is. */
function indicesOf(array: ArrowArray): Int32Array {
  const { index } = array.field.dictionary ?? {};
  const source = index === undefined ? null : intView(index, array.values);
  if (source instanceof Int32Array) return source;
  if (source !== null) return Int32Array.from(source);
  const words = typedView(Int32Array, array.values);
  return Int32Array.from({ length: array.length }, (_, row) => {
    return words[row * 2 + 1] === 0 ? (words[row * 2] as number) : -1;
  });
}
