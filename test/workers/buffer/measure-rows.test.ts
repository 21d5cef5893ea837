import assert from "node:assert/strict";
import { test } from "node:test";
import { BatchBuilder } from "../../../src/shared/columns/batch-builder.js";
import { encodeRowsRecord, recordBytes } from "../../../src/shared/formats/wal-record-v1-encode.js";
import { recordKinds } from "../../../src/shared/formats/wal-record-v1.js";
import { initialSchema } from "../../../src/shared/schema/table-schema.js";
import { measureRows } from "../../../src/workers/buffer/measure-rows.js";
import { TableBuffer, type BufferedRecord } from "../../../src/workers/buffer/table-buffer.js";

const tableUuid = "7d3f0c7e-1111-4222-8333-944445555666";
const defaults = { receivedMicros: 0, generateId: null, idRequired: false };

function recordOf(
  firstSequence: number,
  micros: readonly bigint[],
  kind: BufferedRecord["kind"] = recordKinds.rows,
): BufferedRecord {
  const rules = { addColumns: true, columnsMax: 10, longMeetsDouble: "widen", isCommitted: () => false } as const;
  const builder = new BatchBuilder(initialSchema, rules);
  for (const [row, value] of micros.entries()) {
    builder.columns[0]?.setLong(row, Number(BigInt.asIntN(32, value)), Number(value >> 32n));
    builder.endRow(defaults);
  }
  const batch = builder.finish();
  const length = recordBytes(batch, []);
  const buffer = new SharedArrayBuffer(length);
  const block = { id: 1, buffer, bytes: new Uint8Array(buffer), used: length, readers: 0, isFreed: false };
  encodeRowsRecord(block.bytes, 0, { tableUuid, firstSequence, schemaVersion: 0, batch, batches: [] });
  const place = { block, offset: 0, length };
  return { ...place, kind, firstSequence, rowCount: micros.length, logPosition: 0, createdMs: 0 };
}

test("counts what is neither flushed nor beyond the last visible row, with its oldest and newest time", () => {
  const buffer = new TableBuffer(0);
  assert.deepEqual(measureRows(buffer, 0), {
    flushedSequence: 0,
    rows: 0,
    bytes: 0,
    oldestMicros: null,
    newestMicros: null,
    isReplacing: false,
  });
  // Before 1970, around a carry into the upper half, and the year 9999.
  const first = [5n, -3n, 4_294_967_295n];
  const second = [4_294_967_296n, 253_402_300_799_999_999n];
  buffer.append(recordOf(1, first));
  buffer.append(recordOf(4, second));
  buffer.append(recordOf(6, [-9n]));
  const span = (lastSequence: number): readonly unknown[] => {
    const { rows, oldestMicros, newestMicros } = measureRows(buffer, lastSequence);
    return [rows, oldestMicros, newestMicros];
  };
  assert.deepEqual(span(3), [3, "-3", "4294967295"]);
  assert.deepEqual(span(5), [5, "-3", "253402300799999999"]);
  assert.deepEqual(span(6), [6, "-9", "253402300799999999"]);
  // Twice the same, as the second answer comes from what is known.
  assert.deepEqual(span(6), [6, "-9", "253402300799999999"]);
  buffer.forget(3);
  assert.deepEqual(span(6), [3, "-9", "253402300799999999"]);
  // Tombstones are no rows, but say that the count is not what a query sees.
  buffer.append(recordOf(7, [-99n], recordKinds.tombstones));
  assert.deepEqual(span(7), [3, "-9", "253402300799999999"]);
  assert.equal(measureRows(buffer, 7).isReplacing, true);
  assert.equal(measureRows(buffer, 6).isReplacing, false);
  // A flush that ended within a record, as another run of the server left it.
  const cut = new TableBuffer(2);
  cut.appendReplayed(recordOf(1, first), 2);
  assert.deepEqual(measureRows(cut, 3).rows, 1);
  assert.equal(measureRows(cut, 3).oldestMicros, "4294967295");
});
