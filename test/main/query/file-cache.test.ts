/** The file cache over a real store that waits and fails on demand, with the workers' own fetch in this thread. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import {
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { FileCache } from "../../../src/main/query/file-cache.js";
import type { OpenFiles, StoredFile } from "../../../src/main/query/local-files.js";
import type { CachedCopy } from "../../../src/shared/messages.js";
import { CacheCopies } from "../../../src/workers/persist/cache-copies.js";
import { fetchObject } from "../../../src/workers/persist/fetch-object.js";
import { seededRandom } from "../../harness/seeded-random.js";
import { openTestWarehouse, type TestWarehouse } from "../../workers/persist/test-warehouse.js";

describe("file cache", () => {
  let warehouse: TestWarehouse;
  let folder: string;
  let bodies: Map<string, Buffer>;
  let requests: string[];
  const never = new AbortController().signal;

  beforeEach(() => {
    requests = [];
    bodies = new Map();
    warehouse = openTestWarehouse((operation, key) => {
      if (operation === "getPart") requests.push(key);
      return undefined;
    });
    folder = join(warehouse.folder, "cache");
  });

  afterEach(() => warehouse.remove());

  const put = async (name: string, bytes: number): Promise<StoredFile> => {
    const key = `t/data/${name}`;
    const body = randomBytes(bytes);
    bodies.set(key, body);
    await warehouse.store.put(key, body);
    return { key, bytes };
  };

  const openCache = (bytesMax: number, fetchesMax = 4): FileCache =>
    new FileCache({
      folder,
      bytesMax,
      fetchesMax,
      fetch: (task) => fetchObject(warehouse.context, { kind: "fetch-object", ...task }),
      onError: (doing, error) => assert.fail(`${doing}: ${String(error)}`),
    });

  const check = (files: readonly StoredFile[], opened: OpenFiles): void => {
    assert.equal(opened.paths.length, files.length);
    for (const [index, { key }] of files.entries()) {
      assert.ok(readFileSync(opened.paths[index] as string).equals(bodies.get(key) as Buffer), key);
    }
  };

  const read = async (cache: FileCache, files: readonly StoredFile[], signal = never): Promise<OpenFiles> => {
    const opened = await cache.open(files, signal);
    check(files, opened);
    opened.release();
    return opened;
  };

  const bytesOnDisk = (): number =>
    ["", "parts"].reduce((sum, name) => {
      const names = readdirSync(join(folder, name));
      const sizes = names.map((file) => statSync(join(folder, name, file), { throwIfNoEntry: false }));
      return sum + sizes.reduce((total, entry) => total + (entry?.isFile() === true ? entry.size : 0), 0);
    }, 0);

  test("an object is fetched once, for all who want it and for later", async () => {
    const [a, b, c] = await Promise.all([put("a", 100), put("b", 200), put("c", 300)]);
    const cache = openCache(1000);
    await Promise.all([read(cache, [a, b]), read(cache, [b, a, a]), read(cache, [c, b])]);
    assert.equal(requests.length, 3);
    const again = await read(cache, [c, b, a]);
    assert.deepEqual([again.cachedFiles, again.fetchedBytes, requests.length], [3, 0, 3]);
    const { hits, misses, fetchedBytes, usedBytes, pinnedBytes } = cache.stats;
    assert.deepEqual(
      { hits, misses, fetchedBytes, usedBytes, pinnedBytes },
      { hits: 3, misses: 6, fetchedBytes: 600, usedBytes: 600, pinnedBytes: 0 },
    );
  });

  test("no more fetches at once than allowed, and as many where there is need", async () => {
    let running = 0;
    let runningMax = 0;
    const store = warehouse.store;
    const cache = new FileCache({
      folder,
      bytesMax: 10_000,
      fetchesMax: 3,
      fetch: async (task) => {
        running++;
        runningMax = Math.max(runningMax, running);
        const result = await fetchObject(warehouse.context, { kind: "fetch-object", ...task });
        running--;
        return result;
      },
      onError: () => {},
    });
    const files = await Promise.all(Array.from({ length: 20 }, (_value, index) => put(`f${index}`, 10 + index)));
    store.plan = () => ({ kind: "none", waitMs: 5 });
    await read(cache, files);
    assert.equal(runningMax, 3);
  });

  test("the least recently used go first, and no more than needed", async () => {
    const [a, b, c, d] = (await Promise.all(["a", "b", "c", "d"].map((name) => put(name, 100)))) as [
      StoredFile,
      StoredFile,
      StoredFile,
      StoredFile,
    ];
    const cache = openCache(300);
    for (const file of [a, b, c]) await read(cache, [file]);
    await read(cache, [a]);
    await read(cache, [d]);
    assert.equal(cache.stats.evictions, 1);
    requests = [];
    await read(cache, [a, c, d]);
    assert.deepEqual(requests, []);
    await read(cache, [b]);
    assert.deepEqual(requests, [b.key]);
    assert.equal(cache.stats.usedBytes, 300);
    assert.equal(bytesOnDisk(), 300);
  });

  test("what a query reads stays; others wait for its room in turn, and hits wait for nobody", async () => {
    const [a, b, c] = (await Promise.all(["a", "b", "c"].map((name) => put(name, 100)))) as [
      StoredFile,
      StoredFile,
      StoredFile,
    ];
    const cache = openCache(200);
    const first = await cache.open([a, b], never);
    const order: string[] = [];
    const second = read(cache, [c]).then(() => order.push("second"));
    const third = read(cache, [c, a]).then(() => order.push("third"));
    await delay(20);
    assert.deepEqual([order, cache.stats.waiting, cache.stats.pinnedBytes], [[], 2, 200]);
    await read(cache, [b]);
    check([a, b], first);
    first.release();
    first.release();
    await Promise.all([second, third]);
    assert.deepEqual(order, ["second", "third"]);
    assert.deepEqual([cache.stats.waiting, cache.stats.pinnedBytes], [0, 0]);
  });

  test("a query that gives up waiting makes place for the next", async () => {
    const [a, b, c] = (await Promise.all<StoredFile>([put("a", 150), put("b", 100), put("c", 50)])) as [
      StoredFile,
      StoredFile,
      StoredFile,
    ];
    const cache = openCache(200);
    const held = await cache.open([a], never);
    const control = new AbortController();
    const large = read(cache, [b], control.signal);
    const small = read(cache, [c]);
    const reason = new Error("enough");
    control.abort(reason);
    await assert.rejects(large, reason);
    await small;
    held.release();
    await assert.rejects(cache.open([a], control.signal), reason);
    assert.equal(cache.stats.pinnedBytes, 0);
  });

  test("a query that reads more than the cache holds is refused, and says so", async () => {
    const files = await Promise.all([put("a", 150), put("b", 100)]);
    const cache = openCache(249);
    await assert.rejects(cache.open(files, never), { code: "RESULT_TOO_LARGE", message: /cache\.bytesMax = 249/ });
    await read(cache, files.slice(0, 1));
    assert.deepEqual(requests, ["t/data/a"]);
  });

  test("one that leaves takes nothing from the others; what nobody wants is not begun", async () => {
    const files = await Promise.all(["a", "b", "c"].map((name) => put(name, 100)));
    const [a] = files as [StoredFile];
    warehouse.store.plan = (operation, key) => {
      if (operation === "getPart") requests.push(key);
      return { kind: "none", waitMs: 20 };
    };
    const cache = openCache(1000, 1);
    const control = new AbortController();
    const leaving = read(cache, files, control.signal);
    const staying = read(cache, [a]);
    await delay(5);
    control.abort(new Error("gone"));
    await assert.rejects(leaving, /gone/);
    await staying;
    await delay(10);
    assert.deepEqual(requests, [a.key]);
    assert.equal(cache.stats.usedBytes, 100);
    await read(cache, files);
  });

  test("it is found again after a restart, in the order of use, and looked through before it is used", async () => {
    const files = await Promise.all(["a", "b", "c", "d"].map((name) => put(name, 100)));
    const [a, b, c, d] = files as [StoredFile, StoredFile, StoredFile, StoredFile];
    const before = openCache(1000);
    const { paths } = await read(before, files);
    const pathOf = (file: StoredFile): string => paths[files.indexOf(file)] as string;
    for (const [age, file] of [b, a, d, c].entries()) {
      utimesSync(pathOf(file), Date.now() / 1000 - 1000 + age, statSync(pathOf(file)).mtimeMs / 1000);
    }
    writeFileSync(join(folder, "parts", "half-written"), "half");
    writeFileSync(join(folder, "notes.txt"), "not ours");
    requests = [];
    const cache = openCache(300);
    assert.deepEqual([cache.stats.files, cache.stats.usedBytes], [3, 300]);
    const opened = await read(cache, [a, c, d]);
    assert.deepEqual([requests, opened.cachedFiles], [[], 3]);
    assert.equal(existsSync(pathOf(b)), false, "the least recently used one made room");
    assert.deepEqual(readdirSync(join(folder, "parts")), []);
    assert.ok(existsSync(join(folder, "notes.txt")));
    // A shorter file, and one with other bytes.
    truncateSync(pathOf(a), 99);
    writeFileSync(pathOf(c), randomBytes(100));
    const after = openCache(300);
    const repaired = await read(after, [a, c, d]);
    assert.deepEqual([requests.toSorted(), repaired.cachedFiles], [[a.key, c.key], 1]);
    assert.deepEqual([after.stats.files, after.stats.usedBytes, bytesOnDisk()], [3, 300, 300 + "not ours".length]);
  });

  test("a file that is cut or removed while the server runs is fetched again", async () => {
    const files = await Promise.all(["a", "b", "c"].map((name) => put(name, 100)));
    const cache = openCache(1000);
    const { paths } = await read(cache, files);
    truncateSync(paths[0] as string, 10);
    rmSync(paths[1] as string);
    requests = [];
    const opened = await read(cache, files);
    assert.deepEqual([requests.toSorted(), opened.cachedFiles], [["t/data/a", "t/data/b"], 1]);
    assert.equal(cache.stats.usedBytes, 300);
  });

  test("what the store does not give is an error for those who want it, and asked for again next time", async () => {
    const files = await Promise.all(["a", "b"].map((name) => put(name, 100)));
    const cache = openCache(200);
    warehouse.store.plan = (_operation, key) => (key.endsWith("a") ? { kind: "before" } : undefined);
    const both = await Promise.allSettled([read(cache, files), read(cache, files.slice(0, 1))]);
    assert.deepEqual(
      both.map(({ status }) => status),
      ["rejected", "rejected"],
    );
    await assert.rejects(read(cache, files), { code: "STORE_UNAVAILABLE" });
    warehouse.store.plan = () => undefined;
    await read(cache, files);
    assert.deepEqual([cache.stats.pinnedBytes, cache.stats.usedBytes, cache.stats.fetchFailures], [0, 200, 2]);
  });

  test("a fetch that fails in the moment that lets a waiting query in is that query's error", async () => {
    const [a, b, c] = (await Promise.all(["a", "b", "c"].map((name) => put(name, 100)))) as [
      StoredFile,
      StoredFile,
      StoredFile,
    ];
    let failFetch: ((reason: Error) => void) | undefined;
    const cache = new FileCache({
      folder,
      bytesMax: 200,
      fetchesMax: 2,
      fetch: (task) =>
        task.key === b.key
          ? new Promise((_resolve, reject) => {
              failFetch = reject;
            })
          : fetchObject(warehouse.context, { kind: "fetch-object", ...task }),
      onError: (doing, error) => assert.fail(`${doing}: ${String(error)}`),
    });
    const held = await cache.open([a], never);
    const fetching = cache.open([b], never);
    await delay(5);
    const waiting = cache.open([b, c], never);
    assert.equal(cache.stats.waiting, 1);
    failFetch?.(new Error("by plan"));
    held.release();
    await assert.rejects(fetching, /by plan/);
    await assert.rejects(waiting, /by plan/);
    assert.equal(cache.stats.pinnedBytes, 0);
  });

  test("random queries: never over the bound, never a wrong or missing byte, nobody forgotten", async () => {
    const seed = Number(process.env["MINIODB_TEST_SEED"] ?? Math.floor(Math.random() * 1e6));
    const random = seededRandom(seed);
    const bytesMax = 3000;
    const files: StoredFile[] = [];
    for (let index = 0; index < 30; index++) files.push(await put(`f${index}`, 1 + random.integer(400)));
    let unsettled = 0;
    warehouse.store.plan = () => ({
      kind: random.real() < 0.05 ? "before" : "none",
      ...(random.real() < 0.5 && { waitMs: random.integer(4) }),
    });
    for (let life = 0; life < 3; life++) {
      const cache = openCache(bytesMax - life * 500, 3);
      const max = bytesMax - life * 500;
      const query = async (): Promise<void> => {
        const wanted = Array.from({ length: 1 + random.integer(8) }, () => random.pick(files));
        const control = new AbortController();
        const timer =
          random.real() < 0.2 ? setTimeout(() => control.abort(new Error("left")), random.integer(6)) : undefined;
        try {
          const opened = await cache.open(wanted, control.signal);
          check(wanted, opened);
          await delay(random.integer(5));
          check(wanted, opened);
          opened.release();
        } catch (error) {
          const isExpected = error instanceof Error && /left|by plan|more than the file cache/.test(error.message);
          assert.ok(isExpected, `seed ${seed}: ${String(error)}`);
        } finally {
          clearTimeout(timer);
          unsettled--;
        }
        assert.ok(cache.stats.usedBytes <= max, `seed ${seed}`);
        assert.ok(bytesOnDisk() <= max, `seed ${seed}: ${bytesOnDisk()} bytes on disk`);
      };
      const clients = Array.from({ length: 8 }, async () => {
        for (let round = 0; round < 15; round++) {
          unsettled++;
          if (random.real() < 0.1) {
            const name = random.pick(readdirSync(folder).concat(""));
            if (name.endsWith(".parquet") && cache.stats.pinnedBytes === 0) truncateSync(join(folder, name), 0);
          }
          await query();
        }
      });
      await Promise.all(clients);
      await delay(20);
      assert.deepEqual([cache.stats.pinnedBytes, cache.stats.waiting, unsettled], [0, 0, 0], `seed ${seed}`);
    }
  });

  describe("files of a flush", () => {
    /** As a flush leaves it: the object in the store, and its file in the folder of the cache. */
    const flushed = async (name: string, bytes: number): Promise<{ file: StoredFile; copies: CachedCopy[] }> => {
      const file = await put(name, bytes);
      const path = join(warehouse.folder, `written-${name}`);
      writeFileSync(path, bodies.get(file.key) as Buffer);
      const copies = new CacheCopies({ folder, bytesMax: 1_000_000 });
      copies.keep(path, file.key, bytes);
      assert.equal(statSync(path).nlink, 2, "linked, not copied");
      rmSync(path);
      return { file, copies: copies.publish() };
    };

    test("are read without a fetch, and in a later process too", async () => {
      const cache = openCache(1_000_000);
      const { file, copies } = await flushed("a", 10_000);
      cache.adopt(copies);
      assert.deepEqual([cache.stats.files, cache.stats.usedBytes], [1, 10_000]);
      assert.equal((await read(cache, [file])).cachedFiles, 1);
      assert.equal((await read(openCache(1_000_000), [file])).fetchedBytes, 0);
      assert.deepEqual(requests, []);
    });

    test("take the room of what was not used for longest, within the bound", async () => {
      const cache = openCache(25_000);
      const old = await put("old", 10_000);
      const used = await put("used", 10_000);
      await read(cache, [old]);
      await read(cache, [used]);
      cache.adopt((await flushed("a", 10_000)).copies);
      assert.deepEqual([cache.stats.files, cache.stats.usedBytes, cache.stats.evictions], [2, 20_000, 1]);
      requests.length = 0;
      await read(cache, [used]);
      assert.deepEqual(requests, []);
    });

    test("go where queries hold the room, or are known", async () => {
      const cache = openCache(15_000);
      const held = await put("held", 10_000);
      const opened = await cache.open([held], never);
      const { file, copies } = await flushed("a", 10_000);
      cache.adopt(copies);
      assert.deepEqual([cache.stats.files, cache.stats.usedBytes], [1, 10_000]);
      opened.release();
      assert.equal((await read(cache, [file])).fetchedBytes, 10_000);
      cache.adopt(copies);
      assert.equal((await read(cache, [file])).fetchedBytes, 0);
    });

    test("are not kept beyond the bytes of one task, nor when they are not what they should be", async () => {
      openCache(1_000_000);
      const path = join(warehouse.folder, "written");
      writeFileSync(path, "12345");
      const copies = new CacheCopies({ folder, bytesMax: 4 });
      copies.keep(path, "k", 5);
      const others = new CacheCopies({ folder, bytesMax: 100 });
      others.keep(path, "k", 6);
      assert.deepEqual([copies.publish(), others.publish()], [[], []]);
      assert.ok(existsSync(path));
      others.keep(path, "k", 5);
      others.discard();
      assert.deepEqual(readdirSync(join(folder, "parts")), []);
      new CacheCopies(undefined).keep(path, "k", 5);
    });
  });
});
