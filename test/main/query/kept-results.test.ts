import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { KeptResults, type KeptResultsOptions, type KeptSource } from "../../../src/main/query/kept-results.js";
import { Lease } from "../../../src/main/query/lease.js";
import { QueryRegistry } from "../../../src/main/query/query-registry.js";
import { QueryRun } from "../../../src/main/query/query-run.js";
import { type CachedResult, ResultCache } from "../../../src/main/query/result-cache.js";

const snapshot: KeptSource = { kind: "snapshot", tables: [] };

/** Kept results, and which of them were let go. */
function openKept(options: Partial<KeptResultsOptions>) {
  const kept = new KeptResults({ countMax: 3, bytesMax: 1_000, ageMsMax: 60_000, ...options });
  const freed: string[] = [];
  const keep = (name: string, source: KeptSource = snapshot, key = ""): string => {
    const lease = new Lease(() => freed.push(name));
    const id = kept.keep({ identity: name, key, source, lease });
    lease.release();
    return id;
  };
  return { kept, freed, keep };
}

function file(bytes: number): KeptSource {
  return { kind: "file", sql: "", bytes, isWhole: true };
}

describe("kept results", () => {
  test("beyond the count, those that nobody pages through go first", () => {
    const { kept, freed, keep } = openKept({});
    const paged = keep("a");
    kept.get(paged, "a");
    for (const name of ["b", "c", "d", "e"]) keep(name);
    assert.deepEqual(freed, ["b", "c"]);
    assert.equal(kept.get(paged, "a").identity, "a");
    assert.throws(() => kept.get(paged, "b"), { code: "INVALID_REQUEST" });
    kept.close();
    assert.deepEqual(freed.toSorted(), ["a", "b", "c", "d", "e"]);
    assert.throws(() => kept.get(paged, "a"), { code: "CURSOR_EXPIRED" });
  });

  test("beyond the bytes, files go and snapshots stay; one that is read stays until it is read", () => {
    const { kept, freed, keep } = openKept({ countMax: 10 });
    keep("s");
    const first = keep("a", file(600));
    const { lease } = kept.get(first, "a");
    lease.retain();
    keep("b", file(300));
    assert.deepEqual([freed, kept.bytes], [[], 900]);
    keep("c", file(700));
    assert.deepEqual([freed, kept.bytes, kept.size], [["b"], 700, 2]);
    lease.release();
    assert.deepEqual(freed, ["b", "a"]);
    kept.close();
  });

  test("the same first page is kept once, and what is not used any more goes with time", async () => {
    const { kept, freed, keep } = openKept({ ageMsMax: 100 });
    const first = keep("a", snapshot, "key");
    assert.equal(keep("again", snapshot, "key"), first);
    assert.deepEqual([freed, kept.size], [["again"], 1]);
    for (let tries = 0; kept.size > 0 && tries < 100; tries++) await sleep(50);
    assert.deepEqual([freed, kept.touch(first)], [["again", "a"], false]);
    assert.notEqual(keep("b", snapshot, "key"), first);
    kept.close();
  });
});

describe("the result cache", () => {
  const result = (bytes: number): CachedResult => {
    return {
      bytes: new Uint8Array(bytes),
      columns: [{ name: "n", type: "BIGINT" }],
      rows: 1,
      hasMore: false,
      nextCursor: "",
    };
  };

  test("keeps to its bytes, the least recently used goes first", () => {
    const cache = new ResultCache(100_000, 10_000);
    for (let index = 0; index < 30; index++) {
      cache.set(`key ${index}`, result(5_000));
      assert.ok(cache.stats.bytes <= 100_000);
      assert.notEqual(cache.get("key 0"), undefined, "it is used all the while");
    }
    assert.equal(cache.get("key 1"), undefined);
    assert.notEqual(cache.get("key 29"), undefined);
    const { entries, bytes } = cache.stats;
    cache.set("key 29", result(5_000));
    assert.deepEqual([cache.stats.entries, cache.stats.bytes], [entries, bytes], "a second time in place of the first");
    cache.set("large", result(20_000));
    assert.equal(cache.get("large"), undefined);
    for (let index = 0; index < 30; index++) cache.delete(`key ${index}`);
    assert.deepEqual([cache.stats.entries, cache.stats.bytes], [0, 0]);
  });

  test("of no bytes is off", () => {
    const cache = new ResultCache(0, 10_000);
    cache.set("key", result(1));
    assert.deepEqual([cache.isOn, cache.get("key")], [false, undefined]);
  });
});

test("ids of queries are new, or the client's while no other query has it", async () => {
  const registry = new QueryRegistry();
  const ids = new Set(Array.from({ length: 100 }, () => registry.id(undefined)));
  assert.equal(ids.size, 100);
  const onOver = (ended: QueryRun): void => registry.remove(ended);
  const run = new QueryRun({ id: registry.id("a:b-1.c_D"), sql: "", timeoutMs: 1_000, signal: undefined, onOver });
  registry.add(run);
  assert.throws(() => registry.id(run.id), { code: "INVALID_REQUEST" });
  for (const bad of [" ", "a/b", "é", "x".repeat(65)]) {
    assert.throws(() => registry.id(bad), { code: "INVALID_REQUEST" });
  }
  assert.equal(registry.get(run.id), run);
  assert.throws(() => registry.get("other"), { code: "NOT_FOUND" });
  const idle = registry.idle();
  run.leave();
  await idle;
  assert.equal(registry.id(run.id), run.id);
  assert.equal(registry.size, 0);
});
