import { assert } from "./assert.js";
import { limits } from "./limits.js";

const free = 0;
const taken = 1;
/** Slabs that were not needed for so long are let go. */
const idleMs = 30_000;

/** A piece of the room, and its number there. */
export interface ResultSlab {
  readonly index: number;
  readonly bytes: Uint8Array;
}

/**
 * Memory of the large results of one query worker, from the first byte that the worker makes until main has sent the
 * last one, however slowly the client reads. Slabs are used again: memory that is new for each result costs its pages,
 * and collections of garbage on both threads, a tenth of the time of a result of 50 MB.
 *
 * One Int32 per slab in shared memory, which goes to main with each such result:
 *
 * ```
 *   0 free ─ worker: take ─▶ 1 taken ─ worker, or main when all is sent: give ─▶ 0
 * ```
 * It is the worker's own, so that what a worker that died had taken is gone with it.
 */
export class ResultRoom {
  readonly states: SharedArrayBuffer;
  readonly #states: Int32Array;
  /** Made when they are needed first. */
  readonly #slabs: (Uint8Array | undefined)[] = [];
  #idle: NodeJS.Timeout | null = null;

  constructor() {
    this.states = new SharedArrayBuffer(limits.resultSlabs * Int32Array.BYTES_PER_ELEMENT);
    this.#states = new Int32Array(this.states);
  }

  get takenSlabs(): number {
    return this.#states.reduce((sum, _state, index) => sum + Atomics.load(this.#states, index), 0);
  }

  /** Of `limits.resultSlabBytes`, with whatever was there before; null where all are taken. */
  take(): ResultSlab | null {
    for (let index = 0; index < limits.resultSlabs; index++) {
      if (Atomics.compareExchange(this.#states, index, free, taken) !== free) continue;
      const bytes = (this.#slabs[index] ??= new Uint8Array(new SharedArrayBuffer(limits.resultSlabBytes)));
      this.#idle ??= setTimeout(() => this.#letGo(), idleMs).unref();
      this.#idle.refresh();
      return { index, bytes };
    }
    return null;
  }

  /** Main has views of its own on what it still sends. */
  #letGo(): void {
    this.#idle = null;
    this.#slabs.length = 0;
  }
}

/** Frees slabs that nobody reads any more. */
export function giveSlabs(states: SharedArrayBuffer, indexes: readonly number[]): void {
  const words = new Int32Array(states);
  for (const index of indexes) {
    const state = Atomics.exchange(words, index, free);
    assert(state === taken, "a slab is given back once");
  }
}
