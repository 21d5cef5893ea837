import { assert } from "../../shared/assert.js";
import type { RowAccount } from "../../shared/columns/row-account.js";
import { encodeRowsRecord, encodeSchemaRecord, recordBytes } from "../../shared/formats/wal-record-v1-encode.js";
import { lastRowOf, type BatchEntry } from "../../shared/formats/wal-batches-v1.js";
import {
  encodeOperationsRecord,
  operationsRecordBytes,
  type OperationsPart,
} from "../../shared/formats/wal-operations-v1.js";
import type { EntryRingProducer } from "../../shared/ring/entry-ring.js";
import { newWalDescriptor, stageWalDescriptor } from "../../shared/ring/wal-descriptor.js";
import type { Block } from "./block-pool.js";
import type { Replies } from "./replies.js";
import type { RoundRequest, TableOwner } from "./table-owner.js";

interface AnnouncedRecord {
  readonly firstSequence: number;
  readonly batches: readonly BatchEntry[];
  readonly logPosition: number;
  readonly bytes: number;
}

const textDecoder = new TextDecoder();
/** A round announces its rows, and the schema before them where it is new. */
const recordsPerRound = 2;

/** One request with mixed operations, whose rows have become the parts of a record. */
export interface OperationsRound {
  readonly request: Omit<RoundRequest, "rowStart" | "rowEnd" | "wantsId">;
  readonly parts: readonly OperationsPart[];
}

/**
 * Ends a round: per table one record into shared memory, its rows into the table's buffer, its descriptor to the WAL
 * thread, and its requests' completions behind the gate that this record opens.
 */
export class RoundEmitter {
  readonly #walRing: EntryRingProducer;
  readonly #replies: Replies;
  readonly #descriptor = newWalDescriptor();
  #walStaged = false;
  #pendingBytes = 0;
  /** Records that the log does not hold yet, oldest first: their log position and bytes. */
  readonly #pending: { readonly logPosition: number; readonly bytes: number }[] = [];

  constructor(walRing: EntryRingProducer, replies: Replies) {
    this.#walRing = walRing;
    this.#replies = replies;
  }

  /** Bytes of records that wait for the log. */
  pendingBytes(isDurable: (logPosition: number) => boolean): number {
    let durable = 0;
    for (const record of this.#pending) {
      if (!isDurable(record.logPosition)) break;
      this.#pendingBytes -= record.bytes;
      durable++;
    }
    if (durable > 0) this.#pending.splice(0, durable);
    return this.#pendingBytes;
  }

  /** Records that the log's ring takes, beside those of so many rounds that are still to be emitted. */
  roomBeside(rounds: number): number {
    return this.#walRing.free - recordsPerRound * rounds;
  }

  /** Turns the owner's round into a record; nothing when it has no rows. */
  emit(owner: TableOwner): void {
    const { builder, buffer, round } = owner;
    if (round.length === 0) return;
    // Before anything is staged: a reply whose record is not announced would be let out with the next one.
    assert(this.roomBeside(1) >= 0, "a round is emitted while the log's ring has room");
    const firstSequence = buffer.lastSequence + 1;
    const schema = this.#newSchema(owner, firstSequence, builder.rowCount);
    const batch = owner.sealer.seal(builder.finish(), builder.schema);
    const nowMs = Date.now();
    const batches = batchEntries(round, nowMs);
    const bytes = recordBytes(batch, batches);
    // In one block: one with nothing but a schema would never be freed, as blocks go with their rows.
    const block = owner.arena.reserve(bytes + (schema?.length ?? 0));
    if (schema !== null) this.#emitSchema(owner, block, schema);
    const offset = block.used;
    const record = {
      kind: owner.roundKind,
      tableUuid: owner.identity.uuid,
      firstSequence,
      schemaVersion: builder.schema.version,
      batch,
      batches,
    };
    encodeRowsRecord(block.bytes, offset, record);
    block.used += bytes;
    const before = this.#replies.logPosition;
    this.#complete(owner, firstSequence);
    const logPosition = this.#replies.logPosition;
    this.#announce(block, { offset, length: bytes, completions: (logPosition - before) | 0 });
    buffer.append({
      kind: owner.roundKind,
      block,
      offset,
      length: bytes,
      firstSequence,
      rowCount: batch.rowCount,
      logPosition,
      createdMs: nowMs,
    });
    this.#note(owner, { firstSequence, batches, logPosition, bytes });
    builder.reset();
    owner.round = [];
    owner.roundBatches.clear();
  }

  /**
   * A round that is one batch of operations: one record and one log position, so that it becomes durable and visible as a
   * whole; its parts go into the table's buffer as the records that they are. The owner's round was emitted before.
   */
  emitOperations(owner: TableOwner, { request, parts: plain }: OperationsRound): void {
    const { builder, buffer, identity, slot } = owner;
    assert(owner.round.length === 0 && this.roomBeside(1) >= 0, "a batch of operations has a round of its own");
    const parts = plain.map(({ kind, batch }) => ({ kind, batch: owner.sealer.seal(batch, builder.schema) }));
    const rowCount = parts.reduce((sum, { batch }) => sum + batch.rowCount, 0);
    const firstSequence = buffer.lastSequence + 1;
    const lastSequence = firstSequence + rowCount - 1;
    const schema = this.#newSchema(owner, firstSequence, rowCount);
    const nowMs = Date.now();
    const { requestId, account, memory, batch: id } = request;
    const batches =
      id === null ? [] : [{ ...entryOf(id, account, { firstRow: rowCount - 1, nowMs }), hasUndone: true as const }];
    const bytes = operationsRecordBytes(parts, batches);
    const block = owner.arena.reserve(bytes + (schema?.length ?? 0));
    if (schema !== null) this.#emitSchema(owner, block, schema);
    const offset = block.used;
    const tableUuid = identity.uuid;
    const record = { tableUuid, firstSequence, schemaVersion: builder.schema.version, parts, batches };
    const places = encodeOperationsRecord(block.bytes, offset, record);
    block.used += bytes;
    const before = this.#replies.logPosition;
    this.#replies.accepted({ requestId, account, memory, sequence: lastSequence, tableSlot: slot, id: null });
    if (memory) {
      owner.memorySequence = lastSequence;
      this.#replies.gateOnly();
    }
    const { logPosition } = this.#replies;
    this.#announce(block, { offset, length: bytes, completions: (logPosition - before) | 0 });
    for (const { at, ...place } of places) {
      buffer.append({ ...place, block, offset: at, logPosition, createdMs: nowMs });
    }
    this.#note(owner, { firstSequence, batches, logPosition, bytes });
  }

  /** What is remembered of a record that was announced. */
  #note(owner: TableOwner, { firstSequence, batches, logPosition, bytes }: AnnouncedRecord): void {
    for (const entry of batches) {
      const lastSequence = firstSequence + lastRowOf(entry);
      owner.batchIds.remember(owner.slot, { entry, lastSequence, logPosition });
    }
    this.#pending.push({ logPosition, bytes });
    this.#pendingBytes += bytes;
  }

  /** Lets the WAL thread see what was announced; true when it has something to write. The completions go first. */
  publish(): boolean {
    const announced = this.#walStaged;
    if (announced) this.#walRing.publish();
    this.#walStaged = false;
    return announced;
  }

  /** The record of the owner's schema; null where the log has it. */
  #newSchema(owner: TableOwner, firstSequence: number, rowCount: number): Uint8Array | null {
    const { schema } = owner.builder;
    if (schema.version === owner.loggedSchemaVersion) return null;
    if (schema.columns.some((column) => column.replacesFieldId !== undefined)) {
      owner.wideningSequence = firstSequence + rowCount - 1;
    }
    return encodeSchemaRecord({ tableUuid: owner.identity.uuid, firstSequence, schema });
  }

  #emitSchema(owner: TableOwner, block: Block, record: Uint8Array): void {
    block.bytes.set(record, block.used);
    this.#announce(block, { offset: block.used, length: record.length, completions: 0 });
    block.used += record.length;
    owner.loggedSchemaVersion = owner.builder.schema.version;
  }

  #announce(block: Block, place: { offset: number; length: number; completions: number }): void {
    const descriptor = this.#descriptor;
    descriptor.blockId = block.id;
    descriptor.offset = place.offset;
    descriptor.length = place.length;
    descriptor.completions = place.completions;
    assert(stageWalDescriptor(this.#walRing, descriptor), "a round begins only while the log's ring has room");
    this.#walStaged = true;
  }

  #complete(owner: TableOwner, firstSequence: number): void {
    let gated = 0;
    for (const request of owner.round) {
      const sequence = firstSequence + request.rowEnd - 1;
      const { requestId, account, memory } = request;
      const id = request.wantsId ? idOf(owner, request.rowStart) : null;
      this.#replies.accepted({ requestId, account, memory, sequence, tableSlot: owner.slot, id });
      if (memory) owner.memorySequence = sequence;
      else gated++;
    }
    if (gated === 0) this.#replies.gateOnly();
  }
}

function batchEntries(round: readonly RoundRequest[], nowMs: number): BatchEntry[] {
  const entries: BatchEntry[] = [];
  for (const { batch, account, rowStart } of round) {
    if (batch === null) continue;
    entries.push(entryOf(batch, account, { firstRow: rowStart, nowMs }));
  }
  return entries;
}

function entryOf(
  { key, bodyHash }: NonNullable<RoundRequest["batch"]>,
  { accepted, rejected, errors }: RowAccount,
  { firstRow, nowMs }: { readonly firstRow: number; readonly nowMs: number },
): BatchEntry {
  const errorsJson = errors.length === 0 ? "" : JSON.stringify(errors);
  return { key, bodyHash, accepted, rejected, firstRow, createdMs: nowMs, errorsJson };
}

function idOf(owner: TableOwner, row: number): string | null {
  const column = owner.builder.columns[1];
  assert(column !== undefined, "every table has an id column");
  const start = column.offsets[row] as number;
  const end = column.offsets[row + 1] as number;
  return end === start ? null : textDecoder.decode(column.text.subarray(start, end));
}
