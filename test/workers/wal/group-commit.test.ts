import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { FaultyDisk, type DiskFault } from "../../../src/shared/disk/faulty-disk.js";
import { ForgetfulDisk } from "../../../src/shared/disk/forgetful-disk.js";
import { loseUnsyncedBytes, losePower } from "../../../src/shared/disk/power-loss.js";
import { RealDisk } from "../../../src/shared/disk/real-disk.js";
import { encodeSchemaRecord } from "../../../src/shared/formats/wal-record-v1-encode.js";
import type { WalBlock } from "../../../src/shared/wal-messages.js";
import { completionBytes } from "../../../src/shared/ring/completion.js";
import { createEntryRing, EntryRingProducer } from "../../../src/shared/ring/entry-ring.js";
import { stageWalDescriptor, walDescriptorBytes } from "../../../src/shared/ring/wal-descriptor.js";
import { initialSchema } from "../../../src/shared/schema/table-schema.js";
import { WalSource } from "../../../src/workers/wal/group-commit.js";
import { seededRandom, type SeededRandom } from "../../harness/seeded-random.js";
import {
  batchOf,
  checkReplay,
  replayAll,
  temporaryFolder,
  uuidOf,
  WalHarness,
  type WrittenRecord,
} from "./wal-harness.js";

const rounds = Number(process.env["MINIODB_TEST_ROUNDS"] ?? 15);
const firstSeed = Number(process.env["MINIODB_TEST_SEED"] ?? Date.now() % 1_000_000);

test("records of several workers are released when they are durable, and replay brings them back", (context) => {
  const folder = temporaryFolder(context);
  const disk = new RealDisk();
  const harness = new WalHarness({ disk, folder, workers: 2 });
  harness.writeSchema(1);
  harness.write(1, 3, { batches: [batchOf("a", Date.now())] });
  harness.write(2, 1, { worker: 1 });
  assert.equal(harness.ackedOf(0), 0);
  assert.ok(harness.commitAll());
  assert.deepEqual([harness.ackedOf(0), harness.ackedOf(1)], [2, 1]);
  harness.write(1, 2);
  assert.ok(harness.commitAll());
  harness.close();
  const replayed = replayAll(disk, folder);
  checkReplay(replayed, harness.acked(), harness.sequences, "plain");
  assert.deepEqual(replayed.schemas, ["1 v0"]);
  assert.deepEqual(replayed.sequences.get(1), [1, 2, 3, 4, 5]);
  assert.deepEqual(replayed.report.damage, []);
});

test("a full segment is followed by another; a record larger than a segment gets one of its size", (context) => {
  const folder = temporaryFolder(context);
  const disk = new RealDisk();
  const harness = new WalHarness({ disk, folder, segmentBytes: 16_384 });
  for (let i = 0; i < 30; i++) harness.write(1, 20);
  harness.write(1, 1, { textBytes: 100_000 });
  harness.write(1, 1);
  assert.ok(harness.commitAll());
  harness.close();
  const sizes = readdirSync(folder)
    .filter((name) => name.endsWith(".wal"))
    .map((name) => disk.stat(join(folder, name))?.bytes ?? 0);
  assert.ok(sizes.length >= 4, String(sizes));
  assert.equal(sizes.filter((size) => size > 100_000).length, 1);
  checkReplay(replayAll(disk, folder), harness.acked(), harness.sequences, "segments");
});

test("a disk that is full stalls the log once, and it resumes with everything", (context) => {
  const folder = temporaryFolder(context);
  let full = false;
  const disk = new FaultyDisk(new RealDisk(), (call) =>
    full && call === "writev" ? { kind: "error", code: "ENOSPC" } : undefined,
  );
  const harness = new WalHarness({ disk, folder });
  harness.write(1, 1);
  assert.ok(harness.commitAll());
  full = true;
  harness.write(1, 1);
  for (let i = 0; i < 5; i++) assert.equal(harness.commit.round(), false);
  harness.write(1, 1);
  assert.equal(harness.commit.round(), false);
  assert.equal(harness.ackedOf(0), 1);
  full = false;
  assert.ok(harness.commitAll());
  assert.equal(harness.ackedOf(0), 3);
  assert.deepEqual(harness.events, ["stalled ENOSPC: planned fault, writev", "resumed"]);
  harness.close();
  // The attempts in between have left no files behind.
  assert.equal(readdirSync(folder).filter((name) => name.endsWith(".wal")).length, 2);
  checkReplay(replayAll(disk, folder), harness.acked(), harness.sequences, "full");
});

test("after a failed fdatasync the file is left, and the group is written again before it is released", (context) => {
  const folder = temporaryFolder(context);
  const side = join(temporaryFolder(context), "side");
  const inner = new ForgetfulDisk(side);
  const random = seededRandom(firstSeed);
  let failures = 0;
  let path = "";
  const written: string[] = [];
  const plan = (call: string, at: string): DiskFault | undefined => {
    if (call === "writev") written.push(at);
    if (call !== "fdatasync" || failures === 0) return undefined;
    failures--;
    path = at;
    return { kind: "error", code: "EIO" };
  };
  const disk = new FaultyDisk(inner, plan, (fd) => void loseUnsyncedBytes(side, inner.inodeOfOpen(fd), random.real));
  const harness = new WalHarness({ disk, folder });
  harness.write(1, 5);
  assert.ok(harness.commitAll());
  failures = 1;
  harness.write(1, 5);
  harness.write(2, 1);
  assert.equal(harness.commit.round(), false);
  assert.equal(harness.ackedOf(0), 1);
  const before = written.length;
  harness.write(1, 5);
  assert.ok(harness.commitAll());
  assert.ok(!written.slice(before).includes(path), "the failed file is never written again");
  harness.close();
  checkReplay(replayAll(disk, folder), harness.acked(), harness.sequences, `seed ${firstSeed}`);
});

/** Faults of every kind at a rate, so that some groups fail several times in a row. */
function randomFaults(random: SeededRandom, rate: number): () => DiskFault | undefined {
  return () => {
    if (random.real() >= rate) return undefined;
    const code = random.pick(["ENOSPC", "EIO"]);
    const share = random.real();
    return random.pick<DiskFault>([
      { kind: "error", code },
      { kind: "short", share: Math.max(share, 0.01) },
      { kind: "torn", share, code },
    ]);
  };
}

test(`with faults and power losses every acknowledged record is there after replay (seeds from ${firstSeed})`, (context) => {
  const seen = { stalls: 0, acked: 0, lost: 0, segments: 0 };
  for (let round = 0; round < rounds; round++) {
    const seed = firstSeed + round;
    const where = `seed ${seed}`;
    const random = seededRandom(seed);
    const folder = join(temporaryFolder(context), "wal");
    const side = join(temporaryFolder(context), "side");
    let acked: WrittenRecord[] = [];
    const sequences = new Map<number, number>();
    const flushed = new Map<number, number>();
    for (let life = 0; life < 3; life++) {
      const inner = new ForgetfulDisk(side);
      const fate: { faults?: () => DiskFault | undefined } = {};
      const disk = new FaultyDisk(
        inner,
        (call) => (call === "read" || call === "open" ? undefined : fate.faults?.()),
        (fd) => void loseUnsyncedBytes(side, inner.inodeOfOpen(fd), random.real),
      );
      const harness = new WalHarness({
        disk,
        folder,
        segmentBytes: 16_384,
        walBytesMax: 65_536,
        workers: 2,
        sequences,
      });
      for (const [table, sequence] of flushed) harness.flush(table, sequence);
      if (random.integer(2) === 0) fate.faults = randomFaults(random, 0.15);
      live(harness, random, flushed);
      seen.stalls += harness.events.length;
      acked = [...acked, ...harness.acked()];
      seen.lost += losePower(side, random.real).filesChanged;

      const replayed = replayAll(new RealDisk(), folder, flushed);
      seen.segments += replayed.report.segments.length;
      seen.acked += acked.length;
      const wanted = acked.filter(({ table, firstSequence }) => firstSequence > (flushed.get(table) ?? 0));
      checkReplay(replayed, wanted, harness.sequences, where);
      for (const { keys } of acked) for (const key of keys) assert.ok(replayed.keys.has(key), `${where}: batch ${key}`);
      assert.deepEqual(
        replayed.report.damage.filter(({ kind }) => kind === "corrupt"),
        [],
        `${where}: nothing durable is damaged`,
      );
      // The next life goes on after what came back, acknowledged or not, and after what the store has.
      sequences.clear();
      for (const [table, sequence] of flushed) sequences.set(table, sequence);
      for (const [table, rows] of replayed.sequences) {
        sequences.set(table, Math.max(rows.at(-1) ?? 0, flushed.get(table) ?? 0));
      }
      acked = acked.filter(
        ({ table, firstSequence, keys }) => keys.length > 0 || firstSequence > (flushed.get(table) ?? 0),
      );
    }
  }
  assert.ok(seen.acked > 0 && seen.lost > 0, JSON.stringify(seen));
  if (process.env["MINIODB_TEST_TIMES"] !== undefined) process.stderr.write(`${JSON.stringify(seen)}\n`);
});

/** A while of writes, commits, flushes and upkeep, broken off anywhere. */
function live(harness: WalHarness, random: SeededRandom, flushed: Map<number, number>): void {
  harness.wal.upkeep.enable();
  const ended = 5 + random.integer(60);
  for (let step = 0; step < ended; step++) {
    const table = 1 + random.integer(4);
    const worker = table % 2;
    const batches =
      random.integer(4) === 0
        ? [batchOf(`${table}-${harness.sequences.get(table)}-${random.integer(1e9)}`, Date.now())]
        : [];
    const rowCount = 1 + random.integer(30);
    if (random.integer(4) === 0) harness.writeOperations(table, [rowCount, 1, 2], { worker, batches });
    else harness.write(table, rowCount, { worker, batches, textBytes: 10 + random.integer(300) });
    if (random.integer(3) > 0) harness.commit.round();
    if (random.integer(8) === 0) {
      // As in the server: only what is durable is flushed. Table 1 is stuck, so that it is copied forward.
      const target = 2 + random.integer(3);
      const last = harness.acked().findLast((record) => record.table === target);
      if (last !== undefined) {
        const sequence = last.firstSequence + last.rowCount - 1;
        flushed.set(target, sequence);
        harness.flush(target, sequence);
      }
    }
    try {
      if (random.integer(2) === 0) {
        for (let slice = random.integer(20); slice > 0 && harness.wal.upkeep.step(); slice--);
      }
    } catch (error) {
      assert.ok("syscall" in (error as Error), String(error));
      harness.wal.upkeep.wake();
    }
  }
}

test("a block is forgotten after its last descriptor, however late its messages are read", () => {
  const walRing = createEntryRing(16, walDescriptorBytes);
  const gatedRing = createEntryRing(16, completionBytes);
  const producer = new EntryRingProducer(walRing);
  const messages: WalBlock[] = [];
  const source = new WalSource(walRing, gatedRing, () => {
    for (const message of messages.splice(0)) source.noteBlock(message);
  });
  const record = encodeSchemaRecord({ tableUuid: uuidOf(1), firstSequence: 1, schema: initialSchema });
  for (let blockId = 1; blockId <= 3; blockId++) {
    const buffer = new SharedArrayBuffer(record.length);
    new Uint8Array(buffer).set(record);
    messages.push({ kind: "block", worker: 0, blockId, buffer });
    assert.ok(stageWalDescriptor(producer, { blockId, offset: 0, length: record.length, completions: 1 }));
  }
  producer.publish();
  for (let blockId = 1; blockId <= 3; blockId++) messages.push({ kind: "block", worker: 0, blockId, buffer: null });
  const group: Uint8Array[] = [];
  // One record a time, so that blocks wait in the ring while others are forgotten.
  for (let taken = 1; taken <= 3; taken++) {
    source.gather(group, 1);
    assert.equal(group.length, taken);
    assert.ok(source.release());
  }
  assert.ok(!source.release());
  assert.ok(source.isSettled);
  // Forgotten by now: the same id may mean another block.
  source.gather(group, 1);
  source.noteBlock({ kind: "block", worker: 0, blockId: 3, buffer: new SharedArrayBuffer(8) });
});

test("a full group takes from every worker in turn", (context) => {
  const harness = new WalHarness({
    disk: new RealDisk(),
    folder: temporaryFolder(context),
    workers: 3,
    segmentBytes: 1e8,
  });
  for (let i = 0; i < 8; i++) {
    for (let worker = 0; worker < 3; worker++) harness.write(worker, 1, { worker, textBytes: 6e6 });
  }
  const first = new Set<number>();
  while (harness.commit.round()) {
    for (let worker = 0; worker < 3; worker++) if (harness.ackedOf(worker) > 0) first.add(worker);
    if (first.size === 3) break;
  }
  assert.ok(harness.acked().length <= 12, "nobody waited for all of another's records");
  assert.ok(harness.commitAll());
  assert.equal(harness.acked().length, 24);
});
