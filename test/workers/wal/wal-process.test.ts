import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { losePower } from "../../../src/shared/disk/power-loss.js";
import { RealDisk } from "../../../src/shared/disk/real-disk.js";
import { failpointNames } from "../../../src/shared/failpoints.js";
import { seededRandom, type SeededRandom } from "../../harness/seeded-random.js";
import { replayAll, rowsOf, uuidOf } from "./wal-harness.js";
import { WalPeer, WalThread } from "./wal-thread.js";

const firstSeed = Number(process.env["MINIODB_TEST_SEED"] ?? Date.now() % 1_000_000);
const lives = Number(process.env["MINIODB_TEST_ROUNDS"] ?? 5);
const writer = join(import.meta.dirname, "wal-writer-process.js");
const walFailpoints = failpointNames.filter((name) => name.startsWith("wal."));

/** What the writer's output promises. */
interface Promised {
  readonly acked: Map<number, number>;
  readonly flushed: Map<number, number>;
  readonly keys: Set<string>;
}

interface Life {
  readonly folder: string;
  readonly records: number;
  readonly seed: number;
  readonly environment: Readonly<Record<string, string>>;
  /** Milliseconds after `ready` until SIGKILL; null: it ends by itself. */
  readonly killAfterMs: number | null;
  /** Called with the first line that says this word. */
  readonly on?: Readonly<Record<string, () => void>>;
}

/** Runs one writer to its end, and notes what it said. Returns its last line. */
async function live(life: Life, promised: Promised): Promise<string> {
  const { folder, records, seed, environment, killAfterMs } = life;
  const args = [writer, folder, String(records), String(seed), JSON.stringify([...promised.flushed])];
  const child = spawn(process.execPath, args, {
    env: { ...process.env, ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const waiting = { ...life.on };
  let output = "";
  let errors = "";
  child.stdout.on("data", (chunk: Buffer) => {
    if (output === "" && killAfterMs !== null) setTimeout(() => child.kill("SIGKILL"), killAfterMs);
    output += chunk.toString("utf8");
    for (const [word, act] of Object.entries(waiting)) {
      if (!output.includes(word)) continue;
      delete waiting[word];
      act();
    }
  });
  child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString("utf8")));
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) => {
    child.once("close", (...ended) => resolve(ended));
  });
  assert.ok(signal === "SIGKILL" || code === 0, `seed ${seed}: the writer failed: ${errors}`);
  const lines = output.split("\n").slice(0, -1);
  for (const line of lines) {
    const [word, table, sequence, key = ""] = line.split(" ");
    if (word === "acked") promised.acked.set(Number(table), Number(sequence));
    if (word === "flushed") promised.flushed.set(Number(table), Number(sequence));
    if (word === "acked" && key !== "") promised.keys.add(key);
  }
  return lines.at(-1) ?? "";
}

function check(folder: string, promised: Promised, where: string): void {
  const { sequences, gaps, keys, report } = replayAll(new RealDisk(), folder, promised.flushed);
  for (const [table, acked] of promised.acked) {
    const flushed = promised.flushed.get(table) ?? 0;
    const rows = sequences.get(table) ?? [];
    assert.ok(Math.max(rows.at(-1) ?? 0, flushed) >= acked, `${where}: table ${table} has ${rows.at(-1)} of ${acked}`);
    assert.deepEqual(
      rows,
      Array.from(rows, (_, i) => flushed + 1 + i),
      `${where}: table ${table} is whole`,
    );
  }
  for (const key of promised.keys) assert.ok(keys.has(key), `${where}: batch ${key}`);
  assert.deepEqual([...gaps.values()].flat(), [], where);
  assert.deepEqual(
    report.damage.filter(({ kind }) => kind === "corrupt"),
    [],
    where,
  );
}

function newFolder(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "miniodb-wal-process-"));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Half of the lives end at a failpoint, the others at any time; a few in peace. */
function randomEnd(random: SeededRandom): { killAfterMs: number | null; failpoint: string } {
  const choice = random.integer(8);
  if (choice === 0) return { killAfterMs: null, failpoint: "" };
  if (choice < 4) return { killAfterMs: random.integer(400), failpoint: "" };
  return { killAfterMs: 2_000, failpoint: `${random.pick(walFailpoints)}:${1 + random.integer(4)}:kill` };
}

test("the WAL thread commits, keeps up and stops", async (context) => {
  const folder = join(newFolder(context), "wal");
  const promised: Promised = { acked: new Map(), flushed: new Map(), keys: new Set() };
  const life = { folder, records: 250, seed: 1, environment: {}, killAfterMs: null };
  assert.equal(await live(life, promised), "stopped");
  check(folder, promised, "stopped");
  assert.equal(await live({ ...life, records: 100, seed: 2 }, promised), "stopped");
  check(folder, promised, "stopped twice");
  assert.ok(promised.flushed.size > 0 && readdirSync(join(folder, "batches")).length > 0, "segments were trimmed");
});

test("a full disk stalls the WAL thread; what was acknowledged is there, and it resumes when there is room", async (context) => {
  const folder = join(newFolder(context), "wal");
  const full = join(newFolder(context), "full");
  const promised: Promised = { acked: new Map(), flushed: new Map(), keys: new Set() };
  const seen: string[] = [];
  const life = {
    folder,
    records: 200,
    seed: 3,
    environment: { MINIODB_TEST_DISK: `failing=${full}` },
    killAfterMs: null,
  };
  const on = {
    acked: () => writeFileSync(full, "ENOSPC"),
    stalled: () => {
      seen.push("stalled");
      setTimeout(() => rmSync(full), 300);
    },
    resumed: () => seen.push("resumed"),
  };
  assert.equal(await live({ ...life, on }, promised), "stopped");
  assert.deepEqual(seen, ["stalled", "resumed"]);
  check(folder, promised, "full");
});

test("on a full disk, segments that are flushed meanwhile are trimmed", async (context) => {
  const folder = join(newFolder(context), "wal");
  const full = join(newFolder(context), "full");
  process.env["MINIODB_TEST_DISK"] = `failing=${full}`;
  const thread = new WalThread(folder);
  await thread.next("opened");
  delete process.env["MINIODB_TEST_DISK"];
  thread.tell({ kind: "replayed" });
  const write = (record: number): void => {
    const firstSequence = 1 + record * 20;
    thread.peer.write({ tableUuid: uuidOf(1), firstSequence, batch: rowsOf(1, firstSequence, 20, 200), batches: [] });
  };
  for (let record = 0; record < 40; record++) write(record);
  thread.peer.publish();
  while (thread.peer.acked < 40) await thread.peer.wait();
  const segments = (): number => readdirSync(folder).filter((name) => name.endsWith(".wal")).length;
  const before = segments();
  assert.ok(before > 2, String(before));
  writeFileSync(full, "ENOSPC");
  write(40);
  thread.peer.publish();
  await thread.next("stalled");
  thread.tell({ kind: "flushed", positions: [{ uuid: uuidOf(1), sequence: 800 }] });
  const deadlineMs = Date.now() + 20_000;
  while (segments() > 1) {
    assert.ok(Date.now() < deadlineMs, `${segments()} of ${before} segments are still there`);
    await thread.peer.wait();
  }
  assert.equal(thread.peer.acked, 40);
  rmSync(full);
  while (thread.peer.acked < 41) await thread.peer.wait();
  await thread.stop();
});

test("a table that was dropped keeps no segment after a restart, one that is not known does", async (context) => {
  const folder = join(newFolder(context), "wal");
  const first = new WalThread(folder);
  await first.next("opened");
  first.tell({ kind: "replayed" });
  for (const table of [1, 2]) {
    first.peer.write({ tableUuid: uuidOf(table), firstSequence: 1, batch: rowsOf(table, 1, 20, 200), batches: [] });
  }
  first.peer.publish();
  while (first.peer.acked < 2) await first.peer.wait();
  // Their segment is the newest, which stays.
  first.tell({ kind: "drop-table", uuid: uuidOf(1) });
  await first.stop();

  const restarted = async (): Promise<{ thread: WalThread; tables: readonly string[] }> => {
    const thread = new WalThread(folder);
    const opened = await thread.next("opened");
    assert.ok(opened.kind === "opened");
    thread.tell({ kind: "replayed" });
    return { thread, tables: opened.tables };
  };
  const oldest = (): string | undefined => readdirSync(folder).find((name) => name.endsWith(".wal"));
  const before = oldest();
  const second = await restarted();
  assert.deepEqual(second.tables, [uuidOf(2)]);
  second.thread.peer.write({ tableUuid: uuidOf(3), firstSequence: 1, batch: rowsOf(3, 1, 20, 200), batches: [] });
  second.thread.peer.publish();
  while (second.thread.peer.acked < 1) await second.thread.peer.wait();
  for (let round = 0; round < 10; round++) await second.thread.peer.wait();
  assert.equal(oldest(), before, "of table 2");
  second.thread.tell({ kind: "drop-table", uuid: uuidOf(2) });
  while (oldest() === before) await second.thread.peer.wait();
  // With the segment gone, what was dropped is forgotten as well.
  second.thread.tell({ kind: "drop-table", uuid: uuidOf(3) });
  await second.thread.stop();
  assert.deepEqual(readdirSync(join(folder, "dropped")), [uuidOf(3)]);
});

test("a worker's place is taken when everything it announced is durable", async (context) => {
  const folder = join(newFolder(context), "wal");
  const thread = new WalThread(folder);
  await thread.next("opened");
  thread.tell({ kind: "replayed" });
  const rows = (first: number) => ({
    tableUuid: uuidOf(1),
    firstSequence: first,
    batch: rowsOf(1, first, 2),
    batches: [],
  });
  for (let i = 0; i < 100; i++) thread.peer.write(rows(1 + i * 2));
  thread.peer.publish();
  const successor = new WalPeer(thread.doorbell);
  thread.tell({ kind: "replace-worker", worker: 0, link: successor.link }, [successor.link.port]);
  await thread.next("worker-replaced");
  assert.equal(thread.peer.acked, 100);
  assert.equal(replayAll(new RealDisk(), folder).sequences.get(1)?.length, 200);
  thread.tell({ kind: "replayed" });
  successor.write(rows(201));
  successor.publish();
  while (successor.acked === 0) await successor.wait();
  await thread.stop();
  successor.close();
  assert.equal(replayAll(new RealDisk(), folder).sequences.get(1)?.length, 202);
});

test("no segment goes while one of several new workers still reads the log", async (context) => {
  const folder = join(newFolder(context), "wal");
  const thread = new WalThread(folder);
  await thread.next("opened");
  thread.tell({ kind: "replayed" });
  const batch = (first: number) => rowsOf(1, first, 20, 200);
  for (let i = 0; i < 40; i++) {
    thread.peer.write({ tableUuid: uuidOf(1), firstSequence: 1 + i * 20, batch: batch(1 + i * 20), batches: [] });
  }
  thread.peer.publish();
  while (thread.peer.acked < 40) await thread.peer.wait();
  const segments = (): number => readdirSync(folder).filter((name) => name.endsWith(".wal")).length;
  const before = segments();
  assert.ok(before > 2, String(before));
  const successors = [new WalPeer(thread.doorbell), new WalPeer(thread.doorbell)];
  for (const { link } of successors) {
    thread.tell({ kind: "replace-worker", worker: 0, link }, [link.port]);
    await thread.next("worker-replaced");
  }
  thread.tell({ kind: "flushed", positions: [{ uuid: uuidOf(1), sequence: 800 }] });
  thread.tell({ kind: "replayed" });
  for (let round = 0; round < 10; round++) await thread.peer.wait();
  assert.equal(segments(), before, "the other one reads them");
  thread.tell({ kind: "replayed" });
  while (segments() > 1) await thread.peer.wait();
  await thread.stop();
  for (const successor of successors) successor.close();
});

test(`kill -9 and power loss at any time cost nothing acknowledged (seed ${firstSeed})`, async (context) => {
  const random = seededRandom(firstSeed);
  const folder = join(newFolder(context), "wal");
  const side = join(newFolder(context), "side");
  const promised: Promised = { acked: new Map(), flushed: new Map(), keys: new Set() };
  const failpointsMet = new Set<string>();
  for (let round = 0; round < lives; round++) {
    const where = `seed ${firstSeed}, life ${round}`;
    const { killAfterMs, failpoint } = randomEnd(random);
    const environment = { MINIODB_TEST_DISK: `forgetful=${side}`, MINIODB_FAILPOINT: failpoint };
    const life = { folder, records: 300, seed: firstSeed * 1000 + round, environment, killAfterMs };
    const last = await live(life, promised);
    if (last !== "stopped" && failpoint !== "") failpointsMet.add(failpoint);
    // Sometimes only the process dies, and what it wrote stays.
    if (random.integer(4) > 0) losePower(side, random.real);
    check(folder, promised, `${where} ${failpoint}`);
  }
  assert.ok(promised.keys.size > 0, "something was acknowledged");
  context.diagnostic(`died at ${[...failpointsMet].join(", ")}`);
});
