import { assert } from "../../shared/assert.js";
import type { CancelSignal } from "./cancel-signal.js";

export interface SlotsOptions {
  readonly count: number;
  /** Slots that were taken within the last `youngMs`, at most; absent: any number. */
  readonly youngMax?: number;
  readonly youngMs?: number;
}

/**
 * A fixed number of places, each with an index of its own, and a line of those who wait for one, first come first
 * served. How long the line may be is the caller's affair.
 *
 * Of those that were taken just now there are only so many at once. Small queries which all run at the same time take
 * the processors from each other, and each is as late as the last; one after the other they are done in the order of
 * their coming. What runs longer than `youngMs` does not hold the line up any more, up to all slots.
 *
 * ```
 *   line ─▶ young, up to youngMax ─▶ older than youngMs ─▶ given back
 *                 └──────────────────────────────────────────▲
 * ```
 */
export class Slots {
  readonly #free: number[];
  readonly #count: number;
  readonly #youngMax: number;
  readonly #youngMs: number;
  /** When each young slot was taken, the oldest first. */
  readonly #young = new Map<number, number>();
  /** A Set keeps the order of coming, and lets one in the middle leave without a search. */
  readonly #waiting = new Set<(slot: number) => void>();
  /** Runs while there are free slots, and others wait for the oldest young one to grow old. */
  #aging: NodeJS.Timeout | null = null;

  constructor({ count, youngMax = count, youngMs = 0 }: SlotsOptions) {
    this.#count = count;
    this.#youngMax = youngMax;
    this.#youngMs = youngMs;
    // The lowest index is taken first.
    this.#free = Array.from({ length: count }, (_, index) => count - 1 - index);
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  get taken(): number {
    return this.#count - this.#free.length;
  }

  /** Rejects with the signal's reason when it aborts first; then nothing is taken. */
  take(signal: CancelSignal): Promise<number> {
    if (signal.aborted) return Promise.reject(signal.reason);
    // Nobody overtakes those in line.
    const slot = this.#waiting.size === 0 ? this.#next() : undefined;
    if (slot !== undefined) return Promise.resolve(slot);
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiting.delete(onSlot);
        reject(signal.reason);
      };
      const onSlot = (given: number): void => {
        signal.removeEventListener("abort", onAbort);
        resolve(given);
      };
      signal.addEventListener("abort", onAbort, { once: true });
      this.#waiting.add(onSlot);
      this.#awaitAging();
    });
  }

  give(slot: number): void {
    assert(slot >= 0 && slot < this.#count && !this.#free.includes(slot), "a slot is given back once");
    this.#free.push(slot);
    this.#young.delete(slot);
    this.#serve();
  }

  /** The first in line, as long as there is a slot for it. */
  #serve(): void {
    for (const next of this.#waiting) {
      const slot = this.#next();
      if (slot === undefined) break;
      this.#waiting.delete(next);
      next(slot);
    }
    this.#awaitAging();
  }

  /** Takes a slot; undefined where none may be taken now. */
  #next(): number | undefined {
    if (this.#youngMax < this.#count) {
      const oldMs = performance.now() - this.#youngMs;
      for (const [slot, takenMs] of this.#young) {
        if (takenMs > oldMs) break;
        this.#young.delete(slot);
      }
      if (this.#young.size >= this.#youngMax) return undefined;
    }
    const slot = this.#free.pop();
    if (slot !== undefined && this.#youngMax < this.#count) this.#young.set(slot, performance.now());
    return slot;
  }

  /** A slot that is given back serves the line sooner. */
  #awaitAging(): void {
    if (this.#aging !== null || this.#waiting.size === 0 || this.#free.length === 0) return;
    const [oldestMs = 0] = this.#young.values();
    const delayMs = Math.max(1, Math.ceil(oldestMs + this.#youngMs - performance.now()));
    this.#aging = setTimeout(() => {
      this.#aging = null;
      this.#serve();
    }, delayMs);
  }
}
