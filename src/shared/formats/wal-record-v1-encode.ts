import { assert } from "../assert.js";
import type { ColumnBatch, ColumnData } from "../columns/column-batch.js";
import { limits } from "../limits.js";
import { columnTypeTable } from "../schema/column-type.js";
import type { TableSchema } from "../schema/table-schema.js";
import { writeUuid } from "./uuid-bytes.js";
import { batchesBytes, encodeBatches, type BatchEntry } from "./wal-batches-v1.js";
import {
  columnEntryBytes,
  headerFields,
  padTo8,
  recordHeaderBytes,
  recordKinds,
  viewOf,
  walRecordMagic,
  writeSequence,
  type RowsKind,
} from "./wal-record-v1.js";

/** What goes into a rows record. Rows of `batch` get the sequences from `firstSequence` on. */
export interface RowsRecord {
  /** Plain rows where it is left out. */
  readonly kind?: RowsKind;
  readonly tableUuid: string;
  readonly firstSequence: number;
  readonly schemaVersion: number;
  readonly batch: ColumnBatch;
  readonly batches: readonly BatchEntry[];
}

/** What goes into a schema record. */
export interface SchemaRecord {
  readonly tableUuid: string;
  /** Of the first row that is written under this schema: the record is kept until that row is in the store. */
  readonly firstSequence: number;
  readonly schema: TableSchema;
}

/** The exact length in bytes of the rows record, a multiple of 8. */
export function recordBytes(batch: ColumnBatch, batches: readonly BatchEntry[]): number {
  let bytes = recordHeaderBytes + padTo8(batch.columns.length * columnEntryBytes);
  for (const column of batch.columns) bytes += columnBytes(column, batch.rowCount);
  return batches.length === 0 ? bytes : bytes + batchesBytes(batches);
}

/** As encodeRowsRecord lays it out: validity, offsets, values. */
function columnBytes(column: ColumnData, rowCount: number): number {
  let bytes = column.nullCount > 0 ? padTo8((rowCount + 7) >> 3) : 0;
  const { offsets } = column;
  if (offsets === null) return bytes + padTo8(column.values.length);
  bytes += padTo8((rowCount + 1) * 4);
  return bytes + padTo8((offsets[rowCount] as number) - (offsets[0] as number));
}

/**
 * Writes the record at `at` (a multiple of 8 in the underlying buffer) and returns its length, which is
 * `recordBytes(...)`. It carries no segment and no checksum yet: `sealRecord` adds them. Every byte is written, so the
 * target need not be zero.
 */
export function encodeRowsRecord(target: Uint8Array, at: number, record: RowsRecord): number {
  assert((target.byteOffset + at) % 8 === 0, "a record starts at a multiple of 8");
  const { batch, batches } = record;
  const { rowCount, columns } = batch;
  const view = viewOf(target);
  let offset = recordHeaderBytes + columns.length * columnEntryBytes;
  for (let i = 0; i < columns.length; i++) {
    const column = columns[i] as ColumnData;
    const entry = at + recordHeaderBytes + i * columnEntryBytes;
    const buffersOffset = offset;
    if (column.nullCount > 0) {
      assert(column.validity !== null, "a column with nulls says where");
      offset = copyPadded(target, at, offset, column.validity.subarray(0, (rowCount + 7) >> 3));
    }
    let { values } = column;
    if (column.offsets !== null) {
      const first = column.offsets[0] as number;
      values = values.subarray(first, column.offsets[rowCount]);
      offset = writeOffsets(view, at, offset, column.offsets.subarray(0, rowCount + 1));
    }
    view.setUint32(entry, column.fieldId, true);
    view.setUint32(entry + 4, columnTypeTable[column.type].code, true);
    view.setUint32(entry + 8, column.nullCount, true);
    view.setUint32(entry + 12, buffersOffset, true);
    view.setUint32(entry + 16, offset, true);
    view.setUint32(entry + 20, values.length, true);
    offset = copyPadded(target, at, offset, values);
  }
  const batchesOffset = offset;
  offset = encodeBatches(target, at + offset, batches) - at;
  writeHeader(view, at, {
    kind: record.kind ?? recordKinds.rows,
    length: offset,
    tableUuid: record.tableUuid,
    firstSequence: record.firstSequence,
    rowCount,
    schemaVersion: record.schemaVersion,
    columnCount: columns.length,
    batchCount: batches.length,
    batchesOffset,
  });
  return offset;
}

/** The record with the schema, unsealed, in bytes of its own. */
export function encodeSchemaRecord(record: SchemaRecord): Uint8Array {
  const json = Buffer.from(JSON.stringify(record.schema));
  const target = new Uint8Array(recordHeaderBytes + padTo8(json.length));
  target.set(json, recordHeaderBytes);
  writeHeader(viewOf(target), 0, {
    kind: recordKinds.schema,
    length: target.length,
    tableUuid: record.tableUuid,
    firstSequence: record.firstSequence,
    rowCount: 0,
    schemaVersion: record.schema.version,
    columnCount: 0,
    batchCount: json.length,
    batchesOffset: recordHeaderBytes,
  });
  return target;
}

export interface HeaderValues {
  readonly kind: number;
  readonly length: number;
  readonly tableUuid: string;
  readonly firstSequence: number;
  readonly rowCount: number;
  readonly schemaVersion: number;
  readonly columnCount: number;
  readonly batchCount: number;
  readonly batchesOffset: number;
}

/** Writes all 64 bytes. The WAL thread's fields are zero until it fills them in: an unsealed record never passes for one of a segment. */
export function writeHeader(view: DataView, at: number, header: HeaderValues): void {
  assert(header.length % 8 === 0 && header.length <= limits.walRecordBytesMax, "a record's length is within bounds");
  assert(header.columnCount <= 0xffff, "a record's column count fits its field");
  view.setUint32(at + headerFields.magic, walRecordMagic, true);
  view.setUint32(at + headerFields.length, header.length, true);
  view.setUint32(at + headerFields.crc, 0, true);
  view.setUint16(at + headerFields.kind, header.kind, true);
  view.setUint16(at + headerFields.columnCount, header.columnCount, true);
  view.setUint32(at + headerFields.segment, 0, true);
  view.setUint32(at + headerFields.groupOffset, 0, true);
  writeUuid(view, at + headerFields.tableUuid, header.tableUuid);
  writeSequence(view, at + headerFields.firstSequence, header.firstSequence);
  view.setUint32(at + headerFields.rowCount, header.rowCount, true);
  view.setUint32(at + headerFields.schemaVersion, header.schemaVersion, true);
  view.setUint32(at + headerFields.batchCount, header.batchCount, true);
  view.setUint32(at + headerFields.batchesOffset, header.batchesOffset, true);
}

/** Below this many bytes a loop is cheaper than a call of `set`. */
const loopBytesMax = 32;

/** Copies a buffer and zeros the padding behind it, so that the same rows always give the same bytes. */
function copyPadded(target: Uint8Array, at: number, offset: number, source: Uint8Array): number {
  const { length } = source;
  const start = at + offset;
  if (length <= loopBytesMax) for (let i = 0; i < length; i++) target[start + i] = source[i] as number;
  else target.set(source, start);
  const padded = padTo8(length);
  for (let i = start + length; i < start + padded; i++) target[i] = 0;
  return offset + padded;
}

/** Offsets start at 0 in a record, wherever the batch's text started in its builder. */
function writeOffsets(view: DataView, at: number, offset: number, offsets: Int32Array): number {
  const first = offsets[0] as number;
  const start = at + offset;
  const { length } = offsets;
  if (first === 0 && length > 16) {
    new Int32Array(view.buffer, view.byteOffset + start, length).set(offsets);
  } else {
    for (let i = 0; i < length; i++) view.setInt32(start + i * 4, (offsets[i] as number) - first, true);
  }
  if (length % 2 === 1) view.setInt32(start + length * 4, 0, true);
  return offset + padTo8(length * 4);
}
