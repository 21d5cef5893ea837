import { MiniodbError, type ErrorCode, type ErrorDetails } from "../../../shared/errors.js";
import { rowErrorCodes, type RowError } from "../../../shared/columns/row-account.js";
import type { WriteAccount } from "../../write/write-request.js";

/** A reply of compact JSON, and seconds for Retry-After where the caller should try again. */
export interface JsonReply {
  readonly status: number;
  readonly body: string;
  readonly retryAfterSeconds: number | null;
}

const retryAfterSeconds = 1;

export function okReply(value: unknown): JsonReply {
  return { status: 200, body: JSON.stringify(value), retryAfterSeconds: null };
}

/** The key `error` stays a string, as in the original; programs read `code`. */
export function errorReply(error: MiniodbError, extra: ErrorDetails = {}): JsonReply {
  const { code, message, details } = error;
  const body = JSON.stringify({ error: message, code, message, ...extra, details });
  return { status: error.status, body, retryAfterSeconds: error.retryable ? retryAfterSeconds : null };
}

/** Anything thrown, as a reply; what is not a MiniodbError is a mistake of ours and goes to `onInternal`. */
export function thrownReply(error: unknown, onInternal: (error: unknown) => void): JsonReply {
  if (error instanceof MiniodbError) return errorReply(error);
  onInternal(error);
  return errorReply(new MiniodbError("INTERNAL", "Internal error; the server's log has the particulars"));
}

/** Reply of the bulk paths: the account. A batch of which nothing was accepted is an error with its account. */
export function accountReply(account: WriteAccount, batchId: string): JsonReply {
  if (account.accepted === 0 && account.rejected > 0) {
    const error = new MiniodbError("ROW_REJECTED", firstReason(account.errors), {});
    return errorReply(error, { accepted: 0, rejected: account.rejected, errors: account.errors });
  }
  return { status: 200, body: accountJson(account, batchId), retryAfterSeconds: null };
}

/** Written by hand: this is the reply of the hot path, and every text in it is safe or escaped. */
export function accountJson(account: WriteAccount, batchId: string): string {
  const { accepted, rejected, errors, durability, sequence, isRepeat } = account;
  let json = `{"accepted":${accepted},"rejected":${rejected},"durability":"${durability}","sequence":"${sequence}"`;
  if (batchId !== "") json += `,"batch_id":${JSON.stringify(batchId)}`;
  if (isRepeat) json += `,"repeated":true`;
  if (account.deletedRows !== undefined) json += `,"deleted_count":${account.deletedRows}`;
  return errors.length === 0 ? `${json},"errors":[]}` : `${json},"errors":${JSON.stringify(errors)}}`;
}

/** Reply of POST and PUT /v1/data: the original's keys first, then the account. `done` is what the message says of the row. */
export function oneRowReply(account: WriteAccount, nodeId: string, done: "ingested" | "updated"): JsonReply {
  if (account.accepted === 0) {
    const [first] = account.errors;
    const code: ErrorCode = "ROW_REJECTED";
    const error = new MiniodbError(code, firstReason(account.errors), first === undefined ? {} : { ...first });
    return errorReply(error, { accepted: 0, rejected: account.rejected, errors: account.errors });
  }
  const { table, durability, sequence, isRepeat } = account;
  const id = account.id === null ? "" : JSON.stringify(account.id).slice(1, -1);
  const body =
    `{"success":true,"message":"Data successfully ${done} for table: ${table}, ID: ${id}","node_id":${JSON.stringify(nodeId)}` +
    `,"id":"${id}","accepted":1,"rejected":0,"durability":"${durability}","sequence":"${sequence}"` +
    (isRepeat ? `,"repeated":true}` : "}");
  return { status: 200, body, retryAfterSeconds: null };
}

function firstReason(errors: readonly RowError[]): string {
  const [first] = errors;
  if (first === undefined) return "No row was accepted";
  const where = first.column === null ? "" : `, column ${first.column}`;
  return `Row ${first.row}${where}: ${first.message === "" ? rowErrorCodes[first.code] : first.message}`;
}
