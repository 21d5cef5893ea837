import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { FaultyDisk } from "../../../src/shared/disk/faulty-disk.js";
import { RealDisk } from "../../../src/shared/disk/real-disk.js";
import { replayAll, temporaryFolder, WalHarness } from "./wal-harness.js";

/**
 * A disk below a page cache: what is written is read at once, and is on the disk with a sync that succeeds. One that fails
 * leaves the bytes in the cache and takes them for clean, as Linux does: the next sync writes nothing of them.
 */
class CachedDisk extends RealDisk {
  /** What becomes of syncs: `dying` is a process that ends before the call. */
  mode: "works" | "fails" | "dying" = "works";
  readonly #paths = new Map<number, string>();
  readonly #dirty = new Map<string, [from: number, to: number][]>();
  readonly #durable = new Map<string, Buffer>();
  readonly #written = new Set<string>();

  override open(path: string, flags: "r" | "r+" | "w" | "wx"): number {
    const fd = super.open(path, flags);
    this.#paths.set(fd, path);
    return fd;
  }

  override writev(fd: number, buffers: readonly Uint8Array[], position: number): number {
    const written = super.writev(fd, buffers, position);
    const path = this.#paths.get(fd) ?? "";
    if (!path.endsWith(".wal")) return written;
    this.#written.add(path);
    this.#dirty.set(path, [...(this.#dirty.get(path) ?? []), [position, position + written]]);
    return written;
  }

  override fdatasync(fd: number): void {
    const path = this.#paths.get(fd) ?? "";
    if (!path.endsWith(".wal")) return;
    const dirty = this.#dirty.get(path) ?? [];
    if (this.mode !== "dying") this.#dirty.delete(path);
    const failure = { code: "EIO", syscall: "fdatasync" };
    if (this.mode !== "works") throw Object.assign(new Error("EIO: i/o error, fdatasync"), failure);
    const now = readFileSync(path);
    const durable = Buffer.alloc(now.length);
    this.#durable.get(path)?.copy(durable);
    for (const [from, to] of dirty) now.copy(durable, from, from, to);
    this.#durable.set(path, durable);
  }

  /** A dying process tidies nothing up. */
  override unlink(path: string): void {
    if (this.mode !== "dying") super.unlink(path);
  }

  /** The cache is gone: what reads see from here on is what the disk has. */
  forgetCache(): void {
    for (const path of this.#written) writeFileSync(path, this.#durable.get(path) ?? "");
    this.#dirty.clear();
  }
}

const rowsUpTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

/** So many durable rows, and two in the cache of a process that has died since. */
function leaveTail(folder: string, durableRows: number): CachedDisk {
  const disk = new CachedDisk();
  const before = new WalHarness({ disk, folder });
  if (durableRows > 0) {
    before.write(1, durableRows);
    assert.ok(before.commitAll());
  }
  disk.mode = "dying";
  before.write(1, 2);
  assert.equal(before.commit.round(), false);
  return disk;
}

test("a start whose sync fails shows nothing, and the next one does not believe the cache", (context) => {
  const folder = temporaryFolder(context);
  const disk = leaveTail(folder, 3);
  disk.mode = "fails";
  for (let start = 0; start < 2; start++) {
    assert.throws(
      () => new WalHarness({ disk, folder }),
      /The end of the log, in .*0001\.wal, cannot be made durable: EIO/,
    );
  }
  disk.mode = "works";
  const later = new WalHarness({ disk, folder, sequences: new Map([[1, 5]]) });
  // What is seen from here on has to stay.
  assert.deepEqual(replayAll(disk, folder).sequences.get(1), rowsUpTo(5));
  disk.forgetCache();
  assert.deepEqual(replayAll(disk, folder).sequences.get(1), rowsUpTo(5));
  later.write(1, 1);
  assert.ok(later.commitAll());
  disk.forgetCache();
  const { sequences, gaps, report } = replayAll(disk, folder);
  assert.deepEqual([sequences.get(1), gaps.get(1), report.damage], [rowsUpTo(6), [], []]);
});

test("what the cache has lost by the next start was never seen", (context) => {
  const folder = temporaryFolder(context);
  const disk = leaveTail(folder, 3);
  disk.mode = "fails";
  assert.throws(() => new WalHarness({ disk, folder }), /cannot be made durable/);
  disk.forgetCache();
  disk.mode = "works";
  const later = new WalHarness({ disk, folder, sequences: new Map([[1, 3]]) });
  assert.deepEqual(replayAll(disk, folder).sequences.get(1), rowsUpTo(3));
  later.write(1, 1);
  assert.ok(later.commitAll());
  assert.deepEqual(replayAll(disk, folder).sequences.get(1), rowsUpTo(4));
});

test("a full disk that has no room for the same bytes again lets the server start, which makes room", (context) => {
  const folder = temporaryFolder(context);
  const disk = leaveTail(folder, 3);
  disk.mode = "works";
  const full = new FaultyDisk(disk, (call) => (call === "writev" ? { kind: "error", code: "ENOSPC" } : undefined));
  const later = new WalHarness({ disk: full, folder, sequences: new Map([[1, 5]]) });
  assert.deepEqual(replayAll(disk, folder).sequences.get(1), rowsUpTo(5));
  disk.forgetCache();
  assert.deepEqual(replayAll(disk, folder).sequences.get(1), rowsUpTo(5));
  later.close();
  const refused = new FaultyDisk(disk, (call) => (call === "writev" ? { kind: "error", code: "EROFS" } : undefined));
  assert.throws(() => new WalHarness({ disk: refused, folder }), /cannot be made durable: EROFS/);
});

test("the first page of a segment is written again with its first group", (context) => {
  const folder = temporaryFolder(context);
  const disk = leaveTail(folder, 0);
  disk.mode = "fails";
  assert.throws(() => new WalHarness({ disk, folder }), /cannot be made durable/);
  disk.mode = "works";
  const later = new WalHarness({ disk, folder, sequences: new Map([[1, 2]]) });
  disk.forgetCache();
  const { sequences, report } = replayAll(disk, folder);
  assert.deepEqual(sequences.get(1), rowsUpTo(2));
  assert.equal(report.segments[0]?.header?.number, 1);
  later.close();
});
