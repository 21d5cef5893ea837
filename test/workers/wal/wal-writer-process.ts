/**
 * A process that writes a log through the real WAL thread until it is killed or has written enough; the parent test
 * reads from its output what was acknowledged and what was flushed:
 *
 *   ready                    the log is open and replayed
 *   acked <table> <sequence> [key]
 *   flushed <table> <sequence>    said before the WAL thread is told
 *   stalled, resumed
 *   stopped
 *
 * Arguments: folder, records to write, seed, flushed sequences as JSON [[table, sequence], ...].
 */
import { writeSync } from "node:fs";
import { openDisk } from "../../../src/shared/disk/open-disk.js";
import { seededRandom } from "../../harness/seeded-random.js";
import { batchOf, replayAll, rowsOf, uuidOf } from "./wal-harness.js";
import { WalThread } from "./wal-thread.js";

const [folder = "", count = "0", seed = "1", flushedText = "[]"] = process.argv.slice(2);
const random = seededRandom(Number(seed));
const flushed = new Map(JSON.parse(flushedText) as [number, number][]);

function say(lines: readonly string[]): void {
  if (lines.length > 0) writeSync(1, `${lines.join("\n")}\n`);
}

const thread = new WalThread(folder);
const { peer } = thread;
await thread.next("opened");
const replayed = replayAll(openDisk(), folder, flushed);
const sequences = new Map<number, number>();
for (const [table, sequence] of flushed) sequences.set(table, sequence);
for (const [table, rows] of replayed.sequences) {
  sequences.set(table, Math.max(rows.at(-1) ?? 0, flushed.get(table) ?? 0));
}
thread.tell({
  kind: "flushed",
  positions: [...flushed].map(([table, sequence]) => ({ uuid: uuidOf(table), sequence })),
});
thread.tell({ kind: "replayed" });
say(["ready"]);

const written: { readonly table: number; readonly last: number; readonly key: string }[] = [];
let acked = 0;

function write(): void {
  const table = 1 + random.integer(4);
  const firstSequence = (sequences.get(table) ?? 0) + 1;
  const rowCount = 1 + random.integer(20);
  const key = random.integer(3) === 0 ? `${seed}/${written.length}` : "";
  const batches = key === "" ? [] : [batchOf(key, Date.now())];
  const batch = rowsOf(table, firstSequence, rowCount, 30 + random.integer(300));
  peer.write({ tableUuid: uuidOf(table), firstSequence, batch, batches });
  sequences.set(table, firstSequence + rowCount - 1);
  written.push({ table, last: firstSequence + rowCount - 1, key });
}

function readAcks(): void {
  const lines: string[] = [];
  for (; acked < peer.acked; acked++) {
    const { table, last, key } = written[acked] as (typeof written)[number];
    lines.push(`acked ${table} ${last} ${key}`);
    // Table 1 is stuck: its records are copied forward.
    if (table === 1 || random.integer(10) > 0) continue;
    lines.push(`flushed ${table} ${last}`);
    say(lines.splice(0));
    thread.tell({ kind: "flushed", positions: [{ uuid: uuidOf(table), sequence: last }] });
  }
  for (let message = thread.poll(); message !== undefined; message = thread.poll()) {
    if (message.kind === "stalled" || message.kind === "resumed") lines.push(message.kind);
  }
  say(lines);
}

while (acked < Number(count)) {
  for (let some = random.integer(6); some >= 0 && written.length < Number(count) && peer.hasRoom; some--) write();
  peer.publish();
  await peer.wait();
  readAcks();
}
await thread.stop();
say(["stopped"]);
