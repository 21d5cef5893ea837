import { decodeAll, newTarget, rowsOf, type Row, type TargetOptions } from "./bulk-harness.js";
import type { RowError } from "../../../src/shared/columns/row-account.js";
import type { Decode, DecodeTarget } from "../../../src/workers/decode/decoder.js";

export interface Decoded {
  readonly target: DecodeTarget;
  readonly rows: Row[];
  readonly errors: readonly RowError[];
}

/** Decodes one body into a table of its own. */
export function decodeText(decode: Decode, body: string | Uint8Array, options: TargetOptions = {}): Decoded {
  const target = newTarget(options);
  decodeAll(decode, Buffer.from(body), target);
  return { target, rows: rowsOf(target), errors: target.account.errors };
}

/** The columns of a row beside the system columns; integers as the nearest double, as JSON.parse has them. */
export function payloadOf(row: Row | undefined): Row {
  const { timestamp: _timestamp, id: _id, ...payload } = row ?? {};
  return Object.fromEntries(
    Object.entries(payload).map(([key, value]) => [key, typeof value === "bigint" ? Number(value) : value]),
  );
}

/**
 * What a row of the parsed JSON value should be in a table that has no columns yet: nulls are left out, long columns
 * hold what is an integer, and a string has no halves of surrogate pairs. Keys differ in more than case.
 */
export function expectedPayload(value: object): Row {
  const row: Row = {};
  for (const [key, each] of Object.entries(value)) {
    if (each === null) continue;
    row[key.toWellFormed()] = typeof each === "string" ? each.toWellFormed() : each;
  }
  return row;
}
