import type { Config } from "../../shared/config.js";
import type { TableRegistry } from "../catalog/table-registry.js";
import type { PersistPool } from "../lifecycle/persist-pool.js";

export interface UpkeepOptions {
  readonly config: Config;
  readonly registry: TableRegistry;
  readonly pool: PersistPool;
  readonly onError: (doing: string, error: unknown) => void;
}

/** Slow work in the background, one thing at a time: snapshots expire, and files that nobody names are removed. */
export class Upkeep {
  readonly #options: UpkeepOptions;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | null = null;
  #isStopped = false;

  constructor(options: UpkeepOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setInterval(() => this.#begin(), this.#options.config.garbage.intervalMs);
    this.#timer.unref();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    clearInterval(this.#timer);
    await this.#running;
  }

  #begin(): void {
    this.#running ??= this.#run().finally(() => {
      this.#running = null;
    });
  }

  async #run(): Promise<void> {
    const { registry, pool, config, onError } = this.#options;
    for (const entry of registry.all()) {
      if (this.#isStopped) return;
      try {
        const { keep, maxAgeMs } = config.snapshots;
        const commit = await pool.expireSnapshots(entry.identity, { keep, olderThanMs: maxAgeMs });
        const state = await pool.stateAfter(commit, () => entry.state);
        entry.adopt(state, Math.max(entry.flushedSequence, state.positions[entry.stream] ?? 0));
      } catch (error) {
        onError(`expiring snapshots of ${entry.name}`, error);
      }
    }
    if (this.#isStopped) return;
    try {
      // A running query may read files that the newest snapshot no longer names; the grace time covers it too.
      await pool.collectGarbage(config.garbage.graceMs, []);
    } catch (error) {
      onError("collecting garbage", error);
    }
  }
}
