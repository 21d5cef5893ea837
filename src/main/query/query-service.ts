import { createHash } from "node:crypto";
import { assert } from "../../shared/assert.js";
import { fromErrorMessage, MiniodbError } from "../../shared/errors.js";
import type { ParsedStatement, SelectStatement } from "../../shared/query-messages.js";
import { scanBytesOf } from "./choose-instance.js";
import { type HeldTables, holdTables } from "./held-tables.js";
import type { KeptResults } from "./kept-results.js";
import type { LocalFiles } from "./local-files.js";
import { ParseCache } from "./parse-cache.js";
import { QueryExecutor } from "./query-executor.js";
import { QueryPages } from "./query-pages.js";
import { valuesOf } from "./query-parameters.js";
import type { QueryPool } from "./query-pool.js";
import { QueryRegistry } from "./query-registry.js";
import { QueryReplies } from "./query-replies.js";
import { type QueryReply, type QueryRequest, pageOf, timeoutOf } from "./query-request.js";
import { QueryRun, type QueryStage } from "./query-run.js";
import { resultKey, type ResultCache, type ResultCacheStats } from "./result-cache.js";
import { type AskedQuery, keepRequestOf, showTables } from "./asked-query.js";
import { findRows, type FindRowsRequest, type FoundRows } from "./row-finder.js";
import { type SlowQuery, slowQuery } from "./slow-queries.js";
import type { Snapshot, SnapshotProvider } from "./snapshot-provider.js";
import { suggestName } from "../../shared/suggest-name.js";

export interface QueryServiceOptions {
  readonly pool: QueryPool;
  readonly snapshots: SnapshotProvider;
  readonly files: LocalFiles;
  readonly cache: ResultCache;
  readonly kept: KeptResults;
  /** Queries beyond the running ones; more are answered SERVER_BUSY. */
  readonly queueMax: number;
  /** Most rows of one reply, and what a request without a limit gets. */
  readonly rowsMax: number;
  /** Longest run of one query, its wait included, and what a request without one gets. */
  readonly timeoutMs: number;
  /** Queries that take longer go to `onSlow`; 0: none. */
  readonly slowMs: number;
  readonly onSlow: (query: SlowQuery) => void;
}

/** A query under way, for those who look at it from outside. */
export interface QueryDescription {
  readonly id: string;
  readonly sql: string;
  readonly stage: QueryStage;
  readonly startedAtMs: number;
  readonly elapsedMs: number;
  readonly timeoutMs: number;
  /** 0 to 1, DuckDB's estimate for the statement that runs now; null where there is none. */
  readonly progress: number | null;
}

/** A file of a snapshot can go between two looks at the catalog; a second miss is another matter. */
const attemptsMax = 2;
const noTokens: readonly string[] = [];

/**
 * Runs the statements of clients, from text to reply:
 *
 * ```
 * cached? ─▶ admit ─▶ parse (cached by text) ─▶ snapshot of the tables ─▶ cached? ─▶ files ─▶ slot ─▶ execute ─▶ reply
 *    │                    └─ a cursor: query-pages.ts ─────────────────────────────────────────┘          │
 *    └─ every row of its tables is in a file: the versions are known at once                    cache, keep for pages
 * ```
 *
 * The snapshot comes before the slot, so that a query which waits for a write to become visible holds no slot. A slot
 * and a snapshot are given back when the worker is done with them, also where the client got its error before.
 */
export class QueryService {
  readonly #options: QueryServiceOptions;
  readonly #executor: QueryExecutor;
  readonly #parsed = new ParseCache();
  readonly #registry = new QueryRegistry();
  readonly #replies: QueryReplies;
  readonly #pages: QueryPages;
  #isClosing = false;

  constructor(options: QueryServiceOptions) {
    this.#options = options;
    const { pool, slowMs, cache, kept, files } = options;
    this.#executor = new QueryExecutor(pool, slowMs);
    this.#replies = new QueryReplies(cache, kept);
    this.#pages = new QueryPages({ executor: this.#executor, kept, files, replies: this.#replies });
  }

  /** Queries in a worker, and all that were admitted. */
  get load(): { readonly running: number; readonly admitted: number } {
    return { running: this.#executor.running, admitted: this.#registry.size };
  }

  get cacheStats(): ResultCacheStats {
    return this.#options.cache.stats;
  }

  /** Results kept for further pages, and the bytes of their files. */
  get keptStats(): { readonly count: number; readonly bytes: number } {
    const { size, bytes } = this.#options.kept;
    return { count: size, bytes };
  }

  /** Rejects with MiniodbError: INVALID_SQL, SQL_NOT_ALLOWED, TABLE_NOT_FOUND, QUERY_TIMEOUT, SERVER_BUSY, ... */
  async run(request: QueryRequest): Promise<QueryReply> {
    const queryId = this.#registry.id(request.queryId);
    const cached = this.#fromCache(request, queryId);
    if (cached !== null) return cached;
    this.#admit();
    const { sql, signal } = request;
    const timeoutMs = timeoutOf(request, this.#options.timeoutMs);
    const onOver = (ended: QueryRun): void => {
      this.#registry.remove(ended);
      this.#noteSlow(ended);
    };
    const run = new QueryRun({ id: queryId, sql, timeoutMs, signal, onOver });
    this.#registry.add(run);
    try {
      const reply = await this.#answer(request, run);
      run.end = { rows: reply.rows, elapsedMs: run.elapsedMs };
      return reply;
    } catch (error) {
      run.end = { error, elapsedMs: run.elapsedMs };
      throw error;
    } finally {
      run.leave();
    }
  }

  /** See row-finder.ts; it is listed, and can be cancelled, like a query. Rejects as `run` does. */
  async findRows(request: FindRowsRequest): Promise<FoundRows> {
    const { pool, files } = this.#options;
    try {
      this.#admit();
    } catch (error) {
      request.snapshot.release();
      throw error;
    }
    const { where: sql, timeoutMs, signal } = request;
    const onOver = (ended: QueryRun): void => this.#registry.remove(ended);
    const run = new QueryRun({ id: this.#registry.id(undefined), sql, timeoutMs, signal, onOver });
    this.#registry.add(run);
    try {
      return await findRows({ pool, files, executor: this.#executor }, request, run);
    } finally {
      run.leave();
    }
  }

  /** The queries under way, in the order of their admission. */
  list(): QueryDescription[] {
    return this.#registry.all().map((run) => this.#describe(run));
  }

  /** Throws NOT_FOUND. */
  describe(id: string): QueryDescription {
    return this.#describe(this.#registry.get(id));
  }

  /** Its caller gets QUERY_CANCELLED at once; its slot is free when DuckDB has noticed. Throws NOT_FOUND. */
  cancel(id: string): void {
    this.#registry.get(id).abort(new MiniodbError("QUERY_CANCELLED", "the query was cancelled by its id"));
  }

  /** Refuses new queries, waits for the others up to `drainMs`, then cancels them; resolves when none is left. */
  async close(drainMs: number): Promise<void> {
    this.#isClosing = true;
    const timer = setTimeout(() => {
      for (const run of this.#registry.all()) run.abort(shuttingDown());
    }, drainMs);
    await this.#registry.idle();
    clearTimeout(timer);
    this.#options.kept.close();
    await this.#options.pool.close();
  }

  /** Counts all that were not answered yet: a query in the queue holds its connection, and text up to 256 KiB. */
  #admit(): void {
    if (this.#isClosing) throw shuttingDown();
    const { queueMax, pool } = this.#options;
    const { size } = this.#registry;
    if (size >= pool.slots + queueMax) {
      throw new MiniodbError("SERVER_BUSY", `${size} queries are running or waiting`, { limit: queueMax });
    }
  }

  /**
   * The reply without any waiting, or null: the text was parsed before, and every row of its tables is in a file, so
   * that their versions are what a snapshot would have now.
   */
  #fromCache(request: QueryRequest, queryId: string): QueryReply | null {
    const { snapshots, rowsMax, cache } = this.#options;
    if (!cache.isOn || this.#isClosing) return null;
    if ((request.minSequence?.length ?? 0) > 0 || (request.at ?? null) !== null) return null;
    const statement = this.#parsed.get(request.sql);
    if (statement === undefined || statement.kind !== "select" || statement.isVolatile) return null;
    if (statement.tables.length === 0) return null;
    const versions = snapshots.versions(statement.tables.map((table) => table.name));
    if (versions === null) return null;
    return this.#replies.cached(askedQuery(request, statement, rowsMax), versions, queryId);
  }

  /**
   * From text to reply. The cache is looked at again once the snapshot is there: the look before it, without any waiting,
   * only finds queries over tables whose rows are all in files.
   */
  async #answer(request: QueryRequest, run: QueryRun): Promise<QueryReply> {
    const parsed = await this.#parse(request.sql, run);
    const { snapshots, rowsMax, files } = this.#options;
    const statement = parsed.kind === "show-tables" ? showTables(request.sql, snapshots.tableNames()) : parsed;
    const asked = askedQuery(request, statement, rowsMax);
    if (asked.page.cursor !== null) return this.#pages.next(asked, run);
    this.#checkTables(statement);
    for (let attempt = 1; ; attempt++) {
      run.stage = "preparing";
      const snapshot = await this.#acquire(asked, request, run);
      const versions = snapshot.tables.map((table) => table.version);
      const cached = asked.isCacheable ? this.#replies.cached(asked, versions, run.id) : null;
      if (cached !== null) {
        snapshot.release();
        return cached;
      }
      const tables = await holdTables(files, { asked, snapshot, run });
      const reply = await this.#firstPage(asked, { tables, versions }, run);
      if (reply !== null) return reply;
      if (attempt < attemptsMax) continue;
      throw new MiniodbError("STORE_UNAVAILABLE", "a data file of the table cannot be opened");
    }
  }

  /** Null when a file of the snapshot was gone. Releases the tables. */
  async #firstPage(
    asked: AskedQuery,
    { tables, versions }: { readonly tables: HeldTables; readonly versions: readonly string[] },
    run: QueryRun,
  ): Promise<QueryReply | null> {
    const { statement, values, page } = asked;
    const { pool, rowsMax } = this.#options;
    try {
      const keep = keepRequestOf(asked, { folder: pool.keptFolder, rowsMax, tables: tables.needed });
      const scanBytes = scanBytesOf(tables.needed);
      const work = {
        statement,
        values,
        tables: tables.tables,
        notes: tables.notes,
        scanBytes,
        page,
        offsetRows: 0,
        keep,
      };
      const result = await this.#executor.execute(work, run, tables.lease);
      if (result === null) return null;
      const nextCursor = this.#pages.keep(asked, result, { tables, versions });
      const place = { key: resultKey(asked, versions), queryId: run.id };
      return this.#replies.finished(asked, place, { ...result, nextCursor });
    } finally {
      tables.lease.release();
    }
  }

  /** By a worker, as only DuckDB's own parser is trusted; no slot is taken, as a parse is over within milliseconds. */
  async #parse(sql: string, run: QueryRun): Promise<ParsedStatement> {
    const known = this.#parsed.get(sql);
    if (known !== undefined) return known;
    const result = await run.track(this.#options.pool.run({ kind: "parse", sql }), () => {});
    if (result.kind === "failed") throw fromErrorMessage(result.error);
    assert(result.kind === "parsed", "a parse task ends with its statement or an error");
    this.#parsed.set(sql, result.statement);
    return result.statement;
  }

  /** Before the snapshot, which waits for writes: a misspelt table is told at once, with a name that is near. */
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

  async #acquire({ statement }: AskedQuery, request: QueryRequest, run: QueryRun): Promise<Snapshot> {
    if (statement.tables.length === 0) return { tables: [], release: () => {} };
    const tables = statement.tables.map((table) => table.name);
    const { minSequence = noTokens, at = null } = request;
    const acquiring = this.#options.snapshots.acquire({ tables, minSequence, at, signal: run.signal });
    // Nobody takes a snapshot that comes after the abort.
    return run.track(acquiring, (snapshot) => {
      if (run.signal.aborted) snapshot?.release();
    });
  }

  #describe(run: QueryRun): QueryDescription {
    const { id, sql, stage, elapsedMs, timeoutMs, slot } = run;
    const progress = slot === null ? null : this.#options.pool.progress(slot);
    return { id, sql, stage, startedAtMs: Date.now() - elapsedMs, elapsedMs, timeoutMs, progress };
  }

  /** When the worker is done with it, too: it may have a plan of a query whose caller has left. */
  #noteSlow(run: QueryRun): void {
    const { slowMs, onSlow } = this.#options;
    if (slowMs > 0 && run.end !== null && run.end.elapsedMs >= slowMs) onSlow(slowQuery(run, run.end));
  }
}

/** Throws INVALID_REQUEST for a page or for values that do not fit the statement. */
function askedQuery(request: QueryRequest, statement: SelectStatement, rowsMax: number): AskedQuery {
  const page = pageOf(request, rowsMax);
  const values = valuesOf(statement.parameters, request.params);
  const identity = values.length === 0 ? statement.fingerprint : identityOf(statement.fingerprint, values);
  const isCacheable = statement.kind === "select" && !statement.isVolatile && statement.tables.length > 0;
  return { statement, values, page, identity, isCacheable };
}

/** JSON tells 1 from "1" and true; a hash keeps large values out of keys. */
function identityOf(fingerprint: string, values: readonly unknown[]): string {
  return createHash("sha256")
    .update(`${fingerprint} ${JSON.stringify(values)}`)
    .digest("base64url");
}

function shuttingDown(): MiniodbError {
  return new MiniodbError("SHUTTING_DOWN", "the server is shutting down");
}
