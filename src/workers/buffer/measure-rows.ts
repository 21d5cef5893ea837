import { assert } from "../../shared/assert.js";
import { recordKinds } from "../../shared/formats/wal-record-v1.js";
import { parseRows } from "../../shared/formats/wal-record-v1-parse.js";
import type { BufferedRows } from "../../shared/table-messages.js";
import { timestampFieldId } from "../../shared/schema/table-schema.js";
import type { BufferedRecord, TableBuffer } from "./table-buffer.js";

interface TimeSpan {
  readonly oldest: bigint;
  readonly newest: bigint;
}

/** Of whole records. They never change, so that each is looked at once, and only of tables that somebody asks about. */
const knownSpans = new WeakMap<BufferedRecord, TimeSpan>();

/** Counts the rows of the buffer up to `lastSequence`, replaced ones too, and finds their oldest and newest time: about 2 ns a row. */
export function measureRows(buffer: TableBuffer, lastSequence: number): BufferedRows {
  const { flushedSequence } = buffer;
  let rows = 0;
  let isReplacing = false;
  let bytes = 0;
  let oldest: bigint | null = null;
  let newest: bigint | null = null;
  for (const record of buffer.records) {
    const { firstSequence, rowCount } = record;
    if (firstSequence + rowCount - 1 > lastSequence) break;
    const from = Math.max(0, flushedSequence + 1 - firstSequence);
    if (from >= rowCount) continue;
    if (record.kind !== recordKinds.rows) isReplacing = true;
    bytes += record.length;
    if (record.kind === recordKinds.tombstones) continue;
    const span = from === 0 ? spanOf(record) : timeSpan(record, from);
    rows += rowCount - from;
    if (oldest === null || span.oldest < oldest) oldest = span.oldest;
    if (newest === null || span.newest > newest) newest = span.newest;
  }
  const text = (micros: bigint | null): string | null => (micros === null ? null : String(micros));
  return { flushedSequence, rows, bytes, oldestMicros: text(oldest), newestMicros: text(newest), isReplacing };
}

/** True when a row of the buffer, visible or not, has a value under this field id: a look at each record's directory. */
export function hasValuesIn(buffer: TableBuffer, fieldId: number): boolean {
  return buffer.records.some(({ block, offset }) => {
    const { columns, rowCount } = parseRows(block.bytes, offset).batch;
    return columns.some((column) => column.fieldId === fieldId && column.nullCount < rowCount);
  });
}

function spanOf(record: BufferedRecord): TimeSpan {
  let span = knownSpans.get(record);
  if (span === undefined) {
    span = timeSpan(record, 0);
    knownSpans.set(record, span);
  }
  return span;
}

/** Over rows [from, rowCount). Halves of numbers are compared, as a bigint per row would cost fifty times as much. */
function timeSpan({ block, offset, rowCount }: BufferedRecord, from: number): TimeSpan {
  const { columns } = parseRows(block.bytes, offset).batch;
  const times = columns.find((column) => column.fieldId === timestampFieldId)?.values;
  assert(times !== undefined && from < rowCount, "every row has a timestamp");
  const words = new Int32Array(times.buffer, times.byteOffset, rowCount * 2);
  let least = from;
  let most = from;
  for (let row = from + 1; row < rowCount; row++) {
    if (isBefore(words, row, least)) least = row;
    else if (isBefore(words, most, row)) most = row;
  }
  return { oldest: microsAt(words, least), newest: microsAt(words, most) };
}

function isBefore(words: Int32Array, row: number, other: number): boolean {
  const high = words[row * 2 + 1] as number;
  const otherHigh = words[other * 2 + 1] as number;
  if (high !== otherHigh) return high < otherHigh;
  return (words[row * 2] as number) >>> 0 < (words[other * 2] as number) >>> 0;
}

function microsAt(words: Int32Array, row: number): bigint {
  return (BigInt(words[row * 2 + 1] as number) << 32n) | BigInt((words[row * 2] as number) >>> 0);
}
