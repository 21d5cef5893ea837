import { MiniodbError } from "../../shared/errors.js";
import type { IngestToMain, MainToIngest, RecordSlice } from "../../shared/messages.js";
import type { TableSchema } from "../../shared/schema/table-schema.js";
import type { TableEntry } from "./table-entry.js";

export interface TakenRecords {
  readonly slice: RecordSlice;
  /** Last row of the slice; `afterSequence` when there was none to take. */
  readonly lastSequence: number;
  readonly schema: TableSchema;
  /** Some of the records replace or delete rows, of the slice and before. */
  readonly isReplacing: boolean;
  /** To be called once, when nobody reads the slice any more: its memory is then used again. */
  readonly release: () => void;
}

export interface TakeRecords {
  readonly afterSequence: number;
  /** Null: up to the last visible (seal) or durable (flush, live) row. */
  readonly throughSequence: number | null;
  readonly purpose: "seal" | "flush" | "live";
}

interface Waiting {
  readonly worker: number;
  readonly resolve: (records: TakenRecords) => void;
  readonly reject: (error: MiniodbError) => void;
}

/** Asks owners for their tables' records and matches the answers: a ticket per question. */
export class RecordBroker {
  readonly #post: (worker: number, message: MainToIngest) => void;
  readonly #waiting = new Map<number, Waiting>();
  #lastTicket = 0;

  constructor(post: (worker: number, message: MainToIngest) => void) {
    this.#post = post;
  }

  /** Rejects with TABLE_NOT_FOUND when the owner does not hold the table (any more). */
  take(entry: TableEntry, request: TakeRecords): Promise<TakenRecords> {
    const ticket = ++this.#lastTicket;
    const { worker, identity } = entry;
    return new Promise((resolve, reject) => {
      this.#waiting.set(ticket, { worker, resolve, reject });
      this.#post(worker, { kind: "take-records", ticket, uuid: identity.uuid, ...request });
    });
  }

  onRecords(message: Extract<IngestToMain, { kind: "records" }>): void {
    const waiting = this.#waiting.get(message.ticket);
    if (waiting === undefined) return;
    this.#waiting.delete(message.ticket);
    const { slice, lastSequence, schema, isReplacing } = message;
    const { ticket } = message;
    if (schema === null) waiting.reject(new MiniodbError("TABLE_NOT_FOUND", "The table was dropped"));
    else {
      const release = () => this.#post(waiting.worker, { kind: "release-records", ticket });
      waiting.resolve({ slice, lastSequence, schema, isReplacing, release });
    }
  }

  /** A worker died: its questions will not be answered. */
  failWorker(worker: number, error: MiniodbError): void {
    for (const [ticket, waiting] of this.#waiting) {
      if (waiting.worker !== worker) continue;
      this.#waiting.delete(ticket);
      waiting.reject(error);
    }
  }
}
