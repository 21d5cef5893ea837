/** The list of pointer backups, which goes from the first pool to the second one, and with a promotion. */
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { defaultCatalogOptions } from "../../../src/shared/iceberg/catalog-options.js";
import type { ObjectStore } from "../../../src/shared/store/object-store.js";
import { backupId, backupManifestKey, backupManifestPrefix } from "../../../src/shared/store/store-paths.js";
import { MirrorPools } from "../../../src/workers/persist/mirror-pools.js";
import { openTestWarehouse, type TestWarehouse } from "./test-warehouse.js";

const opened: TestWarehouse[] = [];
after(() => {
  for (const warehouse of opened) warehouse.remove();
});

function newPool(): TestWarehouse {
  const warehouse = openTestWarehouse();
  opened.push(warehouse);
  return warehouse;
}

function poolsOf(first: TestWarehouse, second: TestWarehouse): MirrorPools {
  const mirror = {
    store: { kind: "local", folder: second.folder } as const,
    storeHealth: new SharedArrayBuffer(8),
    firstPlace: "first",
    secondPlace: "second",
    by: "test",
    copiesMax: 2,
    rateBytesMax: 0,
  };
  return new MirrorPools({ ...first.context, secondStore: second.store }, { mirror, catalog: defaultCatalogOptions });
}

function keyOf(day: number, kind: "pointers" | "full" = "pointers"): string {
  return backupManifestKey({ id: backupId(Date.UTC(2026, 10, day), "0123abcd"), kind, isSealed: false });
}

async function make(store: ObjectStore, key: string): Promise<void> {
  await store.put(key, Buffer.from(`{"manifest":"${key}"}`));
}

async function listed(store: ObjectStore): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list(backupManifestPrefix)) keys.push(key);
  return keys.toSorted();
}

const [one, two, three] = [keyOf(1), keyOf(2), keyOf(3)];

describe("the list of pointer backups", () => {
  test("follows the first pool, with what it removes, and goes with a failover", async () => {
    const [first, second] = [newPool(), newPool()];
    const pools = poolsOf(first, second);
    await make(first.store, one);
    await make(first.store, keyOf(1, "full"));
    await pools.survey(true);
    assert.deepEqual(await listed(second.store), [one]);
    assert.deepEqual(await second.store.get(one), await first.store.get(one));
    await first.store.delete(one);
    await make(first.store, two);
    await pools.survey(true);
    assert.deepEqual(await listed(second.store), [two]);
    await make(first.store, three);
    await pools.fenceFirst();
    await pools.promoteSecond();
    assert.deepEqual(await listed(second.store), [two, three]);
  });

  test("is not taken from the older of two second pools, nor from one that nobody has fenced", async () => {
    const [first, second] = [newPool(), newPool()];
    await make(first.store, one);
    await poolsOf(first, second).survey(true);
    await first.store.delete(one);
    await make(first.store, two);
    // A failover that was broken off here, and the decision to stay.
    await poolsOf(first, second).fenceFirst();
    await poolsOf(second, first).promoteSecond();
    assert.deepEqual(await listed(first.store), [two]);
    // What answers for the first pool now is empty: at the look of the failover it was away.
    const emptied = newPool();
    const later = [newPool(), newPool()] as const;
    await make(later[0].store, three);
    await poolsOf(...later).survey(true);
    await poolsOf(...later).survey(true);
    await poolsOf(emptied, later[1]).promoteSecond();
    assert.deepEqual(await listed(later[1].store), [three]);
  });
});
