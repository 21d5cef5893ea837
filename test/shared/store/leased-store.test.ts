import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { RealDisk } from "../../../src/shared/disk/real-disk.js";
import { ForwardingStore } from "../../../src/shared/store/forwarding-store.js";
import { LeasedStore } from "../../../src/shared/store/leased-store.js";
import { LocalStore } from "../../../src/shared/store/local-store.js";
import { ObjectNotFound, type ObjectStore } from "../../../src/shared/store/object-store.js";
import { openRedis, RedisLease } from "../../../src/shared/store/redis-lease.js";
import { StoreError } from "../../../src/shared/store/store-failure.js";
import { type RedisTestServer, startRedis, whyNoRedis } from "../../harness/redis-server.js";
import { bytesOf, testConformance } from "./store-conformance.js";

const skip = whyNoRedis();
const leaseMs = 300;

/** A store that has no put-if-absent, and whose puts a test can hold up. */
class PlainStore extends ForwardingStore {
  beforePut: (key: string) => Promise<void> = () => Promise.resolve();

  override async put(key: string, body: Uint8Array): Promise<void> {
    await this.beforePut(key);
    await this.inner.put(key, body);
  }

  override putIfAbsent(): Promise<boolean> {
    throw new Error("this store has no conditional puts");
  }
}

let redis: RedisTestServer;
before(async () => {
  if (skip === false) redis = await startRedis();
});
after(async () => {
  if (skip === false) await redis.stop();
});

async function openWriter(store: ObjectStore, waitMsMax = 5_000) {
  const options = { host: "127.0.0.1", port: redis.port, username: "", password: "", database: 0, isTls: false };
  const client = await openRedis(options);
  const lease = new RedisLease(client, { warehouse: "s3://test", leaseMs, waitMsMax });
  return { store: new LeasedStore(store, lease), client };
}

testConformance(
  "one without conditional puts, with a lease in Redis",
  async () => {
    const root = mkdtempSync(join(tmpdir(), "miniodb-leased-"));
    const local = new PlainStore(new LocalStore({ root, disk: new RealDisk(), sweepTemporary: false }));
    const [one, other] = [await openWriter(local, 60_000), await openWriter(local, 60_000)];
    const close = (): void => {
      one.client.disconnect();
      other.client.disconnect();
      rmSync(root, { recursive: true });
    };
    return { store: one.store, other: other.store, close };
  },
  { skip },
);

describe("a put-if-absent by lease", { skip }, () => {
  const root = mkdtempSync(join(tmpdir(), "miniodb-leased-"));
  const local = new LocalStore({ root, disk: new RealDisk(), sweepTemporary: false });
  const open: { disconnect: () => void }[] = [];
  const writer = async (store: ObjectStore, waitMsMax?: number) => {
    const opened = await openWriter(store, waitMsMax);
    open.push(opened.client);
    return opened;
  };
  afterEach(() => {
    for (const client of open.splice(0)) client.disconnect();
  });
  after(() => rmSync(root, { recursive: true }));

  const text = async (key: string): Promise<string> => Buffer.from(await local.get(key)).toString();

  test("a writer that is paused before its put does not replace what came after it", async () => {
    let wake = (): void => {};
    let isPaused = false;
    const slow = new PlainStore(local);
    slow.beforePut = () => {
      isPaused = true;
      return new Promise((resolve) => {
        wake = resolve;
      });
    };
    const paused = await writer(slow);
    const late = paused.store.putIfAbsent("t/v1", bytesOf("of the paused one"));
    while (!isPaused) await delay(5);
    // As if its process stood still: it does not renew.
    paused.client.disconnect();
    const other = await writer(new PlainStore(local));
    // It makes the paused writer's put first: the number is taken, by the one who announced it.
    assert.equal(await other.store.putIfAbsent("t/v1", bytesOf("of the other")), false);
    assert.equal(await text("t/v1"), "of the paused one");
    assert.equal(await other.store.putIfAbsent("t/v2", bytesOf("of the other")), true);
    wake();
    await assert.rejects(late, StoreError);
    assert.equal(await text("t/v1"), "of the paused one");
    assert.equal(await text("t/v2"), "of the other");
  });

  test("a writer that lost its lease before it announced its put makes none", async () => {
    const plain = new PlainStore(local);
    let isLost = false;
    const looking = new (class extends ForwardingStore {
      looks = 0;
      override async getPart(...args: Parameters<ObjectStore["getPart"]>) {
        // The second look is under the lease, which runs out now.
        if (++this.looks === 2) {
          const other = await writer(plain);
          await other.client.del("miniodb:commit:{s3://test/u}:lease");
          assert.equal(await other.store.putIfAbsent("u/v1", bytesOf("of the other")), true);
          isLost = true;
          // As it looked before the other's put.
          throw new ObjectNotFound("u/v1");
        }
        return super.getPart(...args);
      }
    })(plain);
    const first = await writer(looking);
    await assert.rejects(first.store.putIfAbsent("u/v1", bytesOf("of the slow one")), /went to another writer/);
    assert.equal(isLost, true);
    assert.equal(await text("u/v1"), "of the other");
  });

  test("a put that failed is made by the next writer, so that nobody's number is lost", async () => {
    const failing = new PlainStore(local);
    failing.beforePut = () => Promise.reject(new StoreError("unclear", "by plan"));
    const first = await writer(failing);
    await assert.rejects(first.store.putIfAbsent("w/v1", bytesOf("first")), StoreError);
    const second = await writer(new PlainStore(local));
    assert.equal(await second.store.putIfAbsent("w/v1", bytesOf("second")), false);
    assert.equal(await text("w/v1"), "first");
  });

  test("says so where Redis is not there, or another holds the lease all the time", async () => {
    const plain = new PlainStore(local);
    let free = (): void => {};
    const holding = new PlainStore(local);
    holding.beforePut = () => new Promise((resolve) => void (free = resolve));
    const holder = await writer(holding);
    const held = holder.store.putIfAbsent("x/v1", bytesOf("x"));
    await delay(50);
    const waiting = await writer(plain, 2 * leaseMs);
    // Held for longer than a lease lasts: it is renewed.
    await assert.rejects(waiting.store.putIfAbsent("x/v2", bytesOf("y")), /was not free/);
    free();
    assert.equal(await held, true);
    assert.equal(await waiting.store.putIfAbsent("x/v2", bytesOf("y")), true);
    const options = { host: "127.0.0.1", port: 1, username: "", password: "", database: 0, isTls: false };
    const client = await openRedis(options);
    open.push(client);
    const lost = new LeasedStore(plain, new RedisLease(client, { warehouse: "s3://test", leaseMs, waitMsMax: 100 }));
    await assert.rejects(lost.putIfAbsent("x/v3", bytesOf("z")), /Redis, which holds the lease/);
  });
});
