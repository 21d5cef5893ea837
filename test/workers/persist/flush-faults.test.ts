import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";
import { MiniodbError } from "../../../src/shared/errors.js";
import type { FlushTask, TableIdentity } from "../../../src/shared/messages.js";
import { initialSchema } from "../../../src/shared/schema/table-schema.js";
import { flushRows } from "../../../src/workers/persist/flush.js";
import { seededRandom } from "../../harness/seeded-random.js";
import { plainRow, readBack, sortPlain } from "./read-back.js";
import { TableModel } from "./table-model.js";
import { openTestWarehouse, type TestWarehouse } from "./test-warehouse.js";

const stream = "22222222-2222-4222-8222-222222222222";
const shape = { days: 2, firstDay: 20_000, isAscending: false, nullShare: 0.1 };
const oneDay = { ...shape, days: 1 };

describe("flush and a store that fails", () => {
  let warehouse: TestWarehouse;
  let identity: TableIdentity;
  let model: TableModel;

  beforeEach(async () => {
    warehouse = openTestWarehouse();
    ({ identity } = await warehouse.context.catalog.createTable({
      name: "faults",
      schema: initialSchema,
      settings: {},
    }));
    model = new TableModel(seededRandom(5));
    model.addColumn("count", "long");
    model.appendRecord(50, shape);
    model.appendRecord(50, shape);
  });
  afterEach(() => warehouse.remove());

  function task(afterSequence: number): FlushTask {
    const { lastSequence, schema } = model;
    const slice = model.slice(afterSequence, lastSequence);
    return { kind: "flush", identity, stream, afterSequence, lastSequence, schema, settings: {}, slice };
  }

  async function assertAllOnce(): Promise<void> {
    const state = await warehouse.context.catalog.loadTable(identity);
    const paths = state.files.map((file) => warehouse.context.store.readableUrl(file.key));
    const names = state.schema.columns.map(({ name }) => name);
    const expected = model.rows.map((row) => plainRow(row, state.schema));
    const seen = await readBack(paths, state.schema);
    assert.deepEqual(sortPlain(seen, state.schema, names), sortPlain(expected, state.schema, names));
    assert.equal(state.positions[stream], model.lastSequence);
    assert.deepEqual(
      await warehouse.dataKeys(),
      state.files.map((file) => file.key).toSorted(),
      "no file without a commit",
    );
    assert.deepEqual(warehouse.temporaryFiles(), []);
  }

  test("a commit whose answer was lost is found again, not made twice", async () => {
    let lost = 0;
    warehouse.store.plan = (operation, key) =>
      operation === "putIfAbsent" && key.endsWith("v3.metadata.json") && lost++ === 0 ? { kind: "after" } : undefined;
    const commit = await flushRows(warehouse.context, task(0));
    assert.ok(lost > 0);
    assert.equal(commit.head.version, 3);
    await assertAllOnce();
  });

  test("the same task again, after its answer was lost as a whole, adds nothing", async () => {
    await flushRows(warehouse.context, task(0));
    const again = await flushRows(warehouse.context, task(0));
    assert.equal(again.outcome, "already-committed");
    assert.equal(again.head.positions[stream], model.lastSequence);
    assert.equal(again.delta, null);
    await assertAllOnce();
  });

  test("rows that follow neither the position nor a made commit are refused, and leave no file", async () => {
    await flushRows(warehouse.context, task(0));
    model.appendRecord(10, oneDay);
    await assert.rejects(flushRows(warehouse.context, task(50)), isCode("COMMIT_CONFLICT"));
    await flushRows(warehouse.context, task(100));
    await assertAllOnce();
  });

  test("a data file that cannot be stored leaves the table and the store as they were; then it works", async () => {
    let puts = 0;
    warehouse.store.plan = (operation) => (operation === "putFile" && puts++ === 1 ? { kind: "before" } : undefined);
    await assert.rejects(flushRows(warehouse.context, task(0)), isCode("STORE_UNAVAILABLE"));
    assert.deepEqual(await warehouse.dataKeys(), []);
    assert.deepEqual(warehouse.temporaryFiles(), []);
    await flushRows(warehouse.context, task(0));
    await assertAllOnce();
  });

  test("a store that stays away for the commit gives STORE_UNAVAILABLE, and keeps files that a commit may name", async () => {
    warehouse.store.plan = (operation) => (operation === "putIfAbsent" ? { kind: "before" } : undefined);
    await assert.rejects(flushRows(warehouse.context, task(0)), isCode("STORE_UNAVAILABLE"));
    assert.equal((await warehouse.dataKeys()).length, 2);
  });

  test("a commit that took effect although every answer failed is not repeated by the next task", async () => {
    warehouse.store.plan = (operation) => (operation === "putIfAbsent" ? { kind: "after" } : undefined);
    const first = await flushRows(warehouse.context, task(0)).catch((error: unknown) => error);
    warehouse.store.plan = () => undefined;
    if (first instanceof Error) {
      const again = await flushRows(warehouse.context, task(0));
      assert.equal(again.outcome, "already-committed");
    }
    const state = await warehouse.context.catalog.loadTable(identity);
    assert.equal(
      state.files.reduce((sum, file) => sum + file.rows, 0),
      100,
    );
  });

  test("a stopping server ends the flush before its next file", async () => {
    Atomics.store(warehouse.context.stopWord, 0, 1);
    await assert.rejects(flushRows(warehouse.context, task(0)), isCode("SHUTTING_DOWN"));
    assert.deepEqual(await warehouse.dataKeys(), []);
    assert.deepEqual(warehouse.temporaryFiles(), []);
  });

  test("a range without rows, which damage took, moves the position alone", async () => {
    await flushRows(warehouse.context, task(0));
    const lost: FlushTask = { ...task(100), lastSequence: 110, slice: { blocks: [], spans: new Int32Array(0) } };
    const commit = await flushRows(warehouse.context, lost);
    assert.equal(commit.head.positions[stream], 110);
    assert.deepEqual(commit.delta?.added, []);
    model.skip(10);
    model.appendRecord(5, oneDay);
    await flushRows(warehouse.context, task(110));
    await assertAllOnce();
  });

  test("more days than a round takes are no error", async () => {
    model.appendRecord(500, { ...shape, days: 40 });
    await flushRows(warehouse.context, task(0));
    const state = await warehouse.context.catalog.loadTable(identity);
    assert.equal(state.files.length, 40);
    // Creating a table takes two versions.
    assert.equal(state.version, 3, "one commit");
    await assertAllOnce();
  });

  test("a flush with a widened column rewrites what files hold of it, in the same commit", async () => {
    await flushRows(warehouse.context, (model.beginFlush(), task(0)));
    const before = await warehouse.context.catalog.loadTable(identity);
    model.widen("count");
    model.appendRecord(50, shape);
    assert.equal(model.schema.columns[2]?.replacesFieldId, 3);
    const commit = await flushRows(warehouse.context, task(100));
    assert.deepEqual(
      commit.delta?.removedKeys,
      before.files.map((file) => file.key),
    );
    assert.deepEqual(commit.head.schema.columns[2], { fieldId: 4, name: "count", type: "double", required: false });
    const state = await warehouse.context.catalog.loadTable(identity);
    for (const file of state.files) {
      assert.ok(file.fieldIds.includes(4) && !file.fieldIds.includes(3));
      assert.equal(typeof file.bounds[4]?.lower, "number");
    }
    // The replaced files stay until their snapshot expires.
    const paths = state.files.map((file) => warehouse.context.store.readableUrl(file.key));
    const names = state.schema.columns.map(({ name }) => name);
    assert.deepEqual(
      sortPlain(await readBack(paths, state.schema), state.schema, names),
      sortPlain(
        model.rows.map((row) => plainRow(row, state.schema)),
        state.schema,
        names,
      ),
    );
  });
});

function isCode(code: string): (error: unknown) => boolean {
  return (error) => error instanceof MiniodbError && error.code === code;
}
