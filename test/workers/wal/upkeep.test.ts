import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { FaultyDisk } from "../../../src/shared/disk/faulty-disk.js";
import { RealDisk } from "../../../src/shared/disk/real-disk.js";
import { readBatchDigests } from "../../../src/workers/wal/replay.js";
import { fillSpare } from "../../../src/workers/wal/spare-filler.js";
import { SparePool } from "../../../src/workers/wal/spare-pool.js";
import { batchOf, checkReplay, replayAll, temporaryFolder, uuidOf, WalHarness } from "./wal-harness.js";

const disk = new RealDisk();
const segmentBytes = 16_384;
const day = 86_400_000;

function segmentsIn(folder: string): string[] {
  return readdirSync(folder).filter((name) => name.endsWith(".wal"));
}

function fillSegments(harness: WalHarness, table: number, count: number): void {
  for (let i = 0; i < count * 10; i++) {
    harness.write(table, 10, { textBytes: 120 });
    assert.ok(harness.commitAll());
  }
}

describe("trim", () => {
  test("nothing goes before the workers have replayed, and then all but the newest segment", (context) => {
    const folder = temporaryFolder(context);
    const harness = new WalHarness({ disk, folder, segmentBytes });
    fillSegments(harness, 1, 5);
    harness.flush(1);
    assert.equal(harness.wal.upkeep.step(), false);
    assert.ok(segmentsIn(folder).length >= 5);
    harness.keepUp();
    assert.equal(segmentsIn(folder).length, 1);
    assert.equal(harness.wal.index.count, 1);
  });

  test("a segment stays for one row that is not in the store, and goes when its table is dropped", (context) => {
    const folder = temporaryFolder(context);
    const harness = new WalHarness({ disk, folder, segmentBytes });
    harness.write(2, 1);
    fillSegments(harness, 1, 3);
    harness.flush(1);
    harness.keepUp();
    assert.equal(segmentsIn(folder).length, 2);
    assert.equal(harness.wal.index.oldestPin(), uuidOf(2));
    assert.deepEqual(replayAll(disk, folder).sequences.get(2), [1]);
    harness.wal.index.noteDropped(uuidOf(2));
    harness.wal.upkeep.wake();
    harness.keepUp();
    assert.equal(segmentsIn(folder).length, 1);
  });

  test("a schema stays until the first row that needs it is in the store", (context) => {
    const folder = temporaryFolder(context);
    const harness = new WalHarness({ disk, folder, segmentBytes });
    harness.write(2, 4);
    harness.writeSchema(2);
    fillSegments(harness, 1, 3);
    harness.write(2, 4);
    assert.ok(harness.commitAll());
    harness.flush(1);
    harness.flush(2, 4);
    harness.keepUp();
    assert.deepEqual(replayAll(disk, folder).schemas, ["2 v0"]);
    harness.flush(2, 8);
    harness.keepUp();
    assert.equal(segmentsIn(folder).length, 1);
  });

  test("a recycled segment brings none of its old records back", (context) => {
    const folder = temporaryFolder(context);
    const harness = new WalHarness({ disk, folder, segmentBytes });
    assert.ok(fillSpare(disk, join(folder, "spare-0000000000000000"), segmentBytes, () => false));
    harness.wal.spares.open();
    for (let i = 0; i < 12; i++) {
      fillSegments(harness, 1, 2);
      harness.flush(1);
      harness.keepUp();
    }
    const spares = readdirSync(folder).filter((name) => name.startsWith("spare-"));
    assert.ok(spares.length > 0, "segments are recycled");
    const last = harness.sequences.get(1) as number;
    harness.write(1, 3);
    harness.wal.log.rotate();
    assert.ok(harness.commitAll());
    const newest = join(folder, segmentsIn(folder).at(-1) as string);
    assert.equal(readFileSync(newest).length, segmentBytes);
    harness.close();
    const { sequences, report, records } = replayAll(disk, folder, new Map([[1, last]]));
    assert.deepEqual(sequences.get(1), [last + 1, last + 2, last + 3]);
    assert.deepEqual(report.damage, []);
    assert.equal(records.at(-1)?.rowCount, 3);
  });
});

describe("spares", () => {
  test("a disk that refuses everything leaves the thread that fills them alive", (context) => {
    const folder = temporaryFolder(context);
    const faulty = new FaultyDisk(disk, (call) =>
      call === "fdatasync" || call === "unlink" ? { kind: "error", code: "EIO" } : undefined,
    );
    const path = join(folder, "spare.tmp");
    assert.equal(
      fillSpare(faulty, path, segmentBytes, () => false),
      false,
    );
    assert.equal(
      fillSpare(disk, path, segmentBytes, () => false),
      true,
    );
  });

  test("a disk that gives no names leaves the log without a spare, and no file behind", (context) => {
    const folder = temporaryFolder(context);
    let isRefusing = false;
    const faulty = new FaultyDisk(disk, (call) =>
      isRefusing && call === "rename" ? { kind: "error", code: "EIO" } : undefined,
    );
    const filled = join(folder, "spare.tmp");
    const filler = {
      request: () => void fillSpare(disk, filled, segmentBytes, () => false),
      poll: () => (existsSync(filled) ? filled : undefined),
      stop: () => undefined,
    };
    const spares = new SparePool({ disk: faulty, folder, segmentBytes, filler });
    isRefusing = true;
    spares.prepare(10_000);
    spares.prepare(20_000);
    assert.equal(spares.isReady, false);
    isRefusing = false;
    spares.prepare(30_000);
    assert.ok(spares.isReady);

    const harness = new WalHarness({ disk: faulty, folder, segmentBytes });
    assert.ok(harness.wal.spares.isReady);
    isRefusing = true;
    harness.write(1, 1);
    assert.equal(harness.commit.round(), false);
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.startsWith("spare-")),
      [],
    );
    assert.ok(harness.commitAll());
  });
});

describe("copy-forward", () => {
  test("a log over its bound is freed from a few stuck records, and they are still there", (context) => {
    const folder = temporaryFolder(context);
    const harness = new WalHarness({ disk, folder, segmentBytes, walBytesMax: 3 * segmentBytes });
    for (let i = 0; i < 10; i++) {
      if (i % 2 === 0) harness.write(2, 3);
      else harness.writeOperations(2, [1, 1, 1]);
      harness.writeSchema(3);
      harness.write(3, 1, { batches: [batchOf(`stuck-${i}`, Date.now())] });
      fillSegments(harness, 1, 1);
      harness.flush(1);
      harness.keepUp();
    }
    assert.ok(segmentsIn(folder).length <= 4, String(segmentsIn(folder)));
    const replayed = replayAll(
      disk,
      folder,
      harness.sequences.has(1) ? new Map([[1, harness.sequences.get(1) as number]]) : new Map(),
    );
    assert.deepEqual(
      replayed.sequences.get(2),
      Array.from({ length: 30 }, (_, i) => i + 1),
    );
    assert.equal(replayed.sequences.get(3)?.length, 10);
    assert.ok(replayed.schemas.length >= 10);
    const acked = harness.acked().filter(({ table }) => table !== 1);
    checkReplay(replayed, acked, harness.sequences, "copied");
    harness.flush(2);
    harness.flush(3);
    harness.keepUp();
    assert.equal(segmentsIn(folder).length, 1);
  });

  test("a log whose tables are all stuck is left alone", (context) => {
    const folder = temporaryFolder(context);
    const harness = new WalHarness({ disk, folder, segmentBytes, walBytesMax: 2 * segmentBytes });
    fillSegments(harness, 1, 6);
    const before = harness.wal.log.totals.writtenBytes;
    harness.keepUp();
    assert.equal(harness.wal.log.totals.writtenBytes, before);
    assert.ok(segmentsIn(folder).length >= 6);
  });

  test("a disk that fails in the middle of it costs nothing", (context) => {
    const folder = temporaryFolder(context);
    let fails = 0;
    const faulty = new FaultyDisk(disk, (call) =>
      call === "fdatasync" && fails-- > 0 ? { kind: "error", code: "EIO" } : undefined,
    );
    const harness = new WalHarness({ disk: faulty, folder, segmentBytes, walBytesMax: segmentBytes });
    harness.write(2, 3);
    fillSegments(harness, 1, 3);
    harness.flush(1);
    fails = 1;
    assert.throws(() => harness.keepUp(), /EIO/);
    assert.deepEqual(replayAll(disk, folder).sequences.get(2), [1, 2, 3]);
    harness.wal.upkeep.wake();
    harness.keepUp();
    harness.write(1, 1);
    assert.ok(harness.commitAll());
    const replayed = replayAll(disk, folder, new Map([[1, (harness.sequences.get(1) as number) - 1]]));
    assert.deepEqual(replayed.sequences.get(2), [1, 2, 3]);
    assert.equal(replayed.sequences.get(1)?.length, 1);
    assert.ok(segmentsIn(folder).length <= 3);
  });
});

describe("batch digests", () => {
  test("batch ids outlive their segment until the window is over", (context) => {
    const folder = temporaryFolder(context);
    let nowMs = 1_000 * day;
    const harness = new WalHarness({ disk, folder, segmentBytes, nowMs: () => nowMs });
    harness.write(1, 1, { batches: [batchOf("a", nowMs), batchOf("b", nowMs - 2 * day)] });
    harness.write(2, 1, { batches: [batchOf("dropped", nowMs)] });
    harness.write(1, 0, { batches: [batchOf("all-rejected", nowMs)] });
    harness.writeOperations(1, [1, 1, 1], { batches: [batchOf("operations", nowMs)] });
    fillSegments(harness, 1, 2);
    harness.wal.index.noteDropped(uuidOf(2));
    harness.flush(1);
    harness.keepUp();
    assert.equal(segmentsIn(folder).length, 1);
    const seen: unknown[] = [];
    readBatchDigests(disk, folder, 0, (entry) => seen.push([entry.tableUuid, entry.firstSequence, entry.batch.key]));
    assert.deepEqual(seen, [
      [uuidOf(1), 1, "a"],
      [uuidOf(1), 2, "all-rejected"],
      [uuidOf(1), 2, "operations"],
    ]);
    readBatchDigests(disk, folder, nowMs + 1, () => assert.fail("too old"));

    nowMs += day - 1;
    harness.wal.upkeep.step();
    assert.equal(readdirSync(join(folder, "batches")).length, 1);
    nowMs += 120_000;
    harness.wal.upkeep.step();
    assert.deepEqual(readdirSync(join(folder, "batches")), []);
  });

  test("a damaged digest is named", (context) => {
    const folder = temporaryFolder(context);
    const harness = new WalHarness({ disk, folder, segmentBytes });
    harness.write(1, 1, { batches: [batchOf("a", Date.now())] });
    fillSegments(harness, 1, 1);
    harness.flush(1);
    harness.keepUp();
    const path = join(folder, "batches", readdirSync(join(folder, "batches"))[0] as string);
    const fd = disk.open(path, "r+");
    disk.writev(fd, [Uint8Array.of(1)], 60);
    disk.close(fd);
    assert.deepEqual(readBatchDigests(disk, folder, 0, () => assert.fail()).damaged, [path]);
    harness.close();
    const again = new WalHarness({ disk, folder, segmentBytes });
    assert.equal(again.wal.damagedDigests, 1);
    assert.deepEqual(readdirSync(join(folder, "batches")), []);
    assert.equal(readdirSync(join(folder, "quarantine")).length, 1);
    assert.equal(new WalHarness({ disk, folder, segmentBytes }).wal.damagedDigests, 0);
  });
});
