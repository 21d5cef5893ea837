import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { losePower } from "../../../src/shared/disk/power-loss.js";
import { RealDisk } from "../../../src/shared/disk/real-disk.js";
import { failpointNames } from "../../../src/shared/failpoints.js";
import { seededRandom, type SeededRandom } from "../../harness/seeded-random.js";
import { replayAll } from "./wal-harness.js";

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
}

/** Runs one writer to its end, and notes what it said. Returns its last line. */
async function live(life: Life, promised: Promised): Promise<string> {
  const { folder, records, seed, environment, killAfterMs } = life;
  const args = [writer, folder, String(records), String(seed), JSON.stringify([...promised.flushed])];
  const child = spawn(process.execPath, args, { env: { ...process.env, ...environment }, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  let errors = "";
  child.stdout.on("data", (chunk: Buffer) => {
    if (output === "" && killAfterMs !== null) setTimeout(() => child.kill("SIGKILL"), killAfterMs);
    output += chunk.toString("utf8");
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
    assert.deepEqual(rows, Array.from(rows, (_, i) => flushed + 1 + i), `${where}: table ${table} is whole`);
  }
  for (const key of promised.keys) assert.ok(keys.has(key), `${where}: batch ${key}`);
  assert.deepEqual([...gaps.values()].flat(), [], where);
  assert.deepEqual(report.damage.filter(({ kind }) => kind === "corrupt"), [], where);
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
