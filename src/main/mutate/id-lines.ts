/**
 * Puts work about the same ids of a table into a line: a look at a row and the write that follows from it are one step for
 * everything else that waits here. Work about other ids goes on beside it.
 */
export class IdLines {
  /** The last work about each id. */
  readonly #last = new Map<string, Promise<unknown>>();

  /** Ids that some work is about. */
  get size(): number {
    return this.#last.size;
  }

  /** Runs `work` when all that came before and is about one of the ids has ended, well or not. */
  async inLine<Result>(table: string, ids: readonly string[], work: () => Promise<Result>): Promise<Result> {
    const keys = ids.map((id) => `${table}\0${id}`);
    const before = keys.flatMap((key) => this.#last.get(key) ?? []);
    // All places are taken in one turn: no two pieces of work can wait for each other.
    const own = Promise.allSettled(before).then(work);
    for (const key of keys) this.#last.set(key, own);
    try {
      return await own;
    } finally {
      for (const key of keys) if (this.#last.get(key) === own) this.#last.delete(key);
    }
  }
}
