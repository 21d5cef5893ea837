import { createHash } from "node:crypto";
import { assert } from "../../shared/assert.js";
import { fromErrorMessage, MiniodbError } from "../../shared/errors.js";
import type { ParsedStatement, QueryTable, SelectStatement } from "../../shared/query-messages.js";
import type { KeptResult, KeptResults } from "./kept-results.js";
import { Lease } from "./lease.js";
import type { LocalFiles } from "./local-files.js";
import { explainNotes, pruneRequestOf } from "./explain-files.js";
import { type OpenTables, openTables } from "./open-tables.js";
import { ParseCache } from "./parse-cache.js";
import { pruneFiles } from "./prune-files.js";
import { encodeCursor } from "./query-cursor.js";
import { type ExecutedRows, QueryExecutor } from "./query-executor.js";
import { valuesOf } from "./query-parameters.js";
import type { QueryPool } from "./query-pool.js";
import { QueryRegistry } from "./query-registry.js";
import { type QueryReply, type QueryRequest, pageOf, timeoutOf } from "./query-request.js";
import { QueryRun, type QueryStage } from "./query-run.js";
import { resultKey, type ResultCache, type ResultCacheStats } from "./result-cache.js";
import { type AskedQuery, hasFixedOrder, keepRequestOf, keptStatement, showTables } from "./asked-query.js";
import { type SlowQuery, slowQuery } from "./slow-queries.js";
import type { Snapshot, SnapshotProvider, SnapshotTable } from "./snapshot-provider.js";
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

/** Tables as paths that DuckDB can open, which stay as long as somebody holds the lease. */
interface HeldTables {
  readonly tables: readonly QueryTable[];
  /** What EXPLAIN says besides DuckDB's plan. */
  readonly notes: readonly string[];
  /** Of the files on this machine and of the snapshot. */
  readonly lease: Lease;
  /** What pruning left of the snapshot, and the snapshot's own lease: it keeps the files in the store. */
  readonly needed: readonly SnapshotTable[];
  readonly snapshotLease: Lease;
}

/** A file of a snapshot can go between two looks at the catalog; a second miss is another matter. */
const attemptsMax = 2;
const noTokens: readonly string[] = [];

/**
 * Runs the statements of clients, from text to reply:
 *
 * ```
 * cached? ─▶ admit ─▶ parse (cached by text) ─▶ snapshot of the tables ─▶ cached? ─▶ files ─▶ slot ─▶ execute ─▶ reply
 *    │                    └─ a cursor: what its first page kept ───────────────────────────────┘          │
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
  #isClosing = false;

  constructor(options: QueryServiceOptions) {
    this.#options = options;
    this.#executor = new QueryExecutor(options.pool, options.slowMs);
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
    return this.#cachedReply(askedQuery(request, statement, rowsMax), versions, queryId);
  }

  async #answer(request: QueryRequest, run: QueryRun): Promise<QueryReply> {
    const parsed = await this.#parse(request.sql, run);
    const { snapshots, rowsMax } = this.#options;
    const statement = parsed.kind === "show-tables" ? showTables(request.sql, snapshots.tableNames()) : parsed;
    const asked = askedQuery(request, statement, rowsMax);
    if (asked.page.cursor !== null) return this.#nextPage(asked, run);
    this.#checkTables(statement);
    for (let attempt = 1; ; attempt++) {
      run.stage = "preparing";
      const snapshot = await this.#acquire(asked, request, run);
      const versions = snapshot.tables.map((table) => table.version);
      const cached = asked.isCacheable ? this.#cachedReply(asked, versions, run.id) : null;
      if (cached !== null) {
        snapshot.release();
        return cached;
      }
      const tables = await this.#open(asked, snapshot, run);
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
    const { pool, kept, rowsMax } = this.#options;
    try {
      const keep = keepRequestOf(asked, { folder: pool.keptFolder, rowsMax });
      const work = { statement, values, tables: tables.tables, notes: tables.notes, page, offsetRows: 0, keep };
      const result = await this.#executor.execute(work, run, tables.lease);
      if (result === null) return null;
      const key = resultKey(asked, versions);
      let keptId = "";
      if (result.kept !== null) {
        const { source, lease } = result.kept;
        keptId = kept.keep({ identity: asked.identity, key: "", source, lease });
        lease.release();
      } else if (result.hasMore && hasFixedOrder(statement)) {
        const source = { kind: "snapshot", tables: tables.needed } as const;
        const sharedKey = asked.isCacheable ? `${asked.identity} ${versions.join(" ")}` : "";
        keptId = kept.keep({ identity: asked.identity, key: sharedKey, source, lease: tables.snapshotLease });
      }
      const nextCursor = result.hasMore && keptId !== "" ? encodeCursor({ keptId, offsetRows: result.rows }) : "";
      return this.#finished(asked, { key, queryId: run.id }, { ...result, nextCursor });
    } finally {
      tables.lease.release();
    }
  }

  /** A page after the first reads what the first one kept. */
  async #nextPage(asked: AskedQuery, run: QueryRun): Promise<QueryReply> {
    const { page, identity } = asked;
    assert(page.cursor !== null, "a page after the first has a cursor");
    const { keptId, offsetRows } = page.cursor;
    const kept = this.#options.kept.get(keptId, identity);
    const { source } = kept;
    const { tables, lease } = await this.#reopen(kept, run);
    const { statement, values } = asked;
    const work = source.kind === "file" ? { statement: keptStatement(source), values: [] } : { statement, values };
    let result: ExecutedRows | null;
    try {
      result = await this.#executor.execute({ ...work, tables, page, offsetRows, keep: null }, run, lease);
    } finally {
      lease.release();
    }
    if (result === null) throw new MiniodbError("CURSOR_EXPIRED", "a file of the cursor's snapshot is gone");
    const isCutOff = source.kind === "file" && !source.isWhole && !result.hasMore;
    const nextCursor = result.hasMore ? encodeCursor({ keptId, offsetRows: offsetRows + result.rows }) : "";
    const finished = { ...result, hasMore: result.hasMore || isCutOff, nextCursor };
    return this.#finished({ ...asked, isCacheable: false }, { key: "", queryId: run.id }, finished);
  }

  /** The reply, which is also put into the cache where it may be. */
  #finished(
    asked: AskedQuery,
    { key, queryId }: { readonly key: string; readonly queryId: string },
    result: ExecutedRows & { readonly nextCursor: string },
  ): QueryReply {
    const { body, columns, rows, hasMore, nextCursor } = result;
    const { cache } = this.#options;
    const isKept = cache.isOn && asked.isCacheable && body.kind === "bytes";
    if (isKept) cache.set(key, { bytes: body.bytes, columns, rows, hasMore, nextCursor });
    return { queryId, body, columns, rows, hasMore, nextCursor, cache: isKept ? "miss" : "bypass" };
  }

  /** A page whose next ones are not kept any more is of no use: it is made anew. */
  #cachedReply(asked: AskedQuery, versions: readonly string[], queryId: string): QueryReply | null {
    const { cache, kept } = this.#options;
    if (!cache.isOn || asked.page.cursor !== null) return null;
    const key = resultKey(asked, versions);
    const found = cache.get(key);
    if (found === undefined) return null;
    const { bytes, columns, rows, hasMore, nextCursor } = found;
    if (nextCursor !== "" && !kept.touch(nextCursor.slice(0, nextCursor.indexOf(".")))) {
      cache.delete(key);
      return null;
    }
    return { queryId, body: { kind: "bytes", bytes }, columns, rows, hasMore, nextCursor, cache: "hit" };
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

  /** Makes the snapshot's files readable here. Takes it over: it is released with the lease, or when this fails. */
  async #open(asked: AskedQuery, snapshot: Snapshot, run: QueryRun): Promise<HeldTables> {
    try {
      const request = pruneRequestOf(asked, snapshot, run, this.#options.files);
      const { tables: needed, reports } = pruneFiles(request);
      const opened = await this.#openFiles(needed, run);
      const snapshotLease = new Lease(() => snapshot.release());
      const lease = new Lease(() => {
        opened.release();
        snapshotLease.release();
      });
      const notes = explainNotes(asked.statement, reports, opened);
      return { tables: opened.tables, notes, lease, needed, snapshotLease };
    } catch (error) {
      snapshot.release();
      throw error;
    }
  }

  #openFiles(needed: readonly SnapshotTable[], run: QueryRun): Promise<OpenTables> {
    const opening = openTables(this.#options.files, needed, run.signal);
    return run.track(opening, (files) => {
      if (run.signal.aborted) files?.release();
    });
  }

  /**
   * The tables of a kept result, and a lease that the caller releases. Between two pages the files need not be on this
   * machine: a client that never comes back would keep their room in the file cache from others.
   */
  async #reopen({ source, lease }: KeptResult, run: QueryRun): Promise<Pick<HeldTables, "tables" | "lease">> {
    lease.retain();
    if (source.kind === "file") return { tables: [], lease };
    try {
      const opened = await this.#openFiles(source.tables, run);
      const both = new Lease(() => {
        opened.release();
        lease.release();
      });
      return { tables: opened.tables, lease: both };
    } catch (error) {
      lease.release();
      throw error;
    }
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
