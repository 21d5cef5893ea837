import { isValidUtf8 } from "../../shared/bytes/utf8.js";
import type { ColumnBuilder } from "../../shared/columns/column-builder.js";
import type { ArrowArray } from "./arrow-array.js";
import { arrowValues, checkedOffsets } from "./arrow-normalise.js";
import type { ArrowValues, TimestampValues, ValuesContext } from "./arrow-values.js";
import { isBitSet } from "./bulk-bits.js";
import { areMicrosInRange, isoOfMicros, storeMillis, storeNanos, storeSeconds, textOfInteger } from "./bulk-epoch.js";
import { RowFailure } from "./bulk-failure.js";
import type { BulkRows } from "./bulk-rows.js";

/**
 * Nested Arrow values as JSON text, made row by row: the one form of Arrow that columns cannot take as it is.
 *
 * | Arrow                        | JSON                                                            |
 * |------------------------------|-----------------------------------------------------------------|
 * | list, large and fixed lists  | array                                                           |
 * | struct                       | object with all of its fields, null ones too                    |
 * | map                          | object; keys that are no texts become texts                     |
 * | integers                     | their digits, all 64 bits of them                               |
 * | floats, decimals             | shortest number that reads back; not finite rejects the row     |
 * | timestamps, dates            | RFC 3339 text in UTC                                            |
 *
 * Depth is bounded by the schema (see readArrowSchema), length by the bound on one value, and the sum of all texts by
 * `DecodedBytes`, since field names come again in every row.
 */
export class ArrowJson {
  readonly #context: ValuesContext;
  readonly #values = new Map<ArrowArray, ArrowValues>();
  readonly #offsets = new Map<ArrowArray, Int32Array>();
  readonly #keys = new Map<string, string>();
  #parts: string[] = [];
  #bytes = 0;
  #bytesMax = 0;

  constructor(context: ValuesContext) {
    this.#context = context;
  }

  /** Fills the column's rows; those of null rows get an empty text. */
  append(bulk: BulkRows, column: ColumnBuilder, name: string, array: ArrowArray): void {
    this.#bytesMax = bulk.target.valueBytesMax;
    for (let row = 0; row < bulk.count; row++) {
      const isPresent = array.validity === null || isBitSet(array.validity, row);
      column.setString(bulk.base + row, isPresent ? this.#textOf(bulk, row, name, array) : "");
    }
  }

  #textOf(bulk: BulkRows, row: number, name: string, array: ArrowArray): string {
    this.#parts = [];
    this.#bytes = 0;
    try {
      this.#write(array, row);
      return this.#parts.join("");
    } catch (error) {
      if (!(error instanceof RowFailure)) throw error;
      bulk.reject(row, error.code, name, error.message);
      return "";
    } finally {
      // Field names come again in every row, and a dictionary's texts may.
      this.#context.decodedBytes.take(this.#bytes);
    }
  }

  /** Counts UTF-16 units: the text may have up to three times that in UTF-8. */
  #put(text: string): void {
    this.#bytes += text.length;
    if (this.#bytes > this.#bytesMax) {
      throw new RowFailure("VALUE_TOO_LARGE", `the value is longer than ${this.#bytesMax} bytes as JSON text`);
    }
    this.#parts.push(text);
  }

  #write(array: ArrowArray, row: number): void {
    const values = this.#valuesOf(array);
    if (values.kind === "null" || (values.validity !== null && !isBitSet(values.validity, row))) {
      this.#put("null");
      return;
    }
    if (values.kind === "json") this.#writeNested(values.array, row);
    else this.#put(scalarText(values, row));
  }

  #writeNested(array: ArrowArray, row: number): void {
    const { type } = array.field;
    const child = array.children[0];
    if (type.kind === "struct" || child === undefined) this.#writeStruct(array, row);
    else if (type.kind === "map") this.#writeEntries(child, this.#rangeOf(array, row, 4));
    else if (type.kind === "list") this.#writeItems(child, this.#rangeOf(array, row, type.offsetBytes));
    else if (type.kind === "fixedList") {
      this.#writeItems(child, { start: row * type.size, end: (row + 1) * type.size });
    }
  }

  #writeItems(child: ArrowArray, { start, end }: Range): void {
    this.#put("[");
    for (let item = start; item < end; item++) {
      if (item > start) this.#put(",");
      this.#write(child, item);
    }
    this.#put("]");
  }

  #writeStruct(array: ArrowArray, row: number): void {
    this.#put("{");
    let separator = "";
    for (const child of array.children) {
      this.#put(`${separator}${this.#keyOf(child.field.name)}`);
      this.#write(child, row);
      separator = ",";
    }
    this.#put("}");
  }

  /** A map is a list of structs of a key and a value; keys that are no texts become texts. */
  #writeEntries(entries: ArrowArray, { start, end }: Range): void {
    const [keys, values] = entries.children as [ArrowArray, ArrowArray];
    const keyValues = this.#valuesOf(keys);
    if (keyValues.kind === "json" || keyValues.kind === "null") {
      throw new RowFailure("TYPE_MISMATCH", "a map's key is nested or null");
    }
    this.#put("{");
    for (let entry = start; entry < end; entry++) {
      const isKeyNull = keyValues.validity !== null && !isBitSet(keyValues.validity, entry);
      if (isKeyNull) throw new RowFailure("TYPE_MISMATCH", "a map's key is null");
      const key = scalarText(keyValues, entry);
      this.#put(`${entry > start ? "," : ""}${key.startsWith('"') ? key : `"${key}"`}:`);
      this.#write(values, entry);
    }
    this.#put("}");
  }

  /** Of a nested array, brought in form once for all rows. */
  #valuesOf(array: ArrowArray): ArrowValues {
    let values = this.#values.get(array);
    if (values === undefined) {
      values = arrowValues(array, this.#context);
      this.#values.set(array, values);
    }
    return values;
  }

  /** The child's entries that belong to a row of a list or map. */
  #rangeOf(array: ArrowArray, row: number, offsetBytes: 4 | 8): Range {
    let offsets = this.#offsets.get(array);
    if (offsets === undefined) {
      offsets = checkedOffsets(array, offsetBytes, array.children[0]?.length ?? 0, this.#context);
      this.#offsets.set(array, offsets);
    }
    return { start: offsets[row] as number, end: offsets[row + 1] as number };
  }

  #keyOf(name: string): string {
    let key = this.#keys.get(name);
    if (key === undefined) {
      key = `${JSON.stringify(name)}:`;
      this.#keys.set(name, key);
    }
    return key;
  }
}

interface Range {
  readonly start: number;
  readonly end: number;
}

type ScalarValues = Exclude<ArrowValues, { kind: "null" | "json" }>;

/** JSON of one value that is there. */
function scalarText(values: ScalarValues, row: number): string {
  switch (values.kind) {
    case "long":
      return textOfInteger(values.words, row, values.unsigned);
    case "double": {
      const value = values.doubles[row] as number;
      if (!Number.isFinite(value)) throw new RowFailure("NUMBER_OUT_OF_RANGE", "a nested number is not finite");
      return JSON.stringify(value);
    }
    case "boolean":
      return isBitSet(values.bits, row) ? "true" : "false";
    case "text": {
      const start = values.offsets[row] as number;
      const end = values.offsets[row + 1] as number;
      if (!isValidUtf8(values.text, start, end)) throw new RowFailure("INVALID_UTF8");
      return JSON.stringify(Buffer.from(values.text.buffer, values.text.byteOffset + start, end - start).toString());
    }
    case "timestamp":
      return `"${timestampText(values, row)}"`;
  }
}

const scratch = new Int32Array(2);

function timestampText({ words, unit }: TimestampValues, row: number): string {
  const lo = words[row * 2] as number;
  const hi = words[row * 2 + 1] as number;
  const value = hi * 0x1_0000_0000 + (lo >>> 0);
  scratch[0] = lo;
  scratch[1] = hi;
  const refusal =
    unit === "s" ? storeSeconds(scratch, 0, value, 0) : unit === "ms" ? storeMillis(scratch, 0, value) : undefined;
  if (unit === "ns") storeNanos(scratch, 0, lo, hi);
  if (refusal !== undefined || !areMicrosInRange(scratch, 0)) throw new RowFailure("TIMESTAMP_OUT_OF_RANGE");
  return isoOfMicros(scratch, 0);
}
