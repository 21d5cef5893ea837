/**
 * What main and the worker say to each other about a merge that runs, in shared memory.
 *
 * ```
 * word 0   1: end before anything is committed      main writes
 * word 1   how much is done, per mille              the worker writes
 * word 2   1: writes come in                        main writes
 * ```
 */
export class MergeControl {
  readonly memory: SharedArrayBuffer;
  readonly #words: Int32Array;

  constructor(memory = new SharedArrayBuffer(3 * Int32Array.BYTES_PER_ELEMENT)) {
    this.memory = memory;
    this.#words = new Int32Array(memory);
  }

  /** A merge whose commit has begun goes on. */
  cancel(): void {
    Atomics.store(this.#words, 0, 1);
  }

  get isCancelled(): boolean {
    return Atomics.load(this.#words, 0) === 1;
  }

  /** What the merge begins from now on leaves a processor to them. */
  set areWritesComing(areComing: boolean) {
    Atomics.store(this.#words, 2, areComing ? 1 : 0);
  }

  get areWritesComing(): boolean {
    return Atomics.load(this.#words, 2) === 1;
  }

  /** Per mille. Progress does not go back: an estimate that does is passed by. */
  reach(done: number): void {
    const bounded = Math.min(1000, Math.floor(done));
    if (bounded > this.done) Atomics.store(this.#words, 1, bounded);
  }

  get done(): number {
    return Atomics.load(this.#words, 1);
  }

  /** For the next merge. */
  restart(): void {
    Atomics.store(this.#words, 1, 0);
  }
}
