/**
 * One record of the write-ahead log, version 1. Little-endian; offsets count from the record's first byte, which lies
 * at a multiple of 8 in its segment and in its block. A record is the same bytes in the ingest worker's shared block
 * and on disk; wal-record-v1-encode.ts writes it, wal-record-v1-parse.ts reads it; wal-operations-v1.ts does both for operations records.
 *
 * ```
 *   0  u32  magic          "MWR1"
 *   4  u32  length         of the whole record, a multiple of 8
 *   8  u32  crc32          zlib's, over bytes [12, length)
 *  12  u8   kind           1 rows, 2 schema, 3 tombstones, 4 rows that replace, 5 operations
 *  13  u8   0
 *  14  u16  columnCount    (operations record: of its parts)
 *  16  u32  segment        number of the segment file                       } filled in by the
 *  20  u32  groupOffset    where in the segment its commit group starts     } WAL thread, with the crc
 *  24  16 B tableUuid
 *  40  u64  firstSequence  of the first row; the others follow without a gap
 *  48  u32  rowCount
 *  52  u32  schemaVersion  that the rows were accepted under
 *  56  u32  batchCount     (schema record: bytes of JSON)
 *  60  u32  batchesOffset  (schema record: of the JSON)
 *
 * rows record
 *  64        columnCount × column directory entry (24 bytes)
 *   +0  u32  fieldId
 *   +4  u8   type code     of column-type.ts; +5 three bytes 0
 *   +8  u32  nullCount
 *  +12  u32  buffersOffset
 *  +16  u32  valuesOffset
 *  +20  u32  valuesBytes
 *            per column, each padded to a multiple of 8:
 *              validity    at buffersOffset, (rowCount + 7) >> 3 bytes; only where nullCount > 0
 *              offsets     next, (rowCount + 1) × i32, starting at 0; only for string and json
 *              values      at valuesOffset
 *  batchesOffset             batchCount × batch entry, see wal-batches-v1.ts
 *
 * Records of kind 3 and 4 are laid out as rows records; what differs is what their rows mean. A row of kind 4 replaces
 * every row of its id with a lower sequence, those of its own record among them. A row of kind 3 is none: its id names
 * the rows with lower sequences that are deleted, and its timestamp says when. A reader that does not know these kinds
 * must stop, as it would bring back what they took out; for an operations record the same is true.
 *
 * operations record         one batch of mixed operations, in the log as a whole or not at all
 *  64        1 to 3 parts, one behind the other: records of kind 3, 4 and 1 in this order, none twice. Together they
 *            have rowCount rows, whose sequences follow from firstSequence without a gap. Their own crc, segment and
 *            groupOffset are 0: the outer checksum covers them, and who looks for records in damage takes no part for one.
 *  batchesOffset             batchCount × batch entry: parts have none
 *
 * schema record
 *  64        JSON of the TableSchema, padded with zeros. firstSequence is that of the first row that needs it.
 * ```
 *
 * `segment` is below the checksum, so that a recycled segment file cannot bring old records back. `groupOffset` tells
 * a reader what was durable: a group starts only after everything before it in the segment was synced. Damage
 * before the last group is therefore corruption; damage inside it may be a torn write that nobody was told of.
 */
import { crc32 } from "node:zlib";
import { assert } from "../assert.js";
import { limits } from "../limits.js";
import { uuidTextAt } from "./uuid-bytes.js";

export const walRecordMagic = 0x3152_574d;
export const recordHeaderBytes = 64;
export const columnEntryBytes = 24;

export const recordKinds = { rows: 1, schema: 2, tombstones: 3, replacing: 4, operations: 5 } as const;

/** Records whose rows have sequences, whatever they mean. */
export type RowsKind = Exclude<
  (typeof recordKinds)[keyof typeof recordKinds],
  typeof recordKinds.schema | typeof recordKinds.operations
>;

/** True for records of rows, and for those that have such records as their parts. */
export function hasSequences(kind: number): boolean {
  return kind === recordKinds.operations || isRowsKind(kind);
}

/** False for a schema record, for one of operations, and for a kind that a newer version brought. */
export function isRowsKind(kind: number): kind is RowsKind {
  return kind === recordKinds.rows || kind === recordKinds.replacing || kind === recordKinds.tombstones;
}

export const headerFields = {
  magic: 0,
  length: 4,
  crc: 8,
  kind: 12,
  columnCount: 14,
  segment: 16,
  groupOffset: 20,
  tableUuid: 24,
  firstSequence: 40,
  rowCount: 48,
  schemaVersion: 52,
  batchCount: 56,
  batchesOffset: 60,
} as const;

/** The first byte that the checksum covers. */
const checkedFrom = headerFields.kind;

export interface RecordHeader {
  readonly kind: number;
  readonly length: number;
  readonly crc: number;
  readonly segment: number;
  readonly groupOffset: number;
  readonly tableUuid: string;
  readonly firstSequence: number;
  readonly rowCount: number;
  readonly schemaVersion: number;
  readonly columnCount: number;
  readonly batchCount: number;
  readonly batchesOffset: number;
}

export function padTo8(bytes: number): number {
  return (bytes + 7) & ~7;
}

/** The record's length where a record could start at `offset`; 0 where none can, going by magic and length alone. */
export function recordLengthAt(view: DataView, offset: number): number {
  if (offset + recordHeaderBytes > view.byteLength) return 0;
  if (view.getUint32(offset + headerFields.magic, true) !== walRecordMagic) return 0;
  const length = view.getUint32(offset + headerFields.length, true);
  return length >= recordHeaderBytes && length <= limits.walRecordBytesMax && length % 8 === 0 ? length : 0;
}

/** The header at `offset`, unchecked but for magic and length: undefined where no record can start there. */
export function parseRecordHeader(view: DataView, offset: number): RecordHeader | undefined {
  const length = recordLengthAt(view, offset);
  if (length === 0) return undefined;
  return {
    kind: view.getUint8(offset + headerFields.kind),
    length,
    crc: view.getUint32(offset + headerFields.crc, true),
    segment: view.getUint32(offset + headerFields.segment, true),
    groupOffset: view.getUint32(offset + headerFields.groupOffset, true),
    tableUuid: uuidTextAt(view, offset + headerFields.tableUuid),
    firstSequence: readSequence(view, offset + headerFields.firstSequence),
    rowCount: view.getUint32(offset + headerFields.rowCount, true),
    schemaVersion: view.getUint32(offset + headerFields.schemaVersion, true),
    columnCount: view.getUint16(offset + headerFields.columnCount, true),
    batchCount: view.getUint32(offset + headerFields.batchCount, true),
    batchesOffset: view.getUint32(offset + headerFields.batchesOffset, true),
  };
}

/** Fills in where the record goes, and its checksum: the WAL thread's last step before the write. */
export function sealRecord(bytes: Uint8Array, offset: number, segment: number, groupOffset: number): void {
  const view = viewOf(bytes);
  const length = recordLengthAt(view, offset);
  assert(length > 0 && offset + length <= bytes.length, "only a whole record is sealed");
  assert(segment > 0 && segment <= 0xffff_ffff, "segment numbers are 32 bits and start at 1");
  view.setUint32(offset + headerFields.segment, segment, true);
  view.setUint32(offset + headerFields.groupOffset, groupOffset, true);
  view.setUint32(offset + headerFields.crc, crc32(bytes.subarray(offset + checkedFrom, offset + length)), true);
}

/** True when a whole, undamaged record of this segment starts at `offset`. */
export function verifyRecord(bytes: Uint8Array, offset: number, segment: number): boolean {
  const view = viewOf(bytes);
  const length = recordLengthAt(view, offset);
  if (length === 0 || offset + length > bytes.length) return false;
  if (view.getUint32(offset + headerFields.segment, true) !== segment) return false;
  return (
    view.getUint32(offset + headerFields.crc, true) === crc32(bytes.subarray(offset + checkedFrom, offset + length))
  );
}

/** A u64 that is known to be a safe integer. */
export function readSequence(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 0x1_0000_0000 + view.getUint32(at, true);
}

export function writeSequence(view: DataView, at: number, sequence: number): void {
  assert(Number.isSafeInteger(sequence) && sequence >= 0, "sequences are safe integers");
  view.setUint32(at, sequence >>> 0, true);
  view.setUint32(at + 4, Math.floor(sequence / 0x1_0000_0000), true);
}

const noView: DataView = new DataView(new ArrayBuffer(0));
let lastBytes: Uint8Array | undefined;
let lastView = noView;

/** A DataView over the same bytes; remembers the last one, as records come from one block many times in a row. */
export function viewOf(bytes: Uint8Array): DataView {
  if (bytes !== lastBytes) {
    lastBytes = bytes;
    lastView = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
  return lastView;
}
