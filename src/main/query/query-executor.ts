import { unlink } from "node:fs";
import { unreachable } from "../../shared/assert.js";
import { fromErrorMessage, MiniodbError } from "../../shared/errors.js";
import type {
  KeepRequest,
  KeptFile,
  ParameterValue,
  QueryResult,
  QueryTable,
  ResultBody,
  ResultColumnInfo,
  SelectStatement,
} from "../../shared/query-messages.js";
import { chooseInstance, instanceNotes } from "./choose-instance.js";
import type { KeptSource } from "./kept-results.js";
import { Lease } from "./lease.js";
import type { QueryPool } from "./query-pool.js";
import type { QueryPage } from "./query-request.js";
import type { QueryRun } from "./query-run.js";
import { discardBody } from "../../shared/result-body.js";
import { Slots } from "./slots.js";

export interface QueryWork {
  readonly statement: SelectStatement;
  readonly values: readonly ParameterValue[];
  readonly tables: readonly QueryTable[];
  /** What EXPLAIN says besides DuckDB's plan. */
  readonly notes?: readonly string[];
  readonly page: QueryPage;
  /** Bytes that it reads, as they lie on disk: see choose-instance.ts. */
  readonly scanBytes: number;
  /** Rows before the page. */
  readonly offsetRows: number;
  readonly keep: KeepRequest | null;
}

export interface ExecutedRows {
  readonly body: ResultBody;
  readonly columns: readonly ResultColumnInfo[];
  readonly rows: number;
  readonly hasMore: boolean;
  /** What later pages are read from; the caller holds the lease. */
  readonly kept: { readonly source: KeptSource; readonly lease: Lease } | null;
}

/** Takes a slot for each query, has a worker run it, and gives everything back when the worker is done. */
export class QueryExecutor {
  readonly #pool: QueryPool;
  readonly #slots: Slots;
  readonly #slowMs: number;

  constructor(pool: QueryPool, slowMs: number) {
    this.#pool = pool;
    this.#slots = new Slots(pool.slots);
    this.#slowMs = slowMs;
  }

  /** Queries in a worker. */
  get running(): number {
    return this.#slots.taken;
  }

  /**
   * The rows, or null when a file is gone. Holds the lease until the worker is done, which may be after this has
   * rejected: with the statement's error, or the run's when that was aborted.
   */
  async execute(work: QueryWork, run: QueryRun, lease: Lease): Promise<ExecutedRows | null> {
    lease.retain();
    const slot = await this.#takeSlot(run).catch((error: unknown) => {
      lease.release();
      throw error;
    });
    const { page, scanBytes, notes = [], ...rest } = work;
    const { limitRows, format } = page;
    const choice = { scanBytes, running: this.#slots.taken, threads: this.#pool.duckdbThreads };
    const instance = chooseInstance(choice);
    // The wait for the slot was part of the query's time.
    const timeoutMs = run.remainingMs;
    const executing = this.#pool.run({
      kind: "execute",
      slot,
      instance,
      ...rest,
      notes: notes.length === 0 ? notes : [...notes, ...instanceNotes(instance, choice)],
      limitRows,
      format,
      timeoutMs,
      slowMs: this.#slowMs,
    });
    const onAbort = (): void => this.#pool.cancel(slot);
    run.signal.addEventListener("abort", onAbort, { once: true });
    // Between the slot and the listener it may have been aborted: then no event comes any more.
    if (run.signal.aborted) onAbort();
    const result = await run.track(executing, (ended) => {
      // Nobody takes a result that comes after the abort.
      if (run.signal.aborted && ended?.kind === "rows") discard(ended);
      run.signal.removeEventListener("abort", onAbort);
      run.slot = null;
      if (ended?.kind === "rows" || ended?.kind === "failed") run.plan = ended.plan ?? null;
      // The files first: who gets the slot next may need their room.
      lease.release();
      this.#slots.give(slot);
    });
    return executedRows(result);
  }

  /** Bounds what DuckDB has under way at once: beyond that, queries only take memory from each other. */
  async #takeSlot(run: QueryRun): Promise<number> {
    run.stage = "waiting";
    const startMs = performance.now();
    const slot = await this.#slots.take(run.signal);
    run.waitedMs += performance.now() - startMs;
    run.stage = "running";
    run.slot = slot;
    return slot;
  }
}

/** A worker's answer. `stale-files` is no error yet: the caller looks at the catalog again, and only then gives up. */
function executedRows(result: QueryResult): ExecutedRows | null {
  switch (result.kind) {
    case "rows": {
      const { body, columns, rows, hasMore, kept } = result;
      return { body, columns, rows, hasMore, kept: kept === undefined ? null : keptSource(kept) };
    }
    case "failed":
      throw fromErrorMessage(result.error);
    case "stale-files":
      return null;
    case "parsed":
      throw new MiniodbError("INTERNAL", "a query worker answered another task");
    default:
      return unreachable(result);
  }
}

/** The worker wrote the file for pages that may never be asked for; it goes with the last who holds it. */
function keptSource({ path, sql, bytes, isWhole }: KeptFile): { source: KeptSource; lease: Lease } {
  // A file that stays behind is removed at the next start, with its folder.
  const lease = new Lease(() => unlink(path, () => {}));
  return { source: { kind: "file", sql, bytes, isWhole }, lease };
}

/** Of a query that nobody waits for any more: its files are nobody's, too. */
function discard({ body, kept }: Extract<QueryResult, { readonly kind: "rows" }>): void {
  void discardBody(body);
  if (kept !== undefined) unlink(kept.path, () => {});
}
