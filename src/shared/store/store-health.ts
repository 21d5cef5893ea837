import type { StoreCall } from "./metered-store.js";

/**
 * How the store does, as all threads of this process see it together: counters and two times in shared memory, written
 * by the persist workers and read by main, for metrics, health and the log.
 *
 * ```
 * word  0 calls    1 failed    2 repeated    3 held back     (each since the start)
 *       4 bytes read           5 bytes written
 *       6 last answer          7 broken since                (ms since 1970, 0: none yet; not broken)
 * ```
 */
const words = { calls: 0, failed: 1, repeated: 2, heldBack: 3, read: 4, written: 5, answered: 6, broken: 7 };
const wordCount = 8;

export interface StoreStats {
  readonly calls: number;
  readonly failed: number;
  readonly repeated: number;
  readonly heldBack: number;
  readonly readBytes: number;
  readonly writtenBytes: number;
  /** Milliseconds since 1970; null while the store works. */
  readonly brokenSinceMs: number | null;
}

const readOperations: readonly StoreCall["operation"][] = ["get", "getPart"];

export class StoreHealth {
  readonly #words: BigInt64Array;

  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(wordCount * BigInt64Array.BYTES_PER_ELEMENT)) {
    this.#words = new BigInt64Array(memory);
  }

  /** To be handed to another thread. */
  get memory(): SharedArrayBuffer {
    return this.#words.buffer as SharedArrayBuffer;
  }

  get stats(): StoreStats {
    const brokenSinceMs = this.#read(words.broken);
    return {
      calls: this.#read(words.calls),
      failed: this.#read(words.failed),
      repeated: this.#read(words.repeated),
      heldBack: this.#read(words.heldBack),
      readBytes: this.#read(words.read),
      writtenBytes: this.#read(words.written),
      brokenSinceMs: brokenSinceMs === 0 ? null : brokenSinceMs,
    };
  }

  /** When any thread last heard of the store; "there is no such object" is an answer too. */
  get answeredMs(): number {
    return this.#read(words.answered);
  }

  /** One call of the store itself. */
  record({ operation, bytes }: StoreCall): void {
    this.#add(words.calls, 1);
    if (bytes > 0) this.#add(readOperations.includes(operation) ? words.read : words.written, bytes);
  }

  answered(nowMs: number): void {
    this.#write(words.answered, nowMs);
    // Whichever thread gave up on it: it works.
    this.#write(words.broken, 0);
  }

  failed(): void {
    this.#add(words.failed, 1);
  }

  broke(nowMs: number): void {
    Atomics.compareExchange(this.#words, words.broken, 0n, BigInt(nowMs));
  }

  heldBack(): void {
    this.#add(words.heldBack, 1);
  }

  repeated(): void {
    this.#add(words.repeated, 1);
  }

  #add(word: number, amount: number): void {
    Atomics.add(this.#words, word, BigInt(Math.round(amount)));
  }

  #write(word: number, value: number): void {
    Atomics.store(this.#words, word, BigInt(Math.round(value)));
  }

  #read(word: number): number {
    return Number(Atomics.load(this.#words, word));
  }
}
