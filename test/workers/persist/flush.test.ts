import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { applyCommit } from "../../../src/shared/iceberg/commit-result.js";
import type { DataFile, TableState } from "../../../src/shared/messages.js";
import { columnTypes } from "../../../src/shared/schema/column-type.js";
import { initialSchema, type TableSchema } from "../../../src/shared/schema/table-schema.js";
import { flushRows } from "../../../src/workers/persist/flush.js";
import { seededRandom } from "../../harness/seeded-random.js";
import { compareValues, plainRow, readBack, sortPlain, type PlainRow } from "./read-back.js";
import { TableModel, type ModelValue, type RowShape } from "./table-model.js";
import { openTestWarehouse } from "./test-warehouse.js";

const seed = Number(process.env["MINIODB_TEST_SEED"] ?? Date.now() % 1_000_000);
const rounds = Number(process.env["MINIODB_TEST_ROUNDS"] ?? 6);
const stream = "11111111-1111-4111-8111-111111111111";
const microsPerDay = 86_400_000_000n;

const warehouse = openTestWarehouse();
after(warehouse.remove);
const { context } = warehouse;

interface Table {
  readonly model: TableModel;
  readonly sortOrder: readonly string[];
  state: TableState;
}

async function flush(table: Table): Promise<void> {
  const { model, sortOrder, state } = table;
  const afterSequence = state.positions[stream] ?? 0;
  const lastSequence = model.lastSequence;
  model.beginFlush();
  const { identity } = state;
  const slice = model.slice(afterSequence, lastSequence);
  const settings = { sortOrder };
  const task = {
    kind: "flush",
    identity,
    stream,
    afterSequence,
    lastSequence,
    schema: model.schema,
    settings,
    slice,
  } as const;
  const commit = await flushRows(context, task);
  assert.equal(commit.outcome, "committed");
  const next = applyCommit(state, commit);
  assert.ok(next !== null);
  assert.equal(next.positions[stream], lastSequence);
  assert.deepEqual(next, await context.catalog.loadTable(identity), "the delta leads to what the store holds");
  table.state = next;
  model.committed(next.schema);
}

function dayOf(micros: ModelValue): number {
  const value = micros as bigint;
  return Number((value - (((value % microsPerDay) + microsPerDay) % microsPerDay)) / microsPerDay);
}

function pathOf(file: DataFile): string {
  return context.store.readableUrl(file.key);
}

/** Every row is there once; new files hold one day each, in order, and say of themselves what is true. */
async function check(table: Table, newFiles: readonly DataFile[], newRows: readonly PlainRow[]): Promise<void> {
  const { schema } = table.state;
  const all = await readBack(table.state.files.map(pathOf), schema);
  const expected = table.model.rows.map((row) => plainRow(row, schema));
  const everyColumn = schema.columns.map(({ name }) => name);
  assert.deepEqual(sortPlain(all, schema, everyColumn), sortPlain(expected, schema, everyColumn));
  for (const file of newFiles) {
    const ofDay = newRows.filter((row) => dayOf(row[0] ?? null) === file.day);
    const seen = await readBack([pathOf(file)], schema);
    assert.deepEqual(
      seen,
      sortPlain(ofDay, schema, table.sortOrder),
      "rows of a file are in order, equal ones by sequence",
    );
    assert.equal(file.rows, seen.length);
    checkBounds(file, seen, schema);
  }
}

function checkBounds(file: DataFile, rows: readonly PlainRow[], schema: TableSchema): void {
  for (const [index, { fieldId, name, type }] of schema.columns.entries()) {
    const values = rows.map((row) => row[index] ?? null);
    const present = values.filter((value) => value !== null).toSorted(compareValues);
    if (!file.fieldIds.includes(fieldId)) {
      assert.equal(present.length, 0, `${name} is left out only where it is null`);
      continue;
    }
    const bounds = file.bounds[fieldId];
    assert.ok(bounds !== undefined);
    assert.equal(bounds.nulls, values.length - present.length, `nulls of ${name}`);
    const lower = present[0];
    const upper = present.at(-1);
    if (lower === undefined || upper === undefined || type === "json") {
      assert.deepEqual([bounds.lower, bounds.upper], [null, null], name);
    } else if (typeof lower === "bigint" && typeof upper === "bigint") {
      assert.deepEqual([bounds.lower, bounds.upper], [lower.toString(), upper.toString()], name);
    } else if (typeof lower === "string" && typeof upper === "string") {
      assert.ok(bounds.lower !== null && compareValues(bounds.lower, lower) <= 0, `${name} ${String(bounds.lower)}`);
      assert.ok(bounds.upper === null || compareValues(bounds.upper, upper) >= 0, `${name} ${String(bounds.upper)}`);
    } else {
      assert.ok(Number(bounds.lower) === Number(lower) && Number(bounds.upper) === Number(upper), name);
    }
  }
}

describe(`flush (MINIODB_TEST_SEED=${seed})`, () => {
  for (let round = 0; round < rounds; round++) {
    test(`round ${round}: random rows, schemas and orders come back`, async () => {
      const random = seededRandom(seed + round);
      const sortOrder = random.pick([
        ["timestamp"],
        ["timestamp"],
        ["c1", "timestamp"],
        ["c2", "C0"],
        ["c3", "missing"],
        ["timestamp", "c4"],
        ["id"],
      ]);
      const name = `flush_${round}`;
      const state = await context.catalog.createTable({ name, schema: initialSchema, settings: { sortOrder } });
      const table: Table = { model: new TableModel(random), sortOrder, state };
      let columns = 0;
      for (let count = 0; count < 3; count++) {
        const before = table.state;
        for (let records = random.integer(6); records >= 0; records--) {
          if (random.real() < 0.5 && columns < 12) table.model.addColumn(`C${columns++}`, random.pick(columnTypes));
          const wide = table.model.schema.columns.filter(({ type }) => type === "long");
          if (random.real() < 0.25 && wide.length > 0) table.model.widen(random.pick(wide).name);
          const shape: RowShape = {
            days: random.pick([1, 2, 9]),
            firstDay: random.pick([20_000, 0, -3, -719_162, 2_932_000]),
            isAscending: random.real() < 0.4,
            nullShare: random.pick([0, 0.2, 1]),
          };
          table.model.appendRecord(1 + random.integer(300), shape);
        }
        await flush(table);
        const known = new Set(before.files.map((file) => file.key));
        const taken = table.model.rowsIn(before.positions[stream] ?? 0, table.model.lastSequence);
        const rewritten = before.files.filter((file) => !table.state.files.some(({ key }) => key === file.key));
        const added = table.state.files.filter((file) => !known.has(file.key));
        // Rewritten files are checked as part of all; the flush's own are the last ones added.
        const own = added.slice(rewritten.length);
        await check(
          table,
          own,
          taken.map((row) => plainRow(row, table.state.schema)),
        );
      }
      assert.deepEqual(warehouse.temporaryFiles(), []);
    });
  }
});
