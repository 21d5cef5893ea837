import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { RealDisk } from "../../../src/shared/disk/real-disk.js";
import { FaultyStore, StoreFault, randomFaults } from "../../../src/shared/store/faulty-store.js";
import { LocalStore } from "../../../src/shared/store/local-store.js";
import { MeteredStore, type StoreCall } from "../../../src/shared/store/metered-store.js";
import { ObjectNotFound, type ObjectStore } from "../../../src/shared/store/object-store.js";
import { RetryingStore } from "../../../src/shared/store/retrying-store.js";
import { RemoteFolder, RemoteStore } from "../../harness/remote-store.js";
import { seededRandom } from "../../harness/seeded-random.js";
import { bytesOf, list, testConformance } from "./store-conformance.js";

function openLocal(): { readonly open: () => LocalStore; readonly close: () => void } {
  const root = mkdtempSync(join(tmpdir(), "miniodb-store-"));
  return {
    open: () => new LocalStore({ root, disk: new RealDisk(), sweepTemporary: false }),
    close: () => rmSync(root, { recursive: true }),
  };
}

function retrying(store: ObjectStore, attemptsMax: number): RetryingStore {
  const random = () => 0;
  const sleep = () => Promise.resolve();
  const pauses = { waitMs: 0, waitMsMax: 0, deadlineMs: 60_000 };
  return new RetryingStore(store, { attemptsMax, ...pauses, random, sleep, nowMs: Date.now });
}

testConformance("metered", () => {
  const { open, close } = openLocal();
  return { store: new MeteredStore(open(), () => {}), other: open(), close };
});

testConformance("faulty, without a fault", () => {
  const { open, close } = openLocal();
  return { store: new FaultyStore(open(), () => undefined), other: open(), close };
});

testConformance("remote, as tests of the file cache have it", () => {
  const root = mkdtempSync(join(tmpdir(), "miniodb-remote-"));
  const control = new RemoteFolder(join(root, "control"));
  const client = () => new RemoteStore(join(root, "warehouse"), false, control);
  return { store: client(), other: client(), close: () => rmSync(root, { recursive: true }) };
});

testConformance("retrying over faulty reads, puts and lists", () => {
  const { open, close } = openLocal();
  const { real } = seededRandom(11);
  const faults = randomFaults(real, { before: 0.1, after: 0.1, wait: 0, waitMsMax: 0 });
  const mayFail = new Set(["get", "getPart", "put", "list", "listFolders", "delete"]);
  const faulty = new FaultyStore(open(), (operation, key) =>
    mayFail.has(operation) ? faults(operation, key) : undefined,
  );
  return { store: retrying(faulty, 20), other: open(), close };
});

describe("FaultyStore", () => {
  test("fails before or after the act, as the plan says, and while it is not available", async () => {
    const { open, close } = openLocal();
    const store = new FaultyStore(open(), () => ({ kind: "before" }));
    await assert.rejects(store.put("a", bytesOf("x")), StoreFault);
    store.plan = () => ({ kind: "after" });
    await assert.rejects(store.putIfAbsent("b", bytesOf("x")), StoreFault);
    store.plan = () => undefined;
    assert.deepEqual(
      (await list(store, "")).map((entry) => entry.key),
      ["b"],
    );
    store.isAvailable = false;
    await assert.rejects(store.get("b"), StoreFault);
    await assert.rejects(list(store, ""), StoreFault);
    close();
  });

  test("waits as the plan says", async () => {
    const { open, close } = openLocal();
    const store = new FaultyStore(open(), () => ({ kind: "none", waitMs: 30 }));
    const startMs = performance.now();
    await store.put("a", bytesOf("x"));
    assert.ok(performance.now() - startMs >= 25);
    close();
  });

  test("draws the same faults from the same seed", () => {
    const draw = () => {
      const plan = randomFaults(seededRandom(5).real, { before: 0.3, after: 0.3, wait: 0.5, waitMsMax: 10 });
      return Array.from({ length: 100 }, () => plan("get", "a"));
    };
    assert.deepEqual(draw(), draw());
    const kinds = new Set(draw().map((fault) => fault?.kind));
    assert.deepEqual(kinds, new Set(["before", "after", "none"]));
  });
});

describe("RetryingStore", () => {
  test("gives up after its attempts, with the last error", async () => {
    const { open, close } = openLocal();
    let calls = 0;
    const faulty = new FaultyStore(open(), () => {
      calls += 1;
      return { kind: "before" };
    });
    await assert.rejects(retrying(faulty, 4).get("a"), StoreFault);
    assert.equal(calls, 4);
    close();
  });

  test("takes ObjectNotFound for an answer, and asks putIfAbsent and putFile once", async () => {
    const { open, close } = openLocal();
    const calls: string[] = [];
    const faulty = new FaultyStore(open(), (operation) => {
      calls.push(operation);
      return operation === "get" ? undefined : { kind: "before" };
    });
    const store = retrying(faulty, 4);
    await assert.rejects(store.get("none"), ObjectNotFound);
    await assert.rejects(store.putIfAbsent("a", bytesOf("x")), StoreFault);
    await assert.rejects(store.putFile("a", "/nowhere"), StoreFault);
    assert.deepEqual(calls, ["get", "putIfAbsent", "putFile"]);
    close();
  });
});

describe("MeteredStore", () => {
  test("reports every call, with its bytes and what it threw", async () => {
    const { open, close } = openLocal();
    const calls: StoreCall[] = [];
    const store = new MeteredStore(open(), (call) => calls.push(call));
    await store.put("m/a", bytesOf("12345"));
    await store.get("m/a");
    await store.putIfAbsent("m/a", bytesOf("123"));
    await list(store, "m/");
    await assert.rejects(store.get("m/none"));
    await store.delete("m/a");
    assert.deepEqual(
      calls.map(({ operation, bytes, objects, error }) => [operation, bytes, objects, error instanceof ObjectNotFound]),
      [
        ["put", 5, 1, false],
        ["get", 5, 1, false],
        ["putIfAbsent", 0, 1, false],
        ["list", 0, 1, false],
        ["get", 0, 0, true],
        ["delete", 0, 1, false],
      ],
    );
    assert.ok(calls.every((call) => call.ms >= 0 && call.ms < 10_000));
    close();
  });
});
