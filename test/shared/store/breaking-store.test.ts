import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { RealDisk } from "../../../src/shared/disk/real-disk.js";
import { BreakingStore } from "../../../src/shared/store/breaking-store.js";
import { FaultyStore, StoreFault } from "../../../src/shared/store/faulty-store.js";
import { LocalStore } from "../../../src/shared/store/local-store.js";
import { ObjectNotFound } from "../../../src/shared/store/object-store.js";
import { StoreError } from "../../../src/shared/store/store-failure.js";
import { StoreHealth } from "../../../src/shared/store/store-health.js";
import { bytesOf, testConformance } from "./store-conformance.js";

const root = mkdtempSync(join(tmpdir(), "miniodb-breaking-"));
after(() => rmSync(root, { recursive: true }));

const isBroken = (error: unknown): boolean => error instanceof StoreError && error.kind === "broken";

function open(pauseMs = 20, failingMs = 0) {
  const calls: string[] = [];
  const faulty = new FaultyStore(new LocalStore({ root, disk: new RealDisk(), sweepTemporary: false }), (operation) => {
    calls.push(operation);
    return undefined;
  });
  const health = new StoreHealth();
  const client = () => new BreakingStore(faulty, { failuresMax: 3, failingMs, pauseMs, pauseMsMax: pauseMs, health });
  return { faulty, calls, health, client, store: client() };
}

testConformance("breaking, of a store that works", () => {
  const { store, client } = open();
  return { store, other: client(), close: () => {} };
});

describe("BreakingStore", () => {
  test("holds calls back after failures in a row, and lets one through to see", async () => {
    const { faulty, calls, health, store } = open();
    faulty.isAvailable = false;
    for (let call = 0; call < 3; call++) await assert.rejects(store.put("a", bytesOf("x")), StoreFault);
    assert.notEqual(health.stats.brokenSinceMs, null);
    // Pauses are drawn, from next to nothing on, and grow while the store fails.
    let asked = 3;
    for (let call = 0; health.stats.heldBack < 3; call++) {
      assert.ok(call < 10_000, "calls are held back");
      const error = await store.get("a").catch((caught: unknown) => caught);
      if (!isBroken(error)) asked++;
    }
    assert.equal(health.stats.failed, asked);
    assert.ok(asked < 100, `${asked} calls came through`);
    faulty.isAvailable = true;
    let isBack = false;
    while (!isBack) {
      await delay(5);
      isBack = await store.put("a", bytesOf("x")).then(
        () => true,
        () => false,
      );
    }
    assert.deepEqual(calls, ["put"]);
    assert.equal(health.stats.brokenSinceMs, null);
    assert.equal((await store.get("a")).length, 1);
  });

  test("many failures at once are not yet an outage", async () => {
    const { faulty, health, store } = open(20, 3_000);
    faulty.isAvailable = false;
    await Promise.allSettled(Array.from({ length: 100 }, () => store.get("a")));
    assert.deepEqual([health.stats.failed, health.stats.brokenSinceMs], [100, null]);
    while (health.stats.brokenSinceMs === null) {
      await assert.rejects(store.get("a"), StoreFault);
      await delay(50);
    }
  });

  test("an answer that another thread got lets calls through at once", async () => {
    const { faulty, health, store, client } = open(60_000);
    faulty.isAvailable = false;
    for (let call = 0; call < 3; call++) await assert.rejects(store.listFolders(""), StoreFault);
    faulty.isAvailable = true;
    await delay(2);
    await assert.rejects(client().get("none"), ObjectNotFound);
    assert.equal(health.stats.brokenSinceMs, null);
    await store.listFolders("");
  });

  test("answers are no failures: what is not there, and what is not allowed", async () => {
    const { faulty, health, store } = open();
    for (let call = 0; call < 10; call++) await assert.rejects(store.get("none"), ObjectNotFound);
    assert.equal(health.stats.failed, 0);
    faulty.plan = () => {
      throw new StoreError("refused", "403 AccessDenied");
    };
    for (let call = 0; call < 10; call++) await assert.rejects(store.get("none"), /AccessDenied/);
    assert.deepEqual([health.stats.failed, health.stats.brokenSinceMs], [10, null]);
  });
});
