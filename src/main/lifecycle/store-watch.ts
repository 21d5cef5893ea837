import type { Logger } from "../../shared/log.js";
import type { StoreHealth } from "../../shared/store/store-health.js";
import type { PersistPool } from "./persist-pool.js";

export interface StoreWatchOptions {
  readonly health: StoreHealth;
  readonly pool: Pick<PersistPool, "checkStore">;
  readonly log: Pick<Logger, "info" | "warn">;
  /** What waited for the store may go on. */
  readonly onBack: () => void;
}

/** Between two looks whether the store is back. */
const checkMs = 1_000;

/**
 * While the store is broken somebody has to ask it: flushes pause for seconds after a failure, and without
 * writes there are none. Says in the log when it went and when it came back.
 */
export class StoreWatch {
  readonly #options: StoreWatchOptions;
  /** As of the last tick. */
  #brokenSinceMs: number | null = null;
  #isChecking = false;
  #checkedMs = 0;

  constructor(options: StoreWatchOptions) {
    this.#options = options;
  }

  /** `ok`, or since when the store has been broken, for people. */
  get text(): string {
    const { brokenSinceMs } = this.#options.health.stats;
    return brokenSinceMs === null ? "ok" : `does not answer since ${new Date(brokenSinceMs).toISOString()}`;
  }

  /** To be called a few times a second. */
  tick(nowMs: number): void {
    const { health, log, onBack } = this.#options;
    const { brokenSinceMs } = health.stats;
    if (brokenSinceMs !== null && this.#brokenSinceMs === null) {
      log.warn("the object store does not answer; rows stay in the log until it does");
    }
    if (brokenSinceMs === null && this.#brokenSinceMs !== null) {
      log.info({ outageMs: nowMs - this.#brokenSinceMs }, "the object store answers again");
      onBack();
    }
    this.#brokenSinceMs = brokenSinceMs;
    if (brokenSinceMs === null || this.#isChecking || nowMs - this.#checkedMs < checkMs) return;
    this.#isChecking = true;
    void this.#check().finally(() => {
      this.#isChecking = false;
      this.#checkedMs = Date.now();
    });
  }

  async #check(): Promise<void> {
    try {
      // Any answer, in whichever thread, is what ends the state.
      await this.#options.pool.checkStore();
    } catch {
      // Still broken.
    }
  }
}
