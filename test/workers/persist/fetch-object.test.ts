import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { cacheId, parseCachedName, partBytes, partsFolder } from "../../../src/shared/store/cache-paths.js";
import type { PartFacts, PartRequest } from "../../../src/shared/store/object-store.js";
import { fetchObject } from "../../../src/workers/persist/fetch-object.js";
import { openTestWarehouse, type TestWarehouse } from "./test-warehouse.js";

const key = "t-00000000-0000-0000-0000-000000000000/data/day=2026-11-22/x.parquet";

describe("fetching an object", () => {
  let warehouse: TestWarehouse;
  let folder: string;
  let calls: string[];

  beforeEach(() => {
    calls = [];
    warehouse = openTestWarehouse((operation) => {
      calls.push(operation);
      return undefined;
    });
    folder = join(warehouse.folder, "cache");
    mkdirSync(partsFolder(folder), { recursive: true });
  });

  afterEach(() => warehouse.remove());

  const fetch = (bytes: number, knownPath: string | null = null) =>
    fetchObject(warehouse.context, { kind: "fetch-object", key, bytes, folder, knownPath });

  for (const bytes of [1, partBytes - 1, partBytes, partBytes + 1, 3 * partBytes + 5]) {
    test(`of ${bytes} bytes: whole, under a name that says what it is`, async () => {
      const body = randomBytes(bytes);
      await warehouse.store.put(key, body);
      const { path, fetchedBytes } = await fetch(bytes);
      assert.equal(fetchedBytes, bytes);
      assert.ok(readFileSync(path).equals(body));
      assert.equal(parseCachedName(basename(path))?.id, cacheId(key));
      const parts = calls.filter((call) => call === "getPart").length;
      assert.equal(parts, Math.ceil(bytes / partBytes), "one request per part");
      assert.deepEqual(await fetch(bytes, path), { kind: "fetched", path, fetchedBytes: 0 });
      assert.equal(calls.filter((call) => call === "getPart").length, parts, "a known file asks for nothing");
    });
  }

  test("a large object comes in ranges of two parts, in pieces of any size; a second try of a range begins its checksums anew", async () => {
    const bytes = 5 * partBytes + 11;
    const body = randomBytes(bytes);
    await warehouse.store.put(key, body);
    const { etag } = await warehouse.store.getPart(key, { start: 0, end: 1 });
    const ranges: number[] = [];
    const streamed = ({ range, target }: PartRequest): Promise<PartFacts> => {
      ranges.push(range.end - range.start);
      // Beyond the first part's end, then lost.
      for (const tryBytes of [partBytes + 5, range.end - range.start]) {
        target.begin();
        for (let at = range.start; at < Math.min(range.end, range.start + tryBytes); at += 999_983) {
          target.take(body.subarray(at, Math.min(at + 999_983, range.end, range.start + tryBytes)));
        }
      }
      return Promise.resolve({ bytes: range.end - range.start, objectBytes: bytes, etag });
    };
    Object.assign(warehouse.store, { streamPart: streamed });
    const { path } = await fetch(bytes);
    assert.deepEqual(ranges, [2 * partBytes, 2 * partBytes, partBytes + 11]);
    assert.ok(readFileSync(path).equals(body));
    assert.deepEqual(await fetch(bytes, path), { kind: "fetched", path, fetchedBytes: 0 }, "the digest is the bytes'");
  });

  test("a known file that is shorter, longer or other than its name says is fetched again", async () => {
    const bytes = partBytes + 1000;
    const body = randomBytes(bytes);
    await warehouse.store.put(key, body);
    const { path } = await fetch(bytes);
    const flipped = Buffer.from(body);
    flipped[partBytes + 7] = (flipped[partBytes + 7] as number) ^ 1;
    const damages = [
      () => truncateSync(path, bytes - 1),
      () => writeFileSync(path, Buffer.concat([body, Buffer.from("x")])),
      () => writeFileSync(path, flipped),
      () => writeFileSync(path, ""),
    ];
    for (const damage of damages) {
      damage();
      assert.deepEqual(await fetch(bytes, path), { kind: "fetched", path, fetchedBytes: bytes });
      assert.ok(readFileSync(path).equals(body));
    }
  });

  test("an object of another size, or none, is refused, and nothing stays", async () => {
    await assert.rejects(fetch(10), { code: "STORE_UNAVAILABLE", message: /is not there/ });
    await warehouse.store.put(key, randomBytes(9));
    await assert.rejects(fetch(10), { code: "STORE_UNAVAILABLE", message: /has 9 bytes, the catalog says 10/ });
    assert.deepEqual(readdirSync(partsFolder(folder)), []);
    assert.deepEqual(readdirSync(folder), ["parts"]);
  });

  test("an object that is replaced half way is refused", async () => {
    const bytes = 3 * partBytes;
    await warehouse.store.put(key, randomBytes(bytes));
    const getPart = warehouse.store.getPart.bind(warehouse.store);
    let first: ReturnType<typeof getPart> | undefined;
    let isReplaced = false;
    // All parts are asked for at once; all but the first are read when that was read, and the object replaced.
    warehouse.store.getPart = async (...asked) => {
      if (first === undefined) return (first = getPart(...asked));
      await first;
      if (!isReplaced) writeFileSync(join(warehouse.folder, "warehouse", key), randomBytes(bytes));
      isReplaced = true;
      return getPart(...asked);
    };
    await assert.rejects(fetch(bytes), { code: "STORE_UNAVAILABLE", message: /was replaced/ });
    assert.deepEqual(readdirSync(folder), ["parts"]);
  });

  test("a store that fails is STORE_UNAVAILABLE; a server that stops fetches no more", async () => {
    await warehouse.store.put(key, randomBytes(10));
    warehouse.store.isAvailable = false;
    await assert.rejects(fetch(10), { code: "STORE_UNAVAILABLE" });
    warehouse.store.isAvailable = true;
    Atomics.store(warehouse.context.stopWord, 0, 1);
    await assert.rejects(fetch(10), { code: "SHUTTING_DOWN" });
    assert.deepEqual(readdirSync(partsFolder(folder)), []);
  });
});
