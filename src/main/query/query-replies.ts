import type { AskedQuery } from "./asked-query.js";
import type { KeptResults } from "./kept-results.js";
import type { ExecutedRows } from "./query-executor.js";
import type { QueryReply } from "./query-request.js";
import { resultKey, type ResultCache } from "./result-cache.js";

/** A reply's place in the cache, empty where it may not be put there, and the id of its query. */
interface ReplyPlace {
  readonly key: string;
  readonly queryId: string;
}

/** Makes the replies, out of the result cache or of what a worker answered. */
export class QueryReplies {
  readonly #cache: ResultCache;
  readonly #kept: KeptResults;

  constructor(cache: ResultCache, kept: KeptResults) {
    this.#cache = cache;
    this.#kept = kept;
  }

  /**
   * What the cache has for the query over these versions of its tables, or null. A page whose next ones are not kept any
   * more is of no use: it is made anew.
   */
  cached(asked: AskedQuery, versions: readonly string[], queryId: string): QueryReply | null {
    if (!this.#cache.isOn || asked.page.cursor !== null) return null;
    const key = resultKey(asked, versions);
    const found = this.#cache.get(key);
    if (found === undefined) return null;
    const { bytes, columns, rows, hasMore, nextCursor } = found;
    if (nextCursor !== "" && !this.#kept.touch(nextCursor.slice(0, nextCursor.indexOf(".")))) {
      this.#cache.delete(key);
      return null;
    }
    return { queryId, body: { kind: "bytes", bytes }, columns, rows, hasMore, nextCursor, cache: "hit" };
  }

  /** The reply, which is also put into the cache where it may be. */
  finished(
    asked: AskedQuery,
    { key, queryId }: ReplyPlace,
    result: ExecutedRows & { readonly nextCursor: string },
  ): QueryReply {
    const { body, columns, rows, hasMore, nextCursor } = result;
    // What is large is sent once and gone, out of its file or its pieces; only what is small is there to be sent again.
    const isKept = this.#cache.isOn && asked.isCacheable && body.kind === "bytes";
    if (isKept) this.#cache.set(key, { bytes: body.bytes, columns, rows, hasMore, nextCursor });
    return { queryId, body, columns, rows, hasMore, nextCursor, cache: isKept ? "miss" : "bypass" };
  }
}
