import { createHash } from "node:crypto";
import { MiniodbError } from "../../shared/errors.js";

/**
 * Where the next page of a result starts. Opaque to clients:
 *
 * ```
 *   first 8 bytes of SHA-256 of the statement, base64url   "."   rows before the page, base 36
 * ```
 */
export function encodeCursor(sql: string, offsetRows: number): string {
  return `${fingerprint(sql)}.${offsetRows.toString(36)}`;
}

/** Rows before the page; 0 for the empty cursor. Throws INVALID_REQUEST for a text that is no cursor of this statement. */
export function decodeCursor(sql: string, cursor: string): number {
  if (cursor === "") return 0;
  const [print = "", offset = "", ...more] = cursor.split(".");
  const offsetRows = /^[0-9a-z]{1,11}$/.test(offset) ? Number.parseInt(offset, 36) : Number.NaN;
  if (more.length > 0 || !Number.isSafeInteger(offsetRows)) throw invalid("cursor is not one that a query returned");
  if (print !== fingerprint(sql)) throw invalid("cursor belongs to another statement");
  return offsetRows;
}

function fingerprint(sql: string): string {
  return createHash("sha256").update(sql).digest().subarray(0, 8).toString("base64url");
}

function invalid(message: string): MiniodbError {
  return new MiniodbError("INVALID_REQUEST", message, { field: "cursor" });
}
