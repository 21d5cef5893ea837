import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, beforeEach, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { MiniodbError } from "../../../src/shared/errors.js";
import { RealDisk } from "../../../src/shared/disk/real-disk.js";
import { ClaimedStore } from "../../../src/shared/store/claimed-store.js";
import { FaultyStore } from "../../../src/shared/store/faulty-store.js";
import { LocalStore } from "../../../src/shared/store/local-store.js";
import { StoreExclusion, monotonicNanos } from "../../../src/shared/store/store-exclusion.js";
import { releaseClaim, renewClaim, takeClaim } from "../../../src/shared/store/warehouse-claim.js";
import { bytesOf, testConformance } from "./store-conformance.js";

/** Long against a busy machine's pauses, short against a test's patience. */
const staleMs = 1_500;

testConformance("one without conditional puts, with a claim", () => {
  const root = mkdtempSync(join(tmpdir(), "miniodb-claimed-"));
  const store = new LocalStore({ root, disk: new RealDisk(), sweepTemporary: false });
  const shared = new StoreExclusion();
  shared.mode = "claim";
  shared.claimed(monotonicNanos(), 3_600_000);
  // As two threads of one process have it.
  const open = () => new ClaimedStore(store, new StoreExclusion(shared.memory));
  return { store: open(), other: open(), close: () => rmSync(root, { recursive: true }) };
});

describe("the claim on a warehouse", () => {
  const root = mkdtempSync(join(tmpdir(), "miniodb-claim-"));
  const store = new LocalStore({ root, disk: new RealDisk(), sweepTemporary: false });
  after(() => rmSync(root, { recursive: true }));
  beforeEach(async () => store.delete(".miniodb-claim/claim.json"));

  const server = (name: string) => {
    const options = { holder: `holder-${name}`, node: name, staleMs };
    const shared = new StoreExclusion();
    return {
      shared,
      take: () => takeClaim(store, options, shared),
      renew: () => renewClaim(store, options, shared),
      release: () => releaseClaim(store, options, shared),
    };
  };
  const isBusyWith = (node: string) => (error: unknown) =>
    error instanceof MiniodbError && error.code === "SERVER_BUSY" && error.message.includes(`node ${node} `);

  test("one that is renewed turns a second server away; one that was given back does not", async () => {
    const [one, two] = [server("one"), server("two")];
    await one.take();
    assert.equal(one.shared.isClaimValid, true);
    const renewing = setInterval(() => void one.renew(), staleMs / 6);
    try {
      await assert.rejects(two.take(), isBusyWith("one"));
      assert.equal(two.shared.mode, "unknown");
      assert.equal(one.shared.isClaimValid, true);
    } finally {
      clearInterval(renewing);
    }
    await delay(50);
    await one.release();
    assert.equal(one.shared.isClaimValid, false);
    await two.take();
    assert.equal(two.shared.isClaimValid, true);
  });

  test("one that nobody renews is taken over, and its holder finds out and commits nothing any more", async () => {
    const [one, two] = [server("one"), server("two")];
    await one.take();
    await two.take();
    assert.equal(one.shared.isClaimValid, false, "it ended by itself before another could have it");
    await assert.rejects(one.renew(), isBusyWith("two"));
    assert.equal(one.shared.mode, "lost");
    const claimed = new ClaimedStore(store, one.shared);
    await assert.rejects(claimed.putIfAbsent("t/v1", bytesOf("x")), /belongs to another server now/);
    await two.renew();
    assert.equal(await new ClaimedStore(store, two.shared).putIfAbsent("t/v1", bytesOf("x")), true);
  });

  test("a restart on the same folder need not wait", async () => {
    await server("one").take();
    const again = server("one");
    const startMs = performance.now();
    await again.take();
    assert.ok(performance.now() - startMs < staleMs, "it waited for itself");
  });

  test("of servers that start at once at most one goes on", async () => {
    const servers = ["a", "b", "c", "d"].map(server);
    const outcomes = await Promise.allSettled(servers.map((each) => each.take()));
    assert.ok(outcomes.filter(({ status }) => status === "fulfilled").length <= 1);
  });

  test("what is claimed no longer in time is not written, and a put without an answer holds up the next", async () => {
    const one = server("one");
    await one.take();
    one.shared.claimed(monotonicNanos(), 0);
    const claimed = new ClaimedStore(store, one.shared);
    await assert.rejects(claimed.putIfAbsent("t/v2", bytesOf("x")), /could not be renewed/);
    await one.renew();
    let failures = 1;
    const unclear = new FaultyStore(store, (operation) =>
      operation === "put" && failures-- > 0 ? { kind: "after" } : undefined,
    );
    const waiting = new ClaimedStore(unclear, one.shared, 200);
    const startMs = performance.now();
    const first = waiting.putIfAbsent("t/v3", bytesOf("x"));
    const second = waiting.putIfAbsent("t/v4", bytesOf("y"));
    await assert.rejects(first);
    assert.equal(await second, true);
    assert.ok(performance.now() - startMs >= 190);
    assert.equal(await waiting.putIfAbsent("t/v3", bytesOf("x")), false);
  });
});
