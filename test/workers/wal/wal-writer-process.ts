/**
 * A process that writes a log through the real WAL thread until it is killed or has written enough; the parent test
 * reads from its output what was acknowledged and what was flushed:
 *
 *   ready                    the log is open and replayed
 *   acked <table> <sequence> [key]
 *   flushed <table> <sequence>    said before the WAL thread is told
 *   stopped
 *
 * Arguments: folder, records to write, seed, flushed sequences as JSON [[table, sequence], ...].
 */
import { writeSync } from "node:fs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { MessageChannel, receiveMessageOnPort } from "node:worker_threads";
import { Piscina } from "piscina";
import { encodeRowsRecord, recordBytes } from "../../../src/shared/formats/wal-record-v1-encode.js";
import type { ToWal, WalBlock, WalOptions, WalToMain } from "../../../src/shared/messages.js";
import { completionBytes } from "../../../src/shared/ring/completion.js";
import { createDoorbell, DoorbellRinger, DoorbellSleeper } from "../../../src/shared/ring/doorbell.js";
import { createEntryRing, EntryRingGate, EntryRingProducer } from "../../../src/shared/ring/entry-ring.js";
import { stageWalDescriptor, walDescriptorBytes } from "../../../src/shared/ring/wal-descriptor.js";
import { openDisk } from "../../../src/shared/disk/open-disk.js";
import { seededRandom } from "../../harness/seeded-random.js";
import { batchOf, replayAll, rowsOf, uuidOf } from "./wal-harness.js";

const [folder = "", count = "0", seed = "1", flushedText = "[]"] = process.argv.slice(2);
const random = seededRandom(Number(seed));
const flushed = new Map(JSON.parse(flushedText) as [number, number][]);

const walRing = createEntryRing(256, walDescriptorBytes);
const gatedRing = createEntryRing(4096, completionBytes);
const doorbell = createDoorbell();
const walDoorbell = createDoorbell();
const toWal = new MessageChannel();
const blocks = new MessageChannel();
const mainBell = new MessageChannel();
const options: WalOptions = {
  folder,
  workers: [{ walRing, gatedRing, doorbell, port: blocks.port2 }],
  doorbell: walDoorbell,
  mainDoorbell: { buffer: createDoorbell(), port: mainBell.port2 },
  mainPort: toWal.port2,
  segmentBytes: 32_768,
  walBytesMax: 131_072,
  batchIdWindowMs: 86_400_000,
  batchIdsMax: 1_000_000,
};
const pool = new Piscina({
  filename: join(import.meta.dirname, "../../../src/workers/wal-worker.js"),
  name: "runWal",
  minThreads: 1,
  maxThreads: 1,
});
const ended = pool.run(options, { transferList: [toWal.port2, blocks.port2, mainBell.port2] });
ended.catch((error: unknown) => {
  process.stderr.write(`the WAL thread died: ${error instanceof Error ? error.stack : String(error)}\n`);
  process.exit(1);
});

function say(lines: readonly string[]): void {
  if (lines.length > 0) writeSync(1, `${lines.join("\n")}\n`);
}

function tell(message: ToWal): void {
  toWal.port1.postMessage(message);
}

function nextMessage(): Promise<WalToMain> {
  return new Promise((resolve) => toWal.port1.once("message", resolve));
}

const opened = await Promise.race([nextMessage(), ended]);
if (opened === undefined || (opened as WalToMain).kind !== "opened") throw new Error("the log did not open");
toWal.port1.removeAllListeners();
const replayed = replayAll(openDisk(), folder, flushed);
const sequences = new Map<number, number>();
for (const [table, sequence] of flushed) sequences.set(table, sequence);
for (const [table, rows] of replayed.sequences) {
  sequences.set(table, Math.max(rows.at(-1) ?? 0, flushed.get(table) ?? 0));
}
tell({ kind: "flushed", positions: [...flushed].map(([table, sequence]) => ({ uuid: uuidOf(table), sequence })) });
tell({ kind: "replayed" });
say(["ready"]);

const producer = new EntryRingProducer(walRing);
const gate = new EntryRingGate(gatedRing);
const bell = new DoorbellRinger(walDoorbell);
const sleeper = new DoorbellSleeper(doorbell);
const written: { readonly table: number; readonly last: number; readonly key: string }[] = [];
let acked = 0;
let forgotten = 0;

function tellOfBlock(blockId: number, buffer: SharedArrayBuffer | null): void {
  blocks.port1.postMessage({ kind: "block", worker: 0, blockId, buffer } satisfies WalBlock);
}

function write(index: number): void {
  const table = 1 + random.integer(4);
  const first = (sequences.get(table) ?? 0) + 1;
  const rowCount = 1 + random.integer(20);
  const key = random.integer(3) === 0 ? `${seed}/${index}` : "";
  const batches = key === "" ? [] : [batchOf(key, Date.now())];
  const batch = rowsOf(table, first, rowCount, 30 + random.integer(300));
  const buffer = new SharedArrayBuffer(recordBytes(batch, batches));
  encodeRowsRecord(new Uint8Array(buffer), 0, { tableUuid: uuidOf(table), firstSequence: first, schemaVersion: 0, batch, batches });
  tellOfBlock(index, buffer);
  stageWalDescriptor(producer, { blockId: index, offset: 0, length: buffer.byteLength, completions: 1 });
  sequences.set(table, first + rowCount - 1);
  written.push({ table, last: first + rowCount - 1, key });
}

function readAcks(): void {
  const lines: string[] = [];
  for (; acked < gate.count; acked++) {
    const { table, last, key } = written[acked] as (typeof written)[number];
    lines.push(`acked ${table} ${last} ${key}`);
    // Table 1 is stuck: its records are copied forward.
    if (table === 1 || random.integer(10) > 0) continue;
    lines.push(`flushed ${table} ${last}`);
    say(lines.splice(0));
    tell({ kind: "flushed", positions: [{ uuid: uuidOf(table), sequence: last }] });
  }
  say(lines);
}

for (let index = 1; index <= Number(count); ) {
  for (let some = random.integer(6); some >= 0 && index <= Number(count) && producer.free > 0; some--) write(index++);
  producer.publish();
  bell.ring();
  for (; forgotten < written.length; forgotten++) tellOfBlock(forgotten + 1, null);
  sleeper.wait(20);
  readAcks();
  await setImmediate();
}
while (acked < written.length) {
  sleeper.wait(20);
  readAcks();
  await setImmediate();
}
tell({ kind: "stop" });
await ended;
const last: unknown[] = [];
for (let got = receiveMessageOnPort(toWal.port1); got !== undefined; got = receiveMessageOnPort(toWal.port1)) last.push(got.message);
if ((last.at(-1) as WalToMain | undefined)?.kind !== "stopped") throw new Error("the WAL thread did not say stopped");
say(["stopped"]);
for (const channel of [toWal, blocks, mainBell]) channel.port1.close();
await pool.close();
