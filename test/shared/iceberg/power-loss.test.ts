/**
 * The catalog on the local store over a disk that forgets: the process dies at a random disk call, then the power goes.
 * What was acknowledged, and what a later process read and acted on, is still there, whole.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import type { Disk, DiskEntry } from "../../../src/shared/disk/disk.js";
import { ForgetfulDisk } from "../../../src/shared/disk/forgetful-disk.js";
import { losePower } from "../../../src/shared/disk/power-loss.js";
import { RealDisk } from "../../../src/shared/disk/real-disk.js";
import { catalogContext } from "../../../src/shared/iceberg/catalog-context.js";
import { readManifestList } from "../../../src/shared/iceberg/file-change.js";
import type { NewDataFile } from "../../../src/shared/iceberg/manifest.js";
import { TableCatalog } from "../../../src/shared/iceberg/table-catalog.js";
import { snapshotsOf } from "../../../src/shared/iceberg/table-metadata.js";
import { listVersions, readVersion } from "../../../src/shared/iceberg/version-log.js";
import type { TableIdentity } from "../../../src/shared/messages.js";
import { LocalStore } from "../../../src/shared/store/local-store.js";
import { dataFileKey } from "../../../src/shared/store/store-paths.js";
import { seededRandom, type SeededRandom } from "../../harness/seeded-random.js";
import { sampleDay, sampleSchema, seededUuid } from "./catalog-bench.js";

const firstSeed = Number(process.env["MINIODB_TEST_SEED"] ?? 1);
const rounds = Number(process.env["MINIODB_TEST_ROUNDS"] ?? 12);

type DiskCall = keyof Disk;

/** Passes calls on until it dies; `careless` ones it forgets to pass on, as a mistake in the store would. */
class MortalDisk implements Disk {
  readonly #inner: Disk;
  readonly #careless: DiskCall | undefined;
  callsLeft = Number.POSITIVE_INFINITY;
  /** It dies instead of the folder sync after these: with names given that nobody has made durable. */
  folderSyncsLeft = Number.POSITIVE_INFINITY;

  constructor(inner: Disk, careless: DiskCall | undefined) {
    this.#inner = inner;
    this.#careless = careless;
  }

  open(path: string, flags: "r" | "r+" | "w" | "wx"): number {
    return this.#live(() => this.#inner.open(path, flags));
  }

  close(fd: number): void {
    // A dead process has no open files.
    this.#inner.close(fd);
  }

  writev(fd: number, buffers: readonly Uint8Array[], position: number): number {
    return this.#live(() => this.#inner.writev(fd, buffers, position));
  }

  read(fd: number, target: Uint8Array, position: number): number {
    return this.#live(() => this.#inner.read(fd, target, position));
  }

  size(fd: number): number {
    return this.#live(() => this.#inner.size(fd));
  }

  truncate(fd: number, bytes: number): void {
    this.#live(() => this.#inner.truncate(fd, bytes));
  }

  fdatasync(fd: number): void {
    if (this.#careless !== "fdatasync") this.#live(() => this.#inner.fdatasync(fd));
  }

  syncFolder(path: string): void {
    this.folderSyncsLeft -= 1;
    if (this.folderSyncsLeft < 0) this.callsLeft = 0;
    if (this.#careless !== "syncFolder") this.#live(() => this.#inner.syncFolder(path));
  }

  rename(from: string, to: string): void {
    this.#live(() => this.#inner.rename(from, to));
  }

  link(from: string, to: string): void {
    this.#live(() => this.#inner.link(from, to));
  }

  unlink(path: string): void {
    this.#live(() => this.#inner.unlink(path));
  }

  makeFolder(path: string): void {
    this.#live(() => this.#inner.makeFolder(path));
  }

  removeFolder(path: string): void {
    this.#live(() => this.#inner.removeFolder(path));
  }

  list(path: string): string[] {
    return this.#live(() => this.#inner.list(path));
  }

  stat(path: string): DiskEntry | undefined {
    return this.#live(() => this.#inner.stat(path));
  }

  #live<T>(act: () => T): T {
    this.callsLeft -= 1;
    if (this.callsLeft < 0) throw new Error("the process is dead");
    return act();
  }
}

interface World {
  readonly root: string;
  readonly side: string;
  readonly random: SeededRandom;
  readonly careless: DiskCall | undefined;
}

function openStore(world: World): {
  readonly store: LocalStore;
  readonly disk: MortalDisk;
  readonly catalog: TableCatalog;
} {
  const disk = new MortalDisk(new ForgetfulDisk(world.side), world.careless);
  const store = new LocalStore({ root: world.root, disk, sweepTemporary: true });
  const parts = { random: world.random.real, sleep: () => Promise.resolve() };
  return { store, disk, catalog: new TableCatalog(store, parts) };
}

/** One file of one row as a flush writes it: the row's number is its text. */
async function putRow(store: LocalStore, world: World, location: string, row: number): Promise<NewDataFile> {
  const key = dataFileKey(location, { day: sampleDay, createdMs: Date.now(), uuid: seededUuid(world.random) });
  const body = Buffer.from(`row ${row}`.padEnd(700, "."));
  await store.put(key, body);
  const bounds = { 1: { lower: "1769817600000000", upper: "1769817600000000", nulls: 0 } };
  return { key, bytes: body.length, rows: 1, day: sampleDay, bounds, fieldIds: [1] };
}

/** Creates a table and commits rows until the disk dies; returns the table, if it came to be, and the rows acknowledged. */
async function liveAndDie(
  world: World,
  diesAt: "any call" | "a folder sync",
): Promise<{ readonly identity: TableIdentity | undefined; readonly acknowledged: number }> {
  const { store, disk, catalog } = openStore(world);
  let identity: TableIdentity | undefined;
  let acknowledged = 0;
  if (diesAt === "any call") disk.callsLeft = 20 + world.random.integer(600);
  else disk.folderSyncsLeft = 5 + world.random.integer(80);
  try {
    ({ identity } = await catalog.createTable({ name: "rows", schema: sampleSchema, settings: {} }));
    for (let row = 0; row < 12; row++) {
      const files = [await putRow(store, world, identity.location, row)];
      await catalog.commitAppend(identity, {
        stream: "s",
        afterSequence: row,
        lastSequence: row + 1,
        schema: sampleSchema,
        files,
      });
      acknowledged = row + 1;
    }
  } catch (error) {
    assert.ok(disk.callsLeft < 0, String(error));
  }
  return { identity, acknowledged };
}

/** The table is whole on the plain disk: each snapshot reads, each live file has its row. Returns its position. */
async function assertWhole(world: World, identity: TableIdentity): Promise<number> {
  const store = new LocalStore({ root: world.root, disk: new RealDisk(), sweepTemporary: true });
  const catalog = new TableCatalog(store);
  const state = await catalog.loadTable(identity);
  const position = state.positions["s"] ?? 0;
  const rows = await Promise.all(state.files.map(async ({ key }) => Buffer.from(await store.get(key)).toString()));
  const expected = Array.from({ length: position }, (_value, row) => `row ${row}`.padEnd(700, "."));
  assert.deepEqual(rows.toSorted(), expected.toSorted());
  for (const { version } of await listVersions(store, identity.location)) {
    const { metadata } = await readVersion(store, identity.location, version);
    for (const snapshot of snapshotsOf(metadata)) await readManifestList(catalogContext(store), snapshot);
  }
  return position;
}

/** Runs `act` in a new folder for every seed, up to the first that fails; returns its error. */
async function firstFailure(careless: DiskCall | undefined, act: (world: World) => Promise<void>): Promise<unknown> {
  const folder = mkdtempSync(join(tmpdir(), "miniodb-power-"));
  try {
    for (let seed = firstSeed; seed < firstSeed + rounds; seed++) {
      const parts = { root: join(folder, `w${seed}`), side: join(folder, `s${seed}`) };
      try {
        await act({ ...parts, random: seededRandom(seed), careless });
      } catch (error) {
        return new Error(`seed ${seed}`, { cause: error });
      }
    }
    return undefined;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function loseAfterDeath(world: World): Promise<void> {
  const { identity, acknowledged } = await liveAndDie(world, "any call");
  losePower(world.side, world.random.real);
  if (identity === undefined) return;
  const position = await assertWhole(world, identity);
  assert.ok(
    position === acknowledged || position === acknowledged + 1,
    `${position} rows of ${acknowledged} acknowledged`,
  );
}

async function loseAfterRestart(world: World): Promise<void> {
  const { identity, acknowledged } = await liveAndDie(world, "a folder sync");
  if (identity === undefined) return;
  // A new process reads the position, and trims its log by it.
  const seen = (await openStore(world).catalog.loadTable(identity)).positions["s"] ?? 0;
  assert.ok(seen >= acknowledged);
  losePower(world.side, world.random.real);
  assert.equal(await assertWhole(world, identity), seen);
}

describe(`power loss (${rounds} seeds from ${firstSeed})`, () => {
  test("takes nothing that was acknowledged", async () => {
    assert.equal(await firstFailure(undefined, loseAfterDeath), undefined);
  });

  test("takes nothing that a restarted process has read", async () => {
    assert.equal(await firstFailure(undefined, loseAfterRestart), undefined);
  });

  for (const call of ["fdatasync", "syncFolder"] as const) {
    test(`finds a store out that forgets its ${call}`, async () => {
      assert.ok((await firstFailure(call, loseAfterDeath)) instanceof Error);
    });
  }
});
