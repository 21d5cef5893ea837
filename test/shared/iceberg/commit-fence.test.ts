/** A commit counts only where its pool was the first one after the put; see store/pool-fence.ts. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { TableCatalog } from "../../../src/shared/iceberg/table-catalog.js";
import { PoolFence } from "../../../src/shared/store/pool-fence.js";
import { writePoolRecord, type PoolRecord } from "../../../src/shared/store/pool-record.js";
import type { ObjectStore } from "../../../src/shared/store/object-store.js";
import { append, putSampleFile, rejectsWith, sampleSchema, withTable } from "./catalog-bench.js";

const fencing: PoolRecord = {
  format: 1,
  warehouse: "w",
  epoch: 2,
  role: "second",
  first: "the other pool",
  time: "2026-11-23T00:00:00.000Z",
  by: "test",
  promoted: {},
  isReconciled: false,
};

/** Calls `act` once, after the first version that is put. */
function afterPut(store: ObjectStore, act: () => Promise<void>): ObjectStore {
  let isDone = false;
  return new Proxy(store, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== "function") return value;
      const method = value.bind(target) as (...parameters: unknown[]) => unknown;
      if (name !== "putIfAbsent") return method;
      return async (key: string, ...rest: unknown[]) => {
        const result = await method(key, ...rest);
        if (!isDone && key.endsWith(".metadata.json")) {
          isDone = true;
          await act();
        }
        return result;
      };
    },
  });
}

describe("a fenced pool", () => {
  test(
    "takes no commit, and says who is first; garbage stays too",
    withTable(1, async ({ identity, store, context, ...warehouse }) => {
      const fence = new PoolFence(store, new SharedArrayBuffer(8));
      fence.watch();
      const catalog = new TableCatalog(store, context({ checkFence: () => fence.checkWatched() }));
      const file = await putSampleFile({ ...warehouse, store, context }, identity, { rows: 2 });
      await catalog.commitAppend(identity, append([file], 0));
      await writePoolRecord(store, undefined, fencing);
      const before = await catalog.loadTable(identity);
      const late = await putSampleFile({ ...warehouse, store, context }, identity, { rows: 2 });
      const error = await rejectsWith(catalog.commitAppend(identity, append([late], 2)), "POOL_SUPERSEDED");
      assert.match(error.message, /the other pool \(epoch 2, by test\)/);
      await rejectsWith(catalog.dropTable(identity), "POOL_SUPERSEDED");
      await rejectsWith(catalog.collectGarbage({ graceMs: 0 }), "POOL_SUPERSEDED");
      await rejectsWith(catalog.createTable({ name: "other", schema: sampleSchema, settings: {} }), "POOL_SUPERSEDED");
      assert.deepEqual(await catalog.loadTable(identity), before);
    }),
  );

  test(
    "does not confirm a commit that was put before the fence and looked after it",
    withTable(2, async ({ identity, store, context, ...warehouse }) => {
      const fence = new PoolFence(store, new SharedArrayBuffer(8));
      fence.watch();
      const slow = afterPut(store, async () => void (await writePoolRecord(store, undefined, fencing)));
      const catalog = new TableCatalog(slow, context({ store: slow, checkFence: () => fence.checkWatched() }));
      const file = await putSampleFile({ ...warehouse, store, context }, identity, { rows: 2 });
      const error = await rejectsWith(catalog.commitAppend(identity, append([file], 0)), "STORE_UNAVAILABLE");
      assert.equal(error.details["unclear"], true);
      // It is there all the same: whoever copies the pool from now on finds it.
      assert.equal((await catalog.loadTable(identity)).positions["s1"], 2);
      await rejectsWith(catalog.commitAppend(identity, append([file], 0)), "POOL_SUPERSEDED");
    }),
  );
});
