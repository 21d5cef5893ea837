import assert from "node:assert/strict";
import { copyFileSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { FaultyDisk } from "../../../src/shared/disk/faulty-disk.js";
import { ForgetfulDisk } from "../../../src/shared/disk/forgetful-disk.js";
import { losePower } from "../../../src/shared/disk/power-loss.js";
import { RealDisk } from "../../../src/shared/disk/real-disk.js";
import { MiniodbError } from "../../../src/shared/errors.js";
import { headerFields, recordKinds, sealRecord } from "../../../src/shared/formats/wal-record-v1.js";
import { segmentHeaderBytes } from "../../../src/shared/formats/wal-segment-v1.js";
import { openWal } from "../../../src/workers/wal/open-wal.js";
import { seededRandom } from "../../harness/seeded-random.js";
import { batchOf, replayAll, temporaryFolder, WalHarness } from "./wal-harness.js";

const disk = new RealDisk();
const seed = Number(process.env["MINIODB_TEST_SEED"] ?? Date.now() % 1_000_000);
const flips = Number(process.env["MINIODB_TEST_ROUNDS"] ?? 400);

function openAgain(folder: string): ReturnType<typeof openWal> {
  const sizes = { segmentBytes: 65_536, walBytesMax: 1e9, batchIdWindowMs: 1e9, batchIdsMax: 1e6 };
  return openWal({ disk, folder, ...sizes, filler: undefined, nowMs: Date.now });
}

function firstSegment(folder: string): string {
  return join(folder, "0000000000000001.wal");
}

/** Groups of three records each of table 1, 10 rows a record; returns where each group starts. */
function writeGroups(context: TestContext, groups: number): { folder: string; starts: number[]; end: number } {
  const folder = temporaryFolder(context);
  const harness = new WalHarness({ disk, folder, segmentBytes: 1_000_000 });
  const starts: number[] = [];
  for (let group = 0; group < groups; group++) {
    starts.push(group === 0 ? segmentHeaderBytes : (disk.stat(firstSegment(folder))?.bytes ?? 0));
    for (let i = 0; i < 3; i++) harness.write(1, 10);
    assert.ok(harness.commit.round());
  }
  harness.close();
  return { folder, starts, end: disk.stat(firstSegment(folder))?.bytes ?? 0 };
}

function rowsUpTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i + 1);
}

/** Of what was not synced, nothing arrived. */
const loseAll = (): number => 0;

test("what an opened log reads stays there, though the process before died ahead of its sync", (context) => {
  const folder = temporaryFolder(context);
  const side = join(temporaryFolder(context), "side");
  const forgetful = new ForgetfulDisk(side);
  let isDying = false;
  const dying = new FaultyDisk(forgetful, (call) =>
    isDying && call === "fdatasync" ? { kind: "error", code: "EIO" } : undefined,
  );
  const before = new WalHarness({ disk: dying, folder });
  before.write(1, 3);
  assert.ok(before.commitAll());
  isDying = true;
  before.write(1, 2);
  // Written, not synced, and the process ends here: it acknowledged nothing, and opens no other segment.
  assert.equal(before.commit.round(), false);

  // Queries see five rows from here on, and whoever repeats the batch hears that it is durable.
  const after = new WalHarness({ disk: forgetful, folder, sequences: new Map([[1, 5]]) });
  assert.deepEqual(replayAll(forgetful, folder).sequences.get(1), rowsUpTo(5));
  after.write(1, 1);
  assert.ok(after.commitAll());
  losePower(side, loseAll);
  const { sequences, gaps, report } = replayAll(disk, folder);
  assert.deepEqual(sequences.get(1), rowsUpTo(6));
  assert.deepEqual(gaps.get(1), []);
  assert.deepEqual(report.damage, []);
});

describe("a torn tail", () => {
  test("ends the segment cleanly, wherever it is torn off", (context) => {
    const { folder, starts } = writeGroups(context, 2);
    const path = firstSegment(folder);
    const whole = readFileSync(path);
    const recordLength = (whole.length - (starts[1] as number)) / 3;
    for (let cut = starts[1] as number; cut < whole.length; cut++) {
      writeFileSync(path, whole.subarray(0, cut));
      const { sequences, report, gaps } = replayAll(disk, folder);
      const records = Math.floor((cut - (starts[1] as number)) / recordLength);
      assert.equal(sequences.get(1)?.length, 30 + records * 10, `cut at ${cut}`);
      assert.deepEqual(report.damage, [], `cut at ${cut}`);
      assert.deepEqual(gaps.get(1), []);
    }
  });

  test("of zeros or of an older life's bytes ends it as well", (context) => {
    const { folder, starts, end } = writeGroups(context, 2);
    const path = firstSegment(folder);
    const whole = readFileSync(path);
    const torn = Buffer.from(whole);
    torn.fill(0, end - 200);
    writeFileSync(path, Buffer.concat([torn, Buffer.alloc(100_000)]));
    assert.deepEqual(replayAll(disk, folder).sequences.get(1), rowsUpTo(50));
    // The first group as it would look with another segment number, behind the last record.
    const stale = Buffer.from(whole.subarray(segmentHeaderBytes, starts[1]));
    writeFileSync(path, Buffer.concat([whole, stale.map((byte, i) => (i === 16 ? 9 : byte))]));
    assert.deepEqual(replayAll(disk, folder).sequences.get(1), rowsUpTo(60));
  });

  test("with a hole in the last group drops what came after the hole and keeps it aside", (context) => {
    const { folder, starts } = writeGroups(context, 2);
    const path = firstSegment(folder);
    const bytes = readFileSync(path);
    bytes.fill(0, (starts[1] as number) + 100, (starts[1] as number) + 200);
    writeFileSync(path, bytes);
    const { sequences, report, gaps } = replayAll(disk, folder);
    assert.deepEqual(sequences.get(1), rowsUpTo(30));
    assert.deepEqual(gaps.get(1), []);
    assert.deepEqual(report.damage, [
      { kind: "torn", segment: 1, offset: starts[1], length: bytes.length - (starts[1] as number) },
    ]);
    const wal = openAgain(folder);
    assert.deepEqual(wal.damage, report.damage);
    assert.equal(readdirSync(join(folder, "quarantine")).filter((name) => name.endsWith(".torn")).length, 1);
  });
});

test("a record of operations is there as a whole or not at all, wherever it is torn or damaged", (context) => {
  const folder = temporaryFolder(context);
  const harness = new WalHarness({ disk, folder, segmentBytes: 1_000_000 });
  harness.write(1, 2);
  assert.ok(harness.commit.round());
  const start = disk.stat(firstSegment(folder))?.bytes ?? 0;
  harness.writeOperations(1, [2, 3, 4], { batches: [batchOf("operations", Date.now())] });
  assert.ok(harness.commit.round());
  const whole = readFileSync(firstSegment(folder));
  for (let cut = start; cut <= whole.length; cut++) {
    writeFileSync(firstSegment(folder), whole.subarray(0, cut));
    const { sequences, keys } = replayAll(disk, folder);
    assert.deepEqual(sequences.get(1), rowsUpTo(cut === whole.length ? 11 : 2), `cut at ${cut}`);
    assert.equal(keys.has("operations"), cut === whole.length);
  }
  for (let at = start; at < whole.length; at += 7) {
    const bytes = Buffer.from(whole);
    bytes[at] = (bytes[at] as number) ^ 1;
    writeFileSync(firstSegment(folder), bytes);
    assert.deepEqual(replayAll(disk, folder).sequences.get(1), rowsUpTo(2), `byte ${at}`);
  }
  writeFileSync(firstSegment(folder), whole);
  // A commit covers whole records; a part that one did cover all the same is passed over.
  for (let flushed = 0; flushed <= 11; flushed++) {
    const { sequences, gaps } = replayAll(disk, folder, new Map([[1, flushed]]));
    assert.deepEqual(sequences.get(1), rowsUpTo(11).slice(flushed));
    assert.deepEqual(gaps.get(1), []);
  }
  harness.close();
});

test("a record of a kind that a newer version brought stops the replay", (context) => {
  const folder = temporaryFolder(context);
  const harness = new WalHarness({ disk, folder, segmentBytes: 1_000_000 });
  harness.writeOperations(1, [1, 1, 1]);
  assert.ok(harness.commitAll());
  harness.close();
  const bytes = new Uint8Array(readFileSync(firstSegment(folder)));
  bytes[segmentHeaderBytes + headerFields.kind] = recordKinds.operations + 1;
  sealRecord(bytes, segmentHeaderBytes, 1, segmentHeaderBytes);
  writeFileSync(firstSegment(folder), bytes);
  assert.throws(() => replayAll(disk, folder), /record of kind 6: a newer version wrote it/);
});

describe("damage in the middle", () => {
  test("is reported and kept aside, and reading goes on behind it", (context) => {
    const { folder, starts, end } = writeGroups(context, 4);
    const path = firstSegment(folder);
    const whole = readFileSync(path);
    const recordLength = ((starts[1] as number) - (starts[0] as number)) / 3;
    const random = seededRandom(seed);
    for (let flip = 0; flip < flips; flip++) {
      const at = (starts[0] as number) + random.integer((starts[3] as number) - (starts[0] as number));
      const bytes = Buffer.from(whole);
      bytes[at] = (bytes[at] as number) ^ (1 << random.integer(8));
      writeFileSync(path, bytes);
      const hit = Math.floor((at - (starts[0] as number)) / recordLength);
      const where = `seed ${seed}, byte ${at}`;
      const { sequences, report, gaps } = replayAll(disk, folder);
      assert.deepEqual(
        sequences.get(1),
        rowsUpTo(120).filter((row) => Math.floor((row - 1) / 10) !== hit),
        where,
      );
      const expected = {
        kind: "corrupt",
        segment: 1,
        offset: (starts[0] as number) + hit * recordLength,
        length: recordLength,
      };
      assert.deepEqual(report.damage, [expected], where);
      assert.deepEqual(gaps.get(1), [{ firstSequence: hit * 10 + 1, lastSequence: hit * 10 + 10 }], where);
    }
    assert.equal(end, whole.length);
    const wal = openAgain(folder);
    const kept = readdirSync(join(folder, "quarantine"));
    assert.deepEqual(kept, [`0000000000000001-${wal.damage[0]?.offset}.corrupt`]);
    const aside = readFileSync(join(folder, "quarantine", kept[0] as string));
    assert.equal(aside.length, recordLength);
    openAgain(folder);
  });

  test("in the last group counts as corruption once the next segment says where this one ended", (context) => {
    const { folder, starts } = writeGroups(context, 2);
    const next = new WalHarness({ disk, folder, sequences: new Map([[1, 60]]) });
    next.write(1, 10);
    assert.ok(next.commitAll());
    next.close();
    const path = firstSegment(folder);
    const bytes = readFileSync(path);
    bytes[(starts[1] as number) + 300] = 0x55;
    writeFileSync(path, bytes);
    const { report, sequences } = replayAll(disk, folder);
    assert.deepEqual(
      report.damage.map(({ kind }) => kind),
      ["corrupt"],
    );
    assert.equal(sequences.get(1)?.length, 60);
    truncateSync(path, bytes.length - 8);
    assert.deepEqual(
      replayAll(disk, folder).report.damage.map(({ kind }) => kind),
      ["corrupt", "corrupt"],
    );
  });

  test("of a page that cannot be read costs that page only", (context) => {
    const { folder, starts } = writeGroups(context, 20);
    const badPage = Math.floor((starts[10] as number) / 4096) * 4096;
    const broken = new (class extends RealDisk {
      override read(fd: number, target: Uint8Array, position: number): number {
        if (position <= badPage && position + target.length > badPage) {
          throw Object.assign(new Error("EIO"), { code: "EIO", syscall: "read" });
        }
        return super.read(fd, target, position);
      }
    })();
    const { sequences, report } = replayAll(broken, folder);
    assert.deepEqual(
      report.damage.map(({ kind }) => kind),
      ["corrupt"],
    );
    // 11 records of 440 bytes with 10 rows each lie in the page or across its edges.
    assert.equal(sequences.get(1)?.length, 600 - 110);
    assert.equal(sequences.get(1)?.at(-1), 600);
    const silent = new FaultyDisk(disk, (call) => (call === "read" ? { kind: "error", code: "EACCES" } : undefined));
    assert.throws(() => replayAll(silent, folder), /EACCES/);
  });

  test("of the first page costs its facts, not the records behind it", (context) => {
    const { folder } = writeGroups(context, 2);
    const path = firstSegment(folder);
    const bytes = readFileSync(path);
    bytes.fill(0, 0, 64);
    writeFileSync(path, bytes);
    assert.deepEqual(replayAll(disk, folder).sequences.get(1), rowsUpTo(60));
  });
});

describe("segments that do not belong", () => {
  test("a segment of another stream is refused", (context) => {
    const { folder } = writeGroups(context, 1);
    const other = writeGroups(context, 1);
    const harness = new WalHarness({ disk, folder: other.folder, sequences: new Map([[1, 30]]) });
    harness.write(1, 1);
    assert.ok(harness.commitAll());
    copyFileSync(join(other.folder, "0000000000000002.wal"), join(folder, "0000000000000002.wal"));
    assert.throws(() => replayAll(disk, folder), MiniodbError);
  });

  test("a segment under another number brings nothing back", (context) => {
    const { folder } = writeGroups(context, 2);
    copyFileSync(firstSegment(folder), join(folder, "0000000000000007.wal"));
    const { records } = replayAll(disk, folder);
    assert.equal(records.length, 6);
  });

  test("segments without the stream's uuid are refused", (context) => {
    const { folder } = writeGroups(context, 1);
    disk.unlink(join(folder, "stream"));
    assert.throws(() => openAgain(folder), /restore it/);
  });

  test("empty and cut files are no segments of anything", (context) => {
    const { folder } = writeGroups(context, 1);
    writeFileSync(join(folder, "0000000000000002.wal"), "");
    writeFileSync(join(folder, "0000000000000003.wal"), Buffer.alloc(100));
    writeFileSync(join(folder, "batches/0000000000000009.bin.tmp"), "half");
    assert.deepEqual(replayAll(disk, folder).sequences.get(1), rowsUpTo(30));
    openAgain(folder);
    assert.deepEqual(readdirSync(join(folder, "batches")), []);
  });
});
