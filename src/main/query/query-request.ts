import { MiniodbError } from "../../shared/errors.js";
import type { ResultBody, ResultColumnInfo } from "../../shared/query-messages.js";
import type { ResultFormat } from "../../shared/result-format.js";
import type { CancelSignal } from "./cancel-signal.js";
import { decodeCursor, type QueryCursor } from "./query-cursor.js";
import type { QueryParameters } from "./query-parameters.js";
import type { SnapshotTime } from "./snapshot-provider.js";

/** What every protocol makes of a query. */
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
  /** Null or absent: the tables as they are now. */
  readonly at?: SnapshotTime | null | undefined;
  /** Aborts the query, as when its client has gone. */
  readonly signal?: CancelSignal | undefined;
  /** Absent: `original`. */
  readonly format?: ResultFormat | undefined;
  /** What the client calls this query; absent or empty: an id of ours. */
  readonly queryId?: string | undefined;
}

/** How the result cache took part: `bypass` where the statement's result may not be kept, or never fits. */
export type CacheStatus = "hit" | "miss" | "bypass";

export interface QueryReply {
  readonly queryId: string;
  /** The caller discards it; see result-body.ts. Bytes may be those of other replies too: nobody changes them. */
  readonly body: ResultBody;
  readonly columns: readonly ResultColumnInfo[];
  readonly rows: number;
  readonly hasMore: boolean;
  /** Empty when there are no more rows, and when those that there are cannot be paged through; see kept-results.ts. */
  readonly nextCursor: string;
  readonly cache: CacheStatus;
}

/** Which rows of the result a request wants, and how. */
export interface QueryPage {
  /** Null: all. */
  readonly limitRows: number | null;
  readonly format: ResultFormat;
  /** Null: the first page. */
  readonly cursor: QueryCursor | null;
}

/** Throws INVALID_REQUEST. */
export function pageOf(request: QueryRequest, rowsMax: number): QueryPage {
  const limit = request.limit ?? 0;
  if (!Number.isSafeInteger(limit) || limit < 0) {
    throw new MiniodbError("INVALID_REQUEST", "limit is not a number of rows", { field: "limit" });
  }
  const format = request.format ?? "original";
  const atMost = format === "original" ? rowsMax : Number.POSITIVE_INFINITY;
  const limitRows = limit === 0 ? atMost : Math.min(limit, atMost);
  return {
    limitRows: Number.isFinite(limitRows) ? limitRows : null,
    format,
    cursor: decodeCursor(request.cursor ?? ""),
  };
}

/** Throws INVALID_REQUEST. */
export function timeoutOf({ timeoutMs }: QueryRequest, timeoutMsMax: number): number {
  if (timeoutMs === undefined) return timeoutMsMax;
  if (!(timeoutMs > 0)) {
    throw new MiniodbError("INVALID_REQUEST", "timeout_ms is not a positive number", { field: "timeout_ms" });
  }
  return Math.min(timeoutMs, timeoutMsMax);
}
