import { assert } from "../../shared/assert.js";
import { fromErrorMessage, MiniodbError } from "../../shared/errors.js";
import type { IngestToMain } from "../../shared/messages.js";
import { completionFlags, completionStatuses, type Completion } from "../../shared/ring/completion.js";
import { frameDurabilities, newFrameHeader, type FrameHeader } from "../../shared/ring/frame.js";
import type { SlabAllocator } from "../../shared/ring/slab-allocator.js";
import { ownerOf } from "../../shared/table-placement.js";
import { requestsPerWorkerMax, type IngestLink } from "./ingest-link.js";
import { durabilityNames, type WriteAccount, type WriteOutcome, type WriteRequest } from "./write-request.js";

type RequestDetail = Extract<IngestToMain, { kind: "request-detail" }>;

/** A request between its frame and its outcome. */
interface PendingRequest {
  readonly request: WriteRequest;
  readonly link: IngestLink;
  readonly submittedMs: number;
  detail: RequestDetail | null;
  /** The caller has been answered (the log stalled): the completion only frees what the request holds. */
  answered: boolean;
}

/** What the write path needs to know of a table by its completion's slot. */
export interface AcknowledgedTable {
  readonly name: string;
  readonly tokenPrefix: string;
  /** Highest sequence that was acknowledged to anybody: what a query must see. */
  ackedSequence: number;
}

export interface WritePathOptions {
  readonly slab: SlabAllocator;
  readonly table: (slot: number) => AcknowledgedTable;
  /** Resolves when a commit covers this sequence of the table; may flush for it. Rejects with STORE_UNAVAILABLE. */
  readonly stored: (slot: number, sequence: number) => Promise<void>;
  /** Writes lines into the table of dead letters; resolves with how many are durable there. Never rejects. */
  readonly keepLetters: (lines: string) => Promise<number>;
  /** Unflushed bytes of all tables, and how many there may be. */
  readonly bufferedBytes: () => number;
  readonly bufferedBytesMax: number;
  /** Null while writes are taken, else why not (draining, the log stalled, the log full). */
  readonly refusal: () => MiniodbError | null;
}

/**
 * Main's part of a write: admit, route to the table's owner, and turn completions into outcomes. It copies bytes and
 * counts; it never looks into a row.
 */
export class WritePath {
  readonly #options: WritePathOptions;
  /** By worker; null while a dead worker is being replaced. */
  readonly #links: (IngestLink | null)[] = [];
  readonly #header = newFrameHeader();
  /** By requestId - 1; ids are reused, so the lowest ones stay in cache. */
  readonly #pending: (PendingRequest | null)[] = [];
  readonly #freeIds: number[] = [];
  readonly #perWorker: number[] = [];
  readonly #ringing = new Set<IngestLink>();
  #ringScheduled = false;
  #pendingCount = 0;
  #completed = 0;
  readonly #onCompletion = (completion: Completion): void => this.#complete(completion);

  constructor(options: WritePathOptions) {
    this.#options = options;
  }

  /** Batches that a worker has answered, whatever the answer. */
  get completed(): number {
    return this.#completed;
  }

  get pendingCount(): number {
    return this.#pendingCount;
  }

  /** Sets the link of one worker: at start, and again when a worker was replaced. */
  connect(link: IngestLink): void {
    this.#links[link.worker] = link;
    this.#perWorker[link.worker] ??= 0;
  }

  /**
   * Admits a batch and sends it to its table's owner. When it returns nothing is durable: `done` says what is.
   * Throws SERVER_BUSY, WAL_STALLED or SHUTTING_DOWN when nothing of it was taken; a slab body is then still the
   * caller's.
   */
  submit(request: WriteRequest): void {
    const refusal = this.#options.refusal();
    if (refusal !== null) throw refusal;
    if (this.#options.bufferedBytes() > this.#options.bufferedBytesMax) {
      throw new MiniodbError("SERVER_BUSY", "Unflushed rows have reached ingest.bufferedBytesMax");
    }
    this.#send(request, ownerOf(request.table, this.#links.length));
  }

  /** Answers everything that workers and log have let out since the last call. */
  drain(): void {
    for (const link of this.#links) link?.drain(this.#onCompletion);
  }

  /** A worker's messages about single requests. */
  onDetail(message: RequestDetail): void {
    const pending = this.#pending[message.requestId - 1];
    if (pending !== null && pending !== undefined) pending.detail = message;
  }

  /** The body named a table of another worker: the request goes there, as if it had been routed right. */
  onReroute(message: Extract<IngestToMain, { kind: "reroute" }>): void {
    const pending = this.#take(message.requestId);
    if (pending === null) return;
    const { body } = pending.request;
    const chunk = body.kind === "slab" ? body : ({ kind: "chunk", bytes: message.body } as const);
    const request = { ...pending.request, table: message.table, body: chunk };
    try {
      this.#send(request, ownerOf(message.table, this.#links.length));
    } catch (error) {
      this.#free(request);
      const failure = error instanceof MiniodbError ? error : new MiniodbError("INTERNAL", String(error));
      if (!pending.answered) request.done({ kind: "failed", error: failure });
    }
  }

  /** Answers what waits for the log since before `beforeMs`: it may still become durable. */
  failStalled(beforeMs: number, error: MiniodbError): void {
    for (const pending of this.#pending) {
      if (pending === null || pending.answered || pending.submittedMs > beforeMs) continue;
      pending.answered = true;
      pending.request.done({ kind: "failed", error });
    }
  }

  /**
   * A worker died: what was under way on its link is answered, its slabs are freed, its ids are free again. The link is
   * never read again, as its completions would belong to nobody; until `connect` the worker's tables take no writes.
   */
  failWorker(link: IngestLink, error: MiniodbError): void {
    this.#links[link.worker] = null;
    for (let index = 0; index < this.#pending.length; index++) {
      if (this.#pending[index]?.link !== link) continue;
      const pending = this.#take(index + 1);
      if (pending === null) continue;
      this.#free(pending.request);
      if (!pending.answered) pending.request.done({ kind: "failed", error });
    }
  }

  #send(request: WriteRequest, worker: number): void {
    const link = this.#links[worker];
    assert(link !== undefined, "every worker has a link, or had one");
    if (link === null) throw new MiniodbError("WORKER_LOST", "The worker of this table died and is being replaced");
    const underWay = this.#perWorker[worker] ?? 0;
    if (underWay >= requestsPerWorkerMax) throw new MiniodbError("SERVER_BUSY", "Too many writes are under way");
    const requestId = this.#freeIds.pop() ?? this.#pending.push(null);
    const body = request.body.kind === "chunk" ? request.body.bytes : null;
    const isSent = link.push(this.#fill(request, requestId), body);
    if (!isSent) {
      this.#freeIds.push(requestId);
      throw new MiniodbError("SERVER_BUSY", "The ingest ring is full");
    }
    this.#pending[requestId - 1] = { request, link, submittedMs: Date.now(), detail: null, answered: false };
    this.#perWorker[worker] = underWay + 1;
    this.#pendingCount++;
    this.#ringSoon(link);
  }

  /** One ring per turn of the event loop: requests that arrive together wake the worker once. */
  #ringSoon(link: IngestLink): void {
    this.#ringing.add(link);
    if (this.#ringScheduled) return;
    this.#ringScheduled = true;
    setImmediate(() => {
      this.#ringScheduled = false;
      for (const each of this.#ringing) each.ring();
      this.#ringing.clear();
    });
  }

  #fill(request: WriteRequest, requestId: number): FrameHeader {
    const header = this.#header;
    header.requestId = requestId;
    header.format = request.format;
    header.durability = request.durability;
    header.contentEncoding = request.encoding;
    header.flags = request.flags;
    header.receivedMicros = Date.now() * 1000;
    header.table = request.table;
    header.batchId = request.batchId;
    header.principal = request.principal;
    header.slabOffset = request.body.kind === "slab" ? request.body.offset : -1;
    header.bodyBytes = request.body.kind === "slab" ? request.body.length : request.body.bytes.length;
    return header;
  }

  #complete(completion: Completion): void {
    if (completion.requestId === 0) return;
    this.#completed++;
    const isDetailed = (completion.flags & completionFlags.detail) !== 0;
    const waiting = this.#pending[completion.requestId - 1];
    if (isDetailed && waiting?.detail === null) waiting.link.pull();
    const pending = this.#take(completion.requestId);
    assert(pending !== null, "a completion belongs to a request under way");
    assert(!isDetailed || pending.detail !== null, "a detail travels ahead of its completion");
    this.#free(pending.request);
    if (completion.status === completionStatuses.failed) {
      const error = pending.detail?.error ?? { code: "INTERNAL", message: "No reason was given", details: {} };
      if (!pending.answered) pending.request.done({ kind: "failed", error: fromErrorMessage(error) });
      return;
    }
    const table = this.#options.table(completion.tableSlot);
    if (completion.sequence > table.ackedSequence) table.ackedSequence = completion.sequence;
    if (pending.answered) return;
    this.#account(completion, pending, table);
  }

  #account(completion: Completion, pending: PendingRequest, table: AcknowledgedTable): void {
    const { accepted, rejected, sequence, tableSlot, status } = completion;
    const isMemory = completion.durability === frameDurabilities.memory;
    const outcome = {
      kind: "account",
      table: table.name,
      accepted,
      rejected,
      errors: pending.detail?.errors ?? [],
      durability: durabilityNames[isMemory ? frameDurabilities.memory : frameDurabilities.fsync],
      sequence: sequence === 0 ? "" : table.tokenPrefix + sequence.toString(36),
      isRepeat: status === completionStatuses.repeated,
      id: pending.detail?.id ?? (completion.id === "" ? null : completion.id),
      ids: pending.detail?.ids ?? null,
    } as const;
    const { request } = pending;
    const letters = pending.detail?.letters ?? null;
    if (letters === null) this.#settle(request, outcome, tableSlot, sequence);
    else {
      // The reply waits for them, so that what it says of them holds.
      void this.#options.keepLetters(letters).then((kept) => {
        this.#settle(request, { ...outcome, deadLetters: kept }, tableSlot, sequence);
      });
    }
  }

  #settle(request: WriteRequest, outcome: WriteAccount, tableSlot: number, sequence: number): void {
    const { accepted } = outcome;
    if (request.durability !== frameDurabilities.stored || accepted === 0) {
      request.done(outcome);
      return;
    }
    this.#options.stored(tableSlot, sequence).then(
      () => request.done({ ...outcome, durability: "stored" }),
      (error: unknown) => request.done(storeFailure(error)),
    );
  }

  #take(requestId: number): PendingRequest | null {
    const pending = this.#pending[requestId - 1] ?? null;
    if (pending === null) return null;
    this.#pending[requestId - 1] = null;
    this.#freeIds.push(requestId);
    const { worker } = pending.link;
    this.#perWorker[worker] = (this.#perWorker[worker] ?? 0) - 1;
    this.#pendingCount--;
    return pending;
  }

  #free(request: WriteRequest): void {
    if (request.body.kind === "slab") this.#options.slab.free(request.body.offset);
  }
}

/** The rows are durable in the log, but not yet in the store: the caller asked for more than could be had in time. */
function storeFailure(error: unknown): WriteOutcome {
  if (error instanceof MiniodbError) return { kind: "failed", error };
  return { kind: "failed", error: new MiniodbError("STORE_UNAVAILABLE", String(error)) };
}
