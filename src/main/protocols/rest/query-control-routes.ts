import type { QueryDescription, QueryService } from "../../query/query-service.js";
import type { HttpExchange, RequestListener } from "../../sockets/http-server.js";
import { sendReply } from "./send-reply.js";
import { okReply } from "./write-reply.js";

/** Characters of a statement that the list shows. */
const listedCharactersMax = 1_000;

/** The queries under way: to look at and to cancel. Those that are over are in the reply and, if slow, in the log. */
export class QueryControlRoutes {
  readonly #queries: QueryService;

  constructor(queries: QueryService) {
    this.#queries = queries;
  }

  /** GET /v1/queries, oldest first; long statements are cut. */
  list(exchange: HttpExchange): RequestListener | null {
    const queries = this.#queries.list().map((query) => queryJson(query, listedCharactersMax));
    sendReply(exchange, okReply({ queries, total: queries.length }));
    return null;
  }

  /** GET /v1/queries/{id} */
  get(exchange: HttpExchange, id: string): RequestListener | null {
    sendReply(exchange, okReply(queryJson(this.#queries.describe(id), Number.POSITIVE_INFINITY)));
    return null;
  }

  /** DELETE /v1/queries/{id}: the query's own caller is answered QUERY_CANCELLED. */
  cancel(exchange: HttpExchange, id: string): RequestListener | null {
    this.#queries.cancel(id);
    sendReply(exchange, okReply({ success: true, message: `Query ${id} is cancelled` }));
    return null;
  }
}

function queryJson(query: QueryDescription, charactersMax: number): unknown {
  const { id, sql, stage, startedAtMs, elapsedMs, timeoutMs, progress } = query;
  return {
    id,
    sql: sql.length > charactersMax ? `${sql.slice(0, charactersMax)}…` : sql,
    state: stage,
    started_at: new Date(startedAtMs).toISOString(),
    elapsed_ms: Math.round(elapsedMs),
    timeout_ms: timeoutMs,
    progress,
  };
}
