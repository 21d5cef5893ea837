import { isValidUtf8 } from "../../shared/bytes/utf8.js";
import type { ColumnBuilder } from "../../shared/columns/column-builder.js";
import type { RowErrorCode } from "../../shared/columns/row-account.js";
import { MiniodbError } from "../../shared/errors.js";
import type { ColumnType } from "../../shared/schema/column-type.js";
import { nameKey } from "../../shared/schema/table-schema.js";
import { quoted } from "./bulk-failure.js";
import { BulkRows } from "./bulk-rows.js";
import type { Decode, DecodeTarget, Decoding } from "./decoder.js";
import { fillColumn } from "./msgpack-fill.js";
import { MsgpackReader } from "./msgpack-reader.js";
import { MsgpackValues, naturalTypeAt, needsDouble } from "./msgpack-values.js";

/**
 * Columnar MessagePack, `{"table"?: string, "columns": {name: [value, ...], ...}}`: every array has one value per row,
 * nil where there is none. Values go from bytes into columns without objects between.
 *
 * A column is filled by a loop for its type that expects nothing but values of it. Where the loop stops (a nil, another
 * kind of number, something that does not fit), one value is stored or refused by MsgpackValues, and the loop goes on.
 *
 * A value that does not fit rejects its row; anything that is not of this shape (arrays of different lengths, a column
 * named twice, another table than the target's, bytes behind the end) is INVALID_BODY.
 */
export const decodeMsgpackColumns: Decode = (body, target) => new MsgpackColumnsDecoding(body, target);

/**
 * True where a MessagePack body is a map of `columns` (which is a map) and perhaps `table`, and so can be no row that
 * anyone means: else it is rows. Looks at no more than the first few values; never throws.
 */
export function isMsgpackColumns(body: Uint8Array): boolean {
  const reader = new MsgpackReader(body);
  try {
    for (let entries = reader.readMap(); entries > 0 && entries <= 2; entries--) {
      const key = readKey(reader);
      if (key === "columns") return reader.kind() === "map";
      if (key !== "table") return false;
      reader.skip();
    }
    return false;
  } catch (error) {
    // Not even MessagePack: the decoder will say so.
    if (error instanceof MiniodbError) return false;
    throw error;
  }
}

/** The text at the position, or null where there is none. */
function readKey(reader: MsgpackReader): string | null {
  if (!reader.readText()) return null;
  const { bytes, textStart, textEnd } = reader;
  return Buffer.from(bytes.buffer, bytes.byteOffset + textStart, textEnd - textStart).toString("utf8");
}

/** Rows between looks at the slice's end. */
const chunkRows = 1024;

interface OpenColumn {
  /** Of the table's column; of the array, where there is none. */
  readonly name: string;
  /** Position in the builder, or -1 where no value of the array is stored. */
  readonly index: number;
  /** Why the table takes no such column; null also where no value makes one. */
  readonly refusal: RowErrorCode | null;
  /** The table leaves the array's values out. */
  readonly isIgnored: boolean;
  column: ColumnBuilder | null;
  /** The next row to be read, from 0. */
  row: number;
}

class MsgpackColumnsDecoding implements Decoding {
  readonly #reader: MsgpackReader;
  readonly #values: MsgpackValues;
  readonly #target: DecodeTarget;
  readonly #seen = new Set<string>();
  /** Made when the first array tells how many rows there are. */
  #bulk: BulkRows | null = null;
  /** Entries of the outer map and of `columns` that are still to come; -1 before their map has begun. */
  #entriesLeft = -1;
  #columnsLeft = -1;
  #open: OpenColumn | null = null;

  constructor(body: Uint8Array, target: DecodeTarget) {
    this.#reader = new MsgpackReader(body);
    this.#values = new MsgpackValues(this.#reader, target);
    this.#target = target;
  }

  step(bytesMax: number): boolean {
    const start = this.#reader.position;
    while (this.#reader.position - start < bytesMax) {
      if (this.#open !== null) this.#fill(this.#open);
      else if (this.#columnsLeft > 0) this.#openColumn();
      else if (this.#entriesLeft !== 0) this.#readEntry();
      else {
        this.#finish();
        return true;
      }
    }
    // Others come between the steps.
    this.#target.builder.keepSchema();
    return false;
  }

  /** The outer map's head, then one of its keys; the columns themselves are taken one by one by `step`. */
  #readEntry(): void {
    const reader = this.#reader;
    if (this.#entriesLeft < 0) {
      this.#entriesLeft = reader.readMap();
      if (this.#entriesLeft < 0) throw this.#shapeError("it is not a map");
      return;
    }
    this.#entriesLeft--;
    const key = this.#readName();
    if (key === "table") {
      const { table } = this.#target;
      const name = readKey(reader);
      if (name === null) throw this.#shapeError("table is not text");
      if (table !== undefined && nameKey(name) !== nameKey(table)) {
        throw this.#shapeError(`it is for the table ${quoted(name)}, the request for ${table}`);
      }
    } else if (key === "columns") {
      if (this.#columnsLeft >= 0) throw this.#shapeError("columns is there twice");
      this.#columnsLeft = reader.readMap();
      if (this.#columnsLeft < 0) throw this.#shapeError("columns is not a map");
    } else throw this.#shapeError(`it has the key ${quoted(key)} beside table and columns`);
  }

  /** Reads a column's name and its array's head; the first one says how many rows there are. */
  #openColumn(): void {
    this.#columnsLeft--;
    const reader = this.#reader;
    const name = this.#readName();
    const key = nameKey(name);
    if (this.#seen.has(key)) throw this.#shapeError(`the column ${quoted(name)} is there twice`);
    this.#seen.add(key);
    const length = reader.readArray();
    if (length < 0) throw this.#shapeError(`the column ${quoted(name)} is not an array`);
    this.#bulk ??= new BulkRows(this.#target, length);
    if (length !== this.#bulk.count) {
      throw this.#shapeError(
        `the column ${quoted(name)} has ${length} values, the first column has ${this.#bulk.count}`,
      );
    }
    const place = this.#place(name, length);
    const column = place.index < 0 ? null : this.#bulk.open(place.index);
    // Texts of a column take no more room than the rest of the body.
    if (column !== null) this.#bulk.checkText(column, 0, reader.end - reader.position);
    const columnName = this.#target.builder.schema.columns[place.index]?.name ?? name;
    this.#open = { name: columnName, ...place, column, row: 0 };
  }

  /** Where the array's values go; an unknown column is added by its first value. */
  #place(name: string, length: number): Pick<OpenColumn, "index" | "refusal" | "isIgnored"> {
    const { builder } = this.#target;
    const index = builder.indexOf(name);
    const isIgnored = index < 0 && builder.rules.ignoreUnknown === true;
    if (index >= 0 || isIgnored) return { index, refusal: null, isIgnored };
    const type = this.#typeOfArray(length);
    // Nothing but nils, or nothing that makes a column.
    if (type === null) return { index, refusal: null, isIgnored };
    const added = builder.addColumn(name, type);
    return typeof added === "number"
      ? { index: added, refusal: null, isIgnored }
      : { index, refusal: added, isIgnored };
  }

  /** The type that the array's values make a column of; a float among integers makes all of them doubles. */
  #typeOfArray(length: number): ColumnType | null {
    const reader = this.#reader;
    const start = reader.position;
    let type: ColumnType | null = null;
    for (let row = 0; row < length && (type === null || type === "long"); row++) {
      const next = naturalTypeAt(reader);
      if (type === null || next === "double") type = next;
      reader.skip();
    }
    reader.position = start;
    return type;
  }

  /** Reads up to `chunkRows` values: the loop for the column's type, and around it whatever it stops at. */
  #fill(open: OpenColumn): void {
    const bulk = this.#bulk as BulkRows;
    const { base } = bulk;
    const rowEnd = Math.min(open.row + chunkRows, bulk.count);
    while (open.row < rowEnd) {
      const { column } = open;
      if (column !== null) open.row = fillColumn(this.#values, column, base + open.row, base + rowEnd) - base;
      if (open.row < rowEnd) this.#fillOdd(open, bulk);
    }
    if (open.row === bulk.count) this.#open = null;
  }

  /** One value of any kind: null, refused, or one that fits though it was not expected. */
  #fillOdd(open: OpenColumn, bulk: BulkRows): void {
    const reader = this.#reader;
    const values = this.#values;
    const { column, index, name, row } = open;
    const kind = reader.kind();
    open.row++;
    if (kind === "nil") {
      reader.position++;
      column?.setNull(bulk.base + row);
      return;
    }
    if (column === null) {
      reader.skip();
      const { refusal } = open;
      if (open.isIgnored) return;
      bulk.reject(row, refusal ?? "TYPE_MISMATCH", name, refusal === null ? values.explain(kind) : undefined);
      return;
    }
    bulk.checkText(column, row, 3 * values.valueBytesMax);
    const outcome = values.store(column, bulk.base + row, index === 1);
    if (outcome === undefined) return;
    if (outcome === needsDouble) {
      const refusal = bulk.builder.widenToDouble(index);
      if (refusal === undefined) {
        // The value is read again, as the first of the rest.
        open.column = bulk.open(index);
        open.row = row;
        return;
      }
      reader.skip();
      bulk.reject(row, refusal, name, "the column takes integers; the value has a fraction");
    } else bulk.reject(row, outcome, name, values.message);
    column.setNull(bulk.base + row);
  }

  #finish(): void {
    const reader = this.#reader;
    if (reader.position < reader.end) throw this.#shapeError("bytes follow its end");
    if (this.#columnsLeft < 0) throw this.#shapeError("it has no columns");
    this.#bulk?.take();
  }

  #readName(): string {
    const reader = this.#reader;
    const name = readKey(reader);
    if (name === null) throw this.#shapeError("a key is not text");
    if (!isValidUtf8(reader.bytes, reader.textStart, reader.textEnd)) throw this.#shapeError("a key is not UTF-8");
    return name;
  }

  #shapeError(sentence: string): MiniodbError {
    const message = `the body is no columnar MessagePack ({"columns": {name: [...]}}): ${sentence}`;
    return new MiniodbError("INVALID_BODY", message, { position: this.#reader.position });
  }
}
