import { assert } from "../../shared/assert.js";
import { MiniodbError } from "../../shared/errors.js";
import { plainStatement } from "../../shared/plain-statement.js";
import { type AskedQuery, hasFixedOrder } from "./asked-query.js";
import { scanBytesOf } from "./choose-instance.js";
import { type HeldTables, openFiles } from "./held-tables.js";
import type { KeptResult, KeptResults } from "./kept-results.js";
import { Lease } from "./lease.js";
import type { LocalFiles } from "./local-files.js";
import { encodeCursor } from "./query-cursor.js";
import type { ExecutedRows, QueryExecutor } from "./query-executor.js";
import type { QueryReplies } from "./query-replies.js";
import type { QueryReply } from "./query-request.js";
import type { QueryRun } from "./query-run.js";

export interface QueryPagesParts {
  readonly executor: QueryExecutor;
  readonly kept: KeptResults;
  readonly files: LocalFiles;
  readonly replies: QueryReplies;
}

/**
 * The pages after the first: what the first one keeps for them, and their own way from cursor to reply. They take no
 * snapshot and look at no version, as they read what the first page has kept:
 *
 * ```
 * first page ─▶ `keep` ─▶ cursor ─ ─ ─ client ─ ─ ─▶ `next` ─▶ files again ─▶ slot ─▶ execute ─▶ reply with the next cursor
 * ```
 */
export class QueryPages {
  readonly #parts: QueryPagesParts;

  constructor(parts: QueryPagesParts) {
    this.#parts = parts;
  }

  /**
   * The cursor of the page after this one; empty where there is none, or none that could be read. Takes the result's own
   * kept file over. A plain scan is run again on the same snapshot, which all who ask the same share.
   */
  keep(
    asked: AskedQuery,
    result: ExecutedRows,
    { tables, versions }: { readonly tables: HeldTables; readonly versions: readonly string[] },
  ): string {
    const { kept } = this.#parts;
    const { identity, statement } = asked;
    if (result.kept !== null) {
      const { source, lease } = result.kept;
      const keptId = kept.keep({ identity, key: "", source, lease });
      lease.release();
      return result.hasMore ? encodeCursor({ keptId, offsetRows: result.rows }) : "";
    }
    if (!result.hasMore || !hasFixedOrder(statement, tables.needed)) return "";
    const source = { kind: "snapshot", tables: tables.needed } as const;
    const key = asked.isCacheable ? `${identity} ${versions.join(" ")}` : "";
    const keptId = kept.keep({ identity, key, source, lease: tables.snapshotLease });
    return encodeCursor({ keptId, offsetRows: result.rows });
  }

  /** The page of the query's cursor. Rejects with CURSOR_EXPIRED, and as a first page does. */
  async next(asked: AskedQuery, run: QueryRun): Promise<QueryReply> {
    const { executor, replies } = this.#parts;
    const { page, identity } = asked;
    assert(page.cursor !== null, "a page after the first has a cursor");
    const { keptId, offsetRows } = page.cursor;
    const kept = this.#parts.kept.get(keptId, identity);
    const { source } = kept;
    const { tables, lease } = await this.#reopen(kept, run);
    const { statement, values } = asked;
    const work = source.kind === "file" ? { statement: plainStatement(source.sql), values: [] } : { statement, values };
    const scanBytes = source.kind === "file" ? source.bytes : scanBytesOf(source.tables);
    let result: ExecutedRows | null;
    try {
      result = await executor.execute({ ...work, tables, scanBytes, page, offsetRows, keep: null }, run, lease);
    } finally {
      lease.release();
    }
    if (result === null) throw new MiniodbError("CURSOR_EXPIRED", "a file of the cursor's snapshot is gone");
    // The rows that were not kept are there, and cannot be had: the client learns that its result is not whole.
    const isCutOff = source.kind === "file" && !source.isWhole && !result.hasMore;
    const nextCursor = result.hasMore ? encodeCursor({ keptId, offsetRows: offsetRows + result.rows }) : "";
    const finished = { ...result, hasMore: result.hasMore || isCutOff, nextCursor };
    return replies.finished({ ...asked, isCacheable: false }, { key: "", queryId: run.id }, finished);
  }

  /**
   * The tables of a kept result, and a lease that the caller releases. Between two pages the files need not be on this
   * machine: a client that never comes back would keep their room in the file cache from others.
   */
  async #reopen({ source, lease }: KeptResult, run: QueryRun): Promise<Pick<HeldTables, "tables" | "lease">> {
    lease.retain();
    if (source.kind === "file") return { tables: [], lease };
    try {
      const opened = await openFiles(this.#parts.files, source.tables, run);
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
}
