/**
 * Batch entries: what the batch id of a request resolves to, inside a rows record (wal-record-v1.ts) and in the digest
 * files that outlive the records (batch-digest-v1.ts). Each starts at a multiple of 8.
 *
 * ```
 *   0  u32  entryBytes     of this entry, a multiple of 8
 *   4  u16  keyBytes
 *   6  u16  flags          1: rows of the request are in no record, see firstRow
 *   8  u32  accepted       rows of the request
 *  12  u32  rejected
 *  16  f64  createdMs      milliseconds since 1970
 *  24  16 B bodyHash
 *  40  u32  firstRow       of the request's rows, counted from the record's first; with flag 1 their last
 *  44  u32  errorsBytes
 *  48       key            UTF-8: principal, NUL, batch id
 *           errors         UTF-8: JSON, or nothing
 * ```
 */
import { assert } from "../assert.js";
import { padTo8, viewOf } from "./wal-record-v1.js";

export const bodyHashBytes = 16;
const entryHeaderBytes = 48;
const undoneFlag = 1;

export interface BatchEntry {
  /** Principal, NUL, batch id. */
  readonly key: string;
  /** 16 bytes; the same id with another hash is a conflict. */
  readonly bodyHash: Uint8Array;
  readonly accepted: number;
  readonly rejected: number;
  /** First of its rows, counted from the record's first row. */
  readonly firstRow: number;
  /** Accepted rows that others of the request undid are in no record: `firstRow` is then the last row that is. */
  readonly hasUndone?: true;
  readonly createdMs: number;
  /** The row errors of the reply as JSON text, bounded by the caller; "" for none. */
  readonly errorsJson: string;
}

/** The last of its rows, counted from the record's first row. */
export function lastRowOf({ firstRow, accepted, hasUndone }: BatchEntry): number {
  return hasUndone === true ? firstRow : firstRow + accepted - 1;
}

/** Bytes that the entries take in a record. */
export function batchesBytes(batches: readonly BatchEntry[]): number {
  let bytes = 0;
  for (const batch of batches) bytes += entryBytes(batch);
  return bytes;
}

function entryBytes(batch: BatchEntry): number {
  return padTo8(entryHeaderBytes + Buffer.byteLength(batch.key) + Buffer.byteLength(batch.errorsJson));
}

/** Writes the entries one after the other; returns the offset behind the last. */
export function encodeBatches(target: Uint8Array, at: number, batches: readonly BatchEntry[]): number {
  if (batches.length === 0) return at;
  const view = viewOf(target);
  const buffer = Buffer.from(target.buffer, target.byteOffset, target.byteLength);
  let offset = at;
  for (const batch of batches) {
    assert(batch.bodyHash.length === bodyHashBytes, "a body hash has 16 bytes");
    const keyBytes = buffer.write(batch.key, offset + entryHeaderBytes);
    assert(keyBytes <= 0xffff, "a batch key fits its length field");
    const errorsBytes = buffer.write(batch.errorsJson, offset + entryHeaderBytes + keyBytes);
    const used = entryHeaderBytes + keyBytes + errorsBytes;
    view.setUint32(offset, padTo8(used), true);
    view.setUint16(offset + 4, keyBytes, true);
    view.setUint16(offset + 6, batch.hasUndone === true ? undoneFlag : 0, true);
    view.setUint32(offset + 8, batch.accepted, true);
    view.setUint32(offset + 12, batch.rejected, true);
    view.setFloat64(offset + 16, batch.createdMs, true);
    target.set(batch.bodyHash, offset + 24);
    view.setUint32(offset + 40, batch.firstRow, true);
    view.setUint32(offset + 44, errorsBytes, true);
    for (let i = offset + used; i < offset + padTo8(used); i++) target[i] = 0;
    offset += padTo8(used);
  }
  return offset;
}

/** Reads `count` entries from `at` on, copying what it returns. */
export function parseBatches(bytes: Uint8Array, at: number, count: number): BatchEntry[] {
  const batches: BatchEntry[] = [];
  let offset = at;
  for (let i = 0; i < count; i++) {
    batches.push(batchEntryAt(bytes, offset));
    offset += batchEntryBytesAt(viewOf(bytes), offset).entryBytes;
  }
  return batches;
}

/** Size and age of the entry at `at`, for those who only copy it. */
export function batchEntryBytesAt(
  view: DataView,
  at: number,
): { readonly entryBytes: number; readonly createdMs: number } {
  return { entryBytes: view.getUint32(at, true), createdMs: view.getFloat64(at + 16, true) };
}

/** The entry at `at`, copied. */
export function batchEntryAt(bytes: Uint8Array, at: number): BatchEntry {
  const view = viewOf(bytes);
  const size = view.getUint32(at, true);
  const keyStart = at + entryHeaderBytes;
  const errorsStart = keyStart + view.getUint16(at + 4, true);
  const end = errorsStart + view.getUint32(at + 44, true);
  assert(end <= at + size && at + size <= bytes.length, "a batch entry lies within its record");
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    key: buffer.toString("utf8", keyStart, errorsStart),
    bodyHash: new Uint8Array(bytes.slice(at + 24, at + 24 + bodyHashBytes)),
    accepted: view.getUint32(at + 8, true),
    rejected: view.getUint32(at + 12, true),
    firstRow: view.getUint32(at + 40, true),
    createdMs: view.getFloat64(at + 16, true),
    errorsJson: buffer.toString("utf8", errorsStart, end),
    ...((view.getUint16(at + 6, true) & undoneFlag) !== 0 && { hasUndone: true as const }),
  };
}
