import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { applyCommit } from "../../../src/shared/iceberg/commit-result.js";
import type { DataFile, TableState } from "../../../src/shared/messages.js";
import { columnTypes } from "../../../src/shared/schema/column-type.js";
import { initialSchema } from "../../../src/shared/schema/table-schema.js";
import { compactFiles } from "../../../src/workers/persist/compact.js";
import { flushRows } from "../../../src/workers/persist/flush.js";
import { seededRandom } from "../../harness/seeded-random.js";
import { compareValues, plainRow, readBack, sortPlain } from "./read-back.js";
import { TableModel } from "./table-model.js";
import { openTestWarehouse } from "./test-warehouse.js";

const seed = Number(process.env["MINIODB_TEST_SEED"] ?? Date.now() % 1_000_000);
const stream = "33333333-3333-4333-8333-333333333333";
const warehouse = openTestWarehouse();
after(warehouse.remove);
const { context } = warehouse;

async function tableOfSmallFiles(
  name: string,
  sortOrder: readonly string[],
): Promise<{ model: TableModel; state: TableState }> {
  const model = new TableModel(seededRandom(seed));
  const { identity } = await context.catalog.createTable({ name, schema: initialSchema, settings: { sortOrder } });
  for (const type of columnTypes) {
    model.addColumn(`a "${type}"`, type);
    model.appendRecord(40, { days: 2, firstDay: 20_000, isAscending: false, nullShare: 0.3 });
    const afterSequence = model.lastSequence - 40;
    const slice = model.slice(afterSequence, model.lastSequence);
    const { schema, lastSequence } = model;
    const settings = { sortOrder };
    await flushRows(context, { kind: "flush", identity, stream, afterSequence, lastSequence, schema, settings, slice });
  }
  return { model, state: await context.catalog.loadTable(identity) };
}

function ofDay(state: TableState, day: number): DataFile[] {
  return state.files.filter((file) => file.day === day);
}

const pathOf = (file: DataFile): string => context.store.readableUrl(file.key);

describe(`compaction (MINIODB_TEST_SEED=${seed})`, () => {
  for (const [index, sortOrder] of [["timestamp"], ['a "string"', "timestamp"]].entries()) {
    test(`small files of a day become one, sorted by ${sortOrder.join(", ")}`, async () => {
      const { model, state } = await tableOfSmallFiles(`compact_${index}`, sortOrder);
      const { identity, schema } = state;
      const files = ofDay(state, 20_000);
      assert.equal(files.length, columnTypes.length);
      const commit = await compactFiles(context, { kind: "compact", identity, schema, settings: { sortOrder }, files });
      const next = applyCommit(state, commit);
      assert.ok(next !== null);
      assert.deepEqual(next, await context.catalog.loadTable(identity));
      assert.deepEqual(ofDay(next, 20_001), ofDay(state, 20_001), "other days are left alone");
      assert.deepEqual(next.positions, state.positions);
      const [merged, ...rest] = ofDay(next, 20_000);
      assert.ok(merged !== undefined && rest.length === 0);

      const seen = await readBack([pathOf(merged)], schema);
      assert.deepEqual(sortPlain(seen, schema, sortOrder), seen, "in order");
      const names = schema.columns.map(({ name }) => name);
      const expected = model.rows.map((row) => plainRow(row, schema));
      const all = await readBack(next.files.map(pathOf), schema);
      assert.deepEqual(sortPlain(all, schema, names), sortPlain(expected, schema, names));
      assert.equal(merged.rows, seen.length);
      for (const [position, { fieldId, name, type }] of schema.columns.entries()) {
        const values = seen.map((row) => row[position] ?? null);
        const present = values.filter((value) => value !== null).toSorted(compareValues);
        assert.equal(merged.bounds[fieldId]?.nulls, values.length - present.length, name);
        if (type !== "long" && type !== "timestamp") continue;
        assert.deepEqual(
          [merged.bounds[fieldId]?.lower, merged.bounds[fieldId]?.upper],
          [String(present[0]), String(present.at(-1))],
        );
      }
      assert.deepEqual(warehouse.temporaryFiles(), []);
    });
  }

  test("a file that is gone from the table leaves everything as it was", async () => {
    const { state } = await tableOfSmallFiles("compact_gone", ["timestamp"]);
    const { identity, schema } = state;
    const files = ofDay(state, 20_000);
    const task = { kind: "compact", identity, schema, settings: {}, files } as const;
    await compactFiles(context, { ...task, files: files.slice(0, 2) });
    const keys = await warehouse.dataKeys();
    await assert.rejects(compactFiles(context, { ...task, files: files.slice(1, 4) }), { code: "COMMIT_CONFLICT" });
    assert.deepEqual(await warehouse.dataKeys(), keys, "the merged file is removed again");
    assert.deepEqual(warehouse.temporaryFiles(), []);
  });
});
