import type { ByteWindow } from "../../shared/bytes/byte-window.js";
import type { JsonScanner } from "../../shared/bytes/json-scanner.js";
import { readDecimal } from "../../shared/bytes/read-decimal.js";
import { readInteger } from "../../shared/bytes/read-integer.js";
import { readEpoch, readTimestampText } from "../../shared/bytes/read-timestamp.js";
import type { BatchBuilder } from "../../shared/columns/batch-builder.js";
import type { ColumnBuilder } from "../../shared/columns/column-builder.js";
import type { RowErrorCode } from "../../shared/columns/row-account.js";
import type { TableSchema } from "../../shared/schema/table-schema.js";
import type { DecodeTarget } from "./decoder.js";
import { FieldTable, hashKey } from "./field-table.js";
import {
  emptyRowView,
  Field,
  kindBoolean,
  kindDouble,
  kindId,
  kindIgnored,
  kindLong,
  kindOf,
  kindRowEnd,
  kindString,
  kindTimestamp,
  noPlace,
} from "./json-field.js";
import { JsonValueReader } from "./json-value.js";
import { KeyColumns, type RowKeys } from "./key-columns.js";
import { readText } from "./read-text.js";
import { RowFaults } from "./row-faults.js";
import { ValueWriter } from "./value-writer.js";

/**
 * V8 folds a module's own constants into optimised code, and calls its own functions directly, but looks up what is
 * imported at each use: hence these names for what the hot loop uses.
 */
const rowEnd = kindRowEnd;
const ignored = kindIgnored;
const boolean = kindBoolean;
const long = kindLong;
const double = kindDouble;
const string = kindString;
const timestamp = kindTimestamp;
const id = kindId;
const toLong = readInteger;
const toDouble = readDecimal;
const toText = readText;
const toTimestamp = readTimestampText;
const toEpoch = readEpoch;

const quote = 0x22;
const comma = 0x2c;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const nullWord = 0x6c6c756e;
const trueWord = 0x65757274;

/** Spellings of keys (case, escapes) that are remembered, over and above the table's columns. */
const spareSpellings = 1024;

/**
 * Reads rows (JSON objects) of one table from bytes into its columns without making objects or strings. It expects each
 * row to look like the one before: see `Field`. Kept from request to request, since what it has learned makes it fast.
 *
 * A row is read by `readRow`, then ended by `endRow` (which takes or rejects it) or `refuseRow`.
 */
export class RowReader {
  readonly scanner: JsonScanner;
  readonly #source: ByteWindow;
  readonly #builder: BatchBuilder;
  readonly #faults = new RowFaults();
  readonly #writer: ValueWriter;
  readonly #values: JsonValueReader;
  readonly #keyColumns: KeyColumns;
  readonly #fields = new FieldTable();
  readonly #rowEnd = new Field(noPlace, kindRowEnd);
  readonly #ignored = new Field(noPlace, kindIgnored, this.#rowEnd);
  readonly #rowStart = new Field(noPlace, kindIgnored, this.#rowEnd);
  /** The columns `timestamp` and `id`, for keys outside of a row. */
  #systemFields: readonly Field[] = [];
  #target: DecodeTarget;
  #schema: TableSchema | null = null;
  #row = 0;
  #valueBytesMax = 0;
  /** White space came behind a gap: it is longer than what was learned, and to be learned anew. */
  #metSpace = false;
  /** What `#nextField` came to. */
  #found: Field = this.#rowEnd;

  constructor(scanner: JsonScanner, keys: RowKeys, target: DecodeTarget) {
    this.scanner = scanner;
    this.#source = scanner.source;
    this.#builder = target.builder;
    this.#target = target;
    this.#writer = new ValueWriter(this.#faults, target, this.#ignored);
    this.#values = new JsonValueReader(scanner, this.#faults, this.#writer);
    this.#keyColumns = new KeyColumns(keys, target.builder, this.#values, this.#faults);
  }

  /** To be called whenever other code may have run since the last row: another request, another decoder. */
  begin(target: DecodeTarget, newlineIsSpace: boolean): void {
    this.#target = target;
    this.#valueBytesMax = target.valueBytesMax;
    this.#writer.begin(target);
    this.scanner.configure(target.depthMax, newlineIsSpace);
    this.#faults.clear();
    this.#row = this.#builder.rowCount;
    if (this.#builder.schema !== this.#schema) this.#renew();
  }

  /**
   * Reads the row whose "{" is at `start` into the columns; returns the position behind its "}", or -1 where it is not
   * JSON (see the scanner). Values that do not fit are faults, which `endRow` decides on.
   */
  readRow(start: number): number {
    const view = this.#source.view;
    let field = this.#rowStart;
    let at = start;
    for (;;) {
      const bytes = field.gapBytes;
      const isExpected =
        bytes < 8
          ? (((view.getInt32(at, true) ^ field.head) & field.headMask) |
              ((view.getInt32(at + 4, true) ^ field.tail) & field.tailMask)) ===
            0
          : view.getFloat64(at, true) === field.first8 &&
            view.getFloat64(at + bytes - 8, true) === field.last8 &&
            (bytes <= 16 || field.matchesMiddle(view, at));
      if (isExpected) {
        at += bytes;
        field = field.next;
      } else {
        at = this.#nextField(at, field);
        if (at < 0) return at;
        field = this.#found;
      }
      if (field.kind === rowEnd) return at;
      at = this.#readValue(at, field);
      if (at < 0) return at;
    }
  }

  /** Reads a value that stands outside of the row for the system column at `index`; returns its end, or -1. */
  readSystemValue(at: number, index: number): number {
    return this.#readValue(at, this.#systemFields[index] as Field);
  }

  /** Takes the row in hand, or rejects it for its faults. */
  endRow(): void {
    if (this.#metSpace) this.#forgetGaps();
    if (this.#faults.endRow(this.#target)) this.#row++;
    else this.#afterAbort();
  }

  /** Rejects the row in hand for a reason that lies outside of it; `column` is null where no one column is at fault. */
  refuseRow(code: RowErrorCode, column: string | null, message: string): void {
    this.undoRow();
    this.#target.account.reject(code, column, message);
  }

  /** Forgets the row in hand, to read it again. */
  undoRow(): void {
    this.#faults.clear();
    this.#builder.abortRow();
    this.#afterAbort();
  }

  /**
   * One value into its column: by the fast reader of its type, or, where that gives up (the column's `length` is as
   * before then), by the reader that takes everything. Small, so that it is compiled into the loop over the row.
   */
  #readValue(at: number, field: Field): number {
    const { column, kind } = field;
    const source = this.#source;
    const row = this.#row;
    if (column.length !== row || row >= column.rowCapacity) {
      if (kind === ignored) return this.#readSlow(at, field);
      column.prepare(row);
    }
    let end: number;
    if (kind === double) end = toDouble(source, at, column.doubles, row);
    else if (kind === string) end = toText(source, at, column, row);
    else if (kind === long) end = toLong(source, at, column.ints, row);
    else end = this.#readOther(at, field);
    if (end < 0 || end - at > this.#valueBytesMax) return this.#readSlow(at, field);
    column.length = row + 1;
    return end;
  }

  #readOther(at: number, { column, kind }: Field): number {
    const source = this.#source;
    const row = this.#row;
    if (kind === timestamp) {
      if (source.bytes[at] !== quote) return toEpoch(source, at, column.ints, row);
      const end = toTimestamp(source, at + 1, column.ints, row);
      return end < 0 || source.bytes[end] !== quote ? -1 : end + 1;
    }
    if (kind === id) {
      const end = toText(source, at, column, row);
      if (end < 0) return end;
      const textStart = column.offsets[row] as number;
      const textEnd = column.offsets[row + 1] as number;
      return textEnd > textStart && this.#target.acceptsId(column.text, textStart, textEnd) ? end : -1;
    }
    if (kind !== boolean || source.view.getInt32(at, true) !== trueWord) return -1;
    column.setBoolean(row, true);
    return at + 4;
  }

  /** A value out of the ordinary; null, the most ordinary of them, first. */
  #readSlow(at: number, field: Field): number {
    if (field.kind === kindIgnored) return this.#values.read(at, field, this.#row);
    if (this.#source.view.getInt32(at, true) === nullWord) {
      if (this.#faults.any) this.#faults.forget(field.index);
      return at + 4;
    }
    const valueAt = this.scanner.skipSpace(at);
    if (valueAt !== at) {
      this.#metSpace = true;
      return this.#readValue(valueAt, field);
    }
    const end = this.#values.read(at, field, this.#row);
    // A column that widened has another builder now.
    if (this.#builder.schema !== this.#schema) this.#renew();
    return end;
  }

  /** From behind a value (or the row's start) to the next value, by parsing; notes the way for the next row. */
  #nextField(start: number, previous: Field): number {
    const { scanner } = this;
    const { bytes, view } = this.#source;
    let at = scanner.skipSpace(start);
    const isFirst = previous === this.#rowStart;
    if (bytes[at] !== (isFirst ? openBrace : comma)) {
      if (isFirst || bytes[at] !== closeBrace) return scanner.fail(at);
      previous.learn(view, start, at + 1, this.#rowEnd);
      this.#found = this.#rowEnd;
      return at + 1;
    }
    at = scanner.skipSpace(at + 1);
    if (isFirst && bytes[at] === closeBrace) {
      this.#found = this.#rowEnd;
      return at + 1;
    }
    if (bytes[at] !== quote) return scanner.fail(at);
    const keyEnd = scanner.skipString(at + 1);
    if (keyEnd < 0) return keyEnd;
    const isPlain = !scanner.hasEscapes && !scanner.hasInvalidUtf8;
    const valueAt = scanner.skipColon(keyEnd);
    if (valueAt < 0) return valueAt;
    const hash = hashKey(bytes, at + 1, keyEnd - 1);
    const known = this.#fields.find(bytes, at + 1, keyEnd - 1, hash);
    this.#found = known ?? this.#newField(bytes.slice(at + 1, keyEnd - 1), hash, isPlain, valueAt);
    if (this.#found !== this.#ignored) previous.learn(view, start, valueAt, this.#found);
    return valueAt;
  }

  /** The field of a key in a spelling that was not met before; `#ignored` where the key has no column. */
  #newField(key: Uint8Array, hash: number, isPlain: boolean, valueAt: number): Field {
    const index = this.#keyColumns.indexFor(key, isPlain, valueAt);
    if (index < 0) return this.#ignored;
    // A column more leaves the fields of the others as they are.
    this.#schema = this.#builder.schema;
    if (this.#fields.all.length > this.#builder.columns.length + spareSpellings) this.#forgetFields();
    const field = this.#fieldAt(index, key, hash);
    this.#fields.add(field);
    return field;
  }

  #fieldAt(index: number, key: Uint8Array, hash: number): Field {
    const column = this.#builder.columns[index] as ColumnBuilder;
    const name = this.#builder.schema.columns[index]?.name ?? "";
    return new Field({ key, hash, index, name, column }, kindOf(index, column.type), this.#rowEnd);
  }

  #afterAbort(): void {
    if (this.#builder.schema !== this.#schema) this.#renew();
  }

  /** The columns are others than before: everything learned is void. */
  #renew(): void {
    this.#schema = this.#builder.schema;
    this.#forgetFields();
    this.#systemFields = [0, 1].map((index) => this.#fieldAt(index, noPlace.key, 0));
  }

  /**
   * Harmless in the middle of a row, since fields only ever say what to expect. But the row in hand still stands on
   * one of them, and may not be led to another: its column's builder may have been exchanged.
   */
  #forgetFields(): void {
    this.#forgetGaps();
    this.#fields.clear();
  }

  #forgetGaps(): void {
    this.#metSpace = false;
    for (const field of this.#fields.all) field.forget(this.#rowEnd);
    this.#ignored.forget(this.#rowEnd);
    this.#rowStart.learn(emptyRowView, 0, 2, this.#rowEnd);
  }
}
