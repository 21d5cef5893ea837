import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { Worker } from "node:worker_threads";
import { RealDisk } from "../../../src/shared/disk/real-disk.js";
import { LocalStore } from "../../../src/shared/store/local-store.js";
import { bytesOf, list, testConformance } from "./store-conformance.js";

testConformance("local folder", () => {
  const root = mkdtempSync(join(tmpdir(), "miniodb-store-"));
  const open = () => new LocalStore({ root: join(root, "warehouse"), disk: new RealDisk(), sweepTemporary: false });
  return { store: open(), other: open(), close: () => rmSync(root, { recursive: true }) };
});

/** A disk that records its calls, and fails or cuts those that a test picks. */
class ScriptedDisk extends RealDisk {
  readonly calls: string[] = [];
  fail: (call: string) => string | undefined = () => undefined;
  writeBytesMax = Number.POSITIVE_INFINITY;

  override writev(fd: number, buffers: readonly Uint8Array[], position: number): number {
    this.#note("writev");
    return super.writev(fd, [(buffers[0] as Uint8Array).subarray(0, this.writeBytesMax)], position);
  }

  override fdatasync(fd: number): void {
    this.#note("fdatasync");
    super.fdatasync(fd);
  }

  override syncFolder(path: string): void {
    this.#note(`syncFolder ${path}`);
    super.syncFolder(path);
  }

  override rename(from: string, to: string): void {
    this.#note(`rename ${to}`);
    super.rename(from, to);
  }

  override link(from: string, to: string): void {
    this.#note(`link ${to}`);
    super.link(from, to);
  }

  override makeFolder(path: string): void {
    this.#note(`makeFolder ${path}`);
    super.makeFolder(path);
  }

  #note(call: string): void {
    this.calls.push(call);
    const code = this.fail(call);
    if (code !== undefined) throw Object.assign(new Error(`${code}: by plan, ${call}`), { code });
  }
}

function withStore(act: (store: LocalStore, disk: ScriptedDisk, root: string) => Promise<void>): () => Promise<void> {
  return async () => {
    const folder = mkdtempSync(join(tmpdir(), "miniodb-store-"));
    const root = join(folder, "warehouse");
    const disk = new ScriptedDisk();
    try {
      await act(new LocalStore({ root, disk, sweepTemporary: false }), disk, root);
    } finally {
      rmSync(folder, { recursive: true });
    }
  };
}

describe("LocalStore", () => {
  test(
    "makes the bytes durable before the name, and the name before it answers",
    withStore(async (store, disk, root) => {
      disk.calls.length = 0;
      await store.put("t/metadata/a", bytesOf("x"));
      assert.deepEqual(disk.calls, [
        "writev",
        "fdatasync",
        `makeFolder ${root}/t`,
        `syncFolder ${root}`,
        `makeFolder ${root}/t/metadata`,
        `syncFolder ${root}/t`,
        `rename ${root}/t/metadata/a`,
        `syncFolder ${root}/t/metadata`,
      ]);
      disk.calls.length = 0;
      assert.equal(await store.putIfAbsent("t/metadata/b", bytesOf("x")), true);
      assert.deepEqual(disk.calls, [
        "writev",
        "fdatasync",
        `link ${root}/t/metadata/b`,
        `syncFolder ${root}/t/metadata`,
      ]);
    }),
  );

  test(
    "makes durable what it reports: a name that is taken, and names that it lists",
    withStore(async (_store, _disk, root) => {
      const first = new LocalStore({ root, disk: new RealDisk(), sweepTemporary: false });
      await first.put("t/metadata/a", bytesOf("x"));
      // Another process, which knows nothing of what the first has synced.
      const disk = new ScriptedDisk();
      const second = new LocalStore({ root, disk, sweepTemporary: false });
      disk.calls.length = 0;
      assert.equal(await second.putIfAbsent("t/metadata/a", bytesOf("y")), false);
      assert.ok(disk.calls.includes(`syncFolder ${root}/t/metadata`));
      const third = new LocalStore({ root, disk, sweepTemporary: false });
      disk.calls.length = 0;
      assert.equal((await list(third, "t/metadata/a")).length, 1);
      const synced = disk.calls.filter((call) => call.startsWith("syncFolder"));
      assert.deepEqual(synced, [`syncFolder ${root}`, `syncFolder ${root}/t`, `syncFolder ${root}/t/metadata`]);
    }),
  );

  test(
    "writes on where a write was short",
    withStore(async (store, disk) => {
      disk.writeBytesMax = 7;
      const body = bytesOf("a body of more than seven bytes");
      await store.put("short/a", body);
      assert.deepEqual(Buffer.from(await store.get("short/a")), Buffer.from(body));
    }),
  );

  for (const step of ["writev", "fdatasync", "rename", "link", "makeFolder"]) {
    test(
      `leaves nothing behind when ${step} fails`,
      withStore(async (store, disk, root) => {
        disk.fail = (call) => (call.startsWith(step) ? "ENOSPC" : undefined);
        if (step !== "link") await assert.rejects(store.put("f/a", bytesOf("x")), { code: "ENOSPC" });
        if (step !== "rename") await assert.rejects(store.putIfAbsent("f/a", bytesOf("x")), { code: "ENOSPC" });
        assert.deepEqual(await list(store, "f/"), []);
        assert.deepEqual(readdirSync(join(root, ".tmp")), []);
        disk.fail = () => undefined;
        assert.equal(await store.putIfAbsent("f/a", bytesOf("x")), true);
      }),
    );
  }

  test(
    "copies a file that lies on another device, and removes it there",
    withStore(async (store, disk, root) => {
      const path = join(root, "..", "elsewhere");
      const body = Buffer.alloc(3_000_000, "copy");
      writeFileSync(path, body);
      let isFirst = true;
      disk.fail = (call) => {
        if (!call.startsWith("rename") || !isFirst) return undefined;
        isFirst = false;
        return "EXDEV";
      };
      await store.putFile("data/a", path);
      assert.deepEqual(Buffer.from(await store.get("data/a")), body);
      assert.equal(existsSync(path), false);
      assert.deepEqual(readdirSync(join(root, ".tmp")), []);
    }),
  );

  test(
    "sweeps what a crashed process left, only when asked to",
    withStore(async (_store, _disk, root) => {
      const left = join(root, ".tmp", "left");
      writeFileSync(left, "x");
      const open = (sweepTemporary: boolean) => new LocalStore({ root, disk: new RealDisk(), sweepTemporary });
      const store = open(false);
      assert.equal(existsSync(left), true);
      assert.deepEqual(await list(store, ""), []);
      assert.deepEqual(await store.listFolders(""), []);
      open(true);
      assert.equal(existsSync(left), false);
    }),
  );

  test(
    "makes a folder again that went away since it last looked",
    withStore(async (store, _disk, root) => {
      await store.put("gone/a/b", bytesOf("x"));
      rmSync(join(root, "gone"), { recursive: true });
      assert.equal(await store.putIfAbsent("gone/a/b", bytesOf("y")), true);
      mkdirSync(join(root, "gone", "c"));
      await store.put("gone/c/d", bytesOf("z"));
      assert.equal((await list(store, "gone/")).length, 2);
    }),
  );

  test(
    "of eight threads that claim the same names each name has one winner",
    withStore(async (_store, _disk, root) => {
      const names = 50;
      const workers = 8;
      const started = new SharedArrayBuffer(4);
      const wins = await Promise.all(
        Array.from({ length: workers }, async (_value, worker) => {
          const thread = new Worker(new URL("./claim-process.js", import.meta.url), {
            workerData: { root, names, worker, workers, started },
          });
          const [won] = await new Promise<[string[]]>((resolve, reject) => {
            thread.once("message", (message: string[]) => resolve([message]));
            thread.once("error", reject);
          });
          return won;
        }),
      );
      assert.equal(wins.flat().length, names);
      assert.equal(new Set(wins.flat()).size, names);
      assert.ok(wins.filter((won) => won.length > 0).length > 1, "the threads ran side by side");
    }),
  );
});
