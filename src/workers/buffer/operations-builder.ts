import { assert } from "../../shared/assert.js";
import { BatchBuilder, type ColumnRules } from "../../shared/columns/batch-builder.js";
import type { ColumnBatch, ColumnData } from "../../shared/columns/column-batch.js";
import { ColumnBuilder } from "../../shared/columns/column-builder.js";
import type { RowAccount } from "../../shared/columns/row-account.js";
import { takeRows } from "../../shared/columns/take-rows.js";
import { MiniodbError } from "../../shared/errors.js";
import type { OperationsPart } from "../../shared/formats/wal-operations-v1.js";
import { recordKinds } from "../../shared/formats/wal-record-v1.js";
import { limits } from "../../shared/limits.js";
import {
  columnByName,
  idFieldId,
  nameKey,
  timestampFieldId,
  withColumn,
  withDouble,
  type TableColumn,
  type TableSchema,
} from "../../shared/schema/table-schema.js";
import { operationColumn, splitOperations, type OperationRules } from "./split-operations.js";

/** Of the column with the operations, which is in no table: columns of tables count from 1. */
const operationFieldId = 0;
/** A builder that has grown beyond this is not kept for the next batch: each table has one. */
const keptBytesMax = 4 * 1024 * 1024;
/** Values that are copied in one step, and ids that are made: some milliseconds. */
const valuesPerStep = 256 * 1024;
const madeIdsPerStep = 16 * 1024;
/** Of a text in its column, beside its bytes. */
const offsetBytes = 4;

/** How the rows that were decoded become those of a table. */
export interface TakeOptions extends OperationRules {
  readonly account: RowAccount;
  /** Of the table, now. */
  readonly schema: TableSchema;
  readonly isCommitted: (fieldId: number) => boolean;
  readonly generateId: (() => string) | null;
  /** When the batch came: the time of its deletes, in µs since 1970. */
  readonly receivedMicros: number;
}

export interface TakenOperations {
  /** None where no row is left. */
  readonly parts: readonly OperationsPart[];
  /** The table's, with what the rows that are left need more; the same value where that is nothing. */
  readonly schema: TableSchema;
}

/**
 * Where batches of mixed operations are decoded: a builder beside the table's own, with one column more that decoders find by its
 * name like any other. What the rows do to the schema is theirs alone until they are taken; then it is done to the
 * table's once more, as far as rows that are left need it, so that rejected, deleted and undone rows leave no column behind.
 */
export class OperationsBuilder {
  /** Kept from batch to batch, as decoders learn what its rows look like. */
  #kept: BatchBuilder | null = null;
  /** Of the batch in hand; one that fails is not taken, and its builder not kept. */
  #current: BatchBuilder | null = null;
  /** What the builder's schema was made of, and that schema: as long as both are the same, the builder is. */
  #base: TableSchema | null = null;
  #hidden: TableSchema | null = null;

  /** An empty builder for one batch. Throws INVALID_REQUEST where the table has a column of the field's name. */
  begin(schema: TableSchema, rules: ColumnRules): BatchBuilder {
    const own = { ...rules, columnsMax: rules.columnsMax + 1 };
    const known = this.#kept;
    this.#kept = null;
    if (known !== null && this.#base === schema && known.schema === this.#hidden) {
      known.reset();
      known.rules = own;
      this.#current = known;
      return known;
    }
    if (columnByName(schema, operationColumn) !== undefined) {
      const message = `The table has a column ${operationColumn}, which is what mode=operations calls its own field: rename or drop it`;
      throw new MiniodbError("INVALID_REQUEST", message, { column: operationColumn });
    }
    const hidden = withOperation(schema);
    const builder = known ?? new BatchBuilder(hidden, own);
    builder.reset();
    builder.replaceSchema(hidden);
    builder.rules = own;
    this.#base = schema;
    this.#hidden = hidden;
    this.#current = builder;
    return builder;
  }

  /**
   * The decoded rows, sorted out; those that make no sense are rejected in the account. Valid until the next `begin`, which comes
   * after the last step. Throws BODY_TOO_LARGE where ids that are made for them are more than a batch has room for.
   */
  *take(options: TakeOptions): Generator<void, TakenOperations> {
    const builder = this.#current;
    assert(builder !== null, "a batch is taken after it was begun, and once");
    this.#current = null;
    const batch = builder.finish();
    const column = (fieldId: number): ColumnData | undefined => batch.columns.find((each) => each.fieldId === fieldId);
    const rows = { rowCount: batch.rowCount, ids: column(idFieldId), words: column(operationFieldId) };
    const split = yield* splitOperations(rows, options, options.account);
    const data = { ...batch, columns: batch.columns.filter(({ fieldId }) => fieldId !== operationFieldId) };
    const { generateId, receivedMicros } = options;
    const inserts = yield* takeInSteps(data, split.inserts, timestampFieldId);
    const ids = { ...data, columns: data.columns.filter(({ fieldId }) => fieldId === idFieldId) };
    const deleted = yield* takeInSteps(ids, split.tombstones, idFieldId);
    const replacing = yield* takeInSteps(data, split.replacing, timestampFieldId);
    const rowsMore = generateId === null ? inserts : yield* withIds(inserts, generateId, builder.bytes());
    const all: OperationsPart[] = [
      { kind: recordKinds.tombstones, batch: tombstonesOf(deleted, receivedMicros) },
      { kind: recordKinds.replacing, batch: replacing },
      { kind: recordKinds.rows, batch: rowsMore },
    ];
    const parts = all.filter((part) => part.batch.rowCount > 0);
    if (builder.bytes() <= keptBytesMax) this.#kept = builder;
    const isAsBegun = builder.schema === this.#hidden && options.schema === this.#base;
    return isAsBegun ? { parts, schema: options.schema } : evolve(builder.schema, parts, options);
  }
}

/** The table's schema with the column of operations behind its own; field ids of new columns count on as if it were not there. */
function withOperation(schema: TableSchema): TableSchema {
  const column: TableColumn = { fieldId: operationFieldId, name: operationColumn, type: "string", required: false };
  return { ...schema, columns: [...schema.columns, column] };
}

/**
 * Does to the table's schema what `decoded` says of columns that have values in the parts, and names these by its field ids.
 * It may not be the schema that the decoding began with, and field ids that were free then may be in files by now.
 */
function evolve(
  decoded: TableSchema,
  parts: readonly OperationsPart[],
  { schema, isCommitted }: Pick<TakeOptions, "schema" | "isCommitted">,
): TakenOperations {
  const used = new Set(parts.flatMap(({ batch }) => batch.columns.map(({ fieldId }) => fieldId)));
  const indexes = new Map(schema.columns.map(({ name }, index) => [nameKey(name), index]));
  const fieldIds = new Map<number, number>();
  let after = schema;
  for (const { fieldId, name, type } of decoded.columns) {
    if (!used.has(fieldId)) continue;
    const index = indexes.get(nameKey(name)) ?? after.columns.length;
    const known = after.columns[index];
    if (known === undefined) after = withColumn(after, name, type);
    else if (known.type === "long" && type === "double") {
      after = withDouble(after, known.fieldId, isCommitted(known.fieldId));
    }
    const column = after.columns[index];
    assert(column?.type === type, "a column keeps its type but for longs that become doubles");
    fieldIds.set(fieldId, column.fieldId);
  }
  if (after === schema) return { parts, schema };
  const named = parts.map(({ kind, batch }) => ({
    kind,
    batch: {
      ...batch,
      columns: batch.columns.map((column) => ({ ...column, fieldId: fieldIds.get(column.fieldId) ?? column.fieldId })),
    },
  }));
  return { parts: named, schema: after };
}

/** As takeRows. */
function* takeInSteps(batch: ColumnBatch, rows: Uint32Array, kept: number): Generator<void, ColumnBatch> {
  if (rows.length === batch.rowCount) return batch;
  const columns: ColumnData[] = [];
  let values = 0;
  for (const column of batch.columns) {
    columns.push(...takeRows({ ...batch, columns: [column] }, rows, kept).columns);
    values += rows.length;
    if (values < valuesPerStep) continue;
    values = 0;
    yield;
  }
  return { rowCount: rows.length, columns };
}

/** Ids that are deleted, and when the batch came. */
function tombstonesOf({ rowCount, columns }: ColumnBatch, receivedMicros: number): ColumnBatch {
  const times = new ColumnBuilder(timestampFieldId, "timestamp");
  for (let row = 0; row < rowCount; row++) times.setSafeInteger(row, receivedMicros);
  return { rowCount, columns: [times.finish(rowCount), ...columns] };
}

/**
 * The same rows, those without an id with a new one. The decoder has bounded the batch, at `bytes` with its other rows; a row
 * of two bytes may get an id of a hundred. So throws BODY_TOO_LARGE before any is made.
 */
function* withIds(batch: ColumnBatch, generateId: () => string, bytes: number): Generator<void, ColumnBatch> {
  const { rowCount, columns } = batch;
  const ids = columns.find(({ fieldId }) => fieldId === idFieldId);
  const missing = ids?.nullCount ?? rowCount;
  if (missing === 0) return batch;
  // All that a table makes are of one length, give or take a digit.
  if (bytes + missing * (Buffer.byteLength(generateId()) + offsetBytes) > limits.batchBytesMax) {
    const message = `The body's rows take more than ${limits.batchBytesMax} bytes as columns, with the ids that are made for them`;
    throw new MiniodbError("BODY_TOO_LARGE", message, { limitBytes: limits.batchBytesMax });
  }
  const made = new ColumnBuilder(idFieldId, "string");
  for (let row = 0; row < rowCount; row++) {
    if (row % madeIdsPerStep === madeIdsPerStep - 1) yield;
    const start = ids?.offsets?.[row] ?? 0;
    const end = ids?.offsets?.[row + 1] ?? 0;
    if (ids !== undefined && end > start) made.setText(row, ids.values, start, end);
    else made.setString(row, generateId());
  }
  const others = columns.filter(({ fieldId }) => fieldId !== idFieldId);
  return { rowCount, columns: [...others, made.finish(rowCount)] };
}
