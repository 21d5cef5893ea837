import { MiniodbError } from "../errors.js";
import { ObjectChanged, ObjectNotFound } from "./object-store.js";
import { StoreError } from "./store-failure.js";

/** The store's code for what went wrong, such as `NoSuchKey`; for errors of the network, Node's, such as `ECONNRESET`. */
export function codeOfS3Error(error: unknown): string {
  if (!(error instanceof Error)) return "";
  if ("Code" in error && typeof error.Code === "string") return error.Code;
  const isNetwork = "code" in error && typeof error.code === "string";
  return isNetwork ? (error as { readonly code: string }).code : error.name;
}

/** The HTTP status of the answer, also of one whose body could not be read; 0 without an answer. */
export function statusOfS3Error(error: unknown): number {
  if (typeof error !== "object" || error === null) return 0;
  const { $metadata, $response } = error as {
    readonly $metadata?: { readonly httpStatusCode?: number };
    readonly $response?: { readonly statusCode?: number };
  };
  return $metadata?.httpStatusCode ?? $response?.statusCode ?? 0;
}

const slowDownCodes = new Set([
  "SlowDown",
  "SlowDownRead",
  "SlowDownWrite",
  "RequestLimitExceeded",
  "ThrottlingException",
]);
const absentCodes = new Set(["NoSuchKey", "NotFound"]);
/** Of the hundreds of 4xx answers, the ones that a second try may not meet. */
const passingCodes = new Set(["RequestTimeout", "ConditionalRequestConflict", "OperationAborted", "NoSuchUpload"]);

/**
 * What the callers of a store understand: ObjectNotFound, ObjectChanged, or a StoreError. The SDK's own error is left
 * behind: it holds the request, whose headers hold the session token.
 */
export function storeErrorOf(error: unknown, doing: string, key: string): Error {
  // A mistake of ours is not the store's.
  if (error instanceof TypeError || error instanceof RangeError || error instanceof StoreError) return error;
  if (error instanceof Error && error.name === "AssertionFailure") return error;
  // Of whoever takes the bytes of a part.
  if (error instanceof MiniodbError) return error;
  const code = codeOfS3Error(error);
  const status = statusOfS3Error(error);
  if (absentCodes.has(code)) return new ObjectNotFound(key);
  if (status === 412) return new ObjectChanged(key);
  const reason = error instanceof Error && error.message !== "" && error.message !== code ? `: ${error.message}` : "";
  const message = `${doing} ${key}: ${status === 0 ? "" : `${status} `}${code}${reason}`;
  if (status === 429 || slowDownCodes.has(code)) return new StoreError("slow-down", message);
  if (code === "CredentialsProviderError") return new StoreError("refused", message);
  const isRefused = status >= 400 && status < 500 && status !== 408 && !passingCodes.has(code);
  return new StoreError(isRefused ? "refused" : "unclear", message);
}
