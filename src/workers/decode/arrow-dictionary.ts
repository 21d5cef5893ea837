import type { ArrowValues, TextValues, ValuesContext } from "./arrow-values.js";
import { clearBit, countClearBits, isBitSet, setBit } from "./bulk-bits.js";

/**
 * Dictionary encoding: rows are indices into entries that came in a message of their own. Columns here have no such
 * encoding, so every row's entry is copied, which is also where a small body can become a large one: texts are
 * counted against `DecodedBytes` before they are.
 */

/** The rows of a dictionary-encoded array: which entry of the dictionary each one is. */
export interface DictionaryRows {
  readonly length: number;
  readonly nullCount: number;
  readonly validity: Uint8Array | null;
  readonly indices: Int32Array;
}

/** The rows' values, each copied from its entry. Throws INVALID_BODY where a row that is not null has no entry. */
export function gatherValues(rows: DictionaryRows, dictionary: ArrowValues, context: ValuesContext): ArrowValues {
  const { length, indices } = rows;
  for (let row = 0; row < length; row++) {
    const index = indices[row] as number;
    if (index >= 0 && index < dictionary.length) continue;
    if (rows.validity === null || isBitSet(rows.validity, row)) {
      throw context.fail("an index leads outside its dictionary");
    }
  }
  const nulls = { length, ...gatherNulls(rows, dictionary) };
  switch (dictionary.kind) {
    case "null":
      return { kind: "null", ...nulls };
    case "text":
      return { kind: "text", ...nulls, ...gatherText(indices, nulls.validity, { dictionary, context }) };
    case "long":
      return { ...dictionary, ...nulls, words: gatherWords(indices, dictionary.words) };
    case "timestamp":
      return { ...dictionary, ...nulls, words: gatherWords(indices, dictionary.words) };
    case "double":
      return {
        kind: "double",
        ...nulls,
        doubles: Float64Array.from(indices, (index) => dictionary.doubles[index] ?? 0),
      };
    case "boolean": {
      const bits = new Uint8Array((length + 7) >> 3);
      for (let row = 0; row < length; row++) if (isBitSet(dictionary.bits, indices[row] as number)) setBit(bits, row);
      return { kind: "boolean", ...nulls, bits };
    }
    case "json":
      throw context.fail("a dictionary of nested values is not supported");
  }
}

/**
 * A dictionary that came in several batches (deltas), as one. Entries behind a null may point anywhere in their text,
 * so each part's text is taken from its first offset to its last.
 */
export function concatenateValues(parts: readonly ArrowValues[], context: ValuesContext): ArrowValues {
  const texts = parts.filter((part) => part.kind === "text");
  if (texts.length !== parts.length) throw context.fail("a dictionary of this type cannot be sent in parts");
  const length = texts.reduce((sum, part) => sum + part.length, 0);
  const bytes = texts.reduce((sum, part) => sum + textEnd(part) - textStart(part), 0);
  context.decodedBytes.take(bytes + length * Int32Array.BYTES_PER_ELEMENT);
  const text = new Uint8Array(bytes);
  const offsets = new Int32Array(length + 1);
  const validity = new Uint8Array((length + 7) >> 3).fill(0xff);
  let row = 0;
  let at = 0;
  for (const part of texts) {
    const start = textStart(part);
    text.set(part.text.subarray(start, textEnd(part)), at);
    for (let entry = 0; entry < part.length; entry++, row++) {
      offsets[row + 1] = at + (part.offsets[entry + 1] as number) - start;
      if (part.validity !== null && !isBitSet(part.validity, entry)) clearBit(validity, row);
    }
    at += textEnd(part) - start;
  }
  const nullCount = countClearBits(validity, length);
  return { kind: "text", length, nullCount, validity: nullCount === 0 ? null : validity, offsets, text };
}

function textStart(part: TextValues): number {
  return part.offsets[0] as number;
}

function textEnd(part: TextValues): number {
  return part.offsets[part.length] as number;
}

/** A row is null where its index is, or where the entry is. */
function gatherNulls(
  rows: DictionaryRows,
  dictionary: ArrowValues,
): { nullCount: number; validity: Uint8Array | null } {
  const { length, indices } = rows;
  if (dictionary.nullCount === 0) return { nullCount: rows.nullCount, validity: rows.validity };
  const validity = new Uint8Array((length + 7) >> 3).fill(0xff);
  for (let row = 0; row < length; row++) {
    const isRowNull = rows.validity !== null && !isBitSet(rows.validity, row);
    const index = indices[row] as number;
    const isEntryNull = dictionary.validity === null || index < 0 || !isBitSet(dictionary.validity, index);
    if (isRowNull || isEntryNull) clearBit(validity, row);
  }
  return { nullCount: countClearBits(validity, length), validity };
}

/** Indices of null rows may lead anywhere: those give zero. */
function gatherWords(indices: Int32Array, words: Int32Array): Int32Array {
  const gathered = new Int32Array(indices.length * 2);
  for (let row = 0; row < indices.length; row++) {
    const index = indices[row] as number;
    gathered[row * 2] = words[index * 2] ?? 0;
    gathered[row * 2 + 1] = words[index * 2 + 1] ?? 0;
  }
  return gathered;
}

interface TextSource {
  readonly dictionary: TextValues;
  readonly context: ValuesContext;
}

/** Two passes: how long the texts are together, then the copies. Null rows get empty ones. */
function gatherText(
  indices: Int32Array,
  validity: Uint8Array | null,
  { dictionary, context }: TextSource,
): { offsets: Int32Array; text: Uint8Array } {
  const rows = indices.length;
  const offsets = new Int32Array(rows + 1);
  let bytes = 0;
  for (let row = 0; row < rows; row++) {
    if (validity === null || isBitSet(validity, row)) {
      const index = indices[row] as number;
      const entryBytes = (dictionary.offsets[index + 1] as number) - (dictionary.offsets[index] as number);
      bytes += entryBytes;
      // Row by row: the sum may pass 2^31 long before the last row.
      context.decodedBytes.take(entryBytes);
    }
    offsets[row + 1] = bytes;
  }
  const text = new Uint8Array(bytes);
  const source = dictionary.text;
  for (let row = 0; row < rows; row++) {
    const at = offsets[row] as number;
    const entryBytes = (offsets[row + 1] as number) - at;
    if (entryBytes === 0) continue;
    const start = dictionary.offsets[indices[row] as number] as number;
    if (entryBytes > 32) text.set(source.subarray(start, start + entryBytes), at);
    else for (let index = 0; index < entryBytes; index++) text[at + index] = source[start + index] as number;
  }
  return { offsets, text };
}
