import { MiniodbError } from "../errors.js";
import type { ObjectStore } from "./object-store.js";
import { readNewerPoolState, readPoolState, supersededError, type PoolState } from "./pool-record.js";

/**
 * Whether this process may still commit to its first pool. Asked around each commit (iceberg/commit.ts): a commit counts
 * only where the pool was first after its put, so that whoever fences the pool, and copies it then, has all commits that
 * count. Costs one request that finds nothing.
 */
export class PoolFence {
  readonly #store: ObjectStore;
  readonly #word: Int32Array;
  #known: PoolState | undefined;
  #isRead = false;

  /** Word 0 of the memory becomes 1 when any thread learns that the pool is not the first one; see PersistWorkerOptions. */
  constructor(store: ObjectStore, memory: SharedArrayBuffer) {
    this.#store = store;
    this.#word = new Int32Array(memory);
  }

  /** From now on commits look at the record, in all threads. */
  watch(): void {
    Atomics.store(this.#word, 1, 1);
  }

  /** Throws POOL_SUPERSEDED where it may not, and what the store throws. */
  async check(): Promise<void> {
    this.#known = this.#isRead ? await readNewerPoolState(this.#store, this.#known) : await readPoolState(this.#store);
    this.#isRead = true;
    const record = this.#known?.record;
    if (record?.role === "second") {
      this.close();
      throw supersededError(record);
    }
    if (Atomics.load(this.#word, 0) === 0) return;
    throw new MiniodbError("POOL_SUPERSEDED", "Another pool was promoted: nothing is committed to this one any more.");
  }

  /** As `check`, where there is a second pool, or was one; else nothing is asked. */
  async checkWatched(): Promise<void> {
    if (Atomics.load(this.#word, 1) === 1) await this.check();
  }

  /** Before the first commit of a process. Throws as `check` does. */
  async begin(): Promise<void> {
    await this.check();
    if (this.#known !== undefined) this.watch();
  }

  /** No thread of this process commits any more, whatever the first pool says. */
  close(): void {
    Atomics.store(this.#word, 0, 1);
  }
}
