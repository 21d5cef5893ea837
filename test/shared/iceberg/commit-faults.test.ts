import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { MiniodbError } from "../../../src/shared/errors.js";
import type { CatalogContext } from "../../../src/shared/iceberg/catalog-context.js";
import { defaultCatalogOptions } from "../../../src/shared/iceberg/catalog-options.js";
import type { AppendRequest } from "../../../src/shared/iceberg/commit-files.js";
import { TableCatalog } from "../../../src/shared/iceberg/table-catalog.js";
import { listVersions } from "../../../src/shared/iceberg/version-log.js";
import { limits } from "../../../src/shared/limits.js";
import type { TableIdentity } from "../../../src/shared/messages.js";
import { FaultyStore, randomFaults, type FaultPlan } from "../../../src/shared/store/faulty-store.js";
import { ObjectNotFound, type ObjectStore } from "../../../src/shared/store/object-store.js";
import { RetryingStore } from "../../../src/shared/store/retrying-store.js";
import { parseVersionKey, versionKey } from "../../../src/shared/store/store-paths.js";
import { seededRandom } from "../../harness/seeded-random.js";
import {
  append,
  keysOf,
  openWarehouse,
  putSampleFile,
  rejectsWith,
  sampleSchema,
  seededUuid,
  withTable,
  type TestWarehouse,
} from "./catalog-bench.js";

// ---- a store that fails

function isVersionPut(operation: string, key: string): boolean {
  return operation === "putIfAbsent" && parseVersionKey(key) !== undefined;
}

describe("a commit whose put is unclear", () => {
  for (const kind of ["before", "after"] as const) {
    test(
      `is made once when the put fails ${kind} it acts`,
      withTable(21, async ({ store, context, identity, ...warehouse }) => {
        let faults = 1;
        const plan: FaultPlan = (operation, key) =>
          isVersionPut(operation, key) && faults-- > 0 ? { kind } : undefined;
        const faulty = new FaultyStore(store, plan);
        const catalog = new TableCatalog(faulty, context({ store: faulty }));
        const file = await putSampleFile({ ...warehouse, store, context }, identity, { rows: 10 });
        const result = await catalog.commitAppend(identity, append([file], 0));
        assert.equal(result.outcome, "committed");
        assert.equal(faults, -1, "the put was repeated once");
        const versions = await listVersions(store, identity.location);
        assert.deepEqual(
          versions.map(({ version }) => version),
          [1, 2, 3],
        );
      }),
    );
  }

  test(
    "says so when it stays unclear, and the same call finds out",
    withTable(22, async ({ store, context, identity, ...warehouse }) => {
      let isFirst = true;
      const faulty = new FaultyStore(store, (operation, key) => {
        if (!isVersionPut(operation, key)) return undefined;
        const kind = isFirst ? "after" : "before";
        isFirst = false;
        return { kind };
      });
      const catalog = new TableCatalog(faulty, context({ store: faulty }));
      const file = await putSampleFile({ ...warehouse, store, context }, identity, { rows: 10 });
      const request = append([file], 0, { commitId: "mine" });
      const error = await rejectsWith(catalog.commitAppend(identity, request), "STORE_UNAVAILABLE");
      assert.equal(error.details["unclear"], true);
      faulty.plan = () => undefined;
      const result = await catalog.commitAppend(identity, request);
      assert.equal(result.outcome, "already-committed");
      assert.deepEqual(result.head.positions, { s1: 10 });
      assert.equal((await catalog.loadTable(identity)).files.length, 1);
    }),
  );

  for (const [what, operation, error] of [
    ["the list that looks for the version fails", "list", new Error("by plan")],
    ["the store then denies an object that it listed", "list", new ObjectNotFound("v9")],
    ["something breaks in us", "list", new TypeError("by mistake")],
  ] as const) {
    test(
      `never counts as not made after its put: ${what}`,
      withTable(25, async ({ store, context, identity, ...warehouse }) => {
        let isPut = false;
        const faulty = new FaultyStore(store, (called, key) => {
          if (isPut && called === operation) throw error;
          if (isVersionPut(called, key)) isPut = true;
          return undefined;
        });
        const catalog = new TableCatalog(faulty, context({ store: faulty }));
        const file = await putSampleFile({ ...warehouse, store, context }, identity, { rows: 10 });
        const request = append([file], 0, { commitId: "mine" });
        const failure = await rejectsWith(catalog.commitAppend(identity, request), "STORE_UNAVAILABLE");
        assert.equal(failure.details["unclear"], true);
        faulty.plan = () => undefined;
        assert.equal((await catalog.commitAppend(identity, request)).outcome, "already-committed");
      }),
    );
  }

  test(
    "is asked for again after others have committed: what the failed call wrote counts for nothing",
    withTable(26, async ({ store, context, catalog: other, identity, ...warehouse }) => {
      const bench = { ...warehouse, store, context };
      const faulty = new FaultyStore(store, () => undefined);
      const mine = new TableCatalog(faulty, context({ store: faulty }));
      const keys: string[] = [];
      const next = async (stream: string): Promise<AppendRequest> => {
        const file = await putSampleFile(bench, identity, { rows: 1 });
        keys.push(file.key);
        return append([file], 0, { stream, commitId: `commit of ${stream}` });
      };
      // The failed call merges all manifests into one, the repeated one need not; both are merged again later.
      const { manifestsMergeMin } = limits;
      for (let count = 0; count < manifestsMergeMin; count++) {
        await mine.commitAppend(identity, await next(`early-${count}`));
      }
      const request = await next("mine");
      faulty.plan = (operation, key) => (isVersionPut(operation, key) ? { kind: "before" } : undefined);
      await rejectsWith(mine.commitAppend(identity, request), "STORE_UNAVAILABLE");
      faulty.plan = () => undefined;
      for (let count = 0; count < 2; count++) await other.commitAppend(identity, await next(`other-${count}`));
      assert.equal((await mine.commitAppend(identity, request)).outcome, "committed");
      for (let count = 0; count < manifestsMergeMin; count++) {
        await mine.commitAppend(identity, await next(`late-${count}`));
      }
      assert.deepEqual(keysOf(await mine.loadTable(identity)), keys.toSorted());
    }),
  );

  test(
    "was another's when the number is taken by another",
    withTable(23, async ({ store, context, catalog: other, identity, ...warehouse }) => {
      const bench = { ...warehouse, store, context };
      const [mine, theirs] = [
        await putSampleFile(bench, identity, { rows: 1 }),
        await putSampleFile(bench, identity, { rows: 1 }),
      ];
      let done: Promise<unknown> | undefined;
      // Our put is lost on its way; before we repeat it, the other one commits.
      const faulty = new FaultyStore(store, (operation, key) => {
        if (!isVersionPut(operation, key) || done !== undefined) return undefined;
        done = other.commitAppend(identity, append([theirs], 0, { stream: "s2" }));
        return { kind: "before" };
      });
      const catalog = new TableCatalog(faulty, context({ store: faulty, sleep: async () => void (await done) }));
      const result = await catalog.commitAppend(identity, append([mine], 0));
      assert.equal(result.outcome, "committed");
      assert.equal(result.head.version, 4);
      assert.deepEqual(keysOf(await catalog.loadTable(identity)), [mine.key, theirs.key].toSorted());
    }),
  );

  test(
    "a store that is down fails commits without a trace, and they work when it is back",
    withTable(24, async ({ store, context, identity, ...warehouse }) => {
      const faulty = new FaultyStore(store, () => undefined);
      const catalog = new TableCatalog(faulty, context({ store: faulty }));
      const file = await putSampleFile({ ...warehouse, store, context }, identity, { rows: 1 });
      faulty.isAvailable = false;
      await rejectsWith(catalog.commitAppend(identity, append([file], 0)), "STORE_UNAVAILABLE");
      await rejectsWith(catalog.loadTable(identity), "STORE_UNAVAILABLE");
      await rejectsWith(catalog.listTables(), "STORE_UNAVAILABLE");
      faulty.isAvailable = true;
      assert.equal((await catalog.commitAppend(identity, append([file], 0))).outcome, "committed");
    }),
  );
});

describe("many committers on one table", () => {
  const rounds = Number(process.env["MINIODB_TEST_ROUNDS"] ?? 4);
  const seed = Number(process.env["MINIODB_TEST_SEED"] ?? 31);

  test(`16 of them, over a faulty store: every commit once (seed ${seed}, ${rounds} rounds)`, async () => {
    const warehouse = openWarehouse(seed);
    const { store } = warehouse;
    const catalog = new TableCatalog(store, warehouse.context());
    const { identity } = await catalog.createTable({ name: "shared", schema: sampleSchema, settings: {} });
    const expected: string[] = [];
    const faults: FaultCount = { unclearPuts: 0 };
    await Promise.all(
      Array.from({ length: 16 }, async (_value, writer) => {
        const random = seededRandom(seed * 1_000 + writer);
        const mine = faultyCatalog(warehouse, faults, random.real);
        let sequence = 0;
        for (let round = 0; round < rounds; round++) {
          const file = await putSampleFile(warehouse, identity, {
            rows: 1 + random.integer(9),
            day: random.integer(40),
          });
          const request = append([file], sequence, { stream: `stream-${writer}`, commitId: seededUuid(random) });
          sequence = request.lastSequence;
          expected.push(file.key);
          await commitUntilDone(mine, identity, request);
        }
        assert.equal((await catalog.loadTable(identity)).positions[`stream-${writer}`], sequence);
      }),
    );
    const state = await new TableCatalog(store, warehouse.context()).loadTable(identity);
    assert.deepEqual(keysOf(state), expected.toSorted(), `seed ${seed}`);
    const versions = await listVersions(store, identity.location);
    assert.deepEqual(
      versions.map(({ version }) => version),
      Array.from({ length: 16 * rounds + 2 }, (_value, index) => index + 1),
    );
    assert.ok(rounds < 4 || faults.unclearPuts > 0, "some commits were made by a put that answered an error");
    warehouse.close();
  });
});

interface FaultCount {
  /** Puts of a version that acted and then failed. */
  unclearPuts: number;
}

function faultyCatalog(warehouse: TestWarehouse, count: FaultCount, random: () => number): TableCatalog {
  const sleep = () => new Promise<void>((resolve) => setImmediate(resolve));
  const faults = randomFaults(random, { before: 0.05, after: 0.05, wait: 0.1, waitMsMax: 2 });
  const faulty = new FaultyStore(warehouse.store, (operation, key) => {
    const fault = faults(operation, key);
    if (isVersionPut(operation, key) && fault?.kind === "after") count.unclearPuts += 1;
    return fault;
  });
  const retrying = new RetryingStore(faulty, {
    attemptsMax: 3,
    waitMs: 1,
    waitMsMax: 1,
    deadlineMs: 60_000,
    random,
    sleep,
    nowMs: Date.now,
  });
  return new TableCatalog(retrying, warehouse.context({ store: retrying, random, sleep }));
}

/** As the flush does it: the same request until it is made. */
async function commitUntilDone(catalog: TableCatalog, identity: TableIdentity, request: AppendRequest): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    try {
      await catalog.commitAppend(identity, request);
      return;
    } catch (error) {
      if (!(error instanceof MiniodbError) || !error.retryable || "position" in error.details) throw error;
    }
  }
  assert.fail("a commit never got through");
}

// ---- a writer that slept

/** Holds the first put of a version until the test lets it go. */
class SleepyStore extends FaultyStore {
  wake: () => void = () => {};
  readonly isAsleep: Promise<void>;
  #fallAsleep: () => void = () => {};
  #isFirst = true;

  constructor(store: ObjectStore) {
    super(store, () => undefined);
    this.isAsleep = new Promise((resolve) => (this.#fallAsleep = resolve));
  }

  override async putIfAbsent(key: string, body: Uint8Array): Promise<boolean> {
    if (this.#isFirst) {
      this.#isFirst = false;
      const awake = new Promise<void>((resolve) => (this.wake = resolve));
      this.#fallAsleep();
      await awake;
    }
    return super.putIfAbsent(key, body);
  }
}

describe("a writer that slept through the removal of its base", () => {
  const patient: CatalogContext["options"] = { ...defaultCatalogOptions, commitMsMax: Number.POSITIVE_INFINITY };

  test(
    "wins an expired number, notices, and commits on the latest version",
    withTable(41, async ({ store, context, clock, catalog, identity, ...warehouse }) => {
      const sleepy = new SleepyStore(store);
      const sleeper = new TableCatalog(sleepy, context({ store: sleepy, options: patient }));
      const change = sleeper.changeSettings(identity, { flushRows: 77 });
      await sleepy.isAsleep;
      for (let round = 0; round < 5; round++) {
        clock.nowMs += defaultCatalogOptions.garbageGraceMs + 1;
        const file = await putSampleFile({ ...warehouse, store, context, clock }, identity, { rows: 1 });
        await catalog.commitAppend(identity, append([file], round));
      }
      clock.nowMs += defaultCatalogOptions.garbageGraceMs + 1;
      await catalog.collectGarbage({ graceMs: defaultCatalogOptions.garbageGraceMs });
      assert.deepEqual(
        (await listVersions(store, identity.location)).map(({ version }) => version),
        [7],
      );
      sleepy.wake();
      const result = await change;
      assert.equal(result.head.version, 8);
      assert.deepEqual(
        (await listVersions(store, identity.location)).map(({ version }) => version),
        [7, 8],
      );
      const state = await catalog.loadTable(identity);
      assert.deepEqual([state.settings, state.positions, state.files.length], [{ flushRows: 77 }, { s1: 5 }, 5]);
    }),
  );

  test(
    "gives up when its time is over, and leaves nothing",
    withTable(42, async ({ store, context, clock, catalog, identity }) => {
      const sleepy = new SleepyStore(store);
      const sleeper = new TableCatalog(sleepy, context({ store: sleepy }));
      const change = sleeper.changeSettings(identity, { flushRows: 77 });
      await sleepy.isAsleep;
      await catalog.changeSettings(identity, { flushRows: 1 });
      clock.nowMs += defaultCatalogOptions.commitMsMax + 1;
      sleepy.wake();
      await rejectsWith(change, "COMMIT_CONFLICT");
      assert.deepEqual((await catalog.loadTable(identity)).settings, { flushRows: 1 });
    }),
  );

  test(
    "does not bring a removed table back",
    withTable(43, async ({ store, context, clock, catalog, identity }) => {
      const sleepy = new SleepyStore(store);
      const sleeper = new TableCatalog(sleepy, context({ store: sleepy, options: patient }));
      const change = sleeper.changeSettings(identity, { flushRows: 77 });
      await sleepy.isAsleep;
      await catalog.dropTable(identity);
      clock.nowMs += defaultCatalogOptions.garbageGraceMs + 1;
      await catalog.collectGarbage({ graceMs: defaultCatalogOptions.garbageGraceMs });
      assert.deepEqual(await listVersions(store, identity.location), []);
      sleepy.wake();
      await rejectsWith(change, "TABLE_NOT_FOUND");
      assert.deepEqual(await listVersions(store, identity.location), []);
      assert.deepEqual(await catalog.listTables(), []);
    }),
  );

  test(
    "a version that a writer without our marks built on ours counts as ours",
    withTable(44, async ({ store, context, identity }) => {
      // Another engine commits right after our put, before we look: it copies the properties it does not know.
      let isOnce = true;
      class Overtaken extends FaultyStore {
        override async putIfAbsent(key: string, body: Uint8Array): Promise<boolean> {
          const isOurs = await super.putIfAbsent(key, body);
          const version = parseVersionKey(key);
          if (isOurs && version !== undefined && isOnce) {
            isOnce = false;
            await super.putIfAbsent(versionKey(identity.location, version + 1), body);
          }
          return isOurs;
        }
      }
      const overtaken = new Overtaken(store, () => undefined);
      const catalog = new TableCatalog(overtaken, context({ store: overtaken }));
      const result = await catalog.changeSettings(identity, { flushRows: 5 });
      assert.equal(result.head.version, 3);
      assert.deepEqual((await catalog.loadTable(identity)).version, 4);
    }),
  );
});
