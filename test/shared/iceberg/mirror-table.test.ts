/** MINIODB_TEST_SEED replays a run. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { NewDataFile } from "../../../src/shared/iceberg/manifest.js";
import {
  mirrorTable,
  setTableAside,
  type MirrorContext,
  type MirrorReport,
} from "../../../src/shared/iceberg/mirror-table.js";
import { namedObjects } from "../../../src/shared/iceberg/named-objects.js";
import { TableCatalog } from "../../../src/shared/iceberg/table-catalog.js";
import { lifeState } from "../../../src/shared/iceberg/table-properties.js";
import { listVersions, readVersion } from "../../../src/shared/iceberg/version-log.js";
import type { TableIdentity } from "../../../src/shared/messages.js";
import { FaultyStore, randomFaults } from "../../../src/shared/store/faulty-store.js";
import type { ObjectStore } from "../../../src/shared/store/object-store.js";
import { establishPair, noteReconciled, type PairState, type PoolPair } from "../../../src/shared/store/pool-pair.js";
import { readPoolState, writePoolRecord } from "../../../src/shared/store/pool-record.js";
import { isStoreFailure } from "../../../src/shared/store/store-failure.js";
import { versionHintKey, versionKey } from "../../../src/shared/store/store-paths.js";
import { seededRandom, type SeededRandom } from "../../harness/seeded-random.js";
import { append, openWarehouse, putSampleFile, sampleSchema, type TestWarehouse } from "./catalog-bench.js";

const seed = Number(process.env["MINIODB_TEST_SEED"] ?? 20261124);
const writes = new Set(["put", "putIfAbsent", "putFile", "delete"]);

interface Side extends TestWarehouse {
  readonly catalog: TableCatalog;
  readonly place: string;
}

function openSide(place: string, sideSeed: number): Side {
  const warehouse = openWarehouse(sideSeed);
  return { ...warehouse, place, catalog: new TableCatalog(warehouse.store, warehouse.context()) };
}

function pairOf(first: Side, second: Side, target: ObjectStore = second.store): PoolPair {
  return {
    first: { store: first.store, place: first.place },
    second: { store: target, place: second.place },
    by: "test",
    nowMs: Date.now,
  };
}

interface Mirroring {
  readonly from: Side;
  readonly to: Side;
  readonly location: string;
  readonly pair: PairState;
  readonly target?: ObjectStore;
  readonly source?: ObjectStore;
}

function contextOf({ from, to, pair, target = to.store, source = from.store }: Mirroring): MirrorContext {
  return {
    source: from.context({ store: source }),
    target: to.context({ store: target }),
    pair,
    copy: async (object) => {
      const body = await object.from.get(object.key);
      if (object.bytes !== null) assert.equal(body.length, object.bytes);
      await target.put(object.toKey, body);
      return body.length;
    },
    copiesAtOnce: 3,
    check: () => Promise.resolve(),
  };
}

function mirror(mirroring: Mirroring): Promise<MirrorReport> {
  return mirrorTable(contextOf(mirroring), mirroring.location);
}

/** What the pool shows of the table: nothing, or a version with all that it names. */
async function checkWhole(side: Side, location: string): Promise<number> {
  const context = side.context();
  const latest = (await listVersions(side.store, location)).at(-1);
  if (latest === undefined) return 0;
  const { metadata } = await readVersion(side.store, location, latest.version);
  if (lifeState(metadata.properties) === "dropped") return latest.version;
  const { data, manifests } = await namedObjects(context, metadata);
  for (const { key, bytes } of [...data, ...manifests]) {
    const body = await side.store.get(key);
    if (bytes !== null) assert.equal(body.length, bytes, key);
  }
  return latest.version;
}

/** Runs `look` after each call that changed the store. */
function watched(store: ObjectStore, look: (operation: string, key: string) => Promise<void>): ObjectStore {
  return new Proxy(store, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== "function") return value;
      const method = value.bind(target) as (...parameters: unknown[]) => unknown;
      if (!writes.has(String(name))) return method;
      return async (key: string, ...rest: unknown[]) => {
        const result = await method(key, ...rest);
        await look(String(name), key);
        return result;
      };
    },
  });
}

/** A table with a random history; each step is one commit. */
class History {
  readonly #side: Side;
  readonly #random: SeededRandom;
  readonly identity: TableIdentity;
  files: NewDataFile[] = [];
  sequence = 0;

  constructor(side: Side, random: SeededRandom, identity: TableIdentity) {
    this.#side = side;
    this.#random = random;
    this.identity = identity;
  }

  /** The same table, going on in another pool from where that one is. */
  async continueIn(side: Side): Promise<History> {
    const next = new History(side, this.#random, this.identity);
    const state = await side.catalog.loadTable(this.identity);
    next.files = [...state.files];
    next.sequence = state.positions["s1"] ?? 0;
    return next;
  }

  async step(): Promise<void> {
    const { catalog, clock } = this.#side;
    clock.nowMs += 1_000;
    const kind = this.#random.integer(10);
    if (kind === 0) await catalog.expireSnapshots(this.identity, { keep: 2, olderThanMs: 0 });
    else if (kind === 1) await catalog.changeSettings(this.identity, { flushRows: 1 + this.#random.integer(1000) });
    else if (kind <= 3 && this.files.length >= 2) await this.#compact();
    else await this.#append();
  }

  async #append(): Promise<void> {
    const count = 1 + this.#random.integer(3);
    const files: NewDataFile[] = [];
    for (let index = 0; index < count; index++) {
      files.push(await putSampleFile(this.#side, this.identity, { rows: 1 + this.#random.integer(5) }));
    }
    const request = append(files, this.sequence);
    await this.#side.catalog.commitAppend(this.identity, request);
    this.sequence = request.lastSequence;
    this.files.push(...files);
  }

  async #compact(): Promise<void> {
    const merged = this.files.splice(0, 2);
    const rows = merged.reduce((sum, file) => sum + file.rows, 0);
    const file = await putSampleFile(this.#side, this.identity, { rows });
    await this.#side.catalog.commitRewrite(this.identity, { remove: merged.map(({ key }) => key), add: [file] });
    this.files.push(file);
  }
}

async function withSides(
  act: (sides: {
    readonly a: Side;
    readonly b: Side;
    readonly random: SeededRandom;
    readonly history: History;
  }) => Promise<void>,
  offset: number,
): Promise<void> {
  const random = seededRandom(seed + offset);
  const a = openSide("pool A", seed + offset * 2 + 1);
  const b = openSide("pool B", seed + offset * 2 + 2);
  try {
    const { identity } = await a.catalog.createTable({ name: "t", schema: sampleSchema, settings: {} });
    await act({ a, b, random, history: new History(a, random, identity) });
  } finally {
    a.close();
    b.close();
  }
}

async function versionsOf(side: Side, location: string): Promise<number[]> {
  return (await listVersions(side.store, location)).map(({ version }) => version);
}

/** As `miniodb failover` leaves the records; `isFenced` says whether the old first pool could be reached. */
async function promote(from: Side, to: Side, { isFenced }: { readonly isFenced: boolean }): Promise<void> {
  const [own, other] = await Promise.all([readPoolState(from.store), readPoolState(to.store)]);
  assert.ok(own !== undefined && other !== undefined);
  const epoch = other.record.epoch + 1;
  const promoted: Record<string, { version: number; commitId: string }> = {};
  for (const location of await to.store.listFolders("")) {
    const version = (await versionsOf(to, location)).at(-1);
    if (version === undefined) continue;
    const { metadata } = await readVersion(to.store, location, version);
    promoted[location] = { version, commitId: metadata.properties["miniodb.commit-id"] ?? "" };
  }
  const changed = { epoch, first: to.place, isReconciled: false };
  if (isFenced) await writePoolRecord(from.store, own, { ...own.record, ...changed, role: "second" });
  await writePoolRecord(to.store, other, { ...other.record, ...changed, role: "first", promoted });
}

describe(`mirroring a table (seed ${seed})`, () => {
  test("after every single write the second pool is a whole, older state; in the end it is the first's", async () => {
    await withSides(async ({ a, b, random, history }) => {
      const { location } = history.identity;
      const pair = await establishPair(pairOf(a, b));
      let seen = 0;
      let looks = 0;
      const target = watched(b.store, async (operation, key) => {
        const version = await checkWhole(b, location);
        assert.ok(version >= seen, `${operation} ${key} took the table back from ${seen} to ${version}`);
        if (key === versionHintKey(location)) {
          assert.equal(version, (await versionsOf(a, location)).at(-1), "the hint comes last");
        }
        seen = version;
        looks++;
      });
      for (let round = 0; round < 5; round++) {
        const steps = random.integer(5);
        for (let step = 0; step < steps; step++) await history.step();
        const report = await mirror({ from: a, to: b, location, pair, target });
        assert.equal(report.version, (await versionsOf(a, location)).at(-1));
        assert.deepEqual(await b.catalog.loadTable(history.identity), await a.catalog.loadTable(history.identity));
        assert.equal(report.diverged, null);
      }
      assert.ok(looks > 15, `${looks} writes were looked at`);
      for (const version of await versionsOf(b, location)) {
        const key = versionKey(location, version);
        assert.deepEqual(await b.store.get(key), await a.store.get(key));
      }
      const again = await mirror({ from: a, to: b, location, pair });
      assert.deepEqual([again.commits, again.objects, again.bytes], [0, 0, 0]);
    }, 0);
  });

  for (let offset = 1; offset <= 2; offset++) {
    test(`both pools fail at random, before and after they act: whole all the time, and complete by repetition (${offset})`, async () => {
      await withSides(async ({ a, b, random, history }) => {
        const { location } = history.identity;
        const pair = await establishPair(pairOf(a, b));
        const odds = { before: 0.04, after: 0.04, wait: 0, waitMsMax: 0 };
        const target = new FaultyStore(b.store, randomFaults(random.real, odds));
        const source = new FaultyStore(a.store, randomFaults(random.real, odds));
        let failures = 0;
        for (let round = 0; round < 5; round++) {
          for (let step = 0; step < 3; step++) await history.step();
          for (;;) {
            try {
              await mirror({ from: a, to: b, location, pair, target, source });
              break;
            } catch (error) {
              assert.ok(isStoreFailure(error), String(error));
              failures++;
              await checkWhole(b, location);
            }
          }
          assert.deepEqual(await b.catalog.loadTable(history.identity), await a.catalog.loadTable(history.identity));
        }
        assert.ok(failures > 0);
      }, offset);
    });
  }

  test("after an outage longer than the grace time it copies what is left of the versions, and the newest", async () => {
    await withSides(async ({ a, b, history }) => {
      const { location } = history.identity;
      const pair = await establishPair(pairOf(a, b));
      await history.step();
      await mirror({ from: a, to: b, location, pair });
      for (let step = 0; step < 30; step++) await history.step();
      await a.catalog.expireSnapshots(history.identity, { keep: 1, olderThanMs: 0 });
      a.clock.nowMs += 7_200_000;
      assert.ok((await a.catalog.collectGarbage({ graceMs: 3_600_000 })).removed.length > 30);
      const report = await mirror({ from: a, to: b, location, pair });
      assert.deepEqual([report.diverged, report.commits], [null, 1]);
      assert.deepEqual(await b.catalog.loadTable(history.identity), await a.catalog.loadTable(history.identity));
      await checkWhole(b, location);
    }, 20);
  });

  test("a dropped table is dropped in the second pool, and one that was not there is not made", async () => {
    await withSides(async ({ a, b, history }) => {
      const { location } = history.identity;
      const pair = await establishPair(pairOf(a, b));
      await history.step();
      await mirror({ from: a, to: b, location, pair });
      const other = await a.catalog.createTable({ name: "brief", schema: sampleSchema, settings: {} });
      await a.catalog.dropTable(other.identity);
      await a.catalog.dropTable(history.identity);
      assert.equal((await mirror({ from: a, to: b, location, pair })).state, "dropped");
      await mirror({ from: a, to: b, location: other.identity.location, pair });
      assert.deepEqual(await b.catalog.listTables(), []);
      assert.deepEqual(await versionsOf(b, other.identity.location), []);
    }, 21);
  });
});

describe(`a pool that was first before (seed ${seed})`, () => {
  for (const { isFenced, extra, outage } of [
    { isFenced: true, extra: 3, outage: false },
    { isFenced: false, extra: 1, outage: false },
    { isFenced: false, extra: 12, outage: false },
    { isFenced: false, extra: 2, outage: true },
    { isFenced: false, extra: 0, outage: true },
  ]) {
    const name = `follows the promoted one; its ${extra} commits more are kept aside${outage ? ", after a long outage" : ""}`;
    test(name, async () => {
      await withSides(
        async ({ a, b, history }) => {
          const { location } = history.identity;
          await establishPair(pairOf(a, b));
          for (let step = 0; step < 4; step++) await history.step();
          await mirror({ from: a, to: b, location, pair: await establishPair(pairOf(a, b)) });
          const forked = await history.continueIn(b);
          const shared = new Set(history.files.map(({ key }) => key));
          for (let step = 0; step < extra; step++) await history.step();
          await promote(a, b, { isFenced });
          for (let step = 0; step < 6; step++) await forked.step();
          if (outage) {
            for (let step = 0; step < 30; step++) await forked.step();
            await b.catalog.expireSnapshots(history.identity, { keep: 1, olderThanMs: 0 });
            b.clock.nowMs += 7_200_000;
            await b.catalog.collectGarbage({ graceMs: 3_600_000 });
          }
          const lost = history.files.filter(({ key }) => !shared.has(key));
          const pair = await establishPair(pairOf(b, a));
          assert.deepEqual(
            [pair.first.record.role, pair.second.record.role, pair.second.record.epoch],
            ["first", "second", 2],
          );
          const target = watched(a.store, async (_operation, key) => {
            if (key.endsWith(".json")) await checkWhole(a, location);
          });
          const report = await mirror({ from: b, to: a, location, pair, target });
          assert.deepEqual(await a.catalog.loadTable(history.identity), await b.catalog.loadTable(history.identity));
          assert.equal(report.diverged?.versions.length ?? 0, extra);
          for (const { key, bytes } of lost) {
            assert.equal((await a.store.get(`.miniodb-diverged/epoch-2/${key}`)).length, bytes);
          }
          // Once all has followed, what is missing in the first pool's list is only old.
          const reconciled = await noteReconciled(pairOf(b, a), pair);
          for (let step = 0; step < 12; step++) await forked.step();
          await b.catalog.expireSnapshots(history.identity, { keep: 1, olderThanMs: 0 });
          b.clock.nowMs += 7_200_000;
          await b.catalog.collectGarbage({ graceMs: 3_600_000 });
          const late = await mirror({ from: b, to: a, location, pair: reconciled, target });
          assert.equal(late.diverged, null);
          assert.deepEqual(await a.catalog.loadTable(history.identity), await b.catalog.loadTable(history.identity));
          // And back: what was second is first again, by a promotion of its own.
          await promote(b, a, { isFenced: true });
          const back = await history.continueIn(a);
          await back.step();
          const returned = await establishPair(pairOf(a, b));
          await mirror({ from: a, to: b, location, pair: returned });
          assert.deepEqual(await b.catalog.loadTable(history.identity), await a.catalog.loadTable(history.identity));
        },
        30 + extra + (outage ? 50 : 0),
      );
    });
  }

  test("a table that only it has is kept aside as a whole, and readable until it is gone", async () => {
    await withSides(async ({ a, b, history }) => {
      const { location } = history.identity;
      await establishPair(pairOf(a, b));
      for (let step = 0; step < 5; step++) await history.step();
      await promote(a, b, { isFenced: false });
      const pair = await establishPair(pairOf(b, a));
      const before: string[] = [];
      for await (const { key } of a.store.list(location)) before.push(key);
      const target = watched(a.store, async (operation) => {
        if (operation === "delete") await checkWhole(a, location);
      });
      const kept = await setTableAside(contextOf({ from: b, to: a, location, pair, target }), location);
      assert.ok(kept !== undefined && kept.versions.length >= 6 && kept.rows > 0);
      assert.deepEqual(await a.catalog.listTables(), []);
      for (const key of before) await a.store.get(`.miniodb-diverged/epoch-2/${key}`);
      assert.equal(await setTableAside(contextOf({ from: b, to: a, location, pair }), location), undefined);
    }, 95);
  });

  test("faults while diverged commits are replaced leave it whole, and a repetition ends it", async () => {
    await withSides(async ({ a, b, random, history }) => {
      const { location } = history.identity;
      await establishPair(pairOf(a, b));
      for (let step = 0; step < 4; step++) await history.step();
      await mirror({ from: a, to: b, location, pair: await establishPair(pairOf(a, b)) });
      const forked = await history.continueIn(b);
      for (let step = 0; step < 5; step++) await history.step();
      await promote(a, b, { isFenced: true });
      for (let step = 0; step < 3; step++) await forked.step();
      const pair = await establishPair(pairOf(b, a));
      const target = new FaultyStore(
        a.store,
        randomFaults(random.real, { before: 0.04, after: 0.04, wait: 0, waitMsMax: 0 }),
      );
      for (let failures = 0; ; failures++) {
        try {
          await mirror({ from: b, to: a, location, pair, target });
          assert.ok(failures > 0);
          break;
        } catch (error) {
          assert.ok(isStoreFailure(error), String(error));
          await checkWhole(a, location);
        }
      }
      assert.deepEqual(await a.catalog.loadTable(history.identity), await b.catalog.loadTable(history.identity));
    }, 90);
  });
});
