import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { Piscina } from "piscina";
import { defaultCatalogOptions } from "../../../src/shared/iceberg/catalog-options.js";
import type { PersistResult, PersistTask, PersistWorkerOptions, TableState } from "../../../src/shared/messages.js";
import { StoreHealth } from "../../../src/shared/store/store-health.js";
import { seededRandom } from "../../harness/seeded-random.js";
import { plainRow, readBack } from "./read-back.js";
import { TableModel } from "./table-model.js";

const stream = "44444444-4444-4444-8444-444444444444";
const folder = mkdtempSync(join(tmpdir(), "miniodb-persist-pool-"));
const warehouse = join(folder, "warehouse");
const temporaryFolder = join(folder, "temporary");
const workerData: PersistWorkerOptions = {
  store: { kind: "local", folder: warehouse },
  temporaryFolder,
  partitionsPerRound: 10,
  compactionMemoryBytes: 64 * 1024 * 1024,
  catalog: { ...defaultCatalogOptions, garbageGraceMs: 0 },
  storeHealth: new StoreHealth().memory,
  stopWord: new SharedArrayBuffer(4),
  lowPriority: false,
};
const pool = new Piscina<PersistTask, PersistResult>({
  filename: new URL("../../../src/workers/persist-worker.js", import.meta.url).href,
  name: "runPersistTask",
  minThreads: 1,
  maxThreads: 1,
  workerData,
});
after(async () => {
  await pool.destroy();
  rmSync(folder, { recursive: true, force: true });
});

async function run<Kind extends PersistResult["kind"]>(
  task: PersistTask,
  kind: Kind,
): Promise<Extract<PersistResult, { kind: Kind }>> {
  const result = await pool.run(task);
  assert.equal(result.kind, kind, JSON.stringify(result));
  return result as Extract<PersistResult, { kind: Kind }>;
}

describe("the persist pool", () => {
  let state: TableState;
  const model = new TableModel(seededRandom(1));
  const shape = { days: 1, firstDay: 20_000, isAscending: true, nullShare: 0 };

  test("the first task sweeps what a crashed process left", async () => {
    mkdirSync(join(temporaryFolder, "spill-x"), { recursive: true });
    writeFileSync(join(temporaryFolder, "left.parquet"), "half");
    mkdirSync(join(warehouse, ".tmp"), { recursive: true });
    writeFileSync(join(warehouse, ".tmp", "left"), "half");
    assert.deepEqual((await run({ kind: "load-warehouse", isFirst: true }, "tables")).states, []);
    assert.ok(!existsSync(join(temporaryFolder, "left.parquet")) && !existsSync(join(temporaryFolder, "spill-x")));
    assert.ok(!existsSync(join(warehouse, ".tmp", "left")));
    await run({ kind: "warm-up" }, "done");
  });

  test("tables are created once, loaded, and given settings", async () => {
    ({ state } = await run({ kind: "create-table", name: "Pool", settings: { flushRows: 10 } }, "table"));
    const again = await run({ kind: "create-table", name: "pool", settings: {} }, "failed");
    assert.equal(again.error.code, "TABLE_EXISTS");
    const { identity } = state;
    const { commit } = await run({ kind: "change-settings", identity, patch: { flushRows: 20 } }, "committed");
    assert.deepEqual(commit.head.settings, { flushRows: 20 });
    const loaded = await run({ kind: "load-table", identity }, "table");
    assert.equal(loaded.state.version, commit.head.version);
    assert.deepEqual((await run({ kind: "load-warehouse", isFirst: false }, "tables")).states, [loaded.state]);
  });

  test("records in shared memory are sealed and flushed", async () => {
    model.addColumn("v", "double");
    for (let record = 0; record < 3; record++) model.appendRecord(20, shape);
    const { schema, lastSequence } = model;
    const { identity } = state;
    const path = join(folder, "hot.parquet");
    for (let afterSequence = 0; afterSequence < lastSequence; afterSequence += 20) {
      const range = { afterSequence, lastSequence: afterSequence + 20 };
      const slice = model.slice(range.afterSequence, range.lastSequence);
      assert.equal((await run({ kind: "seal", slice, schema, ...range, path }, "sealed")).rows, 20);
      await run({ kind: "flush", identity, stream, schema, settings: {}, slice, ...range }, "committed");
    }
    ({ state } = await run({ kind: "load-table", identity }, "table"));
    assert.equal(state.files.length, 3);
  });

  test("files are merged, snapshots expire, and what nobody names is removed", async () => {
    const { identity, schema, files } = state;
    await run({ kind: "compact", identity, schema, settings: {}, files }, "committed");
    await run({ kind: "expire-snapshots", identity, keep: 1, olderThanMs: 0 }, "committed");
    const collected = await run({ kind: "collect-garbage", graceMs: 0, keepKeys: [] }, "collected");
    assert.deepEqual(collected.failed, []);
    ({ state } = await run({ kind: "load-table", identity }, "table"));
    assert.equal(state.files.length, 1);
    for (const { key } of files) assert.ok(!existsSync(join(warehouse, key)));
    const seen = await readBack(
      state.files.map(({ key }) => join(warehouse, key)),
      schema,
    );
    assert.deepEqual(
      seen,
      model.rows.map((row) => plainRow(row, schema)),
    );
  });

  test("a dropped table is not found", async () => {
    const { identity } = state;
    await run({ kind: "drop-table", identity }, "done");
    assert.equal((await run({ kind: "load-table", identity }, "failed")).error.code, "TABLE_NOT_FOUND");
    assert.deepEqual((await run({ kind: "load-warehouse", isFirst: false }, "tables")).states, []);
  });

  test("a file that cannot be written is the store's failure, a record that does not fit a mistake", async () => {
    const { schema, lastSequence } = model;
    const task = { kind: "seal", slice: model.slice(0, lastSequence), schema, afterSequence: 0, lastSequence } as const;
    const path = join(folder, "no-such-folder", "hot.parquet");
    assert.equal((await run({ ...task, path }, "failed")).error.code, "STORE_UNAVAILABLE");
    // Of an id that it never gave: those of columns that it lacks now would be dropped ones.
    const other = { ...schema, columns: schema.columns.slice(0, 1), lastFieldId: 1 };
    await assert.rejects(
      pool.run({ ...task, path: join(folder, "hot.parquet"), schema: other }),
      /field \d+ of a record/,
    );
  });
});
