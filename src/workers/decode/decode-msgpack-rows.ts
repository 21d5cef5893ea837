import { isValidUtf8 } from "../../shared/bytes/utf8.js";
import type { ColumnBuilder } from "../../shared/columns/column-builder.js";
import { MiniodbError } from "../../shared/errors.js";
import { limits } from "../../shared/limits.js";
import { idColumn, type TableSchema } from "../../shared/schema/table-schema.js";
import type { Decode, DecodeTarget, Decoding } from "./decoder.js";
import { MsgpackKeys } from "./msgpack-keys.js";
import { MsgpackReader, tags } from "./msgpack-reader.js";
import { MsgpackValues, naturalTypeAt, needsDouble } from "./msgpack-values.js";
import { RowFaults } from "./row-faults.js";

/**
 * MessagePack rows: one array of maps, or maps one after the other. A map is a flat row; nested maps and arrays become
 * JSON text. Values go from bytes into columns without objects between.
 *
 * What is wrong with a row is decided at its end (see RowFaults): of a key that comes twice the last value counts, and
 * so does its fault. Whatever a rejected row did to the schema is undone with it.
 *
 * A row that is no map, or has a value that does not fit, is rejected; bytes that are no MessagePack, and values at
 * the top that are neither the one array nor maps, are INVALID_BODY.
 */
export const decodeMsgpackRows: Decode = (body, target) => new MsgpackRowsDecoding(body, target);

/** Position of the column `id` in every table. */
const idIndex = 1;

class MsgpackRowsDecoding implements Decoding {
  readonly #reader: MsgpackReader;
  readonly #values: MsgpackValues;
  readonly #target: DecodeTarget;
  readonly #faults = new RowFaults();
  readonly #keys: MsgpackKeys;
  /** What `#keys` has positions of. */
  #schema: TableSchema;
  /** Rows of the array that are still to come; -1 where there is no array. */
  #rowsLeft = -1;
  #isOpen = false;

  constructor(body: Uint8Array, target: DecodeTarget) {
    this.#reader = new MsgpackReader(body);
    this.#values = new MsgpackValues(this.#reader, target);
    this.#target = target;
    this.#keys = new MsgpackKeys(this.#reader);
    this.#schema = target.builder.schema;
  }

  step(bytesMax: number): boolean {
    const reader = this.#reader;
    const start = reader.position;
    if (!this.#isOpen) {
      this.#rowsLeft = reader.readArray();
      this.#isOpen = true;
    }
    while (reader.position - start < bytesMax) {
      if (this.#rowsLeft === 0 && reader.position < reader.end) throw reader.fail("bytes follow its end");
      if (reader.position === reader.end && this.#rowsLeft <= 0) return true;
      this.#readRow();
      if (this.#rowsLeft > 0) this.#rowsLeft--;
    }
    return false;
  }

  #readRow(): void {
    const reader = this.#reader;
    const { account, builder, defaults } = this.#target;
    if (account.rows >= limits.bodyRowsMax) {
      const message = `the body has more than ${limits.bodyRowsMax} rows`;
      throw new MiniodbError("BODY_TOO_LARGE", message, { limitRows: limits.bodyRowsMax });
    }
    const entries = reader.readMap();
    if (entries < 0) {
      if (this.#rowsLeft < 0) throw reader.fail("a value at its top is not a map");
      reader.skip();
      account.reject("INVALID_ROW", null, "the row is not a map");
      return;
    }
    // An undone row may have taken a column back, a flush may have exchanged the schema.
    if (builder.schema !== this.#schema) {
      this.#keys.forget();
      this.#schema = builder.schema;
    }
    for (let entry = 0; entry < entries; entry++) this.#readEntry(entry);
    if (this.#faults.any && this.#faults.reject(builder, account)) return;
    const refusal = builder.endRow(defaults);
    if (refusal === undefined) account.accepted++;
    else account.reject(refusal, idColumn);
  }

  /** One key and its value; `entry` is its place in the row. */
  #readEntry(entry: number): void {
    const reader = this.#reader;
    const keys = this.#keys;
    const { builder } = this.#target;
    let index = keys.isKnown(entry) ? keys.indexOf(entry) : this.#readNewKey(entry);
    if (reader.tag() === tags.nil) {
      reader.position++;
      if (index < 0) return;
      builder.columns[index]?.truncate(builder.rowCount);
      this.#faults.forget(index);
      return;
    }
    if (index < 0) index = this.#addColumn(entry);
    if (index < 0) reader.skip();
    else this.#store(index);
  }

  /** Reads a key that the row before did not have in this place; returns the position of its column, or -1. */
  #readNewKey(entry: number): number {
    const reader = this.#reader;
    const start = reader.position;
    let index = -1;
    if (!reader.readText()) {
      reader.skip();
      this.#faults.addKey("", "INVALID_COLUMN_NAME", "a key is not text");
      return this.#keys.noKey(entry);
    }
    const { bytes, textStart, textEnd } = reader;
    if (!isValidUtf8(bytes, textStart, textEnd)) {
      this.#faults.addKey("", "INVALID_UTF8", "a key is not valid UTF-8");
      return this.#keys.noKey(entry);
    }
    index = this.#target.builder.indexOf(this.#keys.text(textStart, textEnd));
    this.#keys.learn(entry, { start, textStart, textEnd, index });
    return index;
  }

  /** Adds the column of a key that has none, for the value at the position; returns -1 where there cannot be one. */
  #addColumn(entry: number): number {
    const { builder } = this.#target;
    const name = this.#keys.nameOf(entry);
    if (name === null) return -1;
    // The same key may have been added in this row, in another place.
    let index = builder.indexOf(name);
    if (index < 0 && builder.rules.ignoreUnknown === true) return -1;
    if (index < 0) {
      const type = naturalTypeAt(this.#reader);
      const added = type === null ? "TYPE_MISMATCH" : builder.addColumn(name, type);
      if (added === null) return -1;
      if (typeof added === "string") {
        this.#faults.addKey(name, added, type === null ? this.#values.explain(this.#reader.kind()) : undefined);
        return -1;
      }
      index = added;
      this.#schema = builder.schema;
    }
    this.#keys.place(entry, index);
    return index;
  }

  /** Stores the value at the position, which is not nil, in the row in hand. */
  #store(index: number): void {
    const { builder } = this.#target;
    const row = builder.rowCount;
    const column = builder.columns[index] as ColumnBuilder;
    const values = this.#values;
    const outcome = values.store(column, row, index === idIndex);
    if (outcome === undefined) {
      if (index === idIndex) this.#checkId(column, row);
    } else if (outcome === needsDouble) this.#widen(index, row);
    else this.#refuse(index, outcome, values.message);
  }

  /** A fraction met a long column; the position is before it. */
  #widen(index: number, row: number): void {
    const { builder } = this.#target;
    const refusal = builder.widenToDouble(index);
    this.#schema = builder.schema;
    if (refusal === undefined) this.#values.store(builder.columns[index] as ColumnBuilder, row, false);
    else {
      this.#reader.skip();
      this.#refuse(index, refusal, "the column takes integers; the value has a fraction");
    }
  }

  /** An empty id counts as none, as in the original API. */
  #checkId(column: ColumnBuilder, row: number): void {
    const start = column.offsets[row] as number;
    const end = column.offsets[row + 1] as number;
    if (end > start && this.#target.acceptsId(column.text, start, end)) return;
    if (end > start) this.#refuse(idIndex, "INVALID_ID", undefined);
    else {
      column.truncate(row);
      this.#faults.forget(idIndex);
    }
  }

  /** The column must not keep an earlier value of the same key. */
  #refuse(index: number, code: Parameters<RowFaults["addValue"]>[2], message: string | undefined): void {
    const { builder } = this.#target;
    builder.columns[index]?.truncate(builder.rowCount);
    this.#faults.addValue(index, builder.schema.columns[index]?.name ?? "", code, message);
  }
}
