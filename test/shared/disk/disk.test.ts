import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import type { Disk } from "../../../src/shared/disk/disk.js";
import { FaultyDisk, type DiskFault } from "../../../src/shared/disk/faulty-disk.js";
import { ForgetfulDisk } from "../../../src/shared/disk/forgetful-disk.js";
import { openDisk } from "../../../src/shared/disk/open-disk.js";
import { RealDisk } from "../../../src/shared/disk/real-disk.js";

function newFolder(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "miniodb-disk-"));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function text(value: string): Uint8Array {
  return new Uint8Array(Buffer.from(value));
}

function code(expected: string): (error: unknown) => boolean {
  return (error) => (error as NodeJS.ErrnoException).code === expected && "syscall" in (error as Error);
}

const disks: Record<string, (context: TestContext) => Disk> = {
  real: () => new RealDisk(),
  forgetful: (context) => new ForgetfulDisk(join(newFolder(context), "side")),
  "faulty, without faults": () => new FaultyDisk(new RealDisk(), () => undefined),
  "open-disk's default": () => openDisk(""),
};

for (const [name, makeDisk] of Object.entries(disks)) {
  describe(`a disk as it should be: ${name}`, () => {
    test("reads what was written, wherever", (context) => {
      const folder = newFolder(context);
      const disk = makeDisk(context);
      const path = join(folder, "file");
      const fd = disk.open(path, "wx");
      const shared = new Uint8Array(new SharedArrayBuffer(4)).fill(0x78);
      assert.equal(disk.writev(fd, [text("abc"), shared], 2), 7);
      assert.equal(disk.size(fd), 9);
      disk.fdatasync(fd);
      disk.syncFolder(folder);
      disk.truncate(fd, 6);
      disk.close(fd);
      assert.equal(readFileSync(path, "latin1"), "\0\0abcx");
      const again = disk.open(path, "r+");
      disk.writev(again, [text("A")], 2);
      const target = new Uint8Array(10);
      assert.equal(disk.read(again, target, 2), 4);
      assert.equal(Buffer.from(target.subarray(0, 4)).toString(), "Abcx");
      assert.equal(disk.read(again, target, 6), 0);
      disk.close(again);
      const emptied = disk.open(path, "w");
      assert.equal(disk.size(emptied), 0);
      disk.close(emptied);
    });

    test("more buffers than writev takes are a short write", (context) => {
      const disk = makeDisk(context);
      const fd = disk.open(join(newFolder(context), "file"), "w");
      const written = disk.writev(
        fd,
        Array.from({ length: 3_000 }, () => text("x")),
        0,
      );
      assert.ok(written > 0 && written <= 3_000);
      assert.equal(disk.size(fd), written);
      disk.close(fd);
    });

    test("names: rename, link, unlink, folders, and their errors", (context) => {
      const folder = newFolder(context);
      const disk = makeDisk(context);
      const at = (name: string): string => join(folder, name);
      disk.close(disk.open(at("a"), "wx"));
      assert.throws(() => disk.open(at("a"), "wx"), code("EEXIST"));
      assert.throws(() => disk.open(at("missing"), "r"), code("ENOENT"));
      disk.link(at("a"), at("b"));
      assert.throws(() => disk.link(at("a"), at("b")), code("EEXIST"));
      disk.rename(at("a"), at("c"));
      disk.makeFolder(at("folder"));
      assert.throws(() => disk.makeFolder(at("folder")), code("EEXIST"));
      disk.rename(at("c"), at("folder/c"));
      assert.deepEqual(disk.list(folder).toSorted(), ["b", "folder"]);
      assert.throws(() => disk.removeFolder(at("folder")), code("ENOTEMPTY"));
      disk.unlink(at("folder/c"));
      assert.throws(() => disk.unlink(at("folder/c")), code("ENOENT"));
      assert.throws(() => disk.rename(at("missing"), at("d")), code("ENOENT"));
      disk.removeFolder(at("folder"));
      assert.equal(disk.stat(at("folder")), undefined);
      assert.deepEqual({ ...disk.stat(at("b")), modifiedMs: 0 }, { bytes: 0, modifiedMs: 0, isFolder: false });
      assert.equal(disk.stat(folder)?.isFolder, true);
    });
  });
}

describe("a disk that fails as planned", () => {
  function planned(
    context: TestContext,
    faults: DiskFault[],
  ): { disk: Disk; fd: number; path: string; calls: string[] } {
    const path = join(newFolder(context), "file");
    const calls: string[] = [];
    const disk = new FaultyDisk(new RealDisk(), (call, at) => {
      if (call === "open") return undefined;
      assert.equal(at, path);
      calls.push(call);
      return faults.shift();
    });
    return { disk, fd: disk.open(path, "w"), path, calls };
  }

  test("errors do nothing, short writes and torn writes do a part", (context) => {
    const { disk, fd, path, calls } = planned(context, [
      { kind: "error", code: "ENOSPC" },
      { kind: "short", share: 0.5 },
      { kind: "torn", share: 0.25, code: "EIO" },
      { kind: "slow", ms: 20 },
    ]);
    assert.throws(() => disk.writev(fd, [text("abcd")], 0), code("ENOSPC"));
    assert.equal(readFileSync(path, "latin1"), "");
    assert.equal(disk.writev(fd, [text("ab"), text("cd")], 0), 2);
    assert.throws(() => disk.writev(fd, [text("wxyz")], 2), code("EIO"));
    assert.equal(readFileSync(path, "latin1"), "abw");
    const start = performance.now();
    disk.fdatasync(fd);
    assert.ok(performance.now() - start >= 19);
    disk.close(fd);
    assert.deepEqual(calls, ["writev", "writev", "writev", "fdatasync"]);
  });

  test("a failed fdatasync tells the disk below to lose the bytes", (context) => {
    const lost: number[] = [];
    const plan = (call: string): DiskFault | undefined =>
      call === "fdatasync" ? { kind: "error", code: "EIO" } : undefined;
    const disk = new FaultyDisk(new RealDisk(), plan, (fd) => lost.push(fd));
    const fd = disk.open(join(newFolder(context), "file"), "w");
    assert.throws(() => disk.fdatasync(fd), code("EIO"));
    assert.deepEqual(lost, [fd]);
    disk.close(fd);
  });

  test("a server under test is given one by its environment", (context) => {
    const folder = newFolder(context);
    const control = join(folder, "full");
    const disk = openDisk(`forgetful=${join(folder, "side")},failing=${control}`);
    const fd = disk.open(join(folder, "file"), "w");
    disk.writev(fd, [text("a")], 0);
    writeFileSync(control, "ENOSPC\n");
    assert.throws(() => disk.writev(fd, [text("b")], 1), code("ENOSPC"));
    assert.throws(() => disk.fdatasync(fd), code("ENOSPC"));
    rmSync(control);
    assert.equal(disk.writev(fd, [text("b")], 1), 1);
    disk.close(fd);
    assert.throws(() => openDisk("imaginary=x"), /unknown layer/);
  });
});
