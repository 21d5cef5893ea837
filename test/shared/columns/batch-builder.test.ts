import assert from "node:assert/strict";
import { test } from "node:test";
import { BatchBuilder, type ColumnRules } from "../../../src/shared/columns/batch-builder.js";
import type { ColumnBuilder } from "../../../src/shared/columns/column-builder.js";
import { initialSchema, withColumn } from "../../../src/shared/schema/table-schema.js";

const defaults = { receivedMicros: 1_000, generateId: null, idRequired: false };

function newBuilder(rules: Partial<ColumnRules> = {}): BatchBuilder {
  return new BatchBuilder(initialSchema, {
    addColumns: true,
    columnsMax: 100,
    longMeetsDouble: "widen",
    isCommitted: () => false,
    ...rules,
  });
}

function columnAt(builder: BatchBuilder, index: number): ColumnBuilder {
  const column = builder.columns[index];
  assert.ok(column !== undefined);
  return column;
}

/** Adds a column that the rules let in. */
function add(builder: BatchBuilder, name: string, type: "long" | "double" | "string" = "long"): number {
  const index = builder.addColumn(name, type);
  assert.ok(typeof index === "number", String(index));
  return index;
}

test("columns are found by name in any case, also after the schema has changed", () => {
  const builder = newBuilder();
  assert.deepEqual([builder.indexOf("timestamp"), builder.indexOf("ID"), builder.indexOf("x")], [0, 1, -1]);
  const index = add(builder, "CpuÉ");
  for (const name of ["CpuÉ", "cpué", "CPUÉ"]) assert.equal(builder.indexOf(name), index);
  builder.replaceSchema(withColumn(initialSchema, "other", "string"));
  assert.deepEqual([builder.indexOf("cpué"), builder.indexOf("OTHER")], [-1, 2]);
});

test("the rules refuse columns, and say why", () => {
  assert.equal(newBuilder({ addColumns: false }).addColumn("x", "long"), "UNKNOWN_COLUMN");
  assert.equal(newBuilder({ columnsMax: 2 }).addColumn("x", "long"), "TOO_MANY_COLUMNS");
  const wrong = ["", "a\u0000b", "a\nb", "\u007f", "x".repeat(256)];
  for (const name of wrong) assert.equal(newBuilder().addColumn(name, "long"), "INVALID_COLUMN_NAME");
  assert.throws(() => newBuilder().addColumn("Timestamp", "long"), /added once/);
});

test("a row's end fills what it left out", () => {
  const builder = newBuilder();
  assert.equal(builder.endRow(defaults), undefined);
  assert.equal(builder.endRow({ ...defaults, generateId: () => "made" }), undefined);
  columnAt(builder, 0).setSafeInteger(2, 5);
  columnAt(builder, 1).setString(2, "own");
  assert.equal(builder.endRow({ ...defaults, generateId: () => "made" }), undefined);
  assert.equal(builder.endRow({ ...defaults, idRequired: true }), "ID_REQUIRED");
  assert.equal(builder.rowCount, 3);
  const batch = builder.finish();
  const [timestamps, ids] = batch.columns;
  assert.deepEqual(
    [...new BigInt64Array(timestamps?.values.slice().buffer ?? new ArrayBuffer(0))],
    [1_000n, 1_000n, 5n],
  );
  assert.equal(Buffer.from(ids?.values ?? []).toString(), "madeown");
  assert.equal(ids?.nullCount, 1);
});

test("columns without a value are left out of the batch, but the id's offsets are there", () => {
  const builder = newBuilder();
  columnAt(builder, 1).setString(0, "left over");
  builder.endRow(defaults);
  builder.reset();
  const index = add(builder, "x");
  columnAt(builder, index).setNull(0);
  builder.endRow(defaults);
  builder.endRow(defaults);
  assert.deepEqual(
    builder.finish().columns.map(({ fieldId }) => fieldId),
    [1],
  );
  assert.deepEqual([...columnAt(builder, 1).offsets.subarray(0, 3)], [0, 0, 0]);
});

test("an aborted row takes back the columns it added and widened, and what it set", () => {
  const builder = newBuilder();
  const x = add(builder, "x");
  columnAt(builder, x).setLong(0, 1, 0x20_0000);
  builder.endRow(defaults);
  const { schema } = builder;
  columnAt(builder, x).setSafeInteger(1, 2);
  assert.equal(builder.widenToDouble(x), undefined);
  columnAt(builder, x).setDouble(1, 2.5);
  const y = add(builder, "y", "string");
  columnAt(builder, y).setString(1, "gone");
  add(builder, "z", "double");
  builder.abortRow();
  assert.equal(builder.schema, schema, "the very schema from before");
  assert.equal(builder.columns.length, 3);
  assert.equal(columnAt(builder, x).type, "long");
  assert.deepEqual([builder.indexOf("x"), builder.indexOf("y"), builder.indexOf("z")], [x, -1, -1]);
  builder.endRow(defaults);
  const column = builder.finish().columns.find(({ fieldId }) => fieldId === 3);
  assert.equal(
    new BigInt64Array(column?.values.slice().buffer ?? new ArrayBuffer(0))[0],
    2n ** 53n + 1n,
    "no bit was lost on the way",
  );
  assert.equal(column?.nullCount, 1);
});

test("a column that was taken back comes again as new", () => {
  const builder = newBuilder();
  for (let turn = 0; turn < 5; turn++) {
    const index = add(builder, `k${turn}`, turn % 2 === 0 ? "string" : "long");
    if (turn % 2 === 0) columnAt(builder, index).setString(0, "gone");
    else columnAt(builder, index).setSafeInteger(0, 7);
    assert.equal(columnAt(builder, index).fieldId, 3);
    builder.abortRow();
  }
  const index = add(builder, "kept", "string");
  builder.endRow(defaults);
  columnAt(builder, index).setString(1, "here");
  builder.endRow(defaults);
  const column = builder.finish().columns.at(-1);
  assert.equal(column?.nullCount, 1);
  assert.equal(Buffer.from(column?.values ?? []).toString(), "here");
});

test("what finished rows did to the schema stays, whatever becomes of later ones", () => {
  const builder = newBuilder();
  const x = add(builder, "x");
  columnAt(builder, x).setSafeInteger(0, 1);
  builder.endRow(defaults);
  builder.abortRow();
  assert.equal(builder.indexOf("x"), x);
  add(builder, "y");
  builder.rollback(0);
  assert.equal(builder.rowCount, 0);
  assert.deepEqual(
    [builder.indexOf("x"), builder.indexOf("y")],
    [x, -1],
    "the row in hand is undone, the finished one only emptied",
  );
  assert.equal(builder.finish().columns.length, 1);
});

test("a rollback leaves the rows before it as they were", () => {
  const builder = newBuilder();
  const x = add(builder, "x", "string");
  for (let row = 0; row < 10; row++) {
    if (row % 3 !== 0) columnAt(builder, x).setString(row, `text ${row}`);
    builder.endRow(defaults);
  }
  builder.rollback(4);
  columnAt(builder, x).setString(4, "new");
  builder.endRow(defaults);
  const column = builder.finish().columns.at(-1);
  assert.equal(Buffer.from(column?.values ?? []).toString(), "text 1text 2new");
  assert.equal(column?.nullCount, 2);
});

test("a committed long column that widens gets a field id of its own", () => {
  const builder = newBuilder({ isCommitted: (fieldId) => fieldId === 3 });
  const x = add(builder, "x");
  columnAt(builder, x).setSafeInteger(0, -5);
  builder.endRow(defaults);
  assert.equal(builder.widenToDouble(x), undefined);
  assert.equal(columnAt(builder, x).fieldId, 4);
  assert.deepEqual(builder.schema.columns[x], {
    fieldId: 4,
    name: "x",
    type: "double",
    required: false,
    replacesFieldId: 3,
  });
  assert.equal(columnAt(builder, x).doubles[0], -5);
  assert.equal(newBuilder({ longMeetsDouble: "reject" }).widenToDouble(0), "TYPE_MISMATCH");
});

test("the batch's bytes are counted, nulls and all", () => {
  const builder = newBuilder();
  const x = add(builder, "x");
  columnAt(builder, x).setSafeInteger(0, 1);
  for (let row = 0; row < 1_000; row++) builder.endRow(defaults);
  const bytes = builder.bytes();
  const columns = builder.finish().columns;
  const finished = columns.reduce(
    (sum, { values, validity }) => sum + values.byteLength + (validity?.byteLength ?? 0),
    0,
  );
  assert.equal(bytes, finished);
  assert.equal(finished, 8_000 * 2 + 125);
});
