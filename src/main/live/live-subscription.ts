import { MiniodbError } from "../../shared/errors.js";
import type { LiveReader } from "./live-reader.js";
import type { LiveTail, TailReader } from "./live-tail.js";

/** Where the messages of a subscription go. */
export interface SubscriptionSink {
  /** The connection takes no more for the moment; `wake` follows. */
  readonly isFull: boolean;
  rows(text: string, rows: number, token: string): void;
  /** Nothing passed the filter for a while, but time went on. */
  progress(token: string): void;
  /** The last call, where it is not the client that ends it. `token`: what to resume from. */
  ended(error: MiniodbError, token: string): void;
}

export interface SubscriptionOptions {
  readonly tail: LiveTail;
  readonly reader: LiveReader;
  /** Checked; null: every row. */
  readonly filter: string | null;
  readonly position: number;
  /** Messages with rows that the client takes before it gives more credits; null: as many as the connection carries. */
  readonly credits: number | null;
  readonly sink: SubscriptionSink;
  /** Told when it is over, whoever ended it. */
  readonly onOver: (subscription: LiveSubscription) => void;
}

/** A filter that lets nothing through still moves its client's token so often. */
const progressMs = 1_000;

/**
 * One client's way along a tail. It pulls: only when the client can take a message is the next piece of the next delta
 * read, so that a slow client costs a position and nothing more, until the tail lets go of what it has not read.
 */
export class LiveSubscription implements TailReader {
  readonly #options: SubscriptionOptions;
  #position: number;
  #credits: number | null;
  #isPumping = false;
  #isOver = false;
  #blockedSinceMs: number | null = null;
  #progressMs = performance.now();
  /** Of the last message that went out. */
  #sentPosition: number;

  constructor(options: SubscriptionOptions) {
    this.#options = options;
    this.#position = options.position;
    this.#sentPosition = options.position;
    this.#credits = options.credits;
    options.tail.readers.add(this);
  }

  get position(): number {
    return this.#position;
  }

  get isReading(): boolean {
    return this.#isPumping && this.#blockedSinceMs === null;
  }

  get tail(): LiveTail {
    return this.#options.tail;
  }

  /** Acknowledged rows that have not been looked at for it. */
  get lagRows(): number {
    return Math.max(0, this.tail.entry.ackedSequence - this.#position);
  }

  get token(): string {
    return this.tail.entry.tokenPrefix + this.#position.toString(36);
  }

  /** How long the client has not taken what there is for it. */
  blockedMs(nowMs: number): number {
    return this.#blockedSinceMs === null ? 0 : nowMs - this.#blockedSinceMs;
  }

  addCredits(credits: number): void {
    if (this.#credits !== null) this.#credits += credits;
    this.wake();
  }

  wake(): void {
    if (!this.#isPumping && !this.#isOver) void this.#pump();
  }

  /** To be called now and then: says how far a filter has come that lets nothing through. */
  tell(nowMs: number): void {
    if (this.#isOver || this.#options.sink.isFull || this.#position === this.#sentPosition) return;
    if (nowMs - this.#progressMs < progressMs) return;
    this.#progressMs = nowMs;
    this.#sentPosition = this.#position;
    this.#options.sink.progress(this.token);
  }

  /** The server ends it, and says why. */
  end(error: MiniodbError): void {
    if (this.#isOver) return;
    this.close();
    this.#options.sink.ended(error, this.token);
  }

  /** The client ends it, or has gone. */
  close(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.tail.readers.delete(this);
    this.#options.onOver(this);
  }

  /** Never rejects. A wake that comes while it runs needs no memory: the loop looks again before it ends. */
  async #pump(): Promise<void> {
    this.#isPumping = true;
    try {
      while (!this.#isOver && (await this.#step())) continue;
    } catch (error) {
      const known = error instanceof MiniodbError ? error : new MiniodbError("INTERNAL", "Internal error", {}, error);
      this.end(known);
    } finally {
      this.#isPumping = false;
    }
    // What came between the last look and here.
    if (!this.#isOver && this.#mayGoOn()) this.wake();
  }

  #mayGoOn(): boolean {
    return this.tail.deltaAfter(this.#position) !== undefined && this.#canSend();
  }

  #canSend(): boolean {
    return this.#credits !== 0 && !this.#options.sink.isFull;
  }

  /** Sends one piece of a delta; false when there is none, or no room for it. */
  async #step(): Promise<boolean> {
    const { tail, reader, filter, sink } = this.#options;
    if (this.#position < tail.oldest) {
      throw new MiniodbError("SEQUENCE_EXPIRED", "The client lagged until its rows were not kept any more", {
        oldest: tail.entry.tokenPrefix + tail.oldest.toString(36),
      });
    }
    const delta = tail.deltaAfter(this.#position);
    if (delta === undefined) {
      this.#blockedSinceMs = null;
      return false;
    }
    if (!this.#canSend()) {
      this.#blockedSinceMs ??= performance.now();
      return false;
    }
    this.#blockedSinceMs = null;
    const { name, schema } = tail.entry;
    const request = { table: name, delta, schema, filter, afterSequence: this.#position };
    delta.retain();
    const page = await reader.page(request).finally(() => delta.release());
    if (this.#isOver) return false;
    this.#position = Math.max(this.#position, page.throughSequence);
    if (page.rows === 0) return true;
    if (this.#credits !== null) this.#credits--;
    this.#sentPosition = this.#position;
    this.#progressMs = performance.now();
    sink.rows(page.text, page.rows, this.token);
    return true;
  }
}
