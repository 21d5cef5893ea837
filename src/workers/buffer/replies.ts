import { assert } from "../../shared/assert.js";
import type { RowAccount, RowError } from "../../shared/columns/row-account.js";
import { toErrorMessage } from "../../shared/errors.js";
import type { IngestToMain } from "../../shared/messages.js";
import {
  completionFlags,
  completionStatuses,
  fitsCompletion,
  newCompletion,
  stageCompletion,
} from "../../shared/ring/completion.js";
import type { EntryRingGate, EntryRingProducer } from "../../shared/ring/entry-ring.js";
import { frameDurabilities } from "../../shared/ring/frame.js";
import type { RememberedBatch } from "./batch-ids.js";

/** Main answers nobody for this request: it only moves the gate of a record that no request waits for. */
export const nobody = 0;

const noErrors: readonly RowError[] = [];

/**
 * The worker's answers. Those that promise "on disk" go to the gated ring, where the WAL thread lets them out;
 * all others to the immediate ring. Row errors and error texts go ahead by message.
 * Main never has more requests under way than a ring has entries, so staging cannot fail.
 */
export class Replies {
  readonly #gated: EntryRingProducer;
  readonly #gate: EntryRingGate;
  readonly #immediate: EntryRingProducer;
  readonly #post: (message: IngestToMain) => void;
  readonly #completion = newCompletion();
  #immediateStaged = false;

  constructor(gated: GatedRing, immediate: EntryRingProducer, post: (message: IngestToMain) => void) {
    this.#gated = gated.ring;
    this.#gate = gated.gate;
    this.#immediate = immediate;
    this.#post = post;
  }

  /** Nothing of the request was accepted, for this reason. */
  fail(requestId: number, error: unknown): void {
    this.#detail(requestId, noErrors, error, null);
    this.#fill(requestId, completionStatuses.failed, true);
    this.#stage(this.#immediate);
  }

  /** The request is decided, and every row of it was rejected (or it had none). */
  rejected(requestId: number, account: RowAccount, tableSlot: number): void {
    this.#fill(requestId, completionStatuses.done, account.errors.length > 0);
    if (account.errors.length > 0) this.#detail(requestId, account.errors, null, null);
    this.#completion.rejected = account.rejected;
    this.#completion.tableSlot = tableSlot;
    this.#stage(this.#immediate);
  }

  /** What a request is about that writes nothing. */
  ids({ requestId, account, tableSlot, ids }: IdsReply): void {
    this.#post({ kind: "request-detail", requestId, errors: [...account.errors], error: null, id: null, ids });
    const completion = this.#fill(requestId, completionStatuses.done, true);
    completion.accepted = account.accepted;
    completion.rejected = account.rejected;
    completion.tableSlot = tableSlot;
    this.#stage(this.#immediate);
  }

  /** Rows were accepted, up to `sequence`. With `memory` main hears at once, else when the log holds them. */
  accepted(request: AcceptedRequest): void {
    const { requestId, account, memory, id } = request;
    const idByMessage = id !== null && (!fitsCompletion(id.length) || !isAscii(id));
    const hasDetail = account.errors.length > 0 || idByMessage;
    if (hasDetail) this.#detail(requestId, account.errors, null, idByMessage ? id : null);
    const completion = this.#fill(requestId, completionStatuses.done, hasDetail);
    completion.durability = memory ? frameDurabilities.memory : frameDurabilities.fsync;
    completion.accepted = account.accepted;
    completion.rejected = account.rejected;
    completion.sequence = request.sequence;
    completion.tableSlot = request.tableSlot;
    completion.id = id === null || idByMessage ? "" : id;
    this.#stage(memory ? this.#immediate : this.#gated);
  }

  /** The account that this batch id got before, whose rows are durable. */
  repeated(requestId: number, batch: RememberedBatch, tableSlot: number): void {
    const { entry, lastSequence } = batch;
    const hasErrors = entry.errorsJson !== "";
    if (hasErrors) this.#detail(requestId, JSON.parse(entry.errorsJson) as RowError[], null, null);
    const completion = this.#fill(requestId, completionStatuses.repeated, hasErrors);
    completion.durability = frameDurabilities.fsync;
    completion.accepted = entry.accepted;
    completion.rejected = entry.rejected;
    completion.sequence = lastSequence;
    completion.tableSlot = tableSlot;
    this.#stage(this.#immediate);
  }

  /** An entry of the gated ring for a record that no request waits for, so that every record has one. */
  gateOnly(): void {
    this.#fill(nobody, completionStatuses.done, false);
    this.#stage(this.#gated);
  }

  /** Entries staged in the gated ring so far: the log position of the last record. */
  get logPosition(): number {
    return this.#gated.total;
  }

  /** True when the log holds the record at this position, however long ago it was announced. */
  isDurable(logPosition: number): boolean {
    const waiting = (this.#gated.count - this.#gate.count) | 0;
    return logPosition <= this.#gated.total - waiting;
  }

  /** Lets main and the WAL thread see what was staged; true when main has something to read at once. */
  publish(): boolean {
    this.#gated.publish();
    const rang = this.#immediateStaged;
    if (rang) this.#immediate.publish();
    this.#immediateStaged = false;
    return rang;
  }

  #fill(requestId: number, status: number, hasDetail: boolean): ReturnType<typeof newCompletion> {
    const completion = this.#completion;
    completion.requestId = requestId;
    completion.status = status;
    completion.durability = frameDurabilities.fsync;
    completion.flags = hasDetail ? completionFlags.detail : 0;
    completion.accepted = 0;
    completion.rejected = 0;
    completion.sequence = 0;
    completion.tableSlot = 0;
    completion.id = "";
    return completion;
  }

  #stage(ring: EntryRingProducer): void {
    assert(stageCompletion(ring, this.#completion), "main bounds the requests under way to the ring's entries");
    if (ring === this.#immediate) this.#immediateStaged = true;
  }

  #detail(requestId: number, errors: readonly RowError[], error: unknown, id: string | null): void {
    this.#post({
      kind: "request-detail",
      requestId,
      errors: [...errors],
      error: error === null ? null : toErrorMessage(error),
      id,
      ids: null,
    });
  }
}

/** Where replies wait for the log, and what the WAL thread has let out of it. */
interface GatedRing {
  readonly ring: EntryRingProducer;
  readonly gate: EntryRingGate;
}

export interface IdsReply {
  readonly requestId: number;
  readonly account: RowAccount;
  readonly tableSlot: number;
  readonly ids: readonly string[];
}

export interface AcceptedRequest {
  readonly requestId: number;
  readonly account: RowAccount;
  readonly memory: boolean;
  readonly sequence: number;
  readonly tableSlot: number;
  readonly id: string | null;
}

function isAscii(text: string): boolean {
  for (let index = 0; index < text.length; index++) if (text.charCodeAt(index) > 0x7f) return false;
  return true;
}
