import { MiniodbError } from "../../shared/errors.js";

/** Where the next page of a kept result starts; see kept-results.ts. */
export interface QueryCursor {
  /** Of the kept result: 128 random bits, base64url. */
  readonly keptId: string;
  readonly offsetRows: number;
}

const pattern = /^([A-Za-z0-9_-]{22})\.([0-9a-z]{1,11})$/;

/** Opaque to clients: id of the kept result, `.`, rows before the page in base 36. */
export function encodeCursor({ keptId, offsetRows }: QueryCursor): string {
  return `${keptId}.${offsetRows.toString(36)}`;
}

/** Null for the empty cursor. Throws INVALID_REQUEST for a text that is none of ours. */
export function decodeCursor(cursor: string): QueryCursor | null {
  if (cursor === "") return null;
  const [, keptId, offset] = pattern.exec(cursor) ?? [];
  const offsetRows = Number.parseInt(offset ?? "", 36);
  if (keptId !== undefined && Number.isSafeInteger(offsetRows)) return { keptId, offsetRows };
  throw new MiniodbError("INVALID_REQUEST", "cursor is not one that a query returned", { field: "cursor" });
}
