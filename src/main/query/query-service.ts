import { assert, unreachable } from "../../shared/assert.js";
import { fromErrorMessage, MiniodbError } from "../../shared/errors.js";
import type {
  ParameterValue,
  ParsedStatement,
  QueryResult,
  ResultBody,
  ResultColumnInfo,
  SelectStatement,
} from "../../shared/query-messages.js";
import type { ResultFormat } from "../../shared/result-format.js";
import type { LocalFiles } from "./local-files.js";
import { openTables, type OpenTables } from "./open-tables.js";
import { ParseCache } from "./parse-cache.js";
import { decodeCursor, encodeCursor } from "./query-cursor.js";
import { type QueryParameters, valuesOf } from "./query-parameters.js";
import type { QueryPool } from "./query-pool.js";
import { QueryRun } from "./query-run.js";
import { discardBody } from "./result-body.js";
import { Slots } from "./slots.js";
import type { Snapshot, SnapshotProvider } from "./snapshot-provider.js";
import { suggestName } from "./suggest-name.js";

export interface QueryServiceOptions {
  readonly pool: QueryPool;
  readonly snapshots: SnapshotProvider;
  readonly files: LocalFiles;
  /** Queries beyond the running ones; more are answered SERVER_BUSY. */
  readonly queueMax: number;
  /** Most rows of one reply, and what a request without a limit gets. */
  readonly rowsMax: number;
  /** Longest run of one query, its wait included, and what a request without one gets. */
  readonly timeoutMs: number;
}

export interface QueryRequest {
  readonly sql: string;
  /** Values for the statement's parameters. */
  readonly params?: QueryParameters | undefined;
  /** Rows of the reply; absent or 0: `rowsMax` for the format `original`, which has no more, and all for the others. */
  readonly limit?: number | undefined;
  /** `nextCursor` of the reply before; absent or empty: from the first row. */
  readonly cursor?: string | undefined;
  readonly timeoutMs?: number | undefined;
  /** Tokens of writes that the query must see. */
  readonly minSequence?: readonly string[] | undefined;
  /** Aborts the query, as when its client has gone. */
  readonly signal?: AbortSignal | undefined;
  /** Absent: `original`. */
  readonly format?: ResultFormat | undefined;
}

export interface QueryReply {
  /** The caller unlinks a file; see result-body.ts. */
  readonly body: ResultBody;
  readonly columns: readonly ResultColumnInfo[];
  readonly rows: number;
  readonly hasMore: boolean;
  /** Empty when there are no more rows. */
  readonly nextCursor: string;
}

interface Page {
  readonly limitRows: number | null;
  readonly offsetRows: number;
  readonly format: ResultFormat;
}

interface BoundPage extends Page {
  readonly values: readonly ParameterValue[];
}

type Rows = Extract<QueryResult, { readonly kind: "rows" }>;

/** A file of a snapshot can go between two looks at the catalog; a second miss is another matter. */
const attemptsMax = 2;

/**
 * Runs the statements of clients, from text to reply:
 *
 * ```
 * admit ─▶ parse (cached by text) ─▶ snapshot of the tables ─▶ slot ─▶ execute in the pool ─▶ release
 * ```
 *
 * The snapshot comes before the slot, so that a query which waits for a write to become visible holds no slot. A slot
 * and a snapshot are given back when the worker is done with them, also where the client got its error before.
 */
export class QueryService {
  readonly #options: QueryServiceOptions;
  readonly #slots: Slots;
  readonly #parsed = new ParseCache();
  /** Queries that were admitted and are not over. */
  readonly #runs = new Set<QueryRun>();
  #isClosing = false;
  #onIdle: () => void = () => {};

  constructor(options: QueryServiceOptions) {
    this.#options = options;
    this.#slots = new Slots(options.pool.slots);
  }

  /** Queries in a worker, and all that were admitted. */
  get load(): { readonly running: number; readonly admitted: number } {
    return { running: this.#slots.taken, admitted: this.#runs.size };
  }

  /** Rejects with MiniodbError: INVALID_SQL, SQL_NOT_ALLOWED, TABLE_NOT_FOUND, QUERY_TIMEOUT, SERVER_BUSY, ... */
  async run(request: QueryRequest): Promise<QueryReply> {
    const page = this.#pageOf(request);
    const timeoutMs = this.#timeoutOf(request);
    this.#admit();
    const run = new QueryRun(timeoutMs, request.signal, (ended) => this.#forget(ended));
    this.#runs.add(run);
    try {
      return await this.#answer(request, page, run);
    } finally {
      run.leave();
    }
  }

  /** Refuses new queries, waits for the others up to `drainMs`, then cancels them; resolves when none is left. */
  async close(drainMs: number): Promise<void> {
    this.#isClosing = true;
    if (this.#runs.size > 0) {
      const timer = setTimeout(() => {
        for (const run of this.#runs) run.abort(shuttingDown());
      }, drainMs);
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
      clearTimeout(timer);
    }
    await this.#options.pool.close();
  }

  #admit(): void {
    if (this.#isClosing) throw shuttingDown();
    const { queueMax, pool } = this.#options;
    if (this.#runs.size >= pool.slots + queueMax) {
      throw new MiniodbError("SERVER_BUSY", `${this.#runs.size} queries are running or waiting`, { limit: queueMax });
    }
  }

  #forget(run: QueryRun): void {
    this.#runs.delete(run);
    if (this.#runs.size === 0) this.#onIdle();
  }

  #pageOf(request: QueryRequest): Page {
    const { rowsMax } = this.#options;
    const limit = request.limit ?? 0;
    if (!Number.isSafeInteger(limit) || limit < 0) {
      throw new MiniodbError("INVALID_REQUEST", "limit is not a number of rows", { field: "limit" });
    }
    const format = request.format ?? "original";
    const atMost = format === "original" ? rowsMax : Number.POSITIVE_INFINITY;
    const limitRows = limit === 0 ? atMost : Math.min(limit, atMost);
    return {
      limitRows: Number.isFinite(limitRows) ? limitRows : null,
      offsetRows: decodeCursor(request.sql, request.cursor ?? ""),
      format,
    };
  }

  #timeoutOf({ timeoutMs }: QueryRequest): number {
    if (timeoutMs === undefined) return this.#options.timeoutMs;
    if (!(timeoutMs > 0)) {
      throw new MiniodbError("INVALID_REQUEST", "timeout_ms is not a positive number", { field: "timeout_ms" });
    }
    return Math.min(timeoutMs, this.#options.timeoutMs);
  }

  async #answer(request: QueryRequest, page: Page, run: QueryRun): Promise<QueryReply> {
    const { sql } = request;
    const parsed = await this.#parse(sql, run);
    const { snapshots } = this.#options;
    const statement = parsed.kind === "show-tables" ? showTables(sql, snapshots.tableNames()) : parsed;
    const values = valuesOf(statement.parameters, request.params);
    this.#checkTables(statement);
    for (let attempt = 1; ; attempt++) {
      const snapshot = await this.#acquire(statement, request.minSequence ?? [], run);
      const result = await this.#execute(statement, snapshot, { ...page, values }, run);
      switch (result.kind) {
        case "rows":
          return rowsReply(sql, page, result);
        case "failed":
          throw fromErrorMessage(result.error);
        case "stale-files":
          if (attempt < attemptsMax) continue;
          throw new MiniodbError("STORE_UNAVAILABLE", "a data file of the table cannot be opened", {}, result.message);
        case "parsed":
          throw new MiniodbError("INTERNAL", "a query worker answered another task");
        default:
          unreachable(result);
      }
    }
  }

  async #parse(sql: string, run: QueryRun): Promise<ParsedStatement> {
    const known = this.#parsed.get(sql);
    if (known !== undefined) return known;
    const result = await run.track(this.#options.pool.run({ kind: "parse", sql }), () => {});
    if (result.kind === "failed") throw fromErrorMessage(result.error);
    assert(result.kind === "parsed", "a parse task ends with its statement or an error");
    this.#parsed.set(sql, result.statement);
    return result.statement;
  }

  #checkTables(statement: SelectStatement): void {
    const { snapshots } = this.#options;
    for (const { name, position } of statement.tables) {
      if (snapshots.hasTable(name)) continue;
      const suggestion = suggestName(name, snapshots.tableNames());
      const hint = suggestion === null ? "" : `; did you mean ${suggestion}?`;
      const details = {
        table: name,
        ...(position !== null && { position }),
        ...(suggestion !== null && { suggestion }),
      };
      throw new MiniodbError("TABLE_NOT_FOUND", `there is no table ${name}${hint}`, details);
    }
  }

  async #acquire(statement: SelectStatement, minSequence: readonly string[], run: QueryRun): Promise<Snapshot> {
    if (statement.tables.length === 0) return { tables: [], release: () => {} };
    const tables = statement.tables.map((table) => table.name);
    const acquiring = this.#options.snapshots.acquire({ tables, minSequence, signal: run.signal });
    // Nobody takes a snapshot that comes after the abort.
    return run.track(acquiring, (snapshot) => {
      if (run.signal.aborted) snapshot?.release();
    });
  }

  async #execute(statement: SelectStatement, snapshot: Snapshot, page: BoundPage, run: QueryRun): Promise<QueryResult> {
    const { pool } = this.#options;
    let slot: number;
    let files: OpenTables | undefined;
    try {
      files = await openTables(this.#options.files, snapshot.tables, run.signal);
      slot = await this.#slots.take(run.signal);
    } catch (error) {
      files?.release();
      snapshot.release();
      throw error;
    }
    const { tables } = files;
    const running = pool.run({
      kind: "execute",
      slot,
      statement,
      tables,
      timeoutMs: run.remainingMs,
      ...page,
    });
    const onAbort = (): void => pool.cancel(slot);
    run.signal.addEventListener("abort", onAbort, { once: true });
    if (run.signal.aborted) onAbort();
    return run.track(running, (result) => {
      // Nobody takes a result that comes after the abort.
      if (run.signal.aborted && result?.kind === "rows") void discardBody(result.body);
      run.signal.removeEventListener("abort", onAbort);
      files.release();
      snapshot.release();
      this.#slots.give(slot);
    });
  }
}

function rowsReply(sql: string, page: Page, { body, columns, rows, hasMore }: Rows): QueryReply {
  const nextCursor = hasMore ? encodeCursor(sql, page.offsetRows + rows) : "";
  return { body, columns, rows, hasMore, nextCursor };
}

/** `SHOW TABLES` lists the catalog, of which DuckDB knows only the views of running queries: the names as a SELECT. */
function showTables(text: string, names: readonly string[]): SelectStatement {
  const list = names.toSorted().map((name) => `'${name.replaceAll("'", "''")}'`);
  const sql = `SELECT unnest([${list.join(", ")}]::VARCHAR[]) AS name`;
  const none = { tables: [], parameters: [], limitRows: null, predicates: [] };
  return { kind: "select", sql, text, startBytes: 0, ...none, fingerprint: sql, isVolatile: false, isBlocking: true };
}

function shuttingDown(): MiniodbError {
  return new MiniodbError("SHUTTING_DOWN", "the server is shutting down");
}
