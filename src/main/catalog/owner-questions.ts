import { assert } from "../../shared/assert.js";
import type { MiniodbError } from "../../shared/errors.js";
import type { IngestToMain, MainToIngest } from "../../shared/messages.js";
import type { TableEntry } from "./table-entry.js";

/** What owners answer with the ticket of a question; records come through the RecordBroker. */
type OwnerAnswer = Extract<IngestToMain, { readonly kind: "measured" | "schema-changed" }>;
type AnswerOf<Kind extends OwnerAnswer["kind"]> = Extract<OwnerAnswer, { readonly kind: Kind }>;

interface Waiting {
  readonly worker: number;
  readonly resolve: (answer: OwnerAnswer) => void;
  readonly reject: (error: MiniodbError) => void;
}

/** Asks the owners of tables, and matches their answers: a ticket per question. */
export class OwnerQuestions {
  readonly #post: (worker: number, message: MainToIngest) => void;
  readonly #waiting = new Map<number, Waiting>();
  #lastTicket = 0;

  constructor(post: (worker: number, message: MainToIngest) => void) {
    this.#post = post;
  }

  /** Resolves with the answer of this kind. Rejects with WORKER_LOST when the owner's thread dies. */
  async ask<Kind extends OwnerAnswer["kind"]>(
    entry: TableEntry,
    kind: Kind,
    question: (ticket: number) => MainToIngest,
  ): Promise<AnswerOf<Kind>> {
    const ticket = ++this.#lastTicket;
    const answer = await new Promise<OwnerAnswer>((resolve, reject) => {
      this.#waiting.set(ticket, { worker: entry.worker, resolve, reject });
      this.#post(entry.worker, question(ticket));
    });
    assert(answer.kind === kind, "an owner answers what it was asked");
    return answer as AnswerOf<Kind>;
  }

  onAnswer(answer: OwnerAnswer): void {
    const waiting = this.#waiting.get(answer.ticket);
    this.#waiting.delete(answer.ticket);
    waiting?.resolve(answer);
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
