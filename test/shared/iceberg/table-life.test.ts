import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { MiniodbError } from "../../../src/shared/errors.js";
import { TableCatalog } from "../../../src/shared/iceberg/table-catalog.js";
import type { TableIdentity } from "../../../src/shared/messages.js";
import { FaultyStore, randomFaults } from "../../../src/shared/store/faulty-store.js";
import type { ObjectStore } from "../../../src/shared/store/object-store.js";
import { RetryingStore } from "../../../src/shared/store/retrying-store.js";
import { versionKey } from "../../../src/shared/store/store-paths.js";
import { seededRandom } from "../../harness/seeded-random.js";
import { openWarehouse, putSampleFile, rejectsWith, sampleSchema, type TestWarehouse } from "./catalog-bench.js";

const request = { name: "Metrics", schema: sampleSchema, settings: { flushRows: 5 } };

function withWarehouse(seed: number, act: (warehouse: TestWarehouse, catalog: TableCatalog) => Promise<void>) {
  return async () => {
    const warehouse = openWarehouse(seed);
    try {
      await act(warehouse, new TableCatalog(warehouse.store, warehouse.context()));
    } finally {
      warehouse.close();
    }
  };
}

describe("the life of a table", () => {
  test(
    "created, it is found by any case of its name, and loads as asked for",
    withWarehouse(1, async ({ clock }, catalog) => {
      const state = await catalog.createTable(request);
      assert.equal(state.identity.name, "Metrics");
      assert.equal(state.identity.location, `metrics-${state.identity.uuid}`);
      assert.deepEqual(state.settings, { flushRows: 5 });
      assert.deepEqual(state.schema, sampleSchema);
      assert.deepEqual([state.files, state.positions, state.snapshotId], [[], {}, null]);
      assert.deepEqual([state.createdMs, state.updatedMs], [clock.nowMs, clock.nowMs]);
      assert.deepEqual(await catalog.listTables(), [state.identity]);
      assert.deepEqual(await catalog.findTable("METRICS"), state.identity);
      assert.equal(await catalog.findTable("metric"), undefined);
      assert.deepEqual(await catalog.loadTable(state.identity), state);
    }),
  );

  test(
    "a name is given once, whatever its case, and again after a drop, under another uuid",
    withWarehouse(2, async (_warehouse, catalog) => {
      const first = await catalog.createTable(request);
      const error = await rejectsWith(catalog.createTable({ ...request, name: "mEtRiCs" }), "TABLE_EXISTS");
      assert.deepEqual(error.details, { ...first.identity });
      await catalog.createTable({ ...request, name: "metrics_2" });
      assert.deepEqual(
        (await catalog.listTables()).map((table) => table.name),
        ["Metrics", "metrics_2"],
      );
      await catalog.dropTable(first.identity);
      const second = await catalog.createTable({ ...request, name: "METRICS" });
      assert.notEqual(second.identity.uuid, first.identity.uuid);
      assert.deepEqual(await catalog.findTable("metrics"), second.identity);
    }),
  );

  test(
    "dropped, nothing finds it, and no commit gets in, but the drop itself is known again",
    withWarehouse(3, async (warehouse, catalog) => {
      const { identity } = await catalog.createTable(request);
      const file = await putSampleFile(warehouse, identity, { rows: 1 });
      await catalog.dropTable(identity, "drop-1");
      await catalog.dropTable(identity, "drop-1");
      await rejectsWith(catalog.dropTable(identity, "drop-2"), "TABLE_NOT_FOUND");
      await rejectsWith(catalog.loadTable(identity), "TABLE_NOT_FOUND");
      await rejectsWith(catalog.changeSettings(identity, {}), "TABLE_NOT_FOUND");
      const append = { stream: "s", afterSequence: 0, lastSequence: 1, schema: sampleSchema, files: [file] };
      await rejectsWith(catalog.commitAppend(identity, append), "TABLE_NOT_FOUND");
      assert.deepEqual(await catalog.listTables(), []);
    }),
  );

  test(
    "settings change where the patch names them; expiry leaves the newest snapshot",
    withWarehouse(4, async (warehouse, catalog) => {
      const { identity } = await catalog.createTable(request);
      const changed = await catalog.changeSettings(identity, { retentionDays: 3, sortOrder: ["label"] });
      assert.deepEqual(changed.head.settings, { ...request.settings, retentionDays: 3, sortOrder: ["label"] });
      const [key] = Object.keys(request.settings);
      const back = await catalog.changeSettings(identity, { [key as "flushRows"]: null, retentionDays: null });
      assert.deepEqual(back.head.settings, { sortOrder: ["label"] });
      for (let row = 0; row < 4; row++) {
        warehouse.clock.nowMs += 1_000;
        const files = [await putSampleFile(warehouse, identity, { rows: 1 })];
        await catalog.commitAppend(identity, {
          stream: "s",
          afterSequence: row,
          lastSequence: row + 1,
          schema: sampleSchema,
          files,
        });
      }
      await catalog.expireSnapshots(identity, { keep: 0, olderThanMs: 0 });
      const state = await catalog.loadTable(identity);
      assert.equal(state.files.length, 4);
      const metadata: unknown = JSON.parse(
        Buffer.from(await warehouse.store.get(versionKey(identity.location, state.version))).toString(),
      );
      assert.equal((metadata as { readonly snapshots: readonly unknown[] }).snapshots.length, 1);
    }),
  );

  test(
    "folders that are no tables are passed by",
    withWarehouse(5, async ({ store }, catalog) => {
      await store.put("notes/readme.txt", new Uint8Array(1));
      await store.put("metrics-0a1b2c3d-4e5f-6789-abcd-ef0123456789/data/day=2026-01-01/x.parquet", new Uint8Array(1));
      assert.deepEqual(await catalog.listTables(), []);
      await catalog.createTable(request);
      assert.equal((await catalog.listTables()).length, 1);
    }),
  );

  test(
    "metadata that cannot be read is an error, never a missing table",
    withWarehouse(6, async ({ store }, catalog) => {
      const { identity, version } = await catalog.createTable(request);
      await store.put(versionKey(identity.location, version), Buffer.from("{"));
      await rejectsWith(catalog.loadTable(identity), "INTERNAL");
      await rejectsWith(catalog.listTables(), "INTERNAL");
    }),
  );
});

describe("several creators of one name", () => {
  const rounds = Number(process.env["MINIODB_TEST_ROUNDS"] ?? 8);

  for (const [what, odds] of [
    ["a sound store", 0],
    ["a faulty store", 0.03],
  ] as const) {
    test(`one of eight wins, over ${what} (${rounds} rounds)`, async () => {
      for (let round = 0; round < rounds; round++) {
        const seed = 100 + round;
        const warehouse = openWarehouse(seed);
        const results = await Promise.all(
          Array.from({ length: 8 }, async (_value, creator): Promise<TableIdentity | string> => {
            const random = seededRandom(seed * 100 + creator);
            const catalog = new TableCatalog(...parts(warehouse, odds, random.real));
            await pause(random.real() * 5);
            try {
              return (await catalog.createTable({ ...request, name: creator % 2 === 0 ? "Shared" : "shared" }))
                .identity;
            } catch (error) {
              assert.ok(error instanceof MiniodbError, String(error));
              return error.code;
            }
          }),
        );
        const created = results.filter((result) => typeof result !== "string");
        const listed = await new TableCatalog(warehouse.store, warehouse.context()).listTables();
        assert.ok(listed.length <= 1 && created.length <= 1, `two tables of one name (seed ${seed})`);
        assert.deepEqual(
          created.filter((table) => table.uuid !== listed[0]?.uuid),
          [],
          `a created table is gone (seed ${seed})`,
        );
        // Without faults somebody must win, and all others know it.
        if (odds === 0) {
          assert.deepEqual(results.filter((result) => result === "TABLE_EXISTS").length, 7, `seed ${seed}`);
        }
        warehouse.close();
      }
    });
  }

  test("one that died between announcing and winning is no obstacle", async () => {
    const warehouse = openWarehouse(7);
    const faulty = new FaultyStore(warehouse.store, (operation) =>
      operation === "listFolders" ? { kind: "before" } : undefined,
    );
    await rejectsWith(
      new TableCatalog(faulty, warehouse.context({ store: faulty })).createTable(request),
      "STORE_UNAVAILABLE",
    );
    const catalog = new TableCatalog(warehouse.store, warehouse.context());
    assert.equal((await warehouse.store.listFolders("metrics-")).length, 1);
    assert.deepEqual(await catalog.listTables(), []);
    const { identity } = await catalog.createTable(request);
    assert.deepEqual(await catalog.listTables(), [identity]);
    warehouse.close();
  });
});

function parts(
  warehouse: TestWarehouse,
  odds: number,
  random: () => number,
): ConstructorParameters<typeof TableCatalog> {
  const faults = randomFaults(random, { before: odds, after: odds, wait: 0.3, waitMsMax: 2 });
  const faulty: ObjectStore = new FaultyStore(warehouse.store, faults);
  const sleep = (ms: number) => pause(Math.min(ms, 2));
  const store = new RetryingStore(faulty, {
    attemptsMax: 3,
    waitMs: 1,
    waitMsMax: 1,
    deadlineMs: 60_000,
    random,
    sleep,
    nowMs: Date.now,
  });
  return [store, warehouse.context({ store, random, sleep })];
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
