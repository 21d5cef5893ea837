import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { MiniodbError } from "../../../src/shared/errors.js";
import { RealDisk } from "../../../src/shared/disk/real-disk.js";
import { ForwardingStore } from "../../../src/shared/store/forwarding-store.js";
import { LocalStore } from "../../../src/shared/store/local-store.js";
import type { ObjectStore } from "../../../src/shared/store/object-store.js";
import { PoolFence } from "../../../src/shared/store/pool-fence.js";
import { establishPair, noteReconciled, type PoolPair } from "../../../src/shared/store/pool-pair.js";
import { readPoolState, writePoolRecord } from "../../../src/shared/store/pool-record.js";

const root = mkdtempSync(join(tmpdir(), "miniodb-pools-"));
after(() => rmSync(root, { recursive: true, force: true }));
let count = 0;

function newStore(): LocalStore {
  return new LocalStore({ root: join(root, String(count++)), disk: new RealDisk(), sweepTemporary: false });
}

function newPair(first: ObjectStore = newStore(), second: ObjectStore = newStore()): PoolPair {
  return {
    first: { store: first, place: "first" },
    second: { store: second, place: "second" },
    by: "test",
    nowMs: Date.now,
  };
}

function swapped({ first, second, ...rest }: PoolPair): PoolPair {
  return { ...rest, first: second, second: first };
}

async function refused(work: Promise<unknown>, code: string, message: RegExp): Promise<void> {
  await assert.rejects(work, (error: unknown) => {
    assert.ok(error instanceof MiniodbError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, message);
    return true;
  });
}

async function promoteSecond({ second }: PoolPair): Promise<void> {
  const state = await readPoolState(second.store);
  assert.ok(state !== undefined);
  const { record } = state;
  await writePoolRecord(second.store, state, { ...record, role: "first", epoch: record.epoch + 1, first: "second" });
}

/** A store that takes If-None-Match for nothing, as some servers do. */
class PlainStore extends ForwardingStore {
  override async putIfAbsent(key: string, body: Uint8Array): Promise<boolean> {
    await this.inner.put(key, body);
    return true;
  }
}

const table = "t-11111111-1111-4111-8111-111111111111";

describe("two pools", () => {
  test("a promotion is not undone by who did not see it, on a store without conditional puts either", async () => {
    const pair = newPair(newStore(), new PlainStore(newStore()));
    const before = await establishPair(pair);
    await promoteSecond(pair);
    const promoted = await readPoolState(pair.second.store);
    const late = { ...before.second.record, by: "somebody who slept" };
    await refused(writePoolRecord(pair.second.store, before.second, late), "COMMIT_CONFLICT", /was changed by/);
    assert.deepEqual(await readPoolState(pair.second.store), promoted);
    // The same record again is the answer to a call whose answer was lost.
    assert.ok(promoted !== undefined);
    const { record } = promoted;
    assert.deepEqual(await writePoolRecord(pair.second.store, before.second, record), promoted);
  });

  test("know each other after the first look, and a second look writes nothing", async () => {
    const pair = newPair();
    const state = await establishPair(pair);
    assert.deepEqual([state.first.record.role, state.second.record.role], ["first", "second"]);
    assert.equal(state.first.record.warehouse, state.second.record.warehouse);
    assert.deepEqual(await establishPair(pair), state);
    assert.deepEqual(await establishPair(pair, state), state);
    const reconciled = await noteReconciled(pair, state);
    assert.deepEqual(await noteReconciled(pair, reconciled), reconciled);
  });

  test("a second pool is not begun on as the first, nor one that holds other tables taken as a mirror", async () => {
    const pair = newPair();
    await establishPair(pair);
    await refused(establishPair(swapped(pair)), "POOL_SUPERSEDED", /promote this pool with "miniodb failover"/);
    const strange = newPair();
    await strange.second.store.put(`${table}/metadata/v1.metadata.json`, Buffer.from("{}"));
    await refused(establishPair(strange), "COMMIT_CONFLICT", /has 1 tables that the first pool has not/);
    await strange.first.store.put(`${table}/metadata/v1.metadata.json`, Buffer.from("{}"));
    await establishPair(strange);
  });

  test("nothing is mirrored from an emptied pool, or from another warehouse", async () => {
    const pair = newPair();
    await establishPair(pair);
    await refused(establishPair(newPair(newStore(), pair.second.store)), "COMMIT_CONFLICT", /no record/);
    const other = newPair();
    await establishPair(other);
    const mixed = newPair(other.first.store, pair.second.store);
    await refused(establishPair(mixed), "COMMIT_CONFLICT", /another warehouse/);
  });

  test("a first pool that slept through a promotion yields, and says so to those who come later", async () => {
    const pair = newPair();
    const before = await establishPair(pair);
    await promoteSecond(pair);
    const fence = new PoolFence(pair.first.store, new SharedArrayBuffer(8));
    await fence.check();
    await refused(establishPair(pair, before), "POOL_SUPERSEDED", /since .* that is second \(epoch 2/);
    await refused(fence.check(), "POOL_SUPERSEDED", /Swap store/);
    // Swapped, it is the mirror of the promoted one.
    const state = await establishPair(swapped(pair));
    assert.deepEqual([state.first.record.epoch, state.second.record.epoch], [2, 2]);
    assert.equal(state.second.record.isReconciled, false);
  });

  test("a promoted pool makes the old first its mirror, also where that one heard of nothing", async () => {
    const pair = newPair();
    await establishPair(pair);
    await promoteSecond(pair);
    const state = await establishPair(swapped(pair));
    assert.deepEqual([state.second.record.role, state.second.record.epoch], ["second", 2]);
    await refused(establishPair(pair), "POOL_SUPERSEDED", /epoch 2/);
  });

  test("of two who write a record at once one wins", async () => {
    const pair = newPair();
    const { first } = await establishPair(pair);
    const tries = ["x", "y", "z"].map((by) => writePoolRecord(pair.first.store, first, { ...first.record, by }));
    const results = await Promise.allSettled(tries);
    assert.equal(results.filter(({ status }) => status === "fulfilled").length, 1);
  });

  test("a fence that nobody watches asks nothing, and a closed one holds whatever the pool says", async () => {
    const { store } = newPair().first;
    const memory = new SharedArrayBuffer(8);
    const fence = new PoolFence(store, memory);
    await fence.begin();
    fence.close();
    await fence.checkWatched();
    fence.watch();
    await refused(new PoolFence(store, memory).checkWatched(), "POOL_SUPERSEDED", /Another pool was promoted/);
  });
});
