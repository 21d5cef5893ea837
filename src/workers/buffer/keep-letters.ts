import type { RowAccount } from "../../shared/columns/row-account.js";
import { limits } from "../../shared/limits.js";
import { deadLettersTable } from "../../shared/own-tables.js";
import { frameFlags } from "../../shared/ring/frame.js";
import { hasEncrypted } from "../../shared/schema/column-encryption.js";
import { nameKey } from "../../shared/schema/table-schema.js";
import { deadLetters } from "./dead-letters.js";
import type { TableOwner } from "./table-owner.js";

/** What letters say of the request that rows were rejected of. */
interface LettersRequest {
  readonly batchId: string;
  readonly format: number;
  readonly flags: number;
}

/** Whether rejected rows of a request are kept, by its frameFlags or its table. Of dead letters that are rejected nothing is. */
export function keepsLetters({ settings, identity }: TableOwner, flags: number): boolean {
  const isAsked = (flags & frameFlags.deadLetters) !== 0 || settings.deadLetters === true;
  return isAsked && nameKey(identity.name) !== deadLettersTable;
}

/** Puts the rejected rows into the account, where they are kept. Before the rows count: what goes wrong here undoes the request. */
export function keepLetters(owner: TableOwner, request: LettersRequest, account: RowAccount, bytes: Uint8Array): void {
  if (!keepsLetters(owner, request.flags)) return;
  const { batchId, format, flags } = request;
  const originalShape = (flags & frameFlags.originalShape) !== 0;
  const isSecret = hasEncrypted(owner.schema.columns);
  const body = { table: owner.identity.name, batchId, format, originalShape, bytes: isSecret ? null : bytes };
  account.keepLetters(deadLetters(body, account.errors), limits.rowErrorsMax);
}
