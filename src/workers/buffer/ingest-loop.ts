import { receiveMessageOnPort } from "node:worker_threads";
import { ColumnKeys } from "../../shared/encryption/column-keys.js";
import { fromErrorMessage, MiniodbError, toErrorMessage } from "../../shared/errors.js";
import { failpoint } from "../../shared/failpoints.js";
import { limits } from "../../shared/limits.js";
import type { IngestOptions, IngestToMain, MainToIngest, OpenTable } from "../../shared/messages.js";
import type { BufferedRows } from "../../shared/table-messages.js";
import { ByteRingConsumer } from "../../shared/ring/byte-ring.js";
import { DoorbellRinger, DoorbellSleeper, MainDoorbellRinger } from "../../shared/ring/doorbell.js";
import { EntryRingGate, EntryRingProducer } from "../../shared/ring/entry-ring.js";
import { frameDurabilities, FrameReader } from "../../shared/ring/frame.js";
import { noteDropped } from "../../shared/shared-memory-gc.js";
import { nameKey } from "../../shared/schema/table-schema.js";
import { BatchIds } from "./batch-ids.js";
import { BlockPool, type Block } from "./block-pool.js";
import { measureRows } from "./measure-rows.js";
import { replayTables } from "./replay-tables.js";
import { Replies } from "./replies.js";
import { RequestIntake } from "./request-intake.js";
import { RoundEmitter } from "./round-emitter.js";
import { TableOwner } from "./table-owner.js";

/** A round ends after this much of the ring: small enough for latency, large enough to share a record's overhead. */
const roundFramesMax = 1024;
const roundBytesMax = 1024 * 1024;
/** Below this the log has to catch up: a frame adds at most two records (schema, rows), beside those of the tables that it finds touched. */
const walRoomMin = 2 * roundFramesMax + 16;
const idleWaitMs = 250;
const reportIntervalMs = 1000;
/** A name for each block across all workers: the low bits count, the high bits are the worker. */
const blocksPerWorker = 2 ** 26;

type ChangeSchema = Extract<MainToIngest, { kind: "change-schema" }>;

/**
 * The life of one ingest worker: a synchronous loop over its rings. It never waits for disk or network; it sleeps on its
 * doorbell, and what main tells it by message is polled once per round.
 *
 * ```
 * round:  messages ─▶ frames into builders ─▶ slices of large bodies ─▶ one record per touched table ─▶ publish
 * ```
 */
export class IngestLoop {
  readonly #options: IngestOptions;
  readonly #owners = new Map<string, TableOwner>();
  readonly #ownersByUuid = new Map<string, TableOwner>();
  readonly #requests: ByteRingConsumer;
  readonly #slab: Uint8Array;
  readonly #frame = new FrameReader();
  readonly #bell: DoorbellSleeper;
  readonly #walBell: DoorbellRinger;
  readonly #mainBell: MainDoorbellRinger;
  readonly #replies: Replies;
  readonly #emitter: RoundEmitter;
  readonly #intake: RequestIntake;
  readonly #blocks: BlockPool;
  readonly #columnKeys: ColumnKeys;
  readonly #batchIds: BatchIds;
  /** Blocks of the slices that are out, by ticket. */
  readonly #slices = new Map<number, readonly Block[]>();
  /** Waiting for a moment at which no row of their table is being decoded. */
  #schemaChanges: ChangeSchema[] = [];
  #droppedBytes = 0;
  #reportedMs = 0;
  #stopped = false;

  constructor(options: IngestOptions) {
    this.#options = options;
    this.#columnKeys = new ColumnKeys(options.columnKeys);
    this.#requests = new ByteRingConsumer(options.requestRing);
    this.#slab = new Uint8Array(options.slab);
    this.#bell = new DoorbellSleeper(options.doorbell);
    this.#walBell = new DoorbellRinger(options.walDoorbell);
    this.#mainBell = new MainDoorbellRinger(options.mainDoorbell);
    const gated = { ring: new EntryRingProducer(options.gatedRing), gate: new EntryRingGate(options.gatedRing) };
    this.#replies = new Replies(gated, new EntryRingProducer(options.immediateRing), (message) => this.#post(message));
    this.#emitter = new RoundEmitter(new EntryRingProducer(options.walRing), this.#replies);
    const { worker, workers, inflatedBytesMax, batchIdWindowMs: windowMs, batchIdsMax: countMax } = options;
    this.#batchIds = new BatchIds({ windowMs, countMax, errorsMax: limits.batchErrorsMax });
    this.#blocks = new BlockPool(worker * blocksPerWorker, {
      onBlock: (block) => this.#announceBlock(block),
      onDrop: (block) => this.#dropBlock(block),
    });
    this.#intake = new RequestIntake({
      worker,
      workers,
      inflatedBytesMax,
      owners: this.#owners,
      replies: this.#replies,
      isDurable: (position) => this.#isDurable(position),
      logRoom: (rounds) => this.#emitter.roomBeside(rounds),
      needTable: (name, mayCreate) => this.#post({ kind: "need-table", worker, name, mayCreate }),
      reroute: (requestId, table, body) => this.#post({ kind: "reroute", requestId, table, body }),
      emitTable: (owner) => {
        this.#emitter.emit(owner);
        // Large bodies one after the other leave no other moment.
        this.#changeSchemas();
      },
      emitOperations: (owner, operations) => this.#emitter.emitOperations(owner, operations),
    });
  }

  /** Replays the log, then serves until main says stop. */
  run(): void {
    const { tables, walFolder } = this.#options;
    for (const table of tables) this.#open(table);
    const { replayedRows, gaps } = replayTables(walFolder, this.#ownersByUuid, tables);
    const lastSequences: Record<string, number> = {};
    for (const [uuid, owner] of this.#ownersByUuid) lastSequences[uuid] = owner.buffer.lastSequence;
    this.#post({ kind: "ready", replayedRows, lastSequences, gaps });
    while (!this.#stopped) {
      this.#bell.mark();
      if (!this.#round() && !this.#stopped) this.#bell.wait(idleWaitMs);
    }
    this.#post({ kind: "stopped" });
  }

  /** One round; false when there was nothing to do. */
  #round(): boolean {
    failpoint("ingest.round");
    let worked = this.#readMessages();
    this.#intake.answerJoiners();
    if (this.#intake.hasHeld && this.#hasLogRoom()) {
      this.#intake.resumeHeld();
      worked = true;
    }
    if (this.#hasLogRoom()) {
      if (this.#readFrames()) worked = true;
      if (this.#intake.hasLarge) {
        this.#intake.stepLarge();
        worked = true;
      }
    }
    this.#emitTouched();
    this.#changeSchemas();
    const mainHasNews = this.#replies.publish();
    if (this.#emitter.publish()) this.#walBell.ring();
    if (mainHasNews) this.#mainBell.ring();
    this.#report();
    return worked;
  }

  /** Those for which the log's ring has no room keep their rows in the builder. */
  #emitTouched(): void {
    const { touched } = this.#intake;
    for (const owner of touched) {
      if (this.#emitter.roomBeside(1) < 0) return;
      this.#emitter.emit(owner);
      this.#reportCrossing(owner);
      touched.delete(owner);
    }
  }

  #hasLogRoom(): boolean {
    if (this.#emitter.roomBeside(this.#intake.touched.size) < walRoomMin) return false;
    return this.#emitter.pendingBytes((position) => this.#isDurable(position)) < this.#options.walPendingBytesMax;
  }

  #isDurable(logPosition: number): boolean {
    return this.#replies.isDurable(logPosition);
  }

  #readFrames(): boolean {
    const ring = this.#requests;
    const frame = this.#frame;
    let frames = 0;
    let bytes = 0;
    while (frames < roundFramesMax && bytes < roundBytesMax) {
      const start = ring.peek();
      if (start < 0) break;
      frame.read(ring, start);
      this.#intake.take({
        requestId: frame.requestId,
        format: frame.format,
        encoding: frame.contentEncoding,
        memory: frame.durability === frameDurabilities.memory,
        flags: frame.flags,
        receivedMicros: frame.receivedMicros,
        table: frame.table,
        batchId: frame.batchId,
        principal: frame.principal,
        body: frame.body(ring, this.#slab),
      });
      frames++;
      bytes += frame.bodyBytes;
      ring.release();
    }
    return frames > 0;
  }

  #readMessages(): boolean {
    let count = 0;
    for (;;) {
      const received = receiveMessageOnPort(this.#options.mainPort);
      if (received === undefined) return count > 0;
      this.#obey(received.message as MainToIngest);
      count++;
    }
  }

  #obey(message: MainToIngest): void {
    switch (message.kind) {
      case "open-table":
        this.#open(message.table);
        this.#intake.resume(message.table.identity.name, null);
        return;
      case "refuse-table":
        this.#intake.resume(message.name, fromErrorMessage(message.error));
        return;
      case "drop-table":
        this.#drop(message.uuid);
        return;
      case "change-settings":
        this.#ownersByUuid.get(message.uuid)?.changeSettings(message.settings);
        return;
      case "take-records":
        this.#handOver(message);
        return;
      case "change-schema":
        this.#schemaChanges.push(message);
        return;
      case "measure-rows": {
        const owner = this.#ownersByUuid.get(message.uuid);
        const buffered = owner === undefined ? null : this.#measure(owner);
        this.#post({ kind: "measured", ticket: message.ticket, buffered });
        return;
      }
      case "flushed": {
        const freed = this.#ownersByUuid.get(message.uuid)?.flushed(message.sequence, message.schema) ?? [];
        for (const block of freed) this.#blocks.free(block, this.#replies.logPosition);
        return;
      }
      case "release-records": {
        for (const block of this.#slices.get(message.ticket) ?? []) {
          this.#blocks.readerDone(block, this.#replies.logPosition);
        }
        this.#slices.delete(message.ticket);
        return;
      }
      case "stop":
        this.#stopped = true;
        return;
    }
  }

  #open(table: OpenTable): void {
    const key = nameKey(table.identity.name);
    if (this.#ownersByUuid.has(table.identity.uuid)) return;
    const { worker } = this.#options;
    const isDurable = (position: number): boolean => this.#isDurable(position);
    const owner = new TableOwner(table, {
      worker,
      batchIds: this.#batchIds,
      takeBlock: (bytes) => this.#blocks.take(bytes, isDurable),
      columnKeys: this.#columnKeys,
    });
    this.#owners.set(key, owner);
    this.#ownersByUuid.set(table.identity.uuid, owner);
  }

  #drop(uuid: string): void {
    const owner = this.#ownersByUuid.get(uuid);
    if (owner === undefined) return;
    this.#intake.abandon(owner, new MiniodbError("TABLE_NOT_FOUND", `Table ${owner.identity.name} was dropped`));
    this.#ownersByUuid.delete(uuid);
    this.#owners.delete(nameKey(owner.identity.name));
    for (const block of owner.blocks()) this.#blocks.free(block, this.#replies.logPosition);
  }

  #handOver(message: Extract<MainToIngest, { kind: "take-records" }>): void {
    const { ticket, uuid, afterSequence, throughSequence, purpose } = message;
    const owner = this.#ownersByUuid.get(uuid);
    if (owner === undefined) {
      const slice = { blocks: [], spans: new Int32Array(0) };
      this.#post({
        kind: "records",
        ticket,
        uuid,
        slice,
        lastSequence: afterSequence,
        schema: null,
        isReplacing: false,
      });
      return;
    }
    const isDurable = (position: number): boolean => this.#isDurable(position);
    const { buffer } = owner;
    let lastSequence =
      purpose === "seal"
        ? buffer.visibleSequence((record) => owner.isVisible(record, isDurable))
        : buffer.visibleSequence((record) => isDurable(record.logPosition));
    lastSequence = Math.max(Math.min(lastSequence, throughSequence ?? lastSequence), afterSequence);
    if (purpose === "flush" && lastSequence < owner.wideningSequence) lastSequence = afterSequence;
    const schema = purpose === "flush" ? owner.beginFlush() : owner.schema;
    const { slice, blocks, isReplacing } = buffer.slice(afterSequence, lastSequence);
    for (const block of blocks) block.readers++;
    this.#slices.set(ticket, blocks);
    this.#post({ kind: "records", ticket, uuid, slice, lastSequence, schema, isReplacing });
  }

  #changeSchemas(): void {
    if (this.#schemaChanges.length === 0) return;
    this.#schemaChanges = this.#schemaChanges.filter((message) => !this.#changeSchema(message));
  }

  /** False when it has to wait. */
  #changeSchema({ ticket, uuid, operations, fieldIdsInFiles }: ChangeSchema): boolean {
    const owner = this.#ownersByUuid.get(uuid);
    if (owner !== undefined && (owner.busy || owner.builder.rowCount > 0)) return false;
    try {
      if (owner === undefined) throw new MiniodbError("TABLE_NOT_FOUND", "The table was dropped");
      const answer = owner.changeSchema(operations, new Set(fieldIdsInFiles));
      this.#post({ kind: "schema-changed", ticket, answer });
    } catch (error) {
      this.#post({ kind: "schema-changed", ticket, answer: { kind: "refused", error: toErrorMessage(error) } });
    }
    return true;
  }

  #measure(owner: TableOwner): BufferedRows {
    const isDurable = (position: number): boolean => this.#isDurable(position);
    const lastSequence = owner.buffer.visibleSequence((record) => owner.isVisible(record, isDurable));
    return measureRows(owner.buffer, lastSequence);
  }

  #announceBlock(block: Block): void {
    const { worker, walPort } = this.#options;
    walPort.postMessage({ kind: "block", worker, blockId: block.id, buffer: block.buffer });
  }

  #dropBlock(block: Block): void {
    const { worker, walPort } = this.#options;
    walPort.postMessage({ kind: "block", worker, blockId: block.id, buffer: null });
    this.#droppedBytes += block.bytes.length;
  }

  /** Dropped memory goes when the last thread that saw it collects its garbage: this one and main are told here. */
  #trimBlocks(): void {
    this.#blocks.trim();
    if (this.#droppedBytes === 0) return;
    this.#post({ kind: "blocks-dropped", bytes: this.#droppedBytes });
    noteDropped(this.#droppedBytes);
    this.#droppedBytes = 0;
  }

  /** Tells main at once when a table crosses its flush size. */
  #reportCrossing(owner: TableOwner): void {
    const { rows, bytes } = owner.buffer;
    const flushBytes = owner.settings.flushBytes ?? this.#options.flushBytes;
    const flushRows = owner.settings.flushRows ?? this.#options.flushRows;
    const isFull = bytes >= flushBytes || rows >= flushRows;
    if (isFull && !owner.reportedFull) this.#reportLoad(owner);
    owner.reportedFull = isFull;
  }

  /** Tells main every second how full the tables are that hold rows, or did when last reported. */
  #report(): void {
    const nowMs = Date.now();
    if (nowMs - this.#reportedMs < reportIntervalMs) return;
    this.#reportedMs = nowMs;
    this.#trimBlocks();
    for (const owner of this.#owners.values()) {
      if (owner.buffer.rows > 0 || owner.reportedRows > 0) this.#reportLoad(owner);
    }
  }

  #reportLoad(owner: TableOwner): void {
    const { rows, bytes, oldestMs, lastSequence } = owner.buffer;
    owner.reportedRows = rows;
    this.#post({ kind: "table-load", uuid: owner.identity.uuid, rows, bytes, oldestMs, lastSequence });
  }

  #post(message: IngestToMain): void {
    this.#options.mainPort.postMessage(message);
  }
}
