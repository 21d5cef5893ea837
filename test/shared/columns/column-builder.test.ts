import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { ColumnData } from "../../../src/shared/columns/column-batch.js";
import { ColumnBuilder } from "../../../src/shared/columns/column-builder.js";
import { columnTypes, type ColumnType } from "../../../src/shared/schema/column-type.js";
import { assertSound, propertyRuns } from "../../workers/decode/bulk-harness.js";

type Value = number | string | boolean | null;

function set(column: ColumnBuilder, row: number, value: Value): void {
  if (value === null) column.setNull(row);
  else if (typeof value === "boolean") column.setBoolean(row, value);
  else if (typeof value === "string") column.setString(row, value);
  else if (column.type === "double") column.setDouble(row, value);
  else column.setSafeInteger(row, value);
}

function read({ type, validity, values, offsets }: ColumnData, row: number): Value {
  if (validity !== null && ((validity[row >> 3] as number) & (1 << (row & 7))) === 0) return null;
  const view = new DataView(values.buffer, values.byteOffset, values.byteLength);
  if (type === "boolean") return ((values[row >> 3] as number) & (1 << (row & 7))) !== 0;
  if (offsets !== null) return Buffer.from(values.subarray(offsets[row], offsets[row + 1])).toString();
  return type === "double" ? view.getFloat64(row * 8, true) : Number(view.getBigInt64(row * 8, true));
}

function contents(column: ColumnBuilder, rowCount: number): Value[] {
  const data = column.finish(rowCount);
  assertSound({ rowCount, columns: [data] });
  return Array.from({ length: rowCount }, (_, row) => read(data, row));
}

function valueOf(type: ColumnType): fc.Arbitrary<Value> {
  switch (type) {
    case "boolean":
      return fc.boolean();
    case "long":
      return fc.maxSafeInteger();
    case "timestamp":
      return fc.integer({ min: -62_135_596_800_000_000, max: Number.MAX_SAFE_INTEGER });
    case "double":
      return fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0);
    case "string":
      return fc.string({ unit: "binary", maxLength: 40 }).map((text) => text.toWellFormed());
    case "json":
      return fc.json({ maxDepth: 1 }).map(() => "[1]");
  }
}

test("any sequence of sets, skips, replacements and truncations is what a plain array would hold", () => {
  for (const type of columnTypes) {
    if (type === "json") continue;
    const action = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({ kind: fc.constant("set" as const), value: valueOf(type), skip: fc.constant(0) }),
      },
      {
        weight: 2,
        arbitrary: fc.record({ kind: fc.constant("set" as const), value: valueOf(type), skip: fc.nat(100) }),
      },
      {
        weight: 2,
        arbitrary: fc.record({ kind: fc.constant("set" as const), value: fc.constant<Value>(null), skip: fc.nat(3) }),
      },
      {
        weight: 2,
        arbitrary: fc.record({
          kind: fc.constant("replace" as const),
          value: fc.option(valueOf(type)),
          skip: fc.constant(0),
        }),
      },
      {
        weight: 1,
        arbitrary: fc.record({
          kind: fc.constant("truncate" as const),
          value: fc.constant<Value>(null),
          skip: fc.nat(200),
        }),
      },
      {
        weight: 1,
        arbitrary: fc.record({
          kind: fc.constant("finish" as const),
          value: fc.constant<Value>(null),
          skip: fc.nat(5),
        }),
      },
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 30 }), (actions) => {
        const column = new ColumnBuilder(7, type);
        let expected: Value[] = [];
        for (const { kind, value, skip } of actions) {
          if (kind === "truncate") {
            expected.length = Math.min(expected.length, skip);
            column.truncate(expected.length);
          } else if (kind === "finish") {
            while (expected.length < column.length + skip) expected.push(null);
            assert.deepEqual(contents(column, expected.length), expected);
          } else {
            const row = kind === "replace" ? Math.max(0, expected.length - 1) : expected.length + skip;
            while (expected.length < row) expected.push(null);
            expected[row] = value;
            set(column, row, value);
          }
          assert.equal(column.length, expected.length);
          assert.equal(column.nullCount, expected.filter((each) => each === null).length);
        }
        assert.deepEqual(contents(column, expected.length + 3), [...expected, null, null, null]);
        column.reset();
        expected = [null, null];
        assert.deepEqual(contents(column, 2), expected);
      }),
      propertyRuns(150),
    );
  }
});

test("texts of any length, by bytes and by string", () => {
  const column = new ColumnBuilder(1, "string");
  const texts = ["", "é", "x".repeat(31), "x".repeat(32), "y".repeat(5_000), "😀".repeat(300), ""];
  for (const [row, text] of texts.entries()) {
    const bytes = Buffer.from(`<${text}>`);
    if (row % 2 === 0) column.setText(row, bytes, 1, bytes.length - 1);
    else column.setString(row, text);
  }
  assert.deepEqual(contents(column, texts.length), texts);
});

test("64-bit integers keep all their bits", () => {
  const column = new ColumnBuilder(1, "long");
  column.setLong(0, -1, -1);
  column.setLong(1, 0, -0x8000_0000);
  column.setLong(2, -1, 0x7fff_ffff);
  column.setSafeInteger(3, Number.MAX_SAFE_INTEGER);
  column.setSafeInteger(4, -Number.MAX_SAFE_INTEGER);
  const { values } = column.finish(5);
  const longs = new BigInt64Array(values.slice().buffer);
  assert.deepEqual([...longs], [-1n, -(2n ** 63n), 2n ** 63n - 1n, 2n ** 53n - 1n, -(2n ** 53n) + 1n]);
});

test("a column's size is what finish gives", () => {
  for (const type of columnTypes) {
    for (const rowCount of [0, 1, 7, 8, 9, 1_000]) {
      const column = new ColumnBuilder(1, type);
      for (let row = 0; row < rowCount; row += 3) {
        set(column, row, type === "boolean" ? true : type === "string" || type === "json" ? "[1]" : row);
      }
      const bytes = column.bytesOf(rowCount);
      const { values, validity, offsets } = column.finish(rowCount);
      assert.equal(
        bytes,
        values.byteLength + (validity?.byteLength ?? 0) + (offsets?.byteLength ?? 0),
        `${type} ${rowCount}`,
      );
    }
  }
});

test("memory of one large batch is given back after many small ones, and what comes then is right", () => {
  for (const type of ["double", "string", "boolean"] as const) {
    const column = new ColumnBuilder(1, type);
    const value = (row: number): Value =>
      type === "double" ? row : type === "string" ? `text ${row}`.repeat(10) : row % 2 === 0;
    for (let row = 0; row < 40_000; row += 2) set(column, row, value(row));
    const large = column.rowCapacity;
    for (let batch = 0; batch < 200; batch++) {
      column.reset();
      for (const row of [0, 2]) set(column, row, value(row));
      assert.deepEqual(contents(column, 4), [value(0), null, value(2), null]);
    }
    assert.ok(large >= 40_000 && column.rowCapacity < 1_000, `${large} ${column.rowCapacity}`);
    assert.ok(column.text.length < 100_000);
    for (let row = 0; row < 300; row++) set(column, row, value(row));
    assert.equal(read(column.finish(300), 299), value(299));
  }
});

test("batches of changing size keep their memory", () => {
  const column = new ColumnBuilder(1, "long");
  for (let row = 0; row < 30_000; row++) column.setSafeInteger(row, row);
  const capacity = column.rowCapacity;
  for (let batch = 0; batch < 300; batch++) {
    column.reset();
    for (let row = 0; row < (batch % 20 === 0 ? 20_000 : 5); row++) column.setSafeInteger(row, row);
  }
  assert.equal(column.rowCapacity, capacity);
});
