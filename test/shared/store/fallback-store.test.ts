import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { RealDisk } from "../../../src/shared/disk/real-disk.js";
import { FallbackStore } from "../../../src/shared/store/fallback-store.js";
import { FaultyStore, StoreFault } from "../../../src/shared/store/faulty-store.js";
import { LocalStore } from "../../../src/shared/store/local-store.js";
import { ObjectNotFound } from "../../../src/shared/store/object-store.js";
import { GatheringTarget } from "./store-conformance.js";

const root = mkdtempSync(join(tmpdir(), "miniodb-fallback-"));
after(() => rmSync(root, { recursive: true, force: true }));

const table = "t-11111111-1111-4111-8111-111111111111";
const uuid = "22222222-2222-4222-8222-222222222222";
const dataKey = `${table}/data/day=2026-11-23/1769860801000-${uuid}.parquet`;
const manifestKey = `${table}/metadata/${uuid}-m0.avro`;
const versionKey = `${table}/metadata/v3.metadata.json`;
const text = (body: Uint8Array): string => Buffer.from(body).toString();

function open(name: string): { first: FaultyStore; second: FaultyStore; both: FallbackStore; used: () => number } {
  const local = (side: string): FaultyStore =>
    new FaultyStore(
      new LocalStore({ root: join(root, name, side), disk: new RealDisk(), sweepTemporary: false }),
      () => undefined,
    );
  const [first, second] = [local("first"), local("second")];
  let count = 0;
  return { first, second, both: new FallbackStore(first, second, () => count++), used: () => count };
}

describe("a store with a second one for its readers", () => {
  test("gives data files and manifests while the first is away, and nothing that may change", async () => {
    const { first, second, both, used } = open("away");
    for (const key of [dataKey, manifestKey, versionKey]) {
      await first.put(key, Buffer.from("same"));
      await second.put(key, Buffer.from("same"));
    }
    assert.equal(text(await both.get(dataKey)), "same");
    assert.equal(used(), 0);
    first.isAvailable = false;
    assert.equal(text(await both.get(dataKey)), "same");
    assert.equal(text(await both.get(manifestKey, { start: 1, end: 3 })), "am");
    assert.equal(used(), 2);
    await assert.rejects(both.get(versionKey), StoreFault);
    await assert.rejects(both.listFolders(""), StoreFault);
    await assert.rejects(both.put(dataKey, Buffer.from("other")), StoreFault);
    await assert.rejects(both.putIfAbsent(dataKey, Buffer.from("other")), StoreFault);
  });

  test("an object that was begun in one is finished in the other", async () => {
    const { first, second, both } = open("parts");
    await first.put(dataKey, Buffer.from("abcdef"));
    await second.put(dataKey, Buffer.from("abcdef"));
    const begun = await both.getPart(dataKey, { start: 0, end: 2 });
    first.isAvailable = false;
    const middle = await both.getPart(dataKey, { start: 2, end: 4 }, begun.etag);
    assert.deepEqual([text(middle.body), middle.objectBytes], ["cd", 6]);
    first.isAvailable = true;
    const end = await both.getPart(dataKey, { start: 4, end: 6 }, middle.etag);
    assert.deepEqual([text(end.body), end.etag], ["ef", middle.etag]);
    first.isAvailable = false;
    const target = new GatheringTarget();
    const request = { key: dataKey, range: { start: 1, end: 5 }, target };
    const streamed = await both.streamPart(request);
    assert.deepEqual([text(target.bytes), streamed], ["bcde", { bytes: 4, objectBytes: 6, etag: middle.etag }]);
    assert.deepEqual(await both.streamPart({ ...request, etag: middle.etag }), streamed);
    await assert.rejects(both.streamPart({ ...request, key: versionKey }), StoreFault);
  });

  test("what the first says counts: gone is gone, and its error is the one that is thrown", async () => {
    const { first, second, both } = open("gone");
    await second.put(dataKey, Buffer.from("old"));
    await assert.rejects(both.get(dataKey), ObjectNotFound);
    first.isAvailable = false;
    await assert.rejects(both.get(manifestKey), /did not run, by plan/);
  });
});
