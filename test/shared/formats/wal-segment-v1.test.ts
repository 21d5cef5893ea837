import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { DigestBuilder, parseDigestEntries, parseDigestHeader } from "../../../src/shared/formats/batch-digest-v1.js";
import { encodeRowsRecord, recordBytes } from "../../../src/shared/formats/wal-record-v1-encode.js";
import { parseRecordHeader, viewOf } from "../../../src/shared/formats/wal-record-v1.js";
import {
  encodeSegmentHeader,
  parseSegmentHeader,
  segmentHeaderBytes,
} from "../../../src/shared/formats/wal-segment-v1.js";
import { repositoryRoot } from "../../harness/repository-root.js";
import { smallBatch, tableUuid } from "./wal-record-samples.js";

function golden(name: string, bytes: Uint8Array): Uint8Array {
  const path = join(repositoryRoot, "test/golden", name);
  if (!existsSync(path) && process.env["MINIODB_GOLDEN_WRITE"] !== undefined) writeFileSync(path, bytes);
  assert.deepEqual(Buffer.from(bytes), readFileSync(path));
  return new Uint8Array(readFileSync(path));
}

const header = {
  number: 12,
  previousNumber: 10,
  stream: tableUuid,
  previousEnd: 2 ** 33 + 8,
  createdMs: 1_700_000_000_000,
};

test("a segment's first page stays as it is (golden file)", () => {
  const bytes = golden("wal-segment-v1.bin", encodeSegmentHeader(header));
  assert.equal(bytes.length, segmentHeaderBytes);
  assert.deepEqual(parseSegmentHeader(bytes, 12), header);
});

test("a segment's first page is read only as a whole and under its number", () => {
  const bytes = encodeSegmentHeader(header);
  assert.equal(parseSegmentHeader(bytes, 13), undefined);
  assert.equal(parseSegmentHeader(bytes.subarray(0, 60), 12), undefined);
  assert.equal(parseSegmentHeader(new Uint8Array(segmentHeaderBytes), 12), undefined);
  for (let at = 0; at < 64; at++) {
    const flipped = bytes.slice();
    flipped[at] = (flipped[at] as number) ^ 4;
    assert.equal(parseSegmentHeader(flipped, 12), undefined, `byte ${at}`);
  }
});

test("a digest stays as it is (golden file), and keeps what is young enough", () => {
  const { batch, batches } = smallBatch();
  const record = new Uint8Array(recordBytes(batch, batches) + 8);
  encodeRowsRecord(record, 8, { tableUuid, firstSequence: 41, schemaVersion: 1, batch, batches });
  const recordHeader = parseRecordHeader(viewOf(record), 8);
  assert.ok(recordHeader !== undefined);

  const builder = new DigestBuilder(0);
  builder.add(record, 8, recordHeader);
  const { header: written, bytes } = builder.finish(7);
  const read = golden("wal-batch-digest-v1.bin", bytes);
  assert.deepEqual(parseDigestHeader(read), written);
  assert.deepEqual(written, { segment: 7, entryCount: 2, newestMs: 1_700_000_000_124.5 });
  assert.deepEqual(
    [...parseDigestEntries(read, written)],
    batches.map((entry) => ({ tableUuid, firstSequence: 41, batch: entry })),
  );

  const young = new DigestBuilder(1_700_000_000_124);
  young.add(record, 8, recordHeader);
  assert.equal(young.entryCount, 1);
  for (let at = 0; at < read.length; at++) {
    const flipped = read.slice();
    flipped[at] = (flipped[at] as number) ^ 1;
    assert.equal(parseDigestHeader(flipped), undefined, `byte ${at}`);
  }
});
