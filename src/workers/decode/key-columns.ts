import { unescapeString } from "../../shared/bytes/json-string.js";
import { isValidUtf8 } from "../../shared/bytes/utf8.js";
import type { BatchBuilder } from "../../shared/columns/batch-builder.js";
import { idColumn, nameKey, timestampColumn } from "../../shared/schema/table-schema.js";
import type { JsonValueReader } from "./json-value.js";
import type { RowFaults } from "./row-faults.js";

/** Of a key in the body: no column name is that long, however it is escaped. */
const keyBytesMax = 4096;

/** A byte order mark inside of a body is a character like any other. */
const textDecoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Whether the keys `id` and `timestamp` of a row are the system columns, or become id_2 and timestamp_2. */
export type RowKeys = "flat" | "payload";

/** From a JSON key to its column: asked once per spelling of a key, so this is where strings are made. */
export class KeyColumns {
  readonly #keys: RowKeys;
  readonly #builder: BatchBuilder;
  readonly #values: JsonValueReader;
  readonly #faults: RowFaults;

  constructor(keys: RowKeys, builder: BatchBuilder, values: JsonValueReader, faults: RowFaults) {
    this.#keys = keys;
    this.#builder = builder;
    this.#values = values;
    this.#faults = faults;
  }

  /**
   * Position of the key's column. Where the table has none it is added, with the type of the value at `valueAt`. -1
   * where there is no column and none is made: for a null, for what is no JSON value, where the table leaves out what it
   * does not know, and (then it is a fault of the row) where the key cannot be a name or the table's rules refuse it.
   */
  indexFor(key: Uint8Array, isPlain: boolean, valueAt: number): number {
    const name = this.#nameOf(key, isPlain);
    if (name === null) return -1;
    const index = this.#builder.indexOf(name);
    if (index >= 0) return index;
    const type = this.#values.typeAt(valueAt);
    if (type === null) return -1;
    const added = this.#builder.addColumn(name, type);
    if (typeof added === "number") return added;
    if (added !== null) this.#faults.addKey(name, added);
    return -1;
  }

  #nameOf(key: Uint8Array, isPlain: boolean): string | null {
    if (key.length > keyBytesMax) {
      this.#faults.addKey("", "INVALID_COLUMN_NAME", "a key is too long for a column name");
      return null;
    }
    let text = key;
    if (!isPlain) {
      if (!isValidUtf8(key, 0, key.length)) {
        this.#faults.addKey("", "INVALID_UTF8", "a key is not valid UTF-8");
        return null;
      }
      text = new Uint8Array(key.length);
      text = text.subarray(0, unescapeString(key, 0, key.length, text));
    }
    const name = textDecoder.decode(text);
    if (this.#keys === "flat") return name;
    // Where the envelope has the system columns, the payload's keys of these names are columns of their own.
    const lower = nameKey(name);
    return lower === idColumn || lower === timestampColumn ? `${name}_2` : name;
  }
}
