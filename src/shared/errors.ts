/**
 * The one error class and the closed list of codes. This file is the reference: what happened, what a
 * caller does about it, whether the same request may be sent again, and the HTTP and gRPC status.
 * A code exists only where a caller would act differently.
 */

interface ErrorCodeEntry {
  readonly status: number;
  readonly grpc: string;
  readonly retryable: boolean;
  readonly cause: string;
  readonly remedy: string;
}

export const errorCodes = {
  INVALID_REQUEST: {
    status: 400,
    grpc: "INVALID_ARGUMENT",
    retryable: false,
    cause: "A field, header or query parameter of the request is missing or not of its form.",
    remedy: "Correct the field that the message names.",
  },
  INVALID_BODY: {
    status: 400,
    grpc: "INVALID_ARGUMENT",
    retryable: false,
    cause: "The body is not well formed in the format that its content type names; nothing of it was accepted.",
    remedy: "Correct the body at the byte position in the details.",
  },
  ROW_REJECTED: {
    status: 400,
    grpc: "INVALID_ARGUMENT",
    retryable: false,
    cause: "The only row of the request, or every row of it, was rejected; the details name row, column and reason.",
    remedy: "Correct the rows named in the details.",
  },
  INVALID_SQL: {
    status: 400,
    grpc: "INVALID_ARGUMENT",
    retryable: false,
    cause: "The statement does not parse, names an unknown column or function, or fails on its values.",
    remedy: "Correct the statement; the message carries DuckDB's position.",
  },
  SQL_NOT_ALLOWED: {
    status: 403,
    grpc: "PERMISSION_DENIED",
    retryable: false,
    cause: "The statement is not a SELECT, or it reaches for files, settings or functions that clients may not use.",
    remedy: "Send one SELECT statement over tables of this server.",
  },
  TABLE_NOT_FOUND: {
    status: 404,
    grpc: "NOT_FOUND",
    retryable: false,
    cause: "No table has this name.",
    remedy: "Create the table, or correct its name.",
  },
  NOT_FOUND: {
    status: 404,
    grpc: "NOT_FOUND",
    retryable: false,
    cause: "No route, or no object, has this name.",
    remedy: "Correct the path.",
  },
  METHOD_NOT_ALLOWED: {
    status: 405,
    grpc: "UNIMPLEMENTED",
    retryable: false,
    cause: "The path exists, but not with this method.",
    remedy: "Use a method of the Allow header.",
  },
  REQUEST_TIMEOUT: {
    status: 408,
    grpc: "DEADLINE_EXCEEDED",
    retryable: true,
    cause: "The body arrived too slowly or not at all.",
    remedy: "Send the request again; use smaller batches on slow links.",
  },
  TABLE_EXISTS: {
    status: 409,
    grpc: "ALREADY_EXISTS",
    retryable: false,
    cause: "A table of this name exists already.",
    remedy: "Use if_not_exists, or another name.",
  },
  BATCH_ID_CONFLICT: {
    status: 409,
    grpc: "ALREADY_EXISTS",
    retryable: false,
    cause: "This batch id was used before with another body.",
    remedy: "Give each batch an id of its own.",
  },
  SEQUENCE_EXPIRED: {
    status: 410,
    grpc: "OUT_OF_RANGE",
    retryable: false,
    cause: "The rows after this token are in the table, but no longer kept one by one in their order.",
    remedy: "Query the table for what was missed, then subscribe from now, or from the oldest token in the details.",
  },
  BODY_TOO_LARGE: {
    status: 413,
    grpc: "RESOURCE_EXHAUSTED",
    retryable: false,
    cause: "The body, as sent or inflated, is larger than the limit that the message names.",
    remedy: "Split the batch, or raise the limit in the configuration.",
  },
  UNSUPPORTED_MEDIA_TYPE: {
    status: 415,
    grpc: "INVALID_ARGUMENT",
    retryable: false,
    cause: "The content type or content encoding is not one that this path decodes.",
    remedy: "Use a content type of the list in the README.",
  },
  TOO_MANY_REQUESTS: {
    status: 429,
    grpc: "RESOURCE_EXHAUSTED",
    retryable: true,
    cause: "This connection has more requests or bytes in flight than its share.",
    remedy: "Wait for Retry-After, then send the same request again.",
  },
  INTERNAL: {
    status: 500,
    grpc: "INTERNAL",
    retryable: false,
    cause: "A mistake in the server; its log holds the stack.",
    remedy: "Report it with the log line.",
  },
  SERVER_BUSY: {
    status: 503,
    grpc: "RESOURCE_EXHAUSTED",
    retryable: true,
    cause: "A bounded queue or buffer of the server is full; nothing of the request was accepted.",
    remedy: "Wait for Retry-After, then send the same request again.",
  },
  SHUTTING_DOWN: {
    status: 503,
    grpc: "UNAVAILABLE",
    retryable: true,
    cause: "The server is draining; nothing of the request was accepted.",
    remedy: "Send the request again after the restart, or to another node.",
  },
  WAL_STALLED: {
    status: 503,
    grpc: "UNAVAILABLE",
    retryable: true,
    cause:
      "The write-ahead log cannot be written (disk full or failing). A request that was under way may still become durable.",
    remedy: "Free the disk; the server resumes by itself. Repeat with the same batch id to be safe from doubles.",
  },
  WORKER_LOST: {
    status: 503,
    grpc: "UNAVAILABLE",
    retryable: true,
    cause:
      "The thread that worked on the request died and is being replaced. A write that was under way may still become durable.",
    remedy: "Send the request again; repeat a write with the same batch id to be safe from doubles.",
  },
  STORE_UNAVAILABLE: {
    status: 503,
    grpc: "UNAVAILABLE",
    retryable: true,
    cause: "The object store did not do what was asked in time.",
    remedy: "Send the request again; durable rows are kept in the log meanwhile.",
  },
  POOL_SUPERSEDED: {
    status: 503,
    grpc: "UNAVAILABLE",
    retryable: true,
    cause: "Another pool was promoted to be the first one: this server commits nothing to its own any more.",
    remedy:
      "Operator: swap store.* and mirror.* in the configuration and start the server again. Durable rows are kept in its log.",
  },
  COMMIT_CONFLICT: {
    status: 503,
    grpc: "ABORTED",
    retryable: true,
    cause: "Another writer changed the table in a way that this commit cannot follow.",
    remedy: "Send the request again.",
  },
  COLUMN_LOCKED: {
    status: 409,
    grpc: "FAILED_PRECONDITION",
    retryable: false,
    cause:
      "A value of an encrypted column cannot be read or written: this node lacks the key, or the stored value is not one that was encrypted for this column.",
    remedy: "Operator: give the node the key that the message names (encryption.keyFile), and start it again.",
  },
  BACKUP_UNUSABLE: {
    status: 409,
    grpc: "FAILED_PRECONDITION",
    retryable: false,
    cause: "The backup is damaged, lacks objects, or is encrypted under another key than the configured one.",
    remedy: "Give the key that it was made with, or restore from another backup.",
  },
  QUERY_CANCELLED: {
    status: 409,
    grpc: "CANCELLED",
    retryable: false,
    cause: "Somebody cancelled the query by its id, or its client closed the connection.",
    remedy: "Send the query again only if its result is still wanted.",
  },
  CURSOR_EXPIRED: {
    status: 410,
    grpc: "FAILED_PRECONDITION",
    retryable: false,
    cause:
      "The pages of this cursor are not kept any more: it is too old, too many were opened since, or the server restarted.",
    remedy: "Read the result again from its first page; use larger pages, or read them faster.",
  },
  QUERY_TIMEOUT: {
    status: 504,
    grpc: "DEADLINE_EXCEEDED",
    retryable: true,
    cause: "The query ran longer than its limit, or min_sequence did not become visible in time.",
    remedy: "Narrow the query, or raise the timeout.",
  },
  RESULT_TOO_LARGE: {
    status: 413,
    grpc: "RESOURCE_EXHAUSTED",
    retryable: false,
    cause: "The result, or the memory or the files that the query needs, is larger than its limit.",
    remedy: "Use limit, aggregate, read a shorter time, or raise the limit in the configuration.",
  },
} as const satisfies Record<string, ErrorCodeEntry>;

export type ErrorCode = keyof typeof errorCodes;

/** Facts beside the sentence, for programs: positions, limits, names. JSON values only. */
export type ErrorDetails = Readonly<Record<string, unknown>>;

/** The only error that crosses a module border on purpose; anything else that arrives there is INTERNAL. */
export class MiniodbError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "MiniodbError";
    this.code = code;
    this.details = details;
  }

  get status(): number {
    return errorCodes[this.code].status;
  }

  get retryable(): boolean {
    return errorCodes[this.code].retryable;
  }
}

/** An error as it travels between threads, where class identity is lost. */
export interface ErrorMessage {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details: ErrorDetails;
}

export function toErrorMessage(error: unknown): ErrorMessage {
  if (error instanceof MiniodbError) {
    return { code: error.code, message: error.message, details: error.details };
  }
  return { code: "INTERNAL", message: error instanceof Error ? error.message : String(error), details: {} };
}

export function fromErrorMessage(message: ErrorMessage): MiniodbError {
  return new MiniodbError(message.code, message.message, message.details);
}
