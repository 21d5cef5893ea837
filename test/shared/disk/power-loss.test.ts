import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { ForgetfulDisk } from "../../../src/shared/disk/forgetful-disk.js";
import { loseUnsyncedBytes, losePower } from "../../../src/shared/disk/power-loss.js";
import { seededRandom, type SeededRandom } from "../../harness/seeded-random.js";

const firstSeed = Number(process.env["MINIODB_TEST_SEED"] ?? 1);
const rounds = Number(process.env["MINIODB_TEST_ROUNDS"] ?? 60);

interface World {
  readonly disk: ForgetfulDisk;
  readonly folder: string;
  readonly at: (name: string) => string;
  readonly random: SeededRandom;
}

/** Runs `act` on a fresh disk for many seeds, loses the power, and collects what `look` sees afterwards. */
function outcomes(context: TestContext, act: (world: World) => void, look: (world: World) => string): Set<string> {
  const root = mkdtempSync(join(tmpdir(), "miniodb-power-"));
  context.after(() => rmSync(root, { recursive: true, force: true }));
  const seen = new Set<string>();
  for (let round = 0; round < rounds; round++) {
    const folder = join(root, `data-${round}`);
    mkdirSync(folder);
    const side = join(root, `side-${round}`);
    const at = (name: string): string => join(folder, name);
    const world: World = { disk: new ForgetfulDisk(side), folder, at, random: seededRandom(firstSeed + round) };
    act(world);
    losePower(side, world.random.real);
    seen.add(look(world));
  }
  return seen;
}

function write({ disk }: World, path: string, bytes: string, options: { sync: boolean; at?: number }): void {
  const fd = disk.open(path, existsSync(path) ? "r+" : "wx");
  disk.writev(fd, [new Uint8Array(Buffer.from(bytes))], options.at ?? 0);
  if (options.sync) disk.fdatasync(fd);
  disk.close(fd);
}

function names({ folder }: World): string {
  return readdirSync(folder).toSorted().join(" ");
}

function content(path: string): string {
  return existsSync(path) ? readFileSync(path, "latin1") : "missing";
}

describe(`after a power loss (seeds from ${firstSeed})`, () => {
  test("what was synced is there, name and bytes", (context) => {
    const seen = outcomes(
      context,
      (world) => {
        write(world, world.at("a"), "one", { sync: true });
        world.disk.syncFolder(world.folder);
      },
      (world) => `${names(world)}:${content(world.at("a"))}`,
    );
    assert.deepEqual([...seen], ["a:one"]);
  });

  test("a synced file without a synced name may be gone; a name without bytes may be empty", (context) => {
    const byName = outcomes(context, (world) => write(world, world.at("a"), "one", { sync: true }), names);
    assert.deepEqual([...byName].toSorted(), ["", "a"]);
    const byBytes = outcomes(
      context,
      (world) => {
        write(world, world.at("a"), "one", { sync: false });
        world.disk.syncFolder(world.folder);
      },
      (world) => content(world.at("a")),
    );
    for (const possible of ["", "one", "\0\0\0"]) assert.ok(byBytes.has(possible), JSON.stringify(possible));
  });

  test("a rename without a synced folder leaves the old name or the new, and the bytes that it had", (context) => {
    const seen = outcomes(
      context,
      (world) => {
        write(world, world.at("old"), "new bytes", { sync: true });
        write(world, world.at("target"), "old bytes", { sync: true });
        world.disk.syncFolder(world.folder);
        world.disk.rename(world.at("old"), world.at("target"));
      },
      (world) => `${names(world)}:${content(world.at("target"))}`,
    );
    assert.deepEqual([...seen].toSorted(), ["old target:old bytes", "target:new bytes"]);
  });

  test("links and removals are undone or not, one by one", (context) => {
    const seen = outcomes(
      context,
      (world) => {
        write(world, world.at("a"), "a", { sync: true });
        world.disk.syncFolder(world.folder);
        world.disk.link(world.at("a"), world.at("b"));
        world.disk.unlink(world.at("a"));
      },
      (world) => `${names(world)}:${content(world.at("b"))}`,
    );
    assert.deepEqual([...seen].toSorted(), [":missing", "a b:a", "a:missing", "b:a"]);
  });

  test("an overwritten range is old, new, or torn between sectors, and nothing else", (context) => {
    const old = "o".repeat(3 * 512);
    const seen = outcomes(
      context,
      (world) => {
        write(world, world.at("a"), old, { sync: true });
        world.disk.syncFolder(world.folder);
        write(world, world.at("a"), "n".repeat(2 * 512), { sync: false, at: 256 });
      },
      (world) => content(world.at("a")).replaceAll(/(.)\1*/g, (run) => `${run[0]}${run.length} `),
    );
    assert.ok(seen.has("o1536 ") && seen.has("o256 n1024 o256 "), [...seen].join("| "));
    assert.ok(seen.has("o256 n256 o1024 "), "torn behind the first sector");
    assert.ok(seen.size <= 8);
  });

  test("truncation and growth may be undone", (context) => {
    const seen = outcomes(
      context,
      (world) => {
        write(world, world.at("a"), "abcdef", { sync: true });
        world.disk.syncFolder(world.folder);
        const fd = world.disk.open(world.at("a"), "r+");
        world.disk.truncate(fd, 2);
        world.disk.close(fd);
        world.disk.close(world.disk.open(world.at("a"), "w"));
      },
      (world) => content(world.at("a")),
    );
    assert.ok(seen.has("") && seen.has("abcdef"), [...seen].join("|"));
  });

  test("a folder whose parent was not synced may be gone with all that is in it", (context) => {
    const seen = outcomes(
      context,
      (world) => {
        world.disk.makeFolder(world.at("inner"));
        write(world, world.at("inner/a"), "a", { sync: true });
        world.disk.syncFolder(world.at("inner"));
      },
      (world) => `${names(world)}:${content(world.at("inner/a"))}`,
    );
    assert.deepEqual([...seen].toSorted(), [":missing", "inner:a"]);
  });

  test("a file that others wrote has nothing durable before its fdatasync", (context) => {
    const publish = (sync: boolean) => (world: World) => {
      writeFileSync(world.at("foreign"), "parquet");
      if (sync) {
        const fd = world.disk.open(world.at("foreign"), "r");
        world.disk.fdatasync(fd);
        world.disk.close(fd);
      }
      world.disk.rename(world.at("foreign"), world.at("data"));
      world.disk.syncFolder(world.folder);
    };
    const look = (world: World): string => content(world.at("data"));
    assert.deepEqual([...outcomes(context, publish(true), look)], ["parquet"]);
    assert.ok(outcomes(context, publish(false), look).has(""));
  });

  test("what the journal was told by a killed process counts, and the next loss starts anew", (context) => {
    const root = mkdtempSync(join(tmpdir(), "miniodb-power-"));
    context.after(() => rmSync(root, { recursive: true, force: true }));
    const side = join(root, "side");
    const path = join(root, "a");
    const first = new ForgetfulDisk(side);
    first.writev(first.open(path, "wx"), [Uint8Array.of(65)], 0);
    // Another instance, as in another thread or after a restart, syncs what the first one wrote.
    const second = new ForgetfulDisk(side);
    const fd = second.open(path, "r+");
    second.fdatasync(fd);
    second.close(fd);
    second.syncFolder(root);
    assert.deepEqual(
      losePower(side, () => 0),
      { filesChanged: 0, namesChanged: 0 },
    );
    assert.equal(content(path), "A");
    const third = new ForgetfulDisk(side);
    third.unlink(path);
    assert.deepEqual(
      losePower(side, () => 0),
      { filesChanged: 0, namesChanged: 1 },
    );
    assert.equal(content(path), "A");
  });
});

test("unsynced bytes of one open file can be lost alone, as by a failed fdatasync", (context) => {
  const root = mkdtempSync(join(tmpdir(), "miniodb-power-"));
  context.after(() => rmSync(root, { recursive: true, force: true }));
  const side = join(root, "side");
  const disk = new ForgetfulDisk(side);
  const fd = disk.open(join(root, "a"), "wx");
  disk.writev(fd, [Uint8Array.of(65, 66)], 0);
  disk.fdatasync(fd);
  disk.writev(fd, [Uint8Array.of(67, 68)], 1);
  assert.ok(loseUnsyncedBytes(side, disk.inodeOfOpen(fd), () => 0));
  assert.equal(content(join(root, "a")), "AB");
  assert.ok(!loseUnsyncedBytes(side, disk.inodeOfOpen(fd), () => 0));
  disk.close(fd);
});
