import { readDecimal } from "../../shared/bytes/read-decimal.js";
import { readInteger } from "../../shared/bytes/read-integer.js";
import { readTimestampText } from "../../shared/bytes/read-timestamp.js";
import type { ColumnBuilder } from "../../shared/columns/column-builder.js";
import { MiniodbError } from "../../shared/errors.js";
import type { TableSchema } from "../../shared/schema/table-schema.js";
import { fieldCut, fieldMalformed, type CsvScanner } from "./csv-scanner.js";
import { CsvValueReader } from "./csv-value.js";
import type { DecodeTarget } from "./decoder.js";
import { kindDouble, kindIgnored, kindLong, kindOf, kindTimestamp, noPlace } from "./json-field.js";
import { RowFaults } from "./row-faults.js";
import { ValueWriter } from "./value-writer.js";

const newline = 0x0a;
const carriageReturn = 0x0d;
const comma = 0x2c;

/** A column of the header. While the table has none of that name its kind is `kindIgnored`. */
interface CsvColumn {
  readonly name: string;
  kind: number;
  index: number;
  column: ColumnBuilder;
}

/**
 * Reads the records of one body into its table's columns. Unlike JSON rows, records all have the same shape, so there
 * is nothing to learn: field number n is for the header's column number n.
 *
 * A column that the table lacks is added when its first value comes, not for the header's sake: a file of nulls makes
 * no columns. If that row is then rejected the column is gone again, and the next value gets its say about the type.
 */
export class CsvRecordReader {
  readonly #scanner: CsvScanner;
  readonly #target: DecodeTarget;
  readonly #faults = new RowFaults();
  readonly #values: CsvValueReader;
  readonly #columns: readonly CsvColumn[];
  #schema: TableSchema | null = null;

  constructor(scanner: CsvScanner, target: DecodeTarget, names: readonly string[]) {
    this.#scanner = scanner;
    this.#target = target;
    this.#columns = names.map((name) => ({ ...noPlace, name, kind: kindIgnored }));
    this.#values = new CsvValueReader(scanner, new ValueWriter(this.#faults, target, noPlaceOfKind));
  }

  /** To be called at the start of each step: other requests may have changed the table since the last. */
  begin(): void {
    this.#values.begin(this.#target.depthMax);
    this.#faults.clear();
    if (this.#target.builder.schema !== this.#schema) this.#renew();
  }

  /**
   * Reads the record at `start` and takes or rejects its row; returns the position of the next record, or `fieldCut`
   * where the window ends before the record does: then nothing has happened. Throws INVALID_BODY for a quote that is
   * never closed; `windowAt` is where the window starts in the body.
   */
  read(start: number, isLast: boolean, windowAt: number): number {
    const scanner = this.#scanner;
    const { bytes, end } = scanner.source;
    const columns = this.#columns;
    const row = this.#target.builder.rowCount;
    let at = start;
    let count = 0;
    for (;;) {
      const column = columns[count];
      const plainEnd = column === undefined ? -1 : this.#readPlain(column, at, row);
      if (plainEnd >= 0) {
        count++;
        at = plainEnd + 1;
        if (bytes[plainEnd] === comma) continue;
        break;
      }
      const next = scanner.readField(at, isLast);
      // A quote that is still open at the body's end has swallowed an unknown number of records: no row can be told
      // from it.
      if (next === fieldMalformed) {
        if (scanner.failedAt >= end) throw unclosedQuote(windowAt + at);
        return this.#skipMalformed(isLast);
      }
      if (next === fieldCut) return this.#undo();
      if (column !== undefined) this.#readValue(column, row);
      count++;
      at = next + 1;
      if (next >= end || bytes[next] !== comma) break;
    }
    if (count === columns.length) this.#endRow();
    else this.#refuse(`the row has ${count} fields, the header has ${columns.length}`);
    return Math.min(at, end);
  }

  /**
   * Most fields of a number or timestamp column are just that, without quotes or spaces: read without looking for the
   * field's end first. Returns the position of the comma or line feed behind it, or -1 where it is anything else.
   */
  #readPlain({ kind, column }: CsvColumn, at: number, row: number): number {
    if (kind !== kindDouble && kind !== kindLong && kind !== kindTimestamp) return -1;
    const { source } = this.#scanner;
    if (column.length !== row || row >= column.rowCapacity) column.prepare(row);
    let end: number;
    if (kind === kindDouble) end = readDecimal(source, at, column.doubles, row);
    else if (kind === kindLong) end = readInteger(source, at, column.ints, row);
    else end = readTimestampText(source, at, column.ints, row);
    if (end < 0) return -1;
    if (source.bytes[end] === carriageReturn) end++;
    if (source.bytes[end] !== comma && source.bytes[end] !== newline) return -1;
    if (source.bytes[end] === comma && source.bytes[end - 1] === carriageReturn) return -1;
    column.length = row + 1;
    return end;
  }

  #readValue(column: CsvColumn, row: number): void {
    const scanner = this.#scanner;
    if (scanner.start === scanner.end && !scanner.isQuoted) return;
    if (column.kind === kindIgnored && !this.#addColumn(column)) return;
    const builder = column.column;
    if (builder.length !== row || row >= builder.rowCapacity) builder.prepare(row);
    this.#values.read(column, row);
    // A column that widened has another builder now.
    if (this.#target.builder.schema !== this.#schema) this.#renew();
  }

  /** Adds a column of the type that its first value has; false where the table refuses it. */
  #addColumn(column: CsvColumn): boolean {
    const { builder } = this.#target;
    const index = builder.addColumn(column.name, this.#values.type());
    if (typeof index !== "number") {
      if (index !== null) this.#faults.addKey(column.name, index);
      return false;
    }
    this.#renew();
    return true;
  }

  /** Takes or rejects the row in hand; a rejected one takes its columns with it. */
  #endRow(): void {
    const isTaken = this.#faults.endRow(this.#target);
    if (!isTaken && this.#target.builder.schema !== this.#schema) this.#renew();
  }

  /** A record with text behind a closing quote ends at the line break. */
  #skipMalformed(isLast: boolean): number {
    const scanner = this.#scanner;
    const next = scanner.skipLine(scanner.failedAt);
    if (next >= scanner.source.end && !isLast) return this.#undo();
    this.#refuse("a field has text behind its closing quote");
    return next;
  }

  #refuse(message: string): void {
    this.#undo();
    this.#target.account.reject("INVALID_ROW", null, message);
  }

  /** Forgets the row in hand. The answer is for `read`, which begins it again in the next window. */
  #undo(): number {
    this.#faults.clear();
    this.#target.builder.abortRow();
    if (this.#target.builder.schema !== this.#schema) this.#renew();
    return fieldCut;
  }

  /** Finds the header's columns in the table as it is now. */
  #renew(): void {
    const { builder } = this.#target;
    this.#schema = builder.schema;
    for (const column of this.#columns) {
      column.index = builder.indexOf(column.name);
      column.column = builder.columns[column.index] ?? noPlace.column;
      column.kind = column.index < 0 ? kindIgnored : kindOf(column.index, column.column.type);
    }
  }
}

const noPlaceOfKind = { ...noPlace, kind: kindIgnored };

function unclosedQuote(position: number): MiniodbError {
  const message = `The body is not valid CSV: the quote at byte ${position} is never closed`;
  return new MiniodbError("INVALID_BODY", message, { position });
}
