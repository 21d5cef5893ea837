import { assert } from "../../shared/assert.js";
import { encodeRowsRecord, encodeSchemaRecord, recordBytes } from "../../shared/formats/wal-record-v1-encode.js";
import type { BatchEntry } from "../../shared/formats/wal-batches-v1.js";
import type { EntryRingProducer } from "../../shared/ring/entry-ring.js";
import { newWalDescriptor, stageWalDescriptor } from "../../shared/ring/wal-descriptor.js";
import type { Block } from "./block-pool.js";
import type { Replies } from "./replies.js";
import type { RoundRequest, TableOwner } from "./table-owner.js";

const textDecoder = new TextDecoder();

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

  /** Records that can be announced before the WAL thread has to read some. */
  get free(): number {
    return this.#walRing.free;
  }

  /** Turns the owner's round into a record; nothing when it has no rows. */
  emit(owner: TableOwner): void {
    const { builder, buffer, round } = owner;
    if (round.length === 0) return;
    const firstSequence = buffer.lastSequence + 1;
    if (builder.schema.version !== owner.loggedSchemaVersion) this.#emitSchema(owner, firstSequence);
    const batch = owner.sealer.seal(builder.finish(), builder.schema);
    const nowMs = Date.now();
    const batches = batchEntries(round, nowMs);
    const bytes = recordBytes(batch, batches);
    const block = owner.arena.reserve(bytes);
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
    for (const entry of batches) {
      const lastSequence = firstSequence + entry.firstRow + entry.accepted - 1;
      owner.batchIds.remember({ entry, lastSequence, logPosition });
    }
    this.#pending.push({ logPosition, bytes });
    this.#pendingBytes += bytes;
    builder.reset();
    owner.round = [];
    owner.roundBatches.clear();
  }

  /** Lets the WAL thread see what was announced; true when it has something to write. The completions go first. */
  publish(): boolean {
    const announced = this.#walStaged;
    if (announced) this.#walRing.publish();
    this.#walStaged = false;
    return announced;
  }

  #emitSchema(owner: TableOwner, firstSequence: number): void {
    const { schema, rowCount } = owner.builder;
    const record = encodeSchemaRecord({ tableUuid: owner.identity.uuid, firstSequence, schema });
    const block = owner.arena.reserve(record.length);
    block.bytes.set(record, block.used);
    this.#announce(block, { offset: block.used, length: record.length, completions: 0 });
    block.used += record.length;
    if (schema.columns.some((column) => column.replacesFieldId !== undefined)) {
      owner.wideningSequence = firstSequence + rowCount - 1;
    }
    owner.loggedSchemaVersion = schema.version;
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

function batchEntries(round: readonly RoundRequest[], createdMs: number): BatchEntry[] {
  const entries: BatchEntry[] = [];
  for (const { batch, account, rowStart } of round) {
    if (batch === null) continue;
    entries.push({
      key: batch.key,
      bodyHash: batch.bodyHash,
      accepted: account.accepted,
      rejected: account.rejected,
      firstRow: rowStart,
      createdMs,
      errorsJson: account.errors.length === 0 ? "" : JSON.stringify(account.errors),
    });
  }
  return entries;
}

function idOf(owner: TableOwner, row: number): string | null {
  const column = owner.builder.columns[1];
  assert(column !== undefined, "every table has an id column");
  const start = column.offsets[row] as number;
  const end = column.offsets[row + 1] as number;
  return end === start ? null : textDecoder.decode(column.text.subarray(start, end));
}
