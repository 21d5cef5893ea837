import { MiniodbError } from "../../../shared/errors.js";
import { deletedRowsOf, liveRowsOf } from "../../../shared/iceberg/live-rows.js";
import type { TableEntry } from "../../catalog/table-entry.js";
import type { TableRegistry } from "../../catalog/table-registry.js";
import type { HttpExchange, RequestListener } from "../../sockets/http-server.js";
import type { CompactionJob } from "../../upkeep/compaction-job.js";
import type { Compactions } from "../../upkeep/compactions.js";
import type { CompactionScope } from "../../upkeep/plan-asked-compaction.js";
import type { CompactionPlan } from "../../upkeep/plan-compaction.js";
import { dayOfText, dayText } from "./day-text.js";
import { JsonAnswers } from "./json-answers.js";
import { optionalFlag, optionalText, type JsonObject } from "./json-request.js";

export interface CompactionRoutesOptions {
  readonly registry: TableRegistry;
  readonly compactions: Compactions;
  /** An error that is no MiniodbError: the client hears INTERNAL, and this is for the log. */
  readonly onInternal: (error: unknown) => void;
}

/**
 * Merges of a table's files: to ask for, to look at and to cancel.
 *
 * ```
 * POST   .../compact            {full, from_day, to_day, dry_run}   ─▶ a job in the line, or a plan
 * GET    .../compactions        ─▶ jobs of the table, the newest first; those of the upkeep among them
 * GET    .../compactions/{id}   ─▶ one of them
 * DELETE .../compactions/{id}   ─▶ it ends soon; what it has committed stays
 * ```
 * The reply to a request does not wait for its merges: they take as long as the table is large.
 */
export class CompactionRoutes {
  readonly #options: CompactionRoutesOptions;
  readonly #answers: JsonAnswers;

  constructor(options: CompactionRoutesOptions) {
    this.#options = options;
    this.#answers = new JsonAnswers(options.onInternal);
  }

  /**
   * The job, which has just been put into the line; of a dry run, the merges as they would be now. The plan is made again
   * at the job's turn: files come and go until then. Fails with SERVER_BUSY where the line is full.
   */
  compact(exchange: HttpExchange, name: string): RequestListener {
    return this.#answers.withBody(exchange, async (body) => {
      const { registry, compactions } = this.#options;
      const entry = registry.get(name);
      const scope = scopeOf(body);
      if (optionalFlag(body, "dry_run") ?? false) return planReply(entry, scope, compactions.plan(entry, scope));
      const job = compactions.ask(entry, scope);
      return { success: true, dry_run: false, compaction: jobJson(entry, job) };
    });
  }

  /** The newest first; those that are over are the last few since the server began, as nothing of a job is stored. */
  list(exchange: HttpExchange, name: string): RequestListener {
    return this.#answers.afterBody(exchange, async () => {
      const { registry, compactions } = this.#options;
      const entry = registry.get(name);
      const jobs = compactions.list(entry);
      return { compactions: jobs.map((job) => jobJson(entry, job)), total: jobs.length };
    });
  }

  /** Fails with NOT_FOUND where it is long over, or was before the last start. */
  get(exchange: HttpExchange, name: string, id: string): RequestListener {
    return this.#answers.afterBody(exchange, async () => {
      const entry = this.#options.registry.get(name);
      return jobJson(entry, this.#options.compactions.get(entry, id));
    });
  }

  /**
   * A job that is over is answered as it is: whoever repeats the request finds out how it ended. One that runs is still
   * `running` in the reply, and may end as `done`: a merge whose commit has begun is not called back.
   */
  cancel(exchange: HttpExchange, name: string, id: string): RequestListener {
    return this.#answers.afterBody(exchange, async () => {
      const { registry, compactions } = this.#options;
      const entry = registry.get(name);
      const job = compactions.get(entry, id);
      compactions.cancel(job);
      return { success: true, compaction: jobJson(entry, job) };
    });
  }
}

/** Throws INVALID_REQUEST, for unknown fields too: a misspelt `dry_run` would merge. */
function scopeOf(body: JsonObject): CompactionScope {
  const known = new Set(["full", "dry_run", "from_day", "to_day"]);
  const unknown = Object.keys(body).find((field) => !known.has(field));
  if (unknown !== undefined) {
    const message = `${unknown} is not known here: full, dry_run, from_day and to_day are`;
    throw new MiniodbError("INVALID_REQUEST", message, { field: unknown });
  }
  // Open ends: a table may have days from before 1970 and from after today.
  const fromDay = dayOf(body, "from_day") ?? Number.NEGATIVE_INFINITY;
  const throughDay = dayOf(body, "to_day") ?? Number.POSITIVE_INFINITY;
  if (fromDay > throughDay) {
    throw new MiniodbError("INVALID_REQUEST", "from_day is after to_day", { field: "from_day" });
  }
  return { isFull: optionalFlag(body, "full") ?? false, fromDay, throughDay };
}

/** Days since 1970-01-01; undefined where the body does not say. Throws INVALID_REQUEST. */
function dayOf(body: JsonObject, field: string): number | undefined {
  const text = optionalText(body, field);
  if (text === undefined) return undefined;
  const day = dayOfText(text);
  if (day !== null) return day;
  throw new MiniodbError("INVALID_REQUEST", `${field} must be a day such as 2026-11-22`, { field });
}

/** As it was asked for: null is no bound. */
function scopeJson(scope: CompactionScope): Readonly<Record<string, unknown>> {
  const { isFull, fromDay, throughDay } = scope;
  return {
    full: isFull,
    from_day: Number.isFinite(fromDay) ? dayText(fromDay) : null,
    to_day: Number.isFinite(throughDay) ? dayText(throughDay) : null,
  };
}

/** Rows are those that a query sees; deleted ones, which a merge leaves out, are counted apart. Bytes are those of the data files. */
function planReply(
  { name }: TableEntry,
  scope: CompactionScope,
  plans: readonly CompactionPlan[],
): Readonly<Record<string, unknown>> {
  const merges = plans.map(({ day, files, bytes }) => ({
    day: dayText(day),
    files: files.length,
    bytes,
    rows: files.reduce((sum, file) => sum + liveRowsOf(file), 0),
    deleted_rows: files.reduce((sum, file) => sum + deletedRowsOf(file), 0),
  }));
  const sumOf = (key: "files" | "bytes" | "rows" | "deleted_rows"): number =>
    merges.reduce((sum, merge) => sum + merge[key], 0);
  return {
    success: true,
    dry_run: true,
    table: name,
    ...scopeJson(scope),
    merges,
    files: sumOf("files"),
    bytes: sumOf("bytes"),
    rows: sumOf("rows"),
    deleted_rows: sumOf("deleted_rows"),
  };
}

/**
 * Counts are of what is committed: of a job that failed or was cancelled, too. `elapsed_ms` is without the wait in the line;
 * `progress` is rounded to a thousandth, of which the worker tells. The error's details are for the log: they name keys of the store.
 */
function jobJson({ name }: TableEntry, job: CompactionJob): Readonly<Record<string, unknown>> {
  const { id, scope, state, totals, error } = job;
  const elapsedMs = job.startedMs === null ? 0 : (job.endedMs ?? Date.now()) - job.startedMs;
  return {
    id,
    table: name,
    trigger: scope === null ? "upkeep" : "request",
    ...(scope === null ? {} : scopeJson(scope)),
    state,
    progress: Math.round(job.progress * 1000) / 1000,
    requested_at: timeText(job.requestedMs),
    started_at: timeText(job.startedMs),
    ended_at: timeText(job.endedMs),
    elapsed_ms: elapsedMs,
    merges: totals.merges,
    files_in: totals.filesIn,
    files_out: totals.filesOut,
    bytes_in: totals.bytesIn,
    bytes_out: totals.bytesOut,
    rows: totals.rows,
    deleted_rows: totals.deletedRows,
    conflicts: totals.conflicts,
    error: error === null ? null : { code: error.code, message: error.message },
  };
}

function timeText(timeMs: number | null): string | null {
  return timeMs === null ? null : new Date(timeMs).toISOString();
}
