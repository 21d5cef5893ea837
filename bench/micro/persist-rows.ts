import { BatchBuilder } from "../../src/shared/columns/batch-builder.js";
import { encodeRowsRecord, recordBytes } from "../../src/shared/formats/wal-record-v1-encode.js";
import type { RecordSlice } from "../../src/shared/messages.js";
import { initialSchema, type TableSchema } from "../../src/shared/schema/table-schema.js";

/** Rows as the persist workers get them: timestamp, double, long and two strings of few values. */
export interface BenchRows {
  readonly slice: RecordSlice;
  readonly schema: TableSchema;
  readonly rows: number;
}

const regions = [
  "eu-west-1",
  "eu-central-1",
  "us-east-1",
  "us-west-2",
  "ap-south-1",
  "ap-east-1",
  "sa-east-1",
  "af-south-1",
];
const startMicros = Date.UTC(2026, 4, 1, 12) * 1000;

/**
 * `rows` rows in records of `recordRows`. Timestamps go up by 0-20 µs; with `jitterMicros` they are moved by up to that
 * much, as rows of many writers are that arrive in any order.
 */
export function benchRows(rows: number, recordRows: number, jitterMicros: number): BenchRows {
  const random = generator(7);
  const builder = new BatchBuilder(initialSchema, {
    addColumns: true,
    columnsMax: 100,
    longMeetsDouble: "widen",
    isCommitted: () => false,
  });
  const value = builder.addColumn("value", "double") as number;
  const count = builder.addColumn("count", "long") as number;
  const device = builder.addColumn("device", "string") as number;
  const region = builder.addColumn("region", "string") as number;
  const defaults = { receivedMicros: 0, generateId: null, idRequired: false };
  const blocks: SharedArrayBuffer[] = [];
  const spans: number[] = [];
  let micros = startMicros;
  for (let first = 0; first < rows; first += recordRows) {
    builder.reset();
    builder.rowCount = 0;
    const count_ = Math.min(recordRows, rows - first);
    for (let row = 0; row < count_; row++) {
      micros += Math.floor(random() * 20);
      builder.columns[0]?.setSafeInteger(row, micros + Math.floor(random() * jitterMicros));
      builder.columns[value]?.setDouble(row, Math.round(random() * 10_000) / 100);
      builder.columns[count]?.setSafeInteger(row, Math.floor(random() * 1000));
      builder.columns[device]?.setString(row, `device-${String(Math.floor(random() * 1000)).padStart(4, "0")}`);
      builder.columns[region]?.setString(row, regions[Math.floor(random() * regions.length)] as string);
      builder.endRow(defaults);
    }
    const batch = builder.finish();
    const block = new SharedArrayBuffer(recordBytes(batch, []));
    const record = {
      tableUuid: "00000000-0000-4000-8000-000000000000",
      firstSequence: first + 1,
      schemaVersion: 0,
      batch,
      batches: [],
    };
    const length = encodeRowsRecord(new Uint8Array(block), 0, record);
    spans.push(blocks.length, 0, length);
    blocks.push(block);
  }
  return { slice: { blocks, spans: Int32Array.from(spans) }, schema: builder.schema, rows };
}

/** mulberry32. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
