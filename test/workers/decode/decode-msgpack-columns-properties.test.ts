import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Packr } from "msgpackr";
import type { ColumnType } from "../../../src/shared/schema/column-type.js";
import { decodeMsgpackColumns } from "../../../src/workers/decode/decode-msgpack-columns.js";
import { decodeMsgpackRows } from "../../../src/workers/decode/decode-msgpack-rows.js";
import {
  decodeAll,
  isTaken,
  newTarget,
  propertyRuns,
  refusal,
  rowsOf,
  shared,
  valuesOf,
  type TargetOptions,
} from "./bulk-harness.js";
import { columnsBody, decodeColumns, packr } from "./msgpack-bodies.js";

const text = fc.string({ unit: "grapheme", maxLength: 40 });
const scalars: Record<ColumnType, fc.Arbitrary<unknown>> = {
  boolean: fc.boolean(),
  long: fc.oneof(fc.integer(), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })),
  double: fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => (Object.is(value, -0) ? 0 : value)),
  string: text,
  timestamp: fc.date({ min: new Date(0), max: new Date(4e12), noInvalidDate: true }),
  json: fc.array(fc.oneof(fc.integer(), text, fc.constant(null), fc.dictionary(text, fc.boolean(), { maxKeys: 2 })), {
    maxLength: 3,
  }),
};
const types = Object.keys(scalars) as ColumnType[];
const columnCount = 5;

/** Columns of known types whose values mostly fit, as rows of values in column order. */
const table = fc
  .array(fc.constantFrom(...types), { minLength: columnCount, maxLength: columnCount })
  .chain((columnTypes) => {
    const any = fc.oneof(...Object.values(scalars), fc.constant(new Uint8Array([1, 2])), fc.constant(Number.NaN));
    const row = fc.tuple(
      ...columnTypes.map((type) =>
        fc.oneof(
          { weight: 12, arbitrary: scalars[type] },
          { weight: 3, arbitrary: fc.constant(null) },
          { weight: 1, arbitrary: any },
        ),
      ),
    );
    return fc.record({
      columnTypes: fc.constant(columnTypes),
      rows: fc.array(row, { maxLength: 60 }),
      slice: fc.integer({ min: 1, max: 400 }),
    });
  });

function namedColumns(rows: readonly (readonly unknown[])[]): Record<string, unknown[]> {
  return Object.fromEntries(
    Array.from({ length: columnCount }, (_, index) => [`c${index}`, rows.map((row) => row[index])]),
  );
}

test("columns and rows of the same values give the same table and the same account", () => {
  fc.assert(
    fc.property(table, ({ columnTypes, rows, slice }) => {
      const columns = Object.fromEntries(columnTypes.map((type, index) => [`c${index}`, type]));
      const options: TargetOptions = { columns, rules: { longMeetsDouble: "reject" }, earlierRows: 3 };
      const byColumns = newTarget(options);
      decodeAll(decodeMsgpackColumns, shared(columnsBody(namedColumns(rows))), byColumns, slice);
      const byRows = newTarget(options);
      const maps = rows.map((row) => Object.fromEntries(row.map((value, index) => [`c${index}`, value])));
      decodeAll(decodeMsgpackRows, packr.pack(maps), byRows, slice);
      // An empty body has no columns that could say so.
      if (rows.length === 0) return;
      assert.deepEqual(rowsOf(byColumns), rowsOf(byRows));
      assert.deepEqual(byColumns.account, byRows.account);
    }),
    propertyRuns(400),
  );
});

test("what fits is stored as msgpackr reads it", () => {
  const column = fc.constantFrom(...types).chain((type) =>
    fc.record({
      type: fc.constant(type),
      values: fc.array(fc.option(scalars[type], { freq: 5 }), { minLength: 1, maxLength: 50 }),
    }),
  );
  fc.assert(
    fc.property(column, ({ type, values }) => {
      const target = decodeColumns({ x: values }, { columns: { x: type } });
      const reader = new Packr({ useRecords: false, int64AsType: "bigint" });
      const read = (reader.unpack(packr.pack(values)) as unknown[]).map((value) => {
        if (value === null) return null;
        if (type === "long") return BigInt(value as number);
        if (type === "double") return Number(value);
        if (type === "timestamp") return BigInt((value as Date).getTime()) * 1000n;
        return value;
      });
      assert.deepEqual(valuesOf(target), read);
      assert.equal(target.account.rejected, 0);
    }),
    propertyRuns(300),
  );
});

test("a body cut at any byte is refused, and leaves the builder as it was", () => {
  const columns = {
    timestamp: [1_700_000_000, new Date(5), "2026-01-01T00:00:00Z"],
    x: [1, 2.5, null],
    s: ["a", "é€😀", "x".repeat(70)],
    j: [[1], { a: "b" }, null],
  };
  const body = columnsBody(columns, { table: "t" });
  const target = newTarget({ columns: { x: "long" }, earlierRows: 2 });
  const before = rowsOf(target);
  for (let length = 0; length < body.length; length++) {
    assert.equal(
      refusal(decodeMsgpackColumns, body.subarray(0, length), target).code,
      "INVALID_BODY",
      `cut at ${length}`,
    );
    assert.deepEqual(rowsOf(target), before);
  }
  decodeAll(decodeMsgpackColumns, body, target);
  assert.equal(rowsOf(target).length, 5);
});

test("mutated bodies are taken or refused, and never leave an unsound column", () => {
  const mutation = fc.record({ at: fc.nat(), byte: fc.integer({ min: 0, max: 255 }) });
  fc.assert(
    fc.property(table, fc.array(mutation, { minLength: 1, maxLength: 4 }), ({ rows, slice }, mutations) => {
      const body = columnsBody(namedColumns(rows));
      for (const { at, byte } of mutations) body[at % body.length] = byte;
      const target = newTarget({ earlierRows: 2, columns: { c0: "long", c1: "string" } });
      isTaken(decodeMsgpackColumns, body, target, ["INVALID_BODY"]);
      decodeAll(decodeMsgpackColumns, columnsBody({ x: [1], c1: ["a"] }), newTarget(), slice);
      rowsOf(target);
    }),
    propertyRuns(800),
  );
});
