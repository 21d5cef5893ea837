import { readDecimal } from "../../shared/bytes/read-decimal.js";
import { readInteger } from "../../shared/bytes/read-integer.js";
import type { ColumnBuilder } from "../../shared/columns/column-builder.js";
import { MiniodbError } from "../../shared/errors.js";
import type { TableSchema } from "../../shared/schema/table-schema.js";
import { fieldCut, fieldMalformed, type CsvScanner } from "./csv-scanner.js";
import { CsvValueReader } from "./csv-value.js";
import type { DecodeTarget } from "./decoder.js";
import { kindDouble, kindIgnored, kindLong, kindOf, noPlace } from "./json-field.js";
import { RowFaults } from "./row-faults.js";
import { ValueWriter } from "./value-writer.js";

const comma = 0x2c;

/** A column of the header. While the table has none of that name its kind is `kindIgnored`. */
interface CsvColumn {
  readonly name: string;
  kind: number;
  index: number;
  column: ColumnBuilder;
}

/** Reads the records of one body into its table's columns. */
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
   * Reads the record at `start` and takes or rejects its row; returns the position of the next record, or `fieldCut` where the
   * window ends before the record does: then nothing has happened. Throws INVALID_BODY for a quote that is never
   * closed; `windowAt` is where the window starts in the body.
   */
  read(start: number, isLast: boolean, windowAt: number): number {
    const scanner = this.#scanner;
    const { bytes, end } = scanner.source;
    const columns = this.#columns;
    const row = this.#target.builder.rowCount;
    let at = start;
    let count = 0;
    for (;;) {
      const next = scanner.readField(at, isLast);
      if (next === fieldMalformed) {
        if (scanner.failedAt >= end) throw unclosedQuote(windowAt + at);
        return this.#skipMalformed(isLast);
      }
      if (next === fieldCut) return this.#undo();
      if (count < columns.length) this.#readValue(columns[count] as CsvColumn, row);
      count++;
      at = next + 1;
      if (next >= end || bytes[next] !== comma) break;
    }
    if (count === columns.length) this.#endRow();
    else this.#refuse(`the row has ${count} fields, the header has ${columns.length}`);
    return Math.min(at, end);
  }

  #readValue(column: CsvColumn, row: number): void {
    const scanner = this.#scanner;
    const { start, end, source } = scanner;
    if (start === end && !scanner.isQuoted) return;
    if (column.kind === kindIgnored && !this.#addColumn(column)) return;
    const builder = column.column;
    if (builder.length !== row || row >= builder.rowCapacity) builder.prepare(row);
    const isPlainNumber =
      (column.kind === kindDouble && readDecimal(source, start, builder.doubles, row) === end) ||
      (column.kind === kindLong && readInteger(source, start, builder.ints, row) === end);
    if (isPlainNumber) {
      builder.length = row + 1;
      return;
    }
    this.#values.read(column, row);
    // A column that widened has another builder now.
    if (this.#target.builder.schema !== this.#schema) this.#renew();
  }

  /** Adds a column of the type that its first value has; false where the table refuses it. */
  #addColumn(column: CsvColumn): boolean {
    const { builder } = this.#target;
    const index = builder.addColumn(column.name, this.#values.type());
    if (typeof index !== "number") {
      this.#faults.addKey(column.name, index);
      return false;
    }
    this.#renew();
    return true;
  }

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
