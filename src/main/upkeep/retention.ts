import { MiniodbError } from "../../shared/errors.js";
import type { TableEntry } from "../catalog/table-entry.js";
import type { PersistPool } from "../lifecycle/persist-pool.js";
import { planRetention, type RetentionPlan } from "./plan-retention.js";

export interface RetentionOptions {
  readonly pool: PersistPool;
  readonly nowMs: () => number;
  /** Told of what a commit has removed. */
  readonly onRemoved: (removed: { readonly files: number; readonly rows: number }) => void;
}

/** Ends the life of rows that are older than their table's `retention_days`. */
export class Retention {
  readonly #options: RetentionOptions;

  constructor(options: RetentionOptions) {
    this.#options = options;
  }

  /**
   * What would go now, under the table's own setting or, to try it, under another. Rows that are not in the store yet go in
   * a round after their flush. Throws INVALID_REQUEST where neither says for how many days rows are kept.
   */
  plan(entry: TableEntry, retentionDays = entry.state.settings.retentionDays): RetentionPlan {
    if (retentionDays === undefined) {
      throw new MiniodbError("INVALID_REQUEST", `Table ${entry.name} has no retention_days: its rows are kept`, {
        table: entry.name,
        field: "retention_days",
      });
    }
    return planRetention(entry.state.files, retentionDays, this.#options.nowMs());
  }

  /**
   * Removes what is too old, and says what that was; when it resolves, no later query sees it, and the commit is durable.
   * Rejects as `plan` throws, with TABLE_NOT_FOUND, and STORE_UNAVAILABLE (it may have been removed).
   */
  async enforce(entry: TableEntry): Promise<RetentionPlan> {
    const { pool, onRemoved } = this.#options;
    const plan = this.plan(entry);
    if (plan.files === 0) return plan;
    const commit = await pool.dropDays(entry.identity, plan.firstDayKept);
    const state = await pool.stateAfter(commit, () => entry.state);
    if (entry.isDropped) return plan;
    entry.adopt(state, Math.max(entry.flushedSequence, state.positions[entry.stream] ?? 0));
    // Files of these days that a flush brought since the plan are gone, too, and not counted.
    onRemoved(plan);
    return plan;
  }
}
