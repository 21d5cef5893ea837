import type { Config } from "../../shared/config.js";
import type { CommitResult } from "../../shared/iceberg/commit-result.js";
import type { TableEntry } from "../catalog/table-entry.js";
import type { TableRegistry } from "../catalog/table-registry.js";
import type { PersistPool } from "../lifecycle/persist-pool.js";
import type { Compactions } from "./compactions.js";
import type { Retention } from "./retention.js";

export interface UpkeepOptions {
  readonly config: Pick<Config, "compaction" | "garbage" | "retention" | "snapshots">;
  readonly registry: TableRegistry;
  /** A pool of its own: a long compaction holds up no flush. */
  readonly pool: PersistPool;
  readonly retention: Retention;
  readonly compactions: Compactions;
  /** Data files that queries read. */
  readonly heldKeys: () => readonly string[];
  readonly onError: (doing: string, error: unknown) => void;
}

/** Slow work in the background, one thing at a time: old days go, small files are merged, snapshots expire, garbage goes. */
export class Upkeep {
  readonly #options: UpkeepOptions;
  readonly #timers: NodeJS.Timeout[] = [];
  #running: Promise<void> = Promise.resolve();
  #queued = 0;
  #isStopped = false;

  constructor(options: UpkeepOptions) {
    this.#options = options;
  }

  start(): void {
    const { compactions } = this.#options;
    const { compaction, garbage, retention } = this.#options.config;
    // Before compaction: what is to go need not be merged first.
    this.#every(retention.intervalMs, () => this.#retainAll());
    this.#every(compaction.intervalMs, () => compactions.round());
    this.#every(garbage.intervalMs, () => this.#collect());
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    for (const timer of this.#timers) clearInterval(timer);
    await this.#options.compactions.stop();
    await this.#running;
  }

  #every(intervalMs: number, work: () => Promise<void>): void {
    const timer = setInterval(() => {
      // A slow round is not followed by the rounds that it missed.
      if (this.#queued > 1 || this.#isStopped) return;
      this.#queued++;
      this.#running = this.#running.then(work).finally(() => {
        this.#queued--;
      });
    }, intervalMs);
    this.#timers.push(timer);
  }

  async #retainAll(): Promise<void> {
    const { registry, retention, onError } = this.#options;
    for (const entry of registry.all()) {
      if (entry.state.settings.retentionDays === undefined) continue;
      if (this.#isStopped) return;
      try {
        await retention.enforce(entry);
      } catch (error) {
        if (!entry.isDropped) onError(`removing old rows of ${entry.name}`, error);
      }
    }
  }

  async #collect(): Promise<void> {
    const { registry, pool, heldKeys, config, onError } = this.#options;
    const { keep, maxAgeMs } = config.snapshots;
    for (const entry of registry.all()) {
      if (this.#isStopped) return;
      try {
        await this.#adopt(entry, await pool.expireSnapshots(entry.identity, { keep, olderThanMs: maxAgeMs }));
      } catch (error) {
        if (!entry.isDropped) onError(`expiring snapshots of ${entry.name}`, error);
      }
    }
    if (this.#isStopped) return;
    try {
      // A running query may read files that no snapshot names any more. A snapshot that a query takes from now on is
      // one that is named, or was until less than the grace time ago.
      await pool.collectGarbage(config.garbage.graceMs, heldKeys());
    } catch (error) {
      onError("collecting garbage", error);
    }
  }

  async #adopt(entry: TableEntry, commit: CommitResult): Promise<void> {
    const state = await this.#options.pool.stateAfter(commit, () => entry.state);
    if (!entry.isDropped) entry.adopt(state, Math.max(entry.flushedSequence, state.positions[entry.stream] ?? 0));
  }
}
