import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { test } from "node:test";
import { encodeRowsRecord, encodeSchemaRecord, recordBytes } from "../../../src/shared/formats/wal-record-v1-encode.js";
import { parseRows, parseRowsRecord, parseSchemaRecord } from "../../../src/shared/formats/wal-record-v1-parse.js";
import {
  parseRecordHeader,
  recordHeaderBytes,
  recordKinds,
  sealRecord,
  verifyRecord,
  viewOf,
} from "../../../src/shared/formats/wal-record-v1.js";
import { initialSchema, withColumn } from "../../../src/shared/schema/table-schema.js";
import { repositoryRoot } from "../../harness/repository-root.js";
import { seededRandom } from "../../harness/seeded-random.js";
import { materialise, randomBatch, randomBatchEntries, smallBatch, tableUuid } from "./wal-record-samples.js";

const roundsDefault = 300;
const rounds = Number(process.env["MINIODB_TEST_ROUNDS"] ?? roundsDefault);

test("the bytes of version 1 stay as they are (golden file)", () => {
  const { batch, batches } = smallBatch();
  const rowsBytes = recordBytes(batch, batches);
  const schema = encodeSchemaRecord({
    tableUuid,
    firstSequence: 2 ** 40 + 7,
    schema: withColumn(initialSchema, "Ünit", "json"),
  });
  const bytes = new Uint8Array(schema.length + rowsBytes).fill(0xee);
  bytes.set(schema);
  const written = encodeRowsRecord(bytes, schema.length, {
    tableUuid,
    firstSequence: 2 ** 40 + 7,
    schemaVersion: 1,
    batch,
    batches,
  });
  assert.equal(written, rowsBytes);
  sealRecord(bytes, 0, 77, 4096);
  sealRecord(bytes, schema.length, 77, 4096);
  const path = join(repositoryRoot, "test/golden/wal-record-v1.bin");
  if (!existsSync(path) && process.env["MINIODB_GOLDEN_WRITE"] !== undefined) writeFileSync(path, bytes);
  assert.deepEqual(Buffer.from(bytes), readFileSync(path));

  const golden = new Uint8Array(readFileSync(path));
  assert.ok(verifyRecord(golden, 0, 77));
  assert.deepEqual(parseSchemaRecord(golden, 0).schema.columns[2]?.name, "Ünit");
  const parsed = parseRowsRecord(golden, schema.length);
  assert.deepEqual(materialise(parsed.batch), materialise(batch));
  assert.deepEqual(parsed.batches, batches);
  assert.equal(parsed.header.firstSequence, 2 ** 40 + 7);
  assert.equal(parsed.header.groupOffset, 4096);
  assert.equal(parsed.header.tableUuid, tableUuid);
});

test("the bytes of tombstones and of rows that replace stay as they are (golden file)", () => {
  const { batch } = smallBatch();
  const length = recordBytes(batch, []);
  const bytes = new Uint8Array(length * 2);
  const record = { tableUuid, firstSequence: 9, schemaVersion: 1, batch, batches: [] };
  encodeRowsRecord(bytes, 0, { ...record, kind: recordKinds.tombstones });
  encodeRowsRecord(bytes, length, { ...record, kind: recordKinds.replacing });
  for (const at of [0, length]) sealRecord(bytes, at, 77, 4096);
  const path = join(repositoryRoot, "test/golden/wal-record-kinds-v1.bin");
  if (!existsSync(path) && process.env["MINIODB_GOLDEN_WRITE"] !== undefined) writeFileSync(path, bytes);
  const golden = new Uint8Array(readFileSync(path));
  assert.deepEqual(Buffer.from(bytes), Buffer.from(golden));
  assert.deepEqual(
    [0, length].map((at) => parseRows(golden, at).header.kind),
    [recordKinds.tombstones, recordKinds.replacing],
  );
});

test("random batches come back as they went in, at any place of a shared block", () => {
  const seed = Number(process.env["MINIODB_TEST_SEED"] ?? Date.now() % 1_000_000);
  const random = seededRandom(seed);
  for (let round = 0; round < rounds; round++) {
    const where = `seed ${seed} round ${round}`;
    const batch = randomBatch(random);
    const batches = randomBatchEntries(random, batch.rowCount);
    const length = recordBytes(batch, batches);
    const at = random.integer(16) * 8;
    const block = new Uint8Array(new SharedArrayBuffer(at + length + 64)).fill(0xa5);
    const record = { tableUuid, firstSequence: 1 + random.integer(2 ** 48), schemaVersion: 3, batch, batches };
    assert.equal(encodeRowsRecord(block, at, record), length, where);
    assert.ok(
      block.subarray(0, at).every((byte) => byte === 0xa5),
      where,
    );
    assert.ok(
      block.subarray(at + length).every((byte) => byte === 0xa5),
      where,
    );
    sealRecord(block, at, 5, 64);
    assert.ok(verifyRecord(block, at, 5), where);
    assert.ok(!verifyRecord(block, at, 4), `${where}: another segment`);
    const parsed = parseRowsRecord(block, at);
    assert.equal(parsed.header.length, length, where);
    assert.equal(parsed.header.firstSequence, record.firstSequence, where);
    assert.deepEqual(materialise(parsed.batch), materialise(batch), where);
    assert.deepEqual(parsed.batches, batches, where);
    for (const column of parsed.batch.columns) assert.equal(column.values.byteOffset % 8, 0, where);
  }
});

test("one changed bit anywhere fails the check", () => {
  const { batch, batches } = smallBatch();
  const bytes = new Uint8Array(recordBytes(batch, batches));
  encodeRowsRecord(bytes, 0, { tableUuid, firstSequence: 1, schemaVersion: 1, batch, batches });
  sealRecord(bytes, 0, 9, 0);
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
    assert.ok(!verifyRecord(bytes, 0, 9), `bit ${bit}`);
    bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
  }
  assert.ok(verifyRecord(bytes, 0, 9));
  for (let cut = 0; cut < bytes.length; cut++) assert.ok(!verifyRecord(bytes.subarray(0, cut), 0, 9), `cut ${cut}`);
});

test("a header is read only where one can be", () => {
  const bytes = encodeSchemaRecord({ tableUuid, firstSequence: 1, schema: initialSchema });
  assert.equal(parseRecordHeader(viewOf(bytes), 8), undefined);
  assert.equal(parseRecordHeader(viewOf(bytes.subarray(0, recordHeaderBytes - 1)), 0), undefined);
  assert.equal(parseRecordHeader(viewOf(bytes), 0)?.kind, 2);
});

test("a record of one row and seven columns costs a few microseconds", () => {
  const random = seededRandom(1);
  const batch = randomBatch(random, { rowCount: 1, columns: 7 });
  const block = new Uint8Array(new SharedArrayBuffer(65_536));
  const record = { tableUuid, firstSequence: 1, schemaVersion: 3, batch, batches: [] };
  let encodeMs = 0;
  let parseMs = 0;
  const count = 20_000;
  for (let pass = 0; pass < 3; pass++) {
    let start = performance.now();
    for (let i = 0; i < count; i++) {
      recordBytes(batch, []);
      encodeRowsRecord(block, 0, record);
    }
    encodeMs = performance.now() - start;
    start = performance.now();
    for (let i = 0; i < count; i++) parseRows(block, 0);
    parseMs = performance.now() - start;
  }
  const encodeMicros = (encodeMs * 1000) / count;
  const parseMicros = (parseMs * 1000) / count;
  assert.ok(encodeMicros < 50 && parseMicros < 50, `encode ${encodeMicros} µs, parse ${parseMicros} µs`);
  if (process.env["MINIODB_TEST_TIMES"] !== undefined) {
    process.stderr.write(`encode ${encodeMicros} µs, parse ${parseMicros} µs\n`);
  }
});
