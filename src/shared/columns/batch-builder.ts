import { assert } from "../assert.js";
import type { ColumnType } from "../schema/column-type.js";
import {
  isColumnName,
  nameKey,
  withColumn,
  withDouble,
  type TableColumn,
  type TableSchema,
} from "../schema/table-schema.js";
import type { ColumnBatch } from "./column-batch.js";
import { ColumnBuilder } from "./column-builder.js";
import type { RowErrorCode } from "./row-account.js";

/** What a table lets its rows do to its schema. */
export interface ColumnRules {
  readonly addColumns: boolean;
  /** Values without a column are left out of their row, and none is added; absent: false. */
  readonly ignoreUnknown?: boolean;
  readonly columnsMax: number;
  readonly longMeetsDouble: "widen" | "reject";
  /** True when a file of the store may hold values under this field id. */
  readonly isCommitted: (fieldId: number) => boolean;
}

/** Fills what a row may leave out. */
export interface RowDefaults {
  /** Receive time in µs since 1970, for rows without a timestamp. */
  readonly receivedMicros: number;
  /** A new id, where the table's id strategy makes them; null leaves the id null. */
  readonly generateId: (() => string) | null;
  /** Rows without an id are rejected (upsert tables, and POST /v1/data by compatibility). */
  readonly idRequired: boolean;
}

/**
 * The rows of one WAL record to be, of one table. Decoders write values through `columns`; a row counts from
 * `endRow` on, and what an unfinished row left behind is undone by `abortRow`.
 * The schema evolves here and nowhere else; the identity of `schema` tells decoders to renew what they derived from it
 * (its version number may come back with another content, after a row that added a column was undone).
 */
export class BatchBuilder {
  schema: TableSchema;
  rowCount = 0;
  /** In the order of `schema.columns`: [0] is `timestamp`, [1] is `id`. */
  readonly columns: ColumnBuilder[] = [];
  /** May be replaced between rows when the table's settings change. */
  rules: ColumnRules;
  /** What the row in hand did to the schema, for `abortRow`. */
  readonly #changes: SchemaChange[] = [];
  /** By field id: columns that aborted rows had added, for the next row that adds such a one. */
  readonly #undone = new Map<number, ColumnBuilder>();
  /** Position by name key, of `#positionsOf`. */
  #positions = new Map<string, number>();
  #positionsOf: TableSchema | null = null;

  constructor(schema: TableSchema, rules: ColumnRules) {
    this.schema = schema;
    this.rules = rules;
    for (const column of schema.columns) this.columns.push(new ColumnBuilder(column.fieldId, column.type));
  }

  /** Takes a schema that came from elsewhere (replay, a commit). Only while there are no rows. */
  replaceSchema(schema: TableSchema): void {
    assert(this.rowCount === 0, "a schema is replaced between batches");
    this.schema = schema;
    this.#changes.length = 0;
    this.columns.length = 0;
    for (const column of schema.columns) this.columns.push(new ColumnBuilder(column.fieldId, column.type));
  }

  /** Position in `columns` of the column of this name (case-insensitive), or -1. */
  indexOf(name: string): number {
    if (this.#positionsOf !== this.schema) {
      this.#positionsOf = this.schema;
      this.#positions = new Map(this.schema.columns.map((column, index) => [nameKey(column.name), index]));
    }
    return this.#positions.get(nameKey(name)) ?? -1;
  }

  /**
   * Adds a nullable column; returns its position, or why the table's rules refuse it, or null where they have its values
   * left out.
   */
  addColumn(name: string, type: ColumnType): number | RowErrorCode | null {
    const index = this.columns.length;
    assert(this.indexOf(name) < 0, "a column is added once");
    if (this.rules.ignoreUnknown === true) return null;
    if (!this.rules.addColumns) return "UNKNOWN_COLUMN";
    if (index >= this.rules.columnsMax) return "TOO_MANY_COLUMNS";
    if (!isColumnName(name)) return "INVALID_COLUMN_NAME";
    this.#change(withColumn(this.schema, name, type), index);
    this.#positions.set(nameKey(name), index);
    this.#positionsOf = this.schema;
    const { fieldId } = this.#columnAt(index);
    const undone = this.#undone.get(fieldId);
    this.columns.push(undone?.type === type ? undone : new ColumnBuilder(fieldId, type));
    return index;
  }

  /** Turns a long column into double, its rows so far with it; returns undefined, or why the rules refuse it. */
  widenToDouble(index: number): RowErrorCode | undefined {
    if (this.rules.longMeetsDouble === "reject") return "TYPE_MISMATCH";
    const before = this.columns[index];
    assert(before !== undefined && before.type === "long", "only a long column widens");
    const { fieldId } = before;
    this.#change(withDouble(this.schema, fieldId, this.rules.isCommitted(fieldId)), index);
    const column = this.#columnAt(index);
    const after = new ColumnBuilder(column.fieldId, "double");
    for (let row = 0; row < before.length; row++) {
      const present = before.validity === null || ((before.validity[row >> 3] as number) & (1 << (row & 7))) !== 0;
      const lo = (before.ints[row * 2] as number) >>> 0;
      if (present) after.setDouble(row, (before.ints[row * 2 + 1] as number) * 2 ** 32 + lo);
      else after.setNull(row);
    }
    this.columns[index] = after;
    return undefined;
  }

  /** Takes the row in hand; returns undefined, or the reason why it cannot stand (the row is then undone). */
  endRow(defaults: RowDefaults): RowErrorCode | undefined {
    const row = this.rowCount;
    const timestamp = this.columns[0] as ColumnBuilder;
    const id = this.columns[1] as ColumnBuilder;
    if (timestamp.length <= row) timestamp.setSafeInteger(row, defaults.receivedMicros);
    // Shorter, where rows before this one had none either.
    if (id.length <= row) {
      if (defaults.generateId !== null) id.setString(row, defaults.generateId());
      else if (defaults.idRequired) {
        this.abortRow();
        return "ID_REQUIRED";
      }
    }
    this.rowCount = row + 1;
    return undefined;
  }

  /** Takes `count` rows at once: bulk appends have given every one of them its timestamp, and its id by the rules. */
  endRows(count: number): void {
    assert(this.columns[0]?.length === this.rowCount + count, "every row has a timestamp");
    this.rowCount += count;
  }

  /** What the rows in hand did to the schema stays, even if they are undone: a flush may look at it from now on. */
  keepSchema(): void {
    this.#changes.length = 0;
  }

  /** Undoes what the row in hand has set, and what it did to the schema: columns added or widened. */
  abortRow(): void {
    for (let change = this.#changes.at(-1); change?.row === this.rowCount; change = this.#changes.at(-1)) {
      this.#changes.pop();
      this.schema = change.schema;
      if (change.replaced === null) this.#takeBackColumn();
      else this.columns[change.index] = change.replaced;
    }
    this.#truncate();
  }

  /**
   * Back to `rowCount` rows: a request whose body turned out to be malformed leaves no row behind. Columns that its
   * finished rows added stay, since a flush may have seen them.
   */
  rollback(rowCount: number): void {
    assert(rowCount <= this.rowCount, "a rollback goes backwards");
    this.abortRow();
    this.#changes.length = 0;
    this.rowCount = rowCount;
    this.#truncate();
  }

  /**
   * Bytes of the batch that `finish` would make now. A column costs its width in every row from its first value on, so
   * this can be far more than what the rows' bodies had.
   */
  bytes(): number {
    let bytes = 0;
    for (const column of this.columns) {
      if (column.length > column.nullCount) bytes += column.bytesOf(this.rowCount);
    }
    return bytes;
  }

  /** All rows as views on the builder's memory: valid until the next write. Columns without a value are left out. */
  finish(): ColumnBatch {
    // The id is read back by row for replies, so even an empty one has its offsets.
    (this.columns[1] as ColumnBuilder).finish(this.rowCount);
    const columns = this.columns
      .filter((column) => column.length > column.nullCount || column.fieldId === this.schema.columns[0]?.fieldId)
      .map((column) => column.finish(this.rowCount));
    return { rowCount: this.rowCount, columns };
  }

  /** Empty again, schema and memory kept. */
  reset(): void {
    this.rowCount = 0;
    this.#changes.length = 0;
    if (this.#undone.size > 0) this.#undone.clear();
    for (const column of this.columns) column.reset();
  }

  /** Puts `schema` in place, and notes what `abortRow` needs to take the change at `index` back. */
  #change(schema: TableSchema, index: number): void {
    // All changes of one row name the schema before it: those in between would be a lot of memory for a wide row.
    const last = this.#changes.at(-1);
    const before = last?.row === this.rowCount ? last.schema : this.schema;
    this.#changes.push({ row: this.rowCount, schema: before, index, replaced: this.columns[index] ?? null });
    this.schema = schema;
  }

  /** Rows that are rejected one like the other shall not cost a new builder for each of their columns each time. */
  #takeBackColumn(): void {
    const column = this.columns.pop();
    if (column === undefined) return;
    column.reset();
    this.#undone.set(column.fieldId, column);
  }

  #truncate(): void {
    for (const column of this.columns) column.truncate(this.rowCount);
  }

  #columnAt(index: number): TableColumn {
    const column = this.schema.columns[index];
    assert(column !== undefined, "columns and schema run in parallel");
    return column;
  }
}

/** One step of the schema, with the schema before its row; `replaced` is null where the step added a column. */
interface SchemaChange {
  readonly row: number;
  readonly schema: TableSchema;
  readonly index: number;
  readonly replaced: ColumnBuilder | null;
}
