import { assert } from "../assert.js";
import type { ColumnBatch, ColumnData } from "../columns/column-batch.js";
import { columnTypeOfCode, columnTypeTable } from "../schema/column-type.js";
import type { TableSchema } from "../schema/table-schema.js";
import { parseBatches, type BatchEntry } from "./wal-batches-v1.js";
import {
  columnEntryBytes,
  isRowsKind,
  padTo8,
  parseRecordHeader,
  recordHeaderBytes,
  recordKinds,
  viewOf,
  type RecordHeader,
} from "./wal-record-v1.js";

export interface ParsedRows {
  readonly header: RecordHeader;
  /** Views on the record's bytes, nothing copied: valid as long as those bytes are. */
  readonly batch: ColumnBatch;
}

export interface ParsedRowsWithBatches extends ParsedRows {
  /** Copied out of the record. */
  readonly batches: readonly BatchEntry[];
}

/**
 * The record at `offset`, whose checksum the caller has verified (or which never left memory). The record must start
 * at a multiple of 8 of the underlying buffer, so that Int32Array, BigInt64Array and Float64Array views work in place.
 */
export function parseRowsRecord(bytes: Uint8Array, offset: number): ParsedRowsWithBatches {
  const { header, batch } = parseRows(bytes, offset);
  return { header, batch, batches: parseRecordBatches(bytes, offset, header) };
}

/** As parseRowsRecord, without the batch entries: for readers that only want rows. */
export function parseRows(bytes: Uint8Array, offset: number): ParsedRows {
  assert((bytes.byteOffset + offset) % 8 === 0, "a record starts at a multiple of 8");
  const view = viewOf(bytes);
  const header = parseRecordHeader(view, offset);
  assert(header !== undefined && isRowsKind(header.kind), "a rows record starts here");
  assert(offset + header.length <= bytes.length, "a record is there as a whole");
  const columns: ColumnData[] = [];
  for (let i = 0; i < header.columnCount; i++) {
    columns.push(parseColumn({ bytes, view, offset, header }, recordHeaderBytes + i * columnEntryBytes));
  }
  return { header, batch: { rowCount: header.rowCount, columns } };
}

/** The batch entries of a rows record whose header was parsed. */
export function parseRecordBatches(bytes: Uint8Array, offset: number, header: RecordHeader): BatchEntry[] {
  return parseBatches(bytes, offset + header.batchesOffset, header.batchCount);
}

/** The schema of a verified schema record. */
export function parseSchemaRecord(bytes: Uint8Array, offset: number): { header: RecordHeader; schema: TableSchema } {
  const header = parseRecordHeader(viewOf(bytes), offset);
  assert(header !== undefined && header.kind === recordKinds.schema, "a schema record starts here");
  const start = offset + header.batchesOffset;
  const json = Buffer.from(bytes.buffer, bytes.byteOffset + start, header.batchCount).toString("utf8");
  const schema = JSON.parse(json) as TableSchema;
  assert(schema.version === header.schemaVersion, "a schema record's header names its version");
  return { header, schema };
}

interface RecordInBytes {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly offset: number;
  readonly header: RecordHeader;
}

/** One directory entry and its buffers, as views. The checksum vouches for the bytes; the asserts are for our own mistakes. */
function parseColumn(record: RecordInBytes, entryOffset: number): ColumnData {
  const { bytes, view, offset, header } = record;
  const entry = offset + entryOffset;
  const code = view.getUint8(entry + 4);
  const type = columnTypeOfCode(code);
  assert(type !== undefined, `column type code ${code} is known`);
  const nullCount = view.getUint32(entry + 8, true);
  const valuesOffset = view.getUint32(entry + 16, true);
  const valuesBytes = view.getUint32(entry + 20, true);
  assert(valuesOffset + valuesBytes <= header.batchesOffset, "a column lies within its record");
  let at = bytes.byteOffset + offset + view.getUint32(entry + 12, true);
  let validity: Uint8Array | null = null;
  if (nullCount > 0) {
    const validityBytes = (header.rowCount + 7) >> 3;
    validity = new Uint8Array(bytes.buffer, at, validityBytes);
    at += padTo8(validityBytes);
  }
  const isText = columnTypeTable[type].width === -1;
  return {
    fieldId: view.getUint32(entry, true),
    type,
    nullCount,
    validity,
    values: new Uint8Array(bytes.buffer, bytes.byteOffset + offset + valuesOffset, valuesBytes),
    offsets: isText ? new Int32Array(bytes.buffer, at, header.rowCount + 1) : null,
  };
}
