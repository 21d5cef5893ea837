import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { lastRowOf } from "../../../src/shared/formats/wal-batches-v1.js";
import {
  encodeOperationsRecord,
  operationsRecordBytes,
  rowsRecordsOf,
  type OperationsPart,
} from "../../../src/shared/formats/wal-operations-v1.js";
import { encodeRowsRecord, recordBytes } from "../../../src/shared/formats/wal-record-v1-encode.js";
import { parseRecordBatches, parseRows } from "../../../src/shared/formats/wal-record-v1-parse.js";
import {
  hasSequences,
  isRowsKind,
  parseRecordHeader,
  recordKinds,
  sealRecord,
  verifyRecord,
  viewOf,
} from "../../../src/shared/formats/wal-record-v1.js";
import { repositoryRoot } from "../../harness/repository-root.js";
import { seededRandom } from "../../harness/seeded-random.js";
import { materialise, randomBatch, randomBatchEntries, smallBatch, tableUuid } from "./wal-record-samples.js";

const seed = Number(process.env["MINIODB_TEST_SEED"] ?? Date.now() % 1_000_000);
const rounds = Number(process.env["MINIODB_TEST_ROUNDS"] ?? 200);
const kinds = [recordKinds.tombstones, recordKinds.replacing, recordKinds.rows] as const;

function headerAt(bytes: Uint8Array, at: number) {
  const header = parseRecordHeader(viewOf(bytes), at);
  assert.ok(header !== undefined);
  return header;
}

function smallRecord(): Uint8Array {
  const { batch, batches } = smallBatch();
  const parts = kinds.map((kind) => ({ kind, batch }));
  const entries = batches.map((entry, index) => (index === 0 ? { ...entry, hasUndone: true as const } : entry));
  const bytes = new Uint8Array(operationsRecordBytes(parts, entries)).fill(0xee);
  encodeOperationsRecord(bytes, 0, {
    tableUuid,
    firstSequence: 2 ** 40 + 7,
    schemaVersion: 3,
    parts,
    batches: entries,
  });
  return bytes;
}

test("the bytes of a record of operations stay as they are (golden file)", () => {
  const bytes = smallRecord();
  sealRecord(bytes, 0, 77, 4096);
  const path = join(repositoryRoot, "test/golden/wal-record-operations-v1.bin");
  if (!existsSync(path) && process.env["MINIODB_GOLDEN_WRITE"] !== undefined) writeFileSync(path, bytes);
  assert.deepEqual(Buffer.from(bytes), readFileSync(path));
  const golden = new Uint8Array(readFileSync(path));
  assert.ok(verifyRecord(golden, 0, 77));
  const header = headerAt(golden, 0);
  assert.deepEqual([header.kind, header.rowCount, header.schemaVersion], [recordKinds.operations, 9, 3]);
  assert.ok(hasSequences(header.kind) && !isRowsKind(header.kind));
  const [first, second] = parseRecordBatches(golden, 0, header);
  assert.ok(first !== undefined && second !== undefined);
  // Rows of the first are in no record: what is named is its last row.
  assert.deepEqual([first.hasUndone, lastRowOf(first)], [true, first.firstRow]);
  assert.deepEqual(["hasUndone" in second, lastRowOf(second)], [false, second.firstRow + second.accepted - 1]);
});

test(`random parts come back as they went in, at any place of a block (seed ${seed})`, () => {
  const random = seededRandom(seed);
  for (let round = 0; round < rounds; round++) {
    const where = `seed ${seed} round ${round}`;
    const chosen = kinds.filter(() => random.integer(2) === 0);
    const parts: OperationsPart[] = (chosen.length === 0 ? [recordKinds.rows] : chosen).map((kind) => ({
      kind,
      batch: randomBatch(random, { rowCount: 1 + random.integer(30) }),
    }));
    const rowCount = parts.reduce((sum, { batch }) => sum + batch.rowCount, 0);
    const batches = randomBatchEntries(random, rowCount);
    const length = operationsRecordBytes(parts, batches);
    const at = random.integer(16) * 8;
    const block = new Uint8Array(new SharedArrayBuffer(at + length + 64)).fill(0xa5);
    const firstSequence = 1 + random.integer(2 ** 48);
    const places = encodeOperationsRecord(block, at, { tableUuid, firstSequence, schemaVersion: 3, parts, batches });
    assert.ok(
      block.subarray(at + length).every((byte) => byte === 0xa5),
      where,
    );
    sealRecord(block, at, 5, 64);
    assert.ok(verifyRecord(block, at, 5), where);
    const header = headerAt(block, at);
    assert.deepEqual([header.length, header.firstSequence, header.rowCount], [length, firstSequence, rowCount], where);
    assert.deepEqual(rowsRecordsOf(block, at, header), places, where);
    assert.deepEqual(parseRecordBatches(block, at, header), batches, where);
    let sequence = firstSequence;
    for (const [index, place] of places.entries()) {
      const parsed = parseRows(block, place.at);
      assert.deepEqual([place.kind, place.firstSequence], [parts[index]?.kind, sequence], where);
      assert.deepEqual([parsed.header.kind, parsed.header.firstSequence], [place.kind, sequence], where);
      assert.deepEqual([parsed.header.segment, parsed.header.crc, parsed.header.batchCount], [0, 0, 0], where);
      assert.deepEqual(materialise(parsed.batch), materialise(parts[index]?.batch ?? parsed.batch), where);
      assert.ok(
        !verifyRecord(block, place.at, 5) && !verifyRecord(block, place.at, 0),
        `${where}: no record by itself`,
      );
      sequence += place.rowCount;
    }
  }
});

test("one changed bit anywhere fails the check of the whole", () => {
  const bytes = smallRecord();
  sealRecord(bytes, 0, 9, 0);
  for (let bit = 0; bit < bytes.length * 8; bit += 3) {
    bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
    assert.ok(!verifyRecord(bytes, 0, 9), `bit ${bit}`);
    bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
  }
  assert.ok(verifyRecord(bytes, 0, 9));
});

test("a record of rows is its own one part", () => {
  const { batch, batches } = smallBatch();
  const bytes = new Uint8Array(recordBytes(batch, batches));
  encodeRowsRecord(bytes, 0, { tableUuid, firstSequence: 9, schemaVersion: 1, batch, batches });
  const place = { kind: recordKinds.rows, at: 0, length: bytes.length, firstSequence: 9, rowCount: 3 };
  assert.deepEqual(rowsRecordsOf(bytes, 0, headerAt(bytes, 0)), [place]);
});
