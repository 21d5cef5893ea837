import { randomUUID } from "node:crypto";
import { type ErrorMessage, toErrorMessage } from "../../shared/errors.js";
import type { CommitResult } from "../../shared/iceberg/commit-result.js";
import { deletedRowsOf, liveRowsOf } from "../../shared/iceberg/live-rows.js";
import { MergeControl } from "../../shared/merge-control.js";
import type { CompactionScope } from "./plan-asked-compaction.js";
import type { CompactionPlan } from "./plan-compaction.js";

/**
 * ```
 * waiting ─▶ running ─┬▶ done
 *    │                ├▶ failed       what its merges have committed until then stays
 *    └────────────────┴▶ cancelled
 * ```
 */
export type CompactionState = "waiting" | "running" | "done" | "failed" | "cancelled";

/** What merges of one job have read and written; only what is committed counts. */
export interface CompactionTotals {
  merges: number;
  filesIn: number;
  filesOut: number;
  bytesIn: number;
  bytesOut: number;
  /** Of the new files. */
  rows: number;
  /** That were deleted before, and are gone from the files now. */
  deletedRows: number;
  /** Merges whose files others had changed meanwhile; they were planned anew. */
  conflicts: number;
}

/** The merges of one table that were asked for, or that the upkeep found due, from their plan to their end. */
export class CompactionJob {
  readonly id = randomUUID();
  /** Null: the upkeep's own. */
  readonly scope: CompactionScope | null;
  /** Milliseconds since 1970, as the other times. */
  readonly requestedMs: number;
  readonly totals: CompactionTotals = {
    merges: 0,
    filesIn: 0,
    filesOut: 0,
    bytesIn: 0,
    bytesOut: 0,
    rows: 0,
    deletedRows: 0,
    conflicts: 0,
  };
  readonly control = new MergeControl();
  state: CompactionState = "waiting";
  startedMs: number | null = null;
  endedMs: number | null = null;
  error: ErrorMessage | null = null;
  /** Bytes that the merges of the present plan have still to read, the running one among them. */
  #plannedBytes = 0;
  #runningBytes = 0;

  constructor(scope: CompactionScope | null, nowMs: number) {
    this.scope = scope;
    this.requestedMs = nowMs;
  }

  get isOver(): boolean {
    return this.endedMs !== null;
  }

  /** The share of what is planned so far that is done, from 0 to 1; by bytes that are read. */
  get progress(): number {
    if (this.state === "done") return 1;
    const all = this.totals.bytesIn + this.#plannedBytes;
    return all === 0 ? 0 : (this.totals.bytesIn + (this.#runningBytes * this.control.done) / 1000) / all;
  }

  start(nowMs: number): void {
    this.state = "running";
    this.startedMs = nowMs;
  }

  /** These merges are what is left to do, as far as it is known. */
  plan(merges: readonly CompactionPlan[]): void {
    this.#plannedBytes = merges.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  begin({ bytes }: CompactionPlan): void {
    this.control.restart();
    this.#runningBytes = bytes;
  }

  merged({ files, bytes }: CompactionPlan, { delta }: CommitResult): void {
    // Without a delta the commit was made by an earlier call whose answer was lost: what it wrote is not known here.
    const added = delta?.added ?? [];
    const { totals } = this;
    totals.merges++;
    totals.filesIn += files.length;
    totals.bytesIn += bytes;
    totals.filesOut += added.length;
    totals.bytesOut += added.reduce((sum, file) => sum + file.bytes, 0);
    totals.rows += files.reduce((sum, file) => sum + liveRowsOf(file), 0);
    totals.deletedRows += files.reduce((sum, file) => sum + deletedRowsOf(file), 0);
    this.#plannedBytes = Math.max(0, this.#plannedBytes - bytes);
    this.#runningBytes = 0;
  }

  end(state: "done" | "failed" | "cancelled", nowMs: number, error: unknown = null): void {
    this.state = state;
    this.endedMs = nowMs;
    this.error = error === null ? null : toErrorMessage(error);
  }
}
