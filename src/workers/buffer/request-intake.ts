import { createHash } from "node:crypto";
import { assert } from "../../shared/assert.js";
import type { BatchBuilder } from "../../shared/columns/batch-builder.js";
import type { ColumnBuilder } from "../../shared/columns/column-builder.js";
import { RowAccount } from "../../shared/columns/row-account.js";
import { MiniodbError } from "../../shared/errors.js";
import type { OperationsPart } from "../../shared/formats/wal-operations-v1.js";
import { recordKinds, type RowsKind } from "../../shared/formats/wal-record-v1.js";
import { limits } from "../../shared/limits.js";
import { frameEncodings, frameFlags } from "../../shared/ring/frame.js";
import { readGuardedBody } from "../../shared/ring/guarded-body.js";
import { nameKey, tableNamePattern } from "../../shared/schema/table-schema.js";
import { ownerOf } from "../../shared/table-placement.js";
import type { Decoding } from "../decode/decoder.js";
import { openDecode } from "../decode/formats.js";
import { inflate } from "../decode/inflate.js";
import { readTableName } from "../decode/read-table-name.js";
import type { RememberedBatch } from "./batch-ids.js";
import { appendIds, IdReader, textsOfIds, type ReadIds } from "./id-reader.js";
import { keepLetters, keepsLetters } from "./keep-letters.js";
import { refuseNewer } from "./newer-rows.js";
import type { Replies } from "./replies.js";
import type { OperationsRound } from "./round-emitter.js";
import type { TableOwner } from "./table-owner.js";

/** Bodies above this size are decoded in slices, other tables' requests in between. */
const sliceBytes = 1024 * 1024;
/** A round whose rows have grown to this becomes a record: no request pays for the wide rows of others. */
const roundBuilderBytesMax = 64 * 1024 * 1024;
/** Copies of inline bodies that wait for their table; above it the request is refused. */
const parkedBytesMax = 32 * 1024 * 1024;
/** One request may end the round before it, and its own, with two records each, and leave its table touched. */
const recordsPerRequestMax = 6;

/** One request as a frame brought it. */
export interface IngestRequest {
  readonly requestId: number;
  readonly format: number;
  readonly encoding: number;
  /** Answered without waiting for the log. */
  readonly memory: boolean;
  readonly flags: number;
  readonly receivedMicros: number;
  /** Empty while only the body knows it. */
  readonly table: string;
  readonly batchId: string;
  readonly principal: string;
  /** As sent; in the ring until the frame is released, in the slab until the reply. */
  readonly body: Uint8Array;
}

/** See TableOwner.takeOperations. */
type Sorting = Generator<void, readonly OperationsPart[]>;

interface LargeDecode {
  readonly owner: TableOwner;
  readonly request: IngestRequest;
  readonly account: RowAccount;
  readonly decoding: Decoding;
  /** Of mixed operations, once they are decoded. */
  sorting: Sorting | null;
  /** Where its rows go. */
  readonly builder: BatchBuilder;
  /** Its content encoding undone. */
  readonly body: Uint8Array;
  /** See frameFlags.unlessNewer; null: it holds in any case. */
  readonly unlessAfter: number | null;
  readonly batch: TableBatch | null;
  /** Memory of the body, where its Content-Encoding was undone; 0: it lies in the slab. */
  readonly inflatedBytes: number;
}

interface TableBatch {
  readonly key: string;
  readonly bodyHash: Uint8Array;
}

/** A repeat of a batch that is in the log's queue: answered when that record is durable. */
interface Joiner {
  readonly requestId: number;
  readonly batch: RememberedBatch;
  readonly tableSlot: number;
}

export interface IntakeOptions {
  readonly worker: number;
  readonly workers: number;
  readonly inflatedBytesMax: number;
  readonly owners: ReadonlyMap<string, TableOwner>;
  readonly replies: Replies;
  readonly isDurable: (logPosition: number) => boolean;
  /** Records that the log's ring takes, beside those of so many rounds that are still to be emitted. */
  readonly logRoom: (rounds: number) => number;
  /** Asks main for a table that no owner of this worker holds. */
  readonly needTable: (name: string, mayCreate: boolean) => void;
  /** Sends a request back to main, whose table turned out to be another worker's. */
  readonly reroute: (requestId: number, table: string, body: Uint8Array) => void;
  /** Ends the table's round with a record, so that a batch id of it becomes an entry. */
  readonly emitTable: (owner: TableOwner) => void;
  /** As a round of its own; the table's round was ended before. */
  readonly emitOperations: (owner: TableOwner, operations: OperationsRound) => void;
}

/**
 * From frame to rows in a table's builder. What cannot go on at once waits in order: for its table to be opened, for
 * a large body of the same table, for the memory of other tables' large bodies that were inflated, or (repeats of a batch
 * id, and all when its ring is full) for the log.
 */
export class RequestIntake {
  /** Owners whose builder holds rows of this round. */
  readonly touched = new Set<TableOwner>();
  readonly #options: IntakeOptions;
  readonly #waiting = new Map<string, IngestRequest[]>();
  /** Of these tables, the ones whose requests wait only for room, in the log's ring or of inflated bodies. */
  readonly #held = new Set<string>();
  readonly #ids = new IdReader();
  readonly #large: LargeDecode[] = [];
  #joiners: Joiner[] = [];
  #parkedBytes = 0;
  /** Of all large bodies that are being decoded. */
  #inflatedBytes = 0;

  constructor(options: IntakeOptions) {
    this.#options = options;
  }

  /** True while large bodies wait for their next slice. */
  get hasLarge(): boolean {
    return this.#large.length > 0;
  }

  /** True while requests wait for room, see `#held`. */
  get hasHeld(): boolean {
    return this.#held.size > 0;
  }

  /** Takes one request; its body need not outlive the call unless it is in the slab. */
  take(request: IngestRequest): void {
    try {
      const named = request.table === "" ? this.#nameTable(request) : request;
      if (named !== null) this.#route(named);
    } catch (error) {
      this.#options.replies.fail(request.requestId, error);
    }
  }

  /**
   * Main has opened (or refused) this table: the requests that waited for it go on, in order. Thousands may wait, and each
   * end a round (of another kind of write than the one before, or a repeat): where there is no room, the rest is held.
   */
  resume(name: string, refusal: MiniodbError | null): void {
    const key = nameKey(name);
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) return;
    this.#waiting.delete(key);
    this.#held.delete(key);
    for (const [index, request] of waiting.entries()) {
      if (refusal === null && !(this.#hasLogRoom && this.#mayInflate(request))) {
        this.#hold(key, waiting.slice(index));
        return;
      }
      this.#unpark(request);
      if (refusal === null) this.take(request);
      else this.#options.replies.fail(request.requestId, refusal);
    }
  }

  /** What was held goes on, as far as there is room again. */
  resumeHeld(): void {
    // A copy, as one that finds no room is held again.
    const held = [...this.#held];
    for (const key of held) this.resume(key, null);
  }

  /** The table is gone: what it still decodes, has in its round, or let wait, is refused. */
  abandon(owner: TableOwner, error: MiniodbError): void {
    for (const { requestId } of owner.round) this.#options.replies.fail(requestId, error);
    owner.round = [];
    this.touched.delete(owner);
    for (let index = this.#large.length - 1; index >= 0; index--) {
      const large = this.#large[index];
      if (large?.owner !== owner) continue;
      this.#endLarge(index);
      this.#options.replies.fail(large.request.requestId, error);
    }
    this.resume(owner.identity.name, error);
  }

  /** One more slice of each large body. */
  stepLarge(): void {
    for (let index = 0; index < this.#large.length; index++) {
      if (!this.#hasLogRoom) return;
      const large = this.#large[index];
      assert(large !== undefined, "the index is within the list");
      const isDone = this.#step(large);
      if (!isDone) continue;
      this.#endLarge(index--);
      large.owner.busy = false;
      // Its rows become a record of their own before the requests that waited behind it are decoded.
      this.#options.emitTable(large.owner);
      this.resume(large.owner.identity.name, null);
    }
  }

  /** Answers repeats whose first is durable now. */
  answerJoiners(): void {
    if (this.#joiners.length === 0) return;
    const { isDurable, replies } = this.#options;
    this.#joiners = this.#joiners.filter(({ requestId, batch, tableSlot }) => {
      if (!isDurable(batch.logPosition)) return true;
      replies.repeated(requestId, batch, tableSlot);
      return false;
    });
  }

  /** The body names its table; null when that table is another worker's. */
  #nameTable(request: IngestRequest): IngestRequest | null {
    const { worker, workers, inflatedBytesMax } = this.#options;
    const plain = inflate(request.body, request.encoding, inflatedBytesMax);
    const table = readTableName(plain);
    if (table === null || !tableNamePattern.test(table)) {
      throw new MiniodbError("INVALID_REQUEST", "table must be a name of letters, digits and _ (at most 64)", {
        field: "table",
        table,
      });
    }
    if (ownerOf(table, workers) === worker) return { ...request, table };
    this.#options.reroute(request.requestId, table, request.body.slice());
    return null;
  }

  #route(request: IngestRequest): void {
    const key = nameKey(request.table);
    const owner = this.#options.owners.get(key);
    const isFree = owner !== undefined && !owner.busy && !this.#held.has(key);
    if (isFree && this.#mayInflate(request)) {
      this.#begin(owner, request);
      return;
    }
    const waiting = this.#waiting.get(key);
    const parked = this.#park(request);
    if (waiting !== undefined) {
      waiting.push(parked);
      return;
    }
    this.#waiting.set(key, [parked]);
    if (isFree) this.#held.add(key);
    if (owner === undefined) this.#options.needTable(request.table, (request.flags & frameFlags.mayCreateTable) !== 0);
  }

  /** One table's large bodies come one after the other; those of many tables would each be in memory as a whole. */
  #mayInflate({ encoding }: IngestRequest): boolean {
    return encoding === frameEncodings.identity || this.#inflatedBytes < this.#options.inflatedBytesMax;
  }

  #endLarge(index: number): void {
    for (const { inflatedBytes } of this.#large.splice(index, 1)) this.#inflatedBytes -= inflatedBytes;
  }

  get #hasLogRoom(): boolean {
    return this.#options.logRoom(this.touched.size) >= recordsPerRequestMax;
  }

  /** Behind what may wait for this table again, in the place where it was parked. */
  #hold(key: string, rest: readonly IngestRequest[]): void {
    this.#waiting.set(key, [...(this.#waiting.get(key) ?? []), ...rest]);
    this.#held.add(key);
  }

  #park(request: IngestRequest): IngestRequest {
    if ((request.flags & frameFlags.slab) !== 0) return request;
    if (this.#parkedBytes + request.body.length > parkedBytesMax) {
      throw new MiniodbError("SERVER_BUSY", "Too many writes wait for this table", { table: request.table });
    }
    this.#parkedBytes += request.body.length;
    return { ...request, body: request.body.slice() };
  }

  #unpark(request: IngestRequest): void {
    if ((request.flags & frameFlags.slab) === 0) this.#parkedBytes -= request.body.length;
  }

  #begin(owner: TableOwner, request: IngestRequest): void {
    const batch = request.batchId === "" ? null : batchOf(request);
    if (batch !== null && this.#isRepeat(owner, request, batch)) return;
    owner.sealer.check(owner.schema);
    const guarded = (request.flags & frameFlags.unlessNewer) === 0 ? null : readGuardedBody(request.body);
    const body = guarded === null ? this.#plainBody(request) : guarded.body;
    const unlessAfter = guarded === null ? null : guarded.unlessAfter;
    const kind = kindOf(owner, request.flags);
    if (kind === recordKinds.tombstones) {
      this.#delete(owner, request, { body, unlessAfter, batch });
      return;
    }
    const account = new RowAccount(keepsLetters(owner, request.flags) ? limits.deadLettersMax : limits.rowErrorsMax);
    const idRequired = (request.flags & frameFlags.idRequired) !== 0;
    const isLarge = body.length > sliceBytes;
    const isMixed = hasOperations(request);
    // A large body starts a round of its own, so that undoing it undoes nobody else's rows; one of operations is one.
    if (isLarge || isMixed || unlessAfter !== null || kind !== owner.roundKind) this.#options.emitTable(owner);
    owner.roundKind = kind;
    const target = isMixed
      ? owner.operationsTarget(account, request.receivedMicros)
      : owner.decodeTarget(account, request.receivedMicros, idRequired);
    const { builder } = target;
    const rowStart = builder.rowCount;
    try {
      const originalShape = (request.flags & frameFlags.originalShape) !== 0;
      const decoding = openDecode(request.format, originalShape, body, target);
      if (isLarge) {
        owner.busy = true;
        const inflatedBytes = body === request.body ? 0 : body.length;
        this.#inflatedBytes += inflatedBytes;
        const sorting = null;
        this.#large.push({
          owner,
          request,
          account,
          decoding,
          sorting,
          builder,
          body,
          unlessAfter,
          batch,
          inflatedBytes,
        });
        return;
      }
      while (!decoding.step(body.length + 1));
      if (unlessAfter !== null) refuseNewer(owner.buffer, idsOf(builder), unlessAfter);
      if (isMixed) {
        const parts = ended(sort(owner, request, account));
        this.#finishOperations(owner, request, { account, body, batch, parts });
      } else if (account.rejected > 0) keepLetters(owner, request, account, body);
    } catch (error) {
      builder.rollback(rowStart);
      throw error;
    }
    if (!isMixed) this.#finish(owner, request, { account, batch, rowStart });
  }

  /** Its content encoding undone. */
  #plainBody({ body, encoding }: IngestRequest): Uint8Array {
    const { inflatedBytesMax } = this.#options;
    return encoding === frameEncodings.identity ? body : inflate(body, encoding, inflatedBytesMax);
  }

  /** Rows of a batch of deletes are read apart: nothing but their ids comes into the table's builder. */
  #delete(
    owner: TableOwner,
    request: IngestRequest,
    { body, unlessAfter, batch }: Pick<LargeDecode, "body" | "unlessAfter" | "batch">,
  ): void {
    const ids = this.#ids.read(body, { format: request.format, table: owner.identity.name });
    const { account } = ids;
    if ((request.flags & frameFlags.readsIds) !== 0) {
      this.#options.replies.ids({ requestId: request.requestId, account, tableSlot: owner.slot, ids: textsOfIds(ids) });
      return;
    }
    if (unlessAfter !== null || owner.roundKind !== recordKinds.tombstones) this.#options.emitTable(owner);
    if (unlessAfter !== null) refuseNewer(owner.buffer, ids, unlessAfter);
    owner.roundKind = recordKinds.tombstones;
    const rowStart = owner.builder.rowCount;
    appendIds(owner.builder, ids, { receivedMicros: request.receivedMicros, generateId: null, idRequired: true });
    this.#finish(owner, request, { account, batch, rowStart });
  }

  /** True when the body is done, well or not. */
  #step(large: LargeDecode): boolean {
    const { owner, request, account, decoding, builder, body, unlessAfter, batch } = large;
    try {
      if (large.sorting !== null) {
        const step = large.sorting.next();
        if (step.done !== true) return false;
        this.#finishOperations(owner, request, { account, body, batch, parts: step.value });
        return true;
      }
      if (!decoding.step(sliceBytes)) return false;
      if (unlessAfter !== null) refuseNewer(owner.buffer, idsOf(builder), unlessAfter);
      owner.sealer.checkSize(builder.finish(), builder.schema);
      if (hasOperations(request)) {
        large.sorting = sort(owner, request, account);
        return false;
      }
      if (account.rejected > 0) keepLetters(owner, request, account, body);
      this.#finish(owner, request, { account, batch, rowStart: 0 });
    } catch (error) {
      builder.rollback(0);
      this.#options.replies.fail(request.requestId, error);
    }
    return true;
  }

  #finish(
    owner: TableOwner,
    request: IngestRequest,
    decoded: { readonly account: RowAccount; readonly batch: TableBatch | null; readonly rowStart: number },
  ): void {
    const { account, batch, rowStart } = decoded;
    const rowEnd = owner.builder.rowCount;
    assert(rowEnd - rowStart === account.accepted, "every accepted row is in the builder");
    if (account.accepted === 0) {
      this.#options.replies.rejected(request.requestId, account, owner.slot);
      return;
    }
    if (batch !== null) owner.roundBatches.add(batch.key);
    const isRoundFull = owner.builder.bytes() >= roundBuilderBytesMax;
    const wantsId = (request.flags & frameFlags.originalShape) !== 0;
    owner.round.push({
      requestId: request.requestId,
      account,
      memory: request.memory,
      batch,
      rowStart,
      rowEnd,
      wantsId,
    });
    this.touched.add(owner);
    if (isRoundFull) this.#options.emitTable(owner);
  }

  /** The rows of a request with mixed operations are sorted: they become a round of their own. */
  #finishOperations(
    owner: TableOwner,
    request: IngestRequest,
    sorted: Pick<LargeDecode, "account" | "body" | "batch"> & { readonly parts: readonly OperationsPart[] },
  ): void {
    const { account, body, batch, parts } = sorted;
    const { requestId, memory } = request;
    if (account.rejected > 0) keepLetters(owner, request, account, body);
    if (account.accepted === 0) {
      this.#options.replies.rejected(requestId, account, owner.slot);
      return;
    }
    this.#options.emitOperations(owner, { request: { requestId, account, memory, batch }, parts });
    // Nothing is left to be emitted, but the table may have become full.
    this.touched.add(owner);
  }

  /** Answers a batch id that was there before: with its account, or BATCH_ID_CONFLICT when the body differs. */
  #isRepeat(owner: TableOwner, request: IngestRequest, batch: TableBatch): boolean {
    if (owner.roundBatches.has(batch.key)) this.#options.emitTable(owner);
    const first = owner.batchIds.find(owner.slot, batch.key, Date.now());
    if (first === undefined) return false;
    if (Buffer.compare(first.entry.bodyHash, batch.bodyHash) !== 0) {
      throw new MiniodbError("BATCH_ID_CONFLICT", "This batch id was used before with another body", {
        batch_id: request.batchId,
      });
    }
    if (this.#options.isDurable(first.logPosition)) {
      this.#options.replies.repeated(request.requestId, first, owner.slot);
    } else {
      this.#joiners.push({ requestId: request.requestId, batch: first, tableSlot: owner.slot });
    }
    return true;
  }
}

function sort(owner: TableOwner, { receivedMicros, flags }: IngestRequest, account: RowAccount): Sorting {
  return owner.takeOperations(account, receivedMicros, (flags & frameFlags.idRequired) !== 0);
}

function ended<Result>(steps: Generator<void, Result>): Result {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** Of all its rows, which have one each. */
function idsOf({ rowCount, columns }: BatchBuilder): Pick<ReadIds, "count" | "column"> {
  return { count: rowCount, column: columns[1] as ColumnBuilder };
}

function hasOperations({ flags }: IngestRequest): boolean {
  return (flags & frameFlags.operations) !== 0;
}

/** What the rows of a request do to the earlier ones of their ids. */
function kindOf(owner: TableOwner, flags: number): RowsKind {
  if ((flags & frameFlags.deletes) !== 0) return recordKinds.tombstones;
  return (flags & frameFlags.replaces) === 0 ? owner.defaultKind : recordKinds.replacing;
}

const bodyHashBytes = 16;

function batchOf(request: IngestRequest): TableBatch {
  const bodyHash = createHash("sha256").update(request.body).digest().subarray(0, bodyHashBytes);
  return { key: `${request.principal}\0${request.batchId}`, bodyHash };
}
