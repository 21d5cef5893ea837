import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { TableRegistry } from "../../../src/main/catalog/table-registry.js";
import { mirrorHealth } from "../../../src/main/upkeep/mirror-health.js";
import { MirrorLoop, type MirrorLoopOptions } from "../../../src/main/upkeep/mirror-loop.js";
import { MiniodbError } from "../../../src/shared/errors.js";
import type { MirrorReport } from "../../../src/shared/iceberg/mirror-table.js";
import type { TableState } from "../../../src/shared/messages.js";
import { initialSchema } from "../../../src/shared/schema/table-schema.js";
import { StoreHealth } from "../../../src/shared/store/store-health.js";

const stream = "33333333-3333-4333-8333-333333333333";
const location = "t-11111111-1111-4111-8111-111111111111";

function stateOf(version: number): TableState {
  const files = Array.from({ length: version }, (_value, index) => {
    return { key: `${location}/data/${index}`, bytes: 100, rows: 1, day: 0, bounds: {}, fieldIds: [1] };
  });
  return {
    identity: { name: "t", uuid: location.slice(2), location },
    version,
    snapshotId: null,
    schema: initialSchema,
    settings: {},
    files,
    positions: { [stream]: version },
    createdMs: 1,
    updatedMs: version * 1000,
  };
}

function reportOf(version: number, parts: Partial<MirrorReport> = {}): MirrorReport {
  const counts = { commits: 1, objects: 3, bytes: 100, diverged: null };
  const positions = { [stream]: version };
  return { location, name: "t", state: "live", version, positions, updatedMs: version * 1000, ...counts, ...parts };
}

interface Bench {
  readonly loop: MirrorLoop;
  readonly registry: TableRegistry;
  readonly asked: string[];
  readonly pool: { answer: (place: string) => Promise<MirrorReport>; check: () => Promise<void>; locations: string[] };
  /** Ticks until nothing is under way. */
  readonly settle: () => Promise<void>;
}

/** The two pools are played here: what the loop does with their answers is what is tested. */
function open(parts: Partial<MirrorLoopOptions> = {}): Bench {
  const registry = new TableRegistry(stream, 1);
  const asked: string[] = [];
  const pool: Bench["pool"] = {
    answer: () => Promise.resolve(reportOf(registry.find("t")?.state.version ?? 1)),
    check: () => Promise.resolve(),
    locations: [],
  };
  const loop = new MirrorLoop({
    registry,
    pool: {
      checkPools: () => pool.check(),
      mirrorTable: (place) => {
        asked.push(place);
        return pool.answer(place);
      },
      surveyMirror: async () => ({ kind: "surveyed", locations: pool.locations, secondOnly: [], setAside: [] }),
      collectMirror: async () => ({ kind: "collected", files: 0, bytes: 0, failed: [] }),
    },
    intervalMs: 60_000,
    garbage: { intervalMs: 60_000, graceMs: 0 },
    onMirrored: () => {},
    log: { info: () => {}, warn: () => {}, error: () => {} },
    ...parts,
  });
  const settle = async (): Promise<void> => {
    for (let round = 0; round < 5; round++) {
      loop.tick(Date.now());
      await delay(1);
    }
  };
  return { loop, registry, asked, pool, settle };
}

describe("the loop that keeps the second pool", () => {
  test("copies a table when it has a new commit, and says how far behind it is until then", async () => {
    const { loop, registry, asked, pool, settle } = open();
    const entry = registry.add(stateOf(2));
    assert.deepEqual([loop.lag().tables, loop.lag().commits, loop.lag().waitingBytes], [1, 2, null]);
    await settle();
    assert.deepEqual([asked, loop.lag().tables, loop.lag().waitingBytes], [[location], 0, 0]);
    pool.answer = () => Promise.reject(new MiniodbError("STORE_UNAVAILABLE", "it is away"));
    entry.adopt(stateOf(5), 5);
    await settle();
    const { tables, commits, waitingBytes, sinceMs, error } = loop.lag();
    assert.deepEqual([tables, commits, waitingBytes, sinceMs, error], [1, 3, 300, 5000, "it is away"]);
    const health = mirrorHealth(loop, new StoreHealth());
    assert.deepEqual([health["mirror"], health["mirror_waiting_bytes"]], ["1 tables and 3 commits behind", "300"]);
    // After a failure it waits before it tries again.
    assert.equal(asked.length, 2);
    pool.answer = () => Promise.resolve(reportOf(5));
    await delay(600);
    await settle();
    assert.deepEqual([loop.lag().tables, loop.lag().error, loop.totals.failures], [0, "", 1]);
    assert.equal(mirrorHealth(loop, new StoreHealth())["mirror"], "ok");
  });

  test("tables that it hears of in the pools alone are copied until they are dropped there too", async () => {
    const { asked, pool, settle } = open({ intervalMs: 1 });
    pool.locations = [location];
    pool.answer = () => Promise.resolve(reportOf(4));
    await settle();
    assert.ok(asked.length >= 1);
    pool.answer = () => Promise.resolve(reportOf(5, { state: "dropped" }));
    await settle();
    const count = asked.length;
    await settle();
    assert.equal(asked.length, count);
  });

  test("hears that another pool was promoted, and copies nothing any more", async () => {
    const { loop, registry, asked, pool, settle } = open();
    pool.answer = () => Promise.reject(new MiniodbError("POOL_SUPERSEDED", "it is second"));
    const entry = registry.add(stateOf(2));
    await settle();
    assert.equal(loop.superseded?.code, "POOL_SUPERSEDED");
    assert.match(mirrorHealth(loop, new StoreHealth())["mirror"] ?? "", /superseded: it is second/);
    entry.adopt(stateOf(3), 3);
    await settle();
    assert.equal(asked.length, 1);
  });
});
