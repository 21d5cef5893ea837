/** Operations records, whose layout is in wal-record-v1.ts: writing them, and taking them apart. */
import { assert } from "../assert.js";
import type { ColumnBatch } from "../columns/column-batch.js";
import { batchesBytes, encodeBatches, type BatchEntry } from "./wal-batches-v1.js";
import { encodeRowsRecord, recordBytes, writeHeader } from "./wal-record-v1-encode.js";
import {
  isRowsKind,
  parseRecordHeader,
  recordHeaderBytes,
  recordKinds,
  viewOf,
  type RecordHeader,
  type RowsKind,
} from "./wal-record-v1.js";

/** The order of the parts: what is deleted, what replaces, what is a row more. */
const partOrder: readonly RowsKind[] = [recordKinds.tombstones, recordKinds.replacing, recordKinds.rows];

/** Rows of a batch of operations that all do the same; never none. */
export interface OperationsPart {
  readonly kind: RowsKind;
  readonly batch: ColumnBatch;
}

/** What goes into an operations record. The rows of the parts get the sequences from `firstSequence` on, in their order. */
export interface OperationsRecord {
  readonly tableUuid: string;
  readonly firstSequence: number;
  readonly schemaVersion: number;
  /** In the order tombstones, replacing rows, plain rows, each at most once. */
  readonly parts: readonly OperationsPart[];
  readonly batches: readonly BatchEntry[];
}

/** Where a rows record lies, be it in the log on its own or a part of another. */
export interface RowsRecordPlace {
  readonly kind: RowsKind;
  /** In the bytes that the whole record is in; a multiple of 8. */
  readonly at: number;
  readonly length: number;
  readonly firstSequence: number;
  readonly rowCount: number;
}

/** The exact length in bytes of the record, a multiple of 8. */
export function operationsRecordBytes(parts: readonly OperationsPart[], batches: readonly BatchEntry[]): number {
  return parts.reduce((sum, { batch }) => sum + recordBytes(batch, []), recordHeaderBytes + batchesBytes(batches));
}

/** As encodeRowsRecord, with `operationsRecordBytes(...)` bytes; returns where its parts are. */
export function encodeOperationsRecord(target: Uint8Array, at: number, record: OperationsRecord): RowsRecordPlace[] {
  const { tableUuid, firstSequence, schemaVersion, parts, batches } = record;
  const places: RowsRecordPlace[] = [];
  let offset = at + recordHeaderBytes;
  let sequence = firstSequence;
  let order = -1;
  for (const { kind, batch } of parts) {
    const { rowCount } = batch;
    assert(partOrder.indexOf(kind) > order && rowCount > 0, "parts are in their order and have rows");
    order = partOrder.indexOf(kind);
    const part = { kind, tableUuid, firstSequence: sequence, schemaVersion, batch, batches: [] };
    const length = encodeRowsRecord(target, offset, part);
    places.push({ kind, at: offset, length, firstSequence: sequence, rowCount });
    offset += length;
    sequence += rowCount;
  }
  assert(places.length > 0, "a batch of operations has a part");
  const batchesOffset = offset - at;
  offset = encodeBatches(target, offset, batches);
  writeHeader(viewOf(target), at, {
    kind: recordKinds.operations,
    length: offset - at,
    tableUuid,
    firstSequence,
    rowCount: sequence - firstSequence,
    schemaVersion,
    columnCount: places.length,
    batchCount: batches.length,
    batchesOffset,
  });
  return places;
}

/**
 * The rows records that a verified record with sequences brings: itself, or the parts of an operations record. This is the one
 * place where such a record is opened: whatever stands behind it knows records of rows alone.
 */
export function rowsRecordsOf(bytes: Uint8Array, at: number, header: RecordHeader): RowsRecordPlace[] {
  const { kind, length, firstSequence, rowCount } = header;
  if (isRowsKind(kind)) return [{ kind, at, length, firstSequence, rowCount }];
  assert(kind === recordKinds.operations, "a record with sequences is of a kind that has some");
  const places: RowsRecordPlace[] = [];
  let offset = at + recordHeaderBytes;
  let sequence = firstSequence;
  for (let part = 0; part < header.columnCount; part++) {
    const inner = parseRecordHeader(viewOf(bytes), offset);
    assert(inner !== undefined && isRowsKind(inner.kind), "a part is a record of rows");
    assert(inner.firstSequence === sequence && inner.rowCount > 0, "the sequences of the parts have no gap");
    places.push({
      kind: inner.kind,
      at: offset,
      length: inner.length,
      firstSequence: sequence,
      rowCount: inner.rowCount,
    });
    offset += inner.length;
    sequence += inner.rowCount;
  }
  assert(offset === at + header.batchesOffset && sequence === firstSequence + rowCount, "the parts fill their record");
  return places;
}
