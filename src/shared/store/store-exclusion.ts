/**
 * How commits of different writers keep out of each other's way, as found at the start, for all threads of this process.
 *
 * ```
 * own      the store's own put-if-absent (If-None-Match): any number of servers
 * lease    it has none; commits of a table take turns by a lease in Redis (leased-store.ts): any number of servers
 * claim    it has none, and there is no Redis: one server at a time, whose claim is an object (warehouse-claim.ts)
 * lost     another server has taken the claim over: nothing is committed any more
 *
 * word  0 mode    1 claim is valid until    2 turn is taken until        (ns of the machine's monotonic clock)
 * ```
 */
import { setTimeout as delay } from "node:timers/promises";

const modes = ["unknown", "own", "lease", "claim", "lost"] as const;
export type ExclusionMode = (typeof modes)[number];

const words = { mode: 0, validUntil: 1, turnUntil: 2 } as const;
const wordCount = 3;
const nanosPerMs = 1_000_000n;
const turnPollMs = 2;

/** Where Redis is; without TLS unless `isTls`. Holds a secret: never logged. */
export interface RedisOptions {
  readonly host: string;
  readonly port: number;
  readonly username: string;
  readonly password: string;
  readonly database: number;
  readonly isTls: boolean;
}

export interface ClaimOptions {
  /** The same after a restart on the same data folder, and no other's: its lock says that the one before is gone. */
  readonly holder: string;
  /** For people: name of the node. */
  readonly node: string;
  /** A claim that did not change for so long, by the clock of whoever looks, is one of a server that is gone. */
  readonly staleMs: number;
}

export interface ExclusionOptions {
  /** Of a StoreExclusion, shared by all threads of this process. */
  readonly memory: SharedArrayBuffer;
  readonly redis: RedisOptions | null;
  readonly claim: ClaimOptions;
}

/** The process's shared view; made by main, handed to every thread that has the store. */
export class StoreExclusion {
  readonly #words: BigInt64Array;

  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(wordCount * BigInt64Array.BYTES_PER_ELEMENT)) {
    this.#words = new BigInt64Array(memory);
  }

  get memory(): SharedArrayBuffer {
    return this.#words.buffer as SharedArrayBuffer;
  }

  get mode(): ExclusionMode {
    return modes[Number(Atomics.load(this.#words, words.mode))] ?? "unknown";
  }

  set mode(mode: ExclusionMode) {
    Atomics.store(this.#words, words.mode, BigInt(modes.indexOf(mode)));
  }

  /** True while nobody else can have found our claim unchanged for its whole time. */
  get isClaimValid(): boolean {
    return this.mode === "claim" && monotonicNanos() < Atomics.load(this.#words, words.validUntil);
  }

  /** `sinceNanos`: before the claim was written for the last time. */
  claimed(sinceNanos: bigint, validMs: number): void {
    Atomics.store(this.#words, words.validUntil, sinceNanos + BigInt(Math.floor(validMs)) * nanosPerMs);
  }

  /**
   * One thread after the other; resolves to what ends the turn. A thread that dies in its turn loses it after `turnMs`:
   * longer than what is done in one may take.
   */
  async takeTurn(turnMs: number): Promise<() => void> {
    for (;;) {
      const now = monotonicNanos();
      const taken = Atomics.load(this.#words, words.turnUntil);
      const mine = now + BigInt(turnMs) * nanosPerMs;
      const isFree = taken <= now && Atomics.compareExchange(this.#words, words.turnUntil, taken, mine) === taken;
      if (isFree) return () => void Atomics.compareExchange(this.#words, words.turnUntil, mine, 0n);
      await delay(turnPollMs);
    }
  }
}

/** Of this machine, the same in all threads; never goes back. */
export function monotonicNanos(): bigint {
  return process.hrtime.bigint();
}
