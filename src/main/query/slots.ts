import { assert } from "../../shared/assert.js";
import type { CancelSignal } from "./cancel-signal.js";

/**
 * A fixed number of places, each with an index of its own, and a line of those who wait for one, first come first
 * served. How long the line may be is the caller's affair.
 */
export class Slots {
  readonly #free: number[];
  readonly #count: number;
  /** A Set keeps the order of coming, and lets one in the middle leave without a search. */
  readonly #waiting = new Set<(slot: number) => void>();

  constructor(count: number) {
    this.#count = count;
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
    const slot = this.#free.pop();
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
    });
  }

  /** Straight to the first in line, so that nobody who comes now overtakes it. */
  give(slot: number): void {
    assert(slot >= 0 && slot < this.#count && !this.#free.includes(slot), "a slot is given back once");
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#free.push(slot);
    } else {
      this.#waiting.delete(next);
      next(slot);
    }
  }
}
