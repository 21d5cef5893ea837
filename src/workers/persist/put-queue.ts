/**
 * Puts into the store, a few at a time, which go on while their caller makes the next file: a store across a network gives
 * one connection a fraction of what it has, and waits for nothing that this thread does meanwhile.
 */
export class PutQueue {
  readonly #atOnce: number;
  readonly #waiting: (() => Promise<void>)[] = [];
  readonly #running = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | null = null;

  constructor(atOnce: number) {
    this.#atOnce = atOnce;
  }

  /** Begun now, or when another has ended; never after one has failed. */
  add(put: () => Promise<void>): void {
    this.#waiting.push(put);
    this.#start();
  }

  /** Throws the first failure: who makes files for the queue stops then. */
  check(): void {
    if (this.#failure !== null) throw this.#failure.error;
  }

  /** All have ended. Throws the first failure. */
  async done(): Promise<void> {
    await this.#idle();
    this.check();
  }

  /** Those that wait are forgotten, and none is under way any more. Never throws; after `done` it is nothing. */
  async stop(): Promise<void> {
    this.#waiting.length = 0;
    await this.#idle();
  }

  async #idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  #start(): void {
    while (this.#running.size < this.#atOnce && this.#failure === null) {
      const put = this.#waiting.shift();
      if (put === undefined) return;
      const running: Promise<void> = put()
        .catch((error: unknown) => {
          this.#failure ??= { error };
          this.#waiting.length = 0;
        })
        .finally(() => {
          this.#running.delete(running);
          this.#start();
        });
      this.#running.add(running);
    }
  }
}
