import { assert } from "../../shared/assert.js";
import type { Config } from "../../shared/config.js";
import { MiniodbError } from "../../shared/errors.js";
import type { CommitResult } from "../../shared/iceberg/commit-result.js";
import { deleteKeysOf } from "../../shared/iceberg/live-rows.js";
import { limits } from "../../shared/limits.js";
import type { MergeControl } from "../../shared/merge-control.js";
import type { DataFile } from "../../shared/messages.js";
import { nameKey, timestampColumn } from "../../shared/schema/table-schema.js";
import type { TableEntry } from "../catalog/table-entry.js";
import type { TableRegistry } from "../catalog/table-registry.js";
import type { PersistPool } from "../lifecycle/persist-pool.js";
import { CompactionJob } from "./compaction-job.js";
import { planAskedCompaction, type CompactionScope } from "./plan-asked-compaction.js";
import { planCompaction, type CompactionPlan } from "./plan-compaction.js";

export interface CompactionsOptions {
  readonly config: Config["compaction"];
  readonly registry: TableRegistry;
  /** A pool of its own: a long merge holds up no flush. */
  readonly pool: Pick<PersistPool, "compact" | "loadTable" | "stateAfter">;
  readonly nowMs: () => number;
  readonly sleep: (ms: number) => Promise<void>;
  readonly onMerged: (files: number) => void;
  readonly onEnded: (outcome: CompactionOutcome) => void;
  readonly onError: (doing: string, error: unknown) => void;
}

/** `unverified`: a merge did not keep its rows, and was not committed. */
export type CompactionOutcome = "done" | "cancelled" | "failed" | "unverified";

/** Plans of one job that were gone through: its own merges make room for a few more, others' commits for any number. */
const passesMax = 10;
/** Conflicts without a merge between them. */
const conflictsMax = 5;
const deleteLookMs = 50;
/** Writes that came so long ago are followed by none. */
const writesPauseMs = 1_000;
/** The upkeep leaves a table alone for so long where a merge did not keep its rows: it would fail again and again. */
const unverifiedPauseMs = 60 * 60 * 1000;

/**
 * All merges of this server, one at a time: those that were asked for come before the upkeep's own. Each is one commit, so
 * that a job that ends early leaves what it has done, and the same request goes on from there.
 *
 * ```
 * ask ────▶ line of jobs ─┐                    ┌──── conflict: reload the table ◀────┐
 *                         ├─▶ one job ─▶ plan ─┴─▶ merge (persist worker) ─▶ commit ─┴─▶ adopt ─▶ the plan's next merge ...
 * round ──▶ what is due ──┘       ▲                                                                  │ none left
 *                                 └──────────────────────────────────────────────────────────────────┘ until nothing is planned
 * ```
 * Jobs are kept in memory only: after a restart the table itself says what is left to do.
 */
export class Compactions {
  readonly #options: CompactionsOptions;
  /** In the order of their coming: those that wait or run, and the last ones that are over. */
  readonly #jobs = new Map<TableEntry, CompactionJob[]>();
  /** The line: jobs that wait. */
  readonly #asked: { readonly entry: TableEntry; readonly job: CompactionJob }[] = [];
  readonly #pausedUntilMs = new Map<TableEntry, number>();
  /** The job that runs; never rejects. */
  #running: Promise<void> | null = null;
  /** Its control, to which is said whether writes come in. */
  #control: MergeControl | null = null;
  #writes = 0;
  #writtenMs = -Infinity;
  #isStopped = false;

  constructor(options: CompactionsOptions) {
    this.#options = options;
  }

  /** To be called several times a second, with the number of writes until now: merges leave them a processor. */
  tick(writes: number, nowMs: number): void {
    if (writes !== this.#writes) this.#writtenMs = nowMs;
    this.#writes = writes;
    if (this.#control !== null) this.#control.areWritesComing = nowMs - this.#writtenMs < writesPauseMs;
  }

  /** The merges that a request would make now. */
  plan(entry: TableEntry, scope: CompactionScope, conflicts = 0): CompactionPlan[] {
    const { config, nowMs } = this.#options;
    const { files, settings, schema } = entry.state;
    const [sortName = timestampColumn] = settings.sortOrder ?? [];
    const column = schema.columns.find(({ name }) => nameKey(name) === nameKey(sortName));
    const isNumeric = column?.type === "timestamp" || column?.type === "long";
    const sortFieldId = column !== undefined && isNumeric ? column.fieldId : null;
    return planAskedCompaction(files, scope, { ...smaller(config, conflicts), nowMs: nowMs(), sortFieldId });
  }

  /** Puts a job into the line. Throws SERVER_BUSY where the line is full, SHUTTING_DOWN where the server stops. */
  ask(entry: TableEntry, scope: CompactionScope): CompactionJob {
    if (this.#isStopped) throw new MiniodbError("SHUTTING_DOWN", "The server is shutting down");
    if (this.#asked.length >= limits.compactionsWaitingMax) {
      const message = `${limits.compactionsWaitingMax} compactions wait already`;
      throw new MiniodbError("SERVER_BUSY", message, { limit: limits.compactionsWaitingMax });
    }
    const job = new CompactionJob(scope, this.#options.nowMs());
    this.#keep(entry, job);
    this.#asked.push({ entry, job });
    void this.#drain();
    return job;
  }

  /** Of the table, the newest first: those that are not over, and the last ones that are. */
  list(entry: TableEntry): readonly CompactionJob[] {
    return (this.#jobs.get(entry) ?? []).toReversed();
  }

  /** Throws NOT_FOUND. */
  get(entry: TableEntry, id: string): CompactionJob {
    const job = this.#jobs.get(entry)?.find((known) => known.id === id);
    if (job !== undefined) return job;
    throw new MiniodbError("NOT_FOUND", `Table ${entry.name} has no compaction ${id}, or it is long over`, { id });
  }

  /** The running merge ends soon, without a trace; what is committed stays. A job that is over stays as it is. */
  cancel(job: CompactionJob): void {
    job.control.cancel();
    if (job.state !== "waiting") return;
    job.end("cancelled", this.#options.nowMs());
    // It makes room: whoever asks and cancels again and again fills no line.
    const place = this.#asked.findIndex((asked) => asked.job === job);
    if (place >= 0) this.#asked.splice(place, 1);
  }

  /** The upkeep's round: merges what is due, table by table. What was asked for goes first; a later round comes back. */
  async round(): Promise<void> {
    this.#forgetDropped();
    for (const entry of this.#options.registry.all()) {
      if (this.#isStopped || this.#running !== null || this.#asked.length > 0) return;
      if (entry.isDropped || (this.#pausedUntilMs.get(entry) ?? 0) > this.#options.nowMs()) continue;
      if (entry.deletesUnderWay > 0 || this.#due(entry).length === 0) continue;
      const job = new CompactionJob(null, this.#options.nowMs());
      this.#keep(entry, job);
      await this.#alone(() => this.#run(entry, job));
    }
  }

  /** Ends what runs; resolves when nothing does. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    for (const jobs of this.#jobs.values()) for (const job of jobs) if (!job.isOver) this.cancel(job);
    await this.#running;
  }

  /** Runs what was asked for, one after the other, when nothing runs any more. */
  async #drain(): Promise<void> {
    for (;;) {
      // Each request brings a loop of its own; between the look at #running and #alone no other can come.
      while (this.#running !== null) await this.#running;
      const next = this.#asked.shift();
      if (next === undefined) return;
      await this.#alone(() => this.#run(next.entry, next.job));
    }
  }

  /** To be called while nothing runs. */
  #alone(run: () => Promise<void>): Promise<void> {
    assert(this.#running === null, "merges run one at a time");
    this.#running = run().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  /** What the upkeep merges. */
  #due(entry: TableEntry, conflicts = 0): CompactionPlan[] {
    const { config, nowMs } = this.#options;
    return planCompaction(entry.state.files, smaller(config, conflicts), nowMs());
  }

  /** Never rejects: what went wrong is in the job. */
  async #run(entry: TableEntry, job: CompactionJob): Promise<void> {
    const { nowMs, onError, onEnded } = this.#options;
    job.start(nowMs());
    this.#control = job.control;
    this.tick(this.#writes, nowMs());
    try {
      await this.#mergeAll(entry, job);
      job.end(job.control.isCancelled ? "cancelled" : "done", nowMs());
      onEnded(job.control.isCancelled ? "cancelled" : "done");
    } catch (error) {
      // A merge that was cancelled says SHUTTING_DOWN; any other error of it is one, also after the cancelling.
      if (job.control.isCancelled && isStop(error)) {
        job.end("cancelled", nowMs());
        onEnded("cancelled");
        return;
      }
      job.end("failed", nowMs(), error);
      // Reading the same files again would find the same: the upkeep waits for somebody to look. Requests do not.
      const isUnverified = error instanceof MiniodbError && error.details["verification"] === true;
      if (isUnverified) this.#pausedUntilMs.set(entry, nowMs() + unverifiedPauseMs);
      onEnded(isUnverified ? "unverified" : "failed");
      // Others were faster: the next round plans anew.
      if (!isConflict(error) && !entry.isDropped) onError(`compacting ${entry.name}`, error);
    } finally {
      this.#control = null;
    }
  }

  /**
   * Plans, merges what is planned, and plans again until nothing is left: merges change what is worth merging, and so do
   * flushes meanwhile. The upkeep stops between two merges for whoever has asked. Rejects at the first error but a conflict,
   * and at the conflictsMax-th conflict in a row.
   */
  async #mergeAll(entry: TableEntry, job: CompactionJob): Promise<void> {
    let conflicts = 0;
    for (let pass = 0; pass < passesMax;) {
      const plans = job.scope === null ? this.#due(entry, conflicts) : this.plan(entry, job.scope, conflicts);
      if (plans.length === 0) return;
      // Progress counts from here anew: what was done stays in the totals.
      job.plan(plans);
      let isConflicted = false;
      for (const plan of plans) {
        if (job.scope === null && this.#asked.length > 0) return;
        if (!(await this.#mayMerge(entry, job))) return;
        // The next pass takes what has changed since.
        if (!isCurrent(plan, entry.state.files)) continue;
        try {
          await this.#merge(entry, job, plan);
          conflicts = 0;
        } catch (error) {
          if (!isConflict(error)) throw error;
          job.totals.conflicts++;
          if (++conflicts === conflictsMax) throw error;
          // The rest of the plan is of the same old state; a plan that met a conflict counts as no pass.
          await this.#reload(entry);
          isConflicted = true;
          break;
        }
      }
      if (!isConflicted) pass++;
    }
  }

  /**
   * See delete-service.ts: a merge would mix rows that a delete may see with rows that came later. A job that was asked for
   * waits for the deletes; the upkeep comes back. False: no more merges.
   */
  async #mayMerge(entry: TableEntry, job: CompactionJob): Promise<boolean> {
    while (entry.deletesUnderWay > 0) {
      if (job.scope === null || job.control.isCancelled) return false;
      await this.#options.sleep(deleteLookMs);
    }
    return !entry.isDropped && !job.control.isCancelled;
  }

  /** One merge and its commit. Rejects as PersistPool.compact. */
  async #merge(entry: TableEntry, job: CompactionJob, plan: CompactionPlan): Promise<void> {
    const { pool, config, onMerged } = this.#options;
    const { identity, schema, settings } = entry.state;
    const { files } = plan;
    const { targetBytes, threads } = config;
    job.begin(plan);
    const commit = await pool.compact({
      identity,
      schema,
      settings,
      files,
      targetBytes,
      // Somebody waits for those that were asked for.
      threads: job.scope === null ? 1 : threads,
      control: job.control.memory,
    });
    job.merged(plan, commit);
    onMerged(files.length);
    await this.#adopt(entry, commit);
  }

  /** Queries that begin now read the new files. */
  async #adopt(entry: TableEntry, commit: CommitResult): Promise<void> {
    const state = await this.#options.pool.stateAfter(commit, () => entry.state);
    if (!entry.isDropped) entry.adopt(state, Math.max(entry.flushedSequence, state.positions[entry.stream] ?? 0));
  }

  /** Another node may have made the commit that was in the way. */
  async #reload(entry: TableEntry): Promise<void> {
    const state = await this.#options.pool.loadTable(entry.identity);
    if (entry.isDropped || state.version <= entry.state.version) return;
    entry.adopt(state, Math.max(entry.flushedSequence, state.positions[entry.stream] ?? 0));
  }

  /** In the list of its table, from which the oldest goes. */
  #keep(entry: TableEntry, job: CompactionJob): void {
    const jobs = this.#jobs.get(entry) ?? [];
    this.#jobs.set(entry, jobs);
    jobs.push(job);
    const over = jobs.filter(({ isOver }) => isOver);
    if (over.length > limits.compactionsKeptMax) jobs.splice(jobs.indexOf(over[0] as CompactionJob), 1);
  }

  /** Entries of dropped tables would stay for ever otherwise. */
  #forgetDropped(): void {
    for (const entry of [...this.#jobs.keys(), ...this.#pausedUntilMs.keys()]) {
      if (!entry.isDropped) continue;
      this.#jobs.delete(entry);
      this.#pausedUntilMs.delete(entry);
    }
  }
}

/** After each conflict in a row half as much at once: what is sooner done meets fewer deletes. */
function smaller(rules: Config["compaction"], conflicts: number): Config["compaction"] {
  if (conflicts === 0) return rules;
  const divisor = 2 ** conflicts;
  return { ...rules, targetBytes: rules.targetBytes / divisor, inputBytesMax: rules.inputBytesMax / divisor };
}

/** Whether the table still has the files of the plan, with the deletes that they had then. */
function isCurrent({ files: planned }: CompactionPlan, files: readonly DataFile[]): boolean {
  const byKey = new Map(files.map((file) => [file.key, file]));
  return planned.every((file) => {
    const now = byKey.get(file.key);
    return now !== undefined && deleteKeysOf([now]).join(" ") === deleteKeysOf([file]).join(" ");
  });
}

function isConflict(error: unknown): boolean {
  return error instanceof MiniodbError && error.code === "COMMIT_CONFLICT";
}

function isStop(error: unknown): boolean {
  return error instanceof MiniodbError && error.code === "SHUTTING_DOWN";
}
