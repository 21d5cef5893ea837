import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { RealDisk } from "../../../src/shared/disk/real-disk.js";
import { LocalStore } from "../../../src/shared/store/local-store.js";
import { ObjectNotFound } from "../../../src/shared/store/object-store.js";
import { isStoreFailure } from "../../../src/shared/store/store-failure.js";
import { ObjectCopier } from "../../../src/workers/persist/object-copier.js";
import { Throttle } from "../../../src/workers/persist/throttle.js";
import { openTestWarehouse } from "./test-warehouse.js";

const mib = 1024 * 1024;
const root = mkdtempSync(join(tmpdir(), "miniodb-copier-"));
const warehouse = openTestWarehouse();
after(() => {
  warehouse.remove();
  rmSync(root, { recursive: true, force: true });
});

const clock = { sleep: () => Promise.resolve(), nowMs: Date.now };
const target = new LocalStore({ root: join(root, "second"), disk: new RealDisk(), sweepTemporary: false });
const { store: from, context: persist } = warehouse;
const copier = new ObjectCopier({ persist, target, throttle: new Throttle(0, clock), copiesMax: 2 });

/** The store of a copy whose checksum is another one than the file's that was read. */
class DamagedStore extends LocalStore {
  async compareChecksum(): Promise<boolean> {
    return false;
  }
}

describe("copying objects to a second pool", () => {
  const large = Buffer.alloc(33 * mib, "large");

  test("small ones through memory, large ones through a file that goes", async () => {
    for (const [key, body] of [
      ["small", Buffer.from("small")],
      ["large", large],
      ["empty", Buffer.alloc(0)],
    ] as const) {
      await from.put(key, body);
      assert.equal(await copier.copy({ from, key, bytes: body.length, toKey: `to/${key}` }), body.length);
      assert.equal(Buffer.compare(await target.get(`to/${key}`), body), 0);
    }
    assert.deepEqual(warehouse.temporaryFiles(), []);
  });

  test("nothing is written where the bytes are not those that the table says", async () => {
    for (const [key, bytes] of [
      ["small", 6],
      ["large", large.length + 1],
    ] as const) {
      await assert.rejects(copier.copy({ from, key, bytes, toKey: `short/${key}` }));
      await assert.rejects(target.get(`short/${key}`), ObjectNotFound);
    }
    const damaged = new DamagedStore({ root: join(root, "damaged"), disk: new RealDisk(), sweepTemporary: false });
    writeFileSync(join(root, "damaged", "large"), large);
    const copying = copier.copy({ from: damaged, key: "large", bytes: large.length, toKey: "short/damaged" });
    await assert.rejects(
      copying,
      (error: unknown) => isStoreFailure(error) && /not read as it was written/.test(String(error)),
    );
    await assert.rejects(target.get("short/damaged"), ObjectNotFound);
    assert.deepEqual(warehouse.temporaryFiles(), []);
  });

  test("ends when the server stops", async () => {
    Atomics.store(persist.stopWord, 0, 1);
    await assert.rejects(copier.copy({ from, key: "small", bytes: 5, toKey: "late" }), /stopping/);
    Atomics.store(persist.stopWord, 0, 0);
    await copier.copy({ from, key: "small", bytes: 5, toKey: "late" });
  });
});

describe("a throttle", () => {
  test("lets bytes go at its rate, whoever takes them, and makes nobody wait for time that passed", async () => {
    let nowMs = 0;
    const waits: number[] = [];
    const throttle = new Throttle(1000, {
      nowMs: () => nowMs,
      sleep: async (ms) => void waits.push(ms),
    });
    await throttle.take(500);
    await throttle.take(2000);
    await throttle.take(1);
    assert.deepEqual(waits, [500, 2500]);
    nowMs = 60_000;
    await throttle.take(10);
    await throttle.take(10);
    assert.deepEqual(waits, [500, 2500, 10]);
  });

  test("of no rate holds nobody back", async () => {
    const sleep = (): Promise<void> => assert.fail("it waits");
    const throttle = new Throttle(0, { nowMs: Date.now, sleep });
    for (let count = 0; count < 3; count++) await throttle.take(2 ** 40);
  });
});
