import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { defaultCatalogOptions } from "../../../src/shared/iceberg/catalog-options.js";
import { planGarbage, planRemoval, retainedVersions } from "../../../src/shared/iceberg/plan-garbage.js";
import { TableCatalog } from "../../../src/shared/iceberg/table-catalog.js";
import { listVersions } from "../../../src/shared/iceberg/version-log.js";
import type { TableIdentity, TableState } from "../../../src/shared/messages.js";
import { FaultyStore } from "../../../src/shared/store/faulty-store.js";
import { ObjectNotFound, type ObjectStore } from "../../../src/shared/store/object-store.js";
import { versionKey } from "../../../src/shared/store/store-paths.js";
import { openWarehouse, putSampleFile, sampleSchema, seededUuid, type TestWarehouse } from "./catalog-bench.js";

const { garbageGraceMs: graceMs } = defaultCatalogOptions;

async function keysIn(store: ObjectStore, prefix = ""): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list(prefix)) keys.push(key);
  return keys;
}

async function withTable(seed: number): Promise<TestWarehouse & { catalog: TableCatalog; identity: TableIdentity }> {
  const warehouse = openWarehouse(seed);
  const catalog = new TableCatalog(warehouse.store, warehouse.context());
  const { identity } = await catalog.createTable({ name: "t", schema: sampleSchema, settings: {} });
  return { ...warehouse, catalog, identity };
}

describe("plan", () => {
  const version = (number: number, modifiedMs: number) => ({
    version: number,
    entry: { key: versionKey("t", number), bytes: 1, modifiedMs },
  });

  test("a version counts until the grace time after its successor came", () => {
    const versions = [version(1, 10), version(2, 20), version(3, 30), version(4, 40)];
    const numbers = (cutoffMs: number) => retainedVersions(versions, cutoffMs).map((each) => each.version);
    assert.deepEqual(numbers(5), [1, 2, 3, 4]);
    assert.deepEqual(numbers(20), [2, 3, 4]);
    assert.deepEqual(numbers(29), [2, 3, 4]);
    assert.deepEqual(numbers(30), [3, 4]);
    assert.deepEqual(numbers(1_000), [4]);
    assert.deepEqual(retainedVersions([], 5), []);
  });

  const object = (key: string, modifiedMs: number) => ({ key, bytes: 1, modifiedMs });
  const objects = [
    object("t/data/day=2026-01-31/old.parquet", 1),
    object("t/data/day=2026-01-31/kept.parquet", 1),
    object("t/data/day=2026-01-31/young.parquet", 99),
    object("t/data/day=2026-01-31/named.parquet", 1),
    object("t/metadata/version-hint.text", 1),
    ...[1, 2, 9, 10].map((number) => version(number, number).entry),
  ];
  const retained = [version(10, 10)];

  test("young, named and kept objects stay; versions go first, the oldest before the others", () => {
    const plan = planGarbage({
      location: "t",
      objects,
      retained,
      named: new Set(["t/data/day=2026-01-31/named.parquet"]),
      keepKeys: new Set(["t/data/day=2026-01-31/kept.parquet"]),
      cutoffMs: 50,
    });
    assert.deepEqual(plan, [
      versionKey("t", 1),
      versionKey("t", 2),
      versionKey("t", 9),
      "t/data/day=2026-01-31/old.parquet",
    ]);
  });

  test("a dropped table goes with its latest version last, and not before what is in use", () => {
    const whole = planRemoval({ objects, retained, keepKeys: new Set() });
    assert.equal(whole.length, objects.length);
    assert.equal(whole.at(-1), versionKey("t", 10));
    const part = planRemoval({ objects, retained, keepKeys: new Set(["t/data/day=2026-01-31/kept.parquet"]) });
    assert.ok(!part.includes(versionKey("t", 10)) && !part.includes("t/data/day=2026-01-31/kept.parquet"));
  });
});

describe("collectGarbage", () => {
  test("removes what a crashed flush left, after the grace time, and says so in a dry run", async () => {
    const { catalog, identity, clock, store, close, ...warehouse } = await withTable(1);
    const bench = { ...warehouse, store, clock, close };
    const orphan = await putSampleFile(bench, identity, { rows: 3 });
    const live = await putSampleFile(bench, identity, { rows: 3 });
    await catalog.commitAppend(identity, {
      stream: "s",
      afterSequence: 0,
      lastSequence: 3,
      schema: sampleSchema,
      files: [live],
    });
    assert.deepEqual((await catalog.collectGarbage({ graceMs })).removed, []);
    clock.nowMs += graceMs + 1;
    const expected = [versionKey(identity.location, 1), versionKey(identity.location, 2), orphan.key];
    const dry = await catalog.collectGarbage({ graceMs, dryRun: true });
    assert.deepEqual(dry.removed, expected);
    assert.ok((await keysIn(store)).includes(orphan.key));
    const kept = await catalog.collectGarbage({ graceMs, keepKeys: new Set([orphan.key]) });
    assert.deepEqual(kept.removed, expected.slice(0, 2));
    const done = await catalog.collectGarbage({ graceMs });
    assert.deepEqual([done.removed, done.bytes, done.failed], [[orphan.key], orphan.bytes, []]);
    assert.equal((await catalog.loadTable(identity)).files.length, 1);
    close();
  });

  test("removes a dropped table, all of it, after the grace time", async () => {
    const { catalog, identity, clock, store, close, ...warehouse } = await withTable(2);
    const file = await putSampleFile({ ...warehouse, store, clock, close }, identity, { rows: 3 });
    await catalog.commitAppend(identity, {
      stream: "s",
      afterSequence: 0,
      lastSequence: 3,
      schema: sampleSchema,
      files: [file],
    });
    await catalog.dropTable(identity);
    clock.nowMs += graceMs - 1;
    await catalog.collectGarbage({ graceMs });
    assert.ok((await keysIn(store)).includes(file.key));
    clock.nowMs += 2;
    const { removed } = await catalog.collectGarbage({ graceMs });
    assert.equal(removed.at(-1), versionKey(identity.location, 4));
    assert.deepEqual(await keysIn(store), []);
    assert.deepEqual(await store.listFolders(""), []);
    assert.deepEqual((await catalog.collectGarbage({ graceMs })).removed, []);
    close();
  });

  test("ends tables that were announced and never won their name, and folders that never had a version", async () => {
    const { catalog, clock, store, context, close } = await withTable(3);
    const dying = new FaultyStore(store, (operation) => (operation === "listFolders" ? { kind: "before" } : undefined));
    await assert.rejects(
      new TableCatalog(dying, context({ store: dying })).createTable({ name: "u", schema: sampleSchema, settings: {} }),
    );
    const stray = "u-0a1b2c3d-4e5f-6789-abcd-ef0123456789/metadata/x.avro";
    await store.put(stray, new Uint8Array(3));
    await store.put("not-a-table/x", new Uint8Array(3));
    for (let round = 0; round < 2; round++) {
      clock.nowMs += graceMs + 1;
      await catalog.collectGarbage({ graceMs });
    }
    assert.deepEqual(
      (await store.listFolders("")).map((folder) => folder.slice(0, 2)),
      ["no", "t-"],
    );
    assert.equal((await catalog.listTables()).length, 1);
    close();
  });

  test("leaves a table alone that it cannot read, and goes on with the others", async () => {
    const { catalog, identity, clock, store, close, ...warehouse } = await withTable(4);
    const bench = { ...warehouse, store, clock, close };
    const { identity: other } = await catalog.createTable({ name: "u", schema: sampleSchema, settings: {} });
    const files = [await putSampleFile(bench, identity, { rows: 1 })];
    await catalog.commitAppend(identity, {
      stream: "s",
      afterSequence: 0,
      lastSequence: 1,
      schema: sampleSchema,
      files,
    });
    const orphans = [await putSampleFile(bench, identity, { rows: 1 }), await putSampleFile(bench, other, { rows: 1 })];
    clock.nowMs += graceMs + 1;
    const list = (await keysIn(store, `${identity.location}/metadata/snap-`))[0] ?? "";
    await store.put(list, Buffer.from("damaged"));
    const report = await catalog.collectGarbage({ graceMs });
    assert.deepEqual(
      report.failed.map((failure) => failure.location),
      [identity.location],
    );
    assert.ok(report.removed.includes(orphans[1]?.key ?? ""));
    assert.ok((await keysIn(store)).includes(orphans[0]?.key ?? ""));
    close();
  });

  test("stopped anywhere, it leaves a table that reads, and finishes the next time", async () => {
    for (let stopAfter = 0; stopAfter < 12; stopAfter++) {
      const { catalog, identity, clock, store, context, close, ...warehouse } = await withTable(50 + stopAfter);
      const bench = { ...warehouse, store, clock, context, close };
      for (let row = 0; row < 5; row++) {
        const files = [await putSampleFile(bench, identity, { rows: 1 })];
        await catalog.commitAppend(identity, {
          stream: "s",
          afterSequence: row,
          lastSequence: row + 1,
          schema: sampleSchema,
          files,
        });
      }
      await catalog.expireSnapshots(identity, { keep: 1, olderThanMs: -1 });
      clock.nowMs += graceMs + 1;
      let deletes = 0;
      const dying = new FaultyStore(store, (operation) =>
        operation === "delete" && deletes++ >= stopAfter ? { kind: "before" } : undefined,
      );
      const report = await new TableCatalog(dying, context({ store: dying })).collectGarbage({ graceMs });
      assert.equal(report.failed.length, deletes > stopAfter ? 1 : 0);
      const fresh = new TableCatalog(store, context());
      await assertWhole(store, await fresh.loadTable(identity));
      assert.deepEqual((await fresh.collectGarbage({ graceMs })).failed, []);
      assert.deepEqual((await listVersions(store, identity.location)).length, 1);
      close();
    }
  });
});

/** Every file that the state names is there. */
async function assertWhole(store: ObjectStore, state: TableState): Promise<void> {
  for (const { key } of state.files) await store.get(key);
}

describe("random lives of tables, against a model", () => {
  const rounds = Number(process.env["MINIODB_TEST_ROUNDS"] ?? 2);
  const steps = 120;

  test(`garbage collection never takes what is in use, and in the end leaves nothing else (${rounds} rounds of ${steps} steps)`, async () => {
    for (let round = 0; round < rounds; round++) {
      const seed = Number(process.env["MINIODB_TEST_SEED"] ?? 1_000) + round;
      await liveAndCollect(seed, steps).catch((error: unknown) => {
        throw new Error(`seed ${seed}`, { cause: error });
      });
    }
  });
});

interface ModelTable {
  readonly identity: TableIdentity;
  /** Keys of the live files with their rows. */
  readonly files: Map<string, number>;
  sequence: number;
}

/** A reader that holds a state: its files must be there for the grace time. */
interface Reader {
  readonly state: TableState;
  readonly untilMs: number;
}

async function liveAndCollect(seed: number, steps: number): Promise<void> {
  const warehouse = openWarehouse(seed);
  const { random, clock, store } = warehouse;
  const options = { ...defaultCatalogOptions, snapshotsKeep: 2, snapshotAgeMsMax: graceMs / 4 };
  const catalogs = [
    new TableCatalog(store, warehouse.context({ options })),
    new TableCatalog(store, warehouse.context({ options })),
  ];
  const tables: ModelTable[] = [];
  let readers: Reader[] = [];

  const create = async (catalog: TableCatalog) => {
    const name = `t${tables.length}_${random.integer(1_000)}`;
    const { identity } = await catalog.createTable({ name, schema: sampleSchema, settings: {} });
    tables.push({ identity, files: new Map(), sequence: 0 });
  };
  const write = (table: ModelTable, rows: number) =>
    putSampleFile(warehouse, table.identity, { rows, day: random.integer(3) });
  const append = async (catalog: TableCatalog, table: ModelTable) => {
    const files = [await write(table, 1 + random.integer(9)), await write(table, 1 + random.integer(9))];
    const lastSequence = table.sequence + files.reduce((sum, file) => sum + file.rows, 0);
    const request = { stream: "s", afterSequence: table.sequence, lastSequence, schema: sampleSchema, files };
    await catalog.commitAppend(table.identity, { ...request, commitId: seededUuid(random) });
    table.sequence = lastSequence;
    for (const file of files) table.files.set(file.key, file.rows);
  };
  const rewrite = async (catalog: TableCatalog, table: ModelTable) => {
    const inputs = [...table.files].filter(() => random.integer(2) === 0).slice(0, 5);
    if (inputs.length === 0) return;
    const merged = await write(
      table,
      inputs.reduce((sum, [, rows]) => sum + rows, 0),
    );
    await catalog.commitRewrite(table.identity, { remove: inputs.map(([key]) => key), add: [merged] });
    for (const [key] of inputs) table.files.delete(key);
    table.files.set(merged.key, merged.rows);
  };
  const read = async (catalog: TableCatalog, table: ModelTable) => {
    readers.push({ state: await catalog.loadTable(table.identity), untilMs: clock.nowMs + graceMs });
  };
  const collect = async (catalog: TableCatalog) => {
    const report = await catalog.collectGarbage({ graceMs });
    assert.deepEqual(report.failed, []);
    for (const table of tables) {
      const state = await catalog.loadTable(table.identity);
      assert.deepEqual(state.files.map((file) => file.key).toSorted(), [...table.files.keys()].toSorted());
      assert.equal(state.positions["s"] ?? 0, table.sequence);
    }
    readers = readers.filter((reader) => reader.untilMs > clock.nowMs);
    for (const reader of readers) await assertWhole(store, reader.state);
  };

  await create(catalogs[0] as TableCatalog);
  for (let step = 0; step < steps; step++) {
    const catalog = random.pick(catalogs);
    clock.nowMs += random.integer(graceMs / 6);
    if (tables.length === 0) await create(catalog);
    const table = random.pick(tables);
    const dice = random.integer(100);
    if (dice < 40) await append(catalog, table);
    else if (dice < 55) await rewrite(catalog, table);
    else if (dice < 65) await write(table, 3);
    else if (dice < 75) await read(catalog, table);
    else if (dice < 80) await catalog.expireSnapshots(table.identity, { keep: 1, olderThanMs: 0 });
    else if (dice < 84) await create(catalog);
    else if (dice < 87) {
      await catalog.dropTable(table.identity);
      tables.splice(tables.indexOf(table), 1);
    } else await collect(catalog);
  }

  // Long after: what is left is the live files and what their one version names.
  clock.nowMs += graceMs * 3;
  const [first, second] = catalogs as [TableCatalog, TableCatalog];
  for (const table of tables) await first.expireSnapshots(table.identity, { keep: 1, olderThanMs: 0 });
  clock.nowMs += graceMs * 3;
  await collect(second);
  const left = await keysIn(store);
  const data = left.filter((key) => key.endsWith(".parquet"));
  assert.deepEqual(data, tables.flatMap((table) => [...table.files.keys()]).toSorted());
  assert.equal(left.filter((key) => key.endsWith(".metadata.json")).length, tables.length);
  const lists = left.filter((key) => key.includes("/snap-")).length;
  assert.ok(lists <= tables.length, "one manifest list per table with files");
  await assert.rejects(store.get("gone"), ObjectNotFound);
  warehouse.close();
}
