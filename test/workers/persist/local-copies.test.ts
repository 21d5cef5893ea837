import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { ForwardingStore } from "../../../src/shared/store/forwarding-store.js";
import { withLocalFiles, withSecondNames } from "../../../src/workers/persist/local-copies.js";
import type { PersistContext } from "../../../src/workers/persist/persist-context.js";
import { openTestWarehouse, type TestWarehouse } from "./test-warehouse.js";

class FarStore extends ForwardingStore {
  override get isLocal(): boolean {
    return false;
  }
}

describe("files of a store elsewhere, for a merge", () => {
  let warehouse: TestWarehouse;
  let context: PersistContext;
  let cache: string;
  let fetched: string[];

  beforeEach(async () => {
    fetched = [];
    warehouse = openTestWarehouse((operation, key) => {
      if (operation === "getPart") fetched.push(key);
      return undefined;
    });
    const store = new FarStore(warehouse.store);
    context = { ...warehouse.context, store, readStore: store };
    cache = join(warehouse.folder, "cache");
    mkdirSync(cache);
    for (const key of ["a", "b", "c"]) await warehouse.store.put(key, Buffer.from(`object ${key}`));
  });
  afterEach(() => warehouse.remove());

  const files = ["a", "b", "c"].map((key) => ({ key, bytes: "object a".length }));

  test("what the cache has is read by a second name, the rest is fetched; both are gone afterwards", async () => {
    const cached = join(cache, "b.parquet");
    writeFileSync(cached, "object b");
    const gone = join(cache, "c.parquet");
    await withSecondNames(context, { b: cached, c: gone }, async (localPaths) => {
      assert.deepEqual(Object.keys(localPaths), ["b"]);
      // The cache needs its room.
      rmSync(cached);
      await withLocalFiles({ ...context, localPaths }, files, (paths) => {
        const bodies = paths.map((path) => readFileSync(path, "utf8"));
        assert.deepEqual(bodies, ["object a", "object b", "object c"]);
        return Promise.resolve();
      });
      assert.ok(existsSync(localPaths["b"] as string), "until the end of the task");
    });
    assert.deepEqual(fetched.toSorted(), ["a", "c"]);
    assert.deepEqual(warehouse.temporaryFiles(), []);
  });

  test("a task that fails leaves no second name", async () => {
    const cached = join(cache, "b.parquet");
    writeFileSync(cached, "object b");
    const failing = withSecondNames(context, { b: cached }, () => Promise.reject(new Error("cancelled")));
    await assert.rejects(failing, /cancelled/);
    assert.deepEqual(warehouse.temporaryFiles(), []);
    assert.ok(existsSync(cached));
  });
});
