import { BatchBuilder, type ColumnRules, type RowDefaults } from "../../shared/columns/batch-builder.js";
import type { RowAccount } from "../../shared/columns/row-account.js";
import { assert } from "../../shared/assert.js";
import { limits } from "../../shared/limits.js";
import { recordKinds, type RowsKind } from "../../shared/formats/wal-record-v1.js";
import type { OperationsPart } from "../../shared/formats/wal-operations-v1.js";
import type { OpenTable, TableIdentity } from "../../shared/messages.js";
import type { OwnerSchema } from "../../shared/table-messages.js";
import { applyOperations, type SchemaOperation } from "../../shared/schema/schema-operations.js";
import { withoutReplaced, type TableSchema } from "../../shared/schema/table-schema.js";
import type { TableSettings } from "../../shared/schema/table-settings.js";
import type { DecodeTarget } from "../decode/decoder.js";
import type { ColumnKeys } from "../../shared/encryption/column-keys.js";
import type { BatchIds } from "./batch-ids.js";
import { BlockArena } from "./block-arena.js";
import type { Block } from "./block-pool.js";
import { ColumnSealer } from "./column-sealer.js";
import { acceptsAnyId, idGenerator, idRule, type AcceptsId } from "./id-rule.js";
import { hasValuesIn } from "./measure-rows.js";
import { OperationsBuilder } from "./operations-builder.js";
import { TableBuffer, type BufferedRecord } from "./table-buffer.js";

/** A request whose rows are in the builder and wait for the round's record. */
export interface RoundRequest {
  readonly requestId: number;
  readonly account: RowAccount;
  /** True for durability `memory`: answered without waiting for the log. */
  readonly memory: boolean;
  readonly batch: { readonly key: string; readonly bodyHash: Uint8Array } | null;
  /** Rows [rowStart, rowEnd) of the builder are this request's. */
  readonly rowStart: number;
  readonly rowEnd: number;
  /** The original API's reply names the row's id. */
  readonly wantsId: boolean;
}

export interface OwnerOptions {
  readonly worker: number;
  /** Of all tables of the worker. */
  readonly batchIds: BatchIds;
  readonly takeBlock: (bytes: number) => Block;
  readonly columnKeys: ColumnKeys;
}

/**
 * All that a node knows of one table's unflushed life: its schema, sequences, rows and batch ids. It lives in exactly
 * one ingest worker, the only place where sequences are given and the schema changes.
 */
export class TableOwner {
  readonly identity: TableIdentity;
  readonly slot: number;
  readonly arena: BlockArena;
  readonly buffer: TableBuffer;
  readonly batchIds: BatchIds;
  readonly builder: BatchBuilder;
  readonly sealer: ColumnSealer;
  /** Requests of the round in hand, in row order. */
  round: RoundRequest[] = [];
  /** Of the record that the round becomes: requests of another kind come into the next one. */
  roundKind: RowsKind = recordKinds.rows;
  /** Batch ids of the round in hand: a repeat in the same round joins the first. */
  readonly roundBatches = new Set<string>();
  /** The schema that the log already holds. */
  loggedSchemaVersion: number;
  /** The highest sequence answered with durability `memory`: visible though not durable. */
  memorySequence = 0;
  /** No flush may be taken before the log holds this: its commit retires a widened column's old field id. */
  wideningSequence = 0;
  /** A large body is being decoded into the builder: other requests of this table wait their turn. */
  busy = false;
  /** What main was last told of this table's size. */
  reportedRows = 0;
  reportedFull = false;
  settings: TableSettings;
  readonly #worker: number;
  readonly #operations = new OperationsBuilder();
  #acceptsId: AcceptsId;
  #generateId: (() => string) | null;
  /** Field ids that may be in files of the store: from the moment a flush takes records. */
  readonly #committedFieldIds = new Set<number>();

  constructor(table: OpenTable, options: OwnerOptions) {
    this.identity = table.identity;
    this.slot = table.slot;
    this.settings = table.settings;
    this.#worker = options.worker;
    this.arena = new BlockArena(options.takeBlock);
    this.sealer = new ColumnSealer(options.columnKeys);
    this.buffer = new TableBuffer(table.flushedSequence);
    this.batchIds = options.batchIds;
    this.loggedSchemaVersion = table.schema.version;
    this.#acceptsId = idRule(table.settings);
    this.#generateId = idGenerator(table.settings, options.worker);
    if (table.hasFiles) this.#commitFieldIds(table.schema);
    this.builder = new BatchBuilder(table.schema, this.#rules());
  }

  get schema(): TableSchema {
    return this.builder.schema;
  }

  changeSettings(settings: TableSettings): void {
    this.settings = settings;
    this.#acceptsId = idRule(settings);
    this.#generateId = idGenerator(settings, this.#worker);
    this.builder.rules = this.#rules();
    // What fills a buffer may have changed.
    this.reportedFull = false;
  }

  /** What a write without a word about it means to this table. */
  get defaultKind(): RowsKind {
    return this.settings.mode === "upsert" ? recordKinds.replacing : recordKinds.rows;
  }

  /** Of a request whose rows go into a record of `roundKind`. */
  decodeTarget(account: RowAccount, receivedMicros: number, idRequired: boolean): DecodeTarget {
    const isPlain = this.roundKind === recordKinds.rows;
    // An id that was made just now has no earlier rows: where they matter, it must be given.
    const generateId = isPlain ? this.#generateId : null;
    const defaults: RowDefaults = { receivedMicros, generateId, idRequired: idRequired || !isPlain };
    return this.#target(this.builder, account, defaults, this.#acceptsId);
  }

  /**
   * Of a request with mixed operations, into a builder of its own: what its ids must be is decided by `takeOperations`, which
   * knows what each row does. Throws INVALID_REQUEST where the table has a column of the name that says it.
   */
  operationsTarget(account: RowAccount, receivedMicros: number): DecodeTarget {
    account.noteRejected();
    const defaults: RowDefaults = { receivedMicros, generateId: null, idRequired: false };
    const builder = this.#operations.begin(this.schema, this.#rules());
    return this.#target(builder, account, defaults, acceptsAnyId);
  }

  /**
   * The decoded rows of such a request as the parts of its record, under the schema that they need, which is the table's from
   * now on. Only while no rows are in the round, and in steps, between which no other rows of the table may be taken. Rows that
   * make no sense are rejected in the account.
   */
  *takeOperations(
    account: RowAccount,
    receivedMicros: number,
    idRequired: boolean,
  ): Generator<void, readonly OperationsPart[]> {
    const isUpsert = this.settings.mode === "upsert";
    const { parts, schema } = yield* this.#operations.take({
      account,
      schema: this.schema,
      isCommitted: (fieldId) => this.#committedFieldIds.has(fieldId),
      isUpsert,
      idRequired,
      acceptsId: this.#acceptsId,
      canMakeIds: this.#generateId !== null,
      generateId: this.#generateId,
      receivedMicros,
    });
    if (schema !== this.schema) this.builder.replaceSchema(schema);
    return parts;
  }

  #target(builder: BatchBuilder, account: RowAccount, defaults: RowDefaults, acceptsId: AcceptsId): DecodeTarget {
    return {
      builder,
      account,
      table: this.identity.name,
      defaults,
      acceptsId,
      valueBytesMax: limits.valueBytesMax,
      depthMax: limits.valueDepthMax,
    };
  }

  /** Takes a replayed schema, where it is newer than what the catalog said. */
  replaySchema(schema: TableSchema, catalogSchema: TableSchema): void {
    if (schema.version <= this.builder.schema.version) return;
    this.builder.replaceSchema(withoutReplaced(schema, catalogSchema));
    this.loggedSchemaVersion = schema.version;
  }

  /**
   * Changes the columns by request, for the rows from here on; the next record brings the new schema to the log. Only
   * while the builder is empty. Throws INVALID_REQUEST: then nothing has changed.
   */
  changeSchema(operations: readonly SchemaOperation[], fieldIdsInFiles: ReadonlySet<number>): OwnerSchema {
    assert(!this.busy && this.builder.rowCount === 0, "columns change between batches");
    const before = this.builder.schema;
    if (before.columns.some((column) => column.replacesFieldId !== undefined)) return { kind: "pending" };
    const schema = applyOperations(before, operations, {
      hasValues: (fieldId) => fieldIdsInFiles.has(fieldId) || hasValuesIn(this.buffer, fieldId),
      isCommitted: (fieldId) => this.#committedFieldIds.has(fieldId),
      sortOrder: this.settings.sortOrder ?? [],
    });
    const { lastSequence } = this.buffer;
    if (schema !== before) this.builder.replaceSchema(schema);
    // As in a round that widens a column: the flush that replaces the old field has all rows that are under it.
    if (schema.columns.some((column) => column.replacesFieldId !== undefined)) this.wideningSequence = lastSequence;
    return { kind: "changed", schema, lastSequence };
  }

  /** The records from here on belong to a flush: its files may hold every column of the schema. */
  beginFlush(): TableSchema {
    this.#commitFieldIds(this.builder.schema);
    return this.builder.schema;
  }

  /** A commit covers everything up to `sequence`. Returns the blocks that nothing needs any more. */
  flushed(sequence: number, committed: TableSchema): Block[] {
    const freed = this.buffer.forget(sequence);
    // A large body may have filled columns of the builder whose rows do not count yet.
    if (this.builder.rowCount === 0 && !this.busy) this.#adopt(committed);
    for (const block of freed) this.arena.retire(block);
    return freed;
  }

  /** All blocks of this table, for its end. */
  blocks(): Iterable<Block> {
    return this.buffer.blocks();
  }

  /** Visible are durable rows, and what was answered with durability `memory`. */
  isVisible(record: BufferedRecord, isDurable: (position: number) => boolean): boolean {
    return record.firstSequence + record.rowCount - 1 <= this.memorySequence || isDurable(record.logPosition);
  }

  #adopt(committed: TableSchema): void {
    const schema = withoutReplaced(this.builder.schema, committed);
    if (schema !== this.builder.schema) this.builder.replaceSchema(schema);
  }

  #commitFieldIds(schema: TableSchema): void {
    for (const column of schema.columns) this.#committedFieldIds.add(column.fieldId);
  }

  #rules(): ColumnRules {
    return {
      addColumns: this.settings.addColumns ?? true,
      ignoreUnknown: this.settings.ignoreUnknown ?? false,
      columnsMax: limits.columnsMax,
      longMeetsDouble: this.settings.longMeetsDouble ?? "widen",
      isCommitted: (fieldId) => this.#committedFieldIds.has(fieldId),
    };
  }
}
