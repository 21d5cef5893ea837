import assert from "node:assert/strict";
import { test } from "node:test";
import { BatchBuilder } from "../../../src/shared/columns/batch-builder.js";
import { ColumnKeys } from "../../../src/shared/encryption/column-keys.js";
import { MiniodbError } from "../../../src/shared/errors.js";
import { initialSchema, type TableSchema, withColumn } from "../../../src/shared/schema/table-schema.js";
import { ColumnSealer } from "../../../src/workers/buffer/column-sealer.js";

const plain = withColumn(withColumn(initialSchema, "email", "string"), "city", "string");
const keys = new ColumnKeys([Buffer.alloc(32, 1)]);

function withEncryption(isOn: boolean): TableSchema {
  const columns = plain.columns.map((column) =>
    column.name === "email"
      ? { ...column, encryption: { scope: "0123456789abcdef", isOn, mayBePlain: false } }
      : column,
  );
  return { ...plain, columns };
}

function builderOf(schema: TableSchema, rows: number): BatchBuilder {
  const rules = { addColumns: true, columnsMax: 10, longMeetsDouble: "widen", isCommitted: () => false } as const;
  const builder = new BatchBuilder(schema, rules);
  for (let row = 0; row < rows; row++) {
    builder.columns[2]?.setString(row, "a");
    builder.columns[3]?.setString(row, "b");
    builder.endRow({ receivedMicros: 1, generateId: null, idRequired: false });
  }
  return builder;
}

function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    return error instanceof MiniodbError ? error.code : String(error);
  }
  return "none";
}

test("only columns that are encrypted now are; a batch of a plain table is the same one", () => {
  const sealer = new ColumnSealer(keys);
  for (const schema of [plain, withEncryption(false)]) {
    const batch = builderOf(schema, 2).finish();
    assert.equal(sealer.seal(batch, schema), batch);
  }
  const schema = withEncryption(true);
  const builder = builderOf(schema, 2);
  const texts = sealer
    .seal(builder.finish(), schema)
    .columns.filter(({ offsets }) => offsets !== null)
    .map(({ fieldId, values }) => [fieldId, Buffer.from(values).toString().slice(0, 6)]);
  assert.deepEqual(texts, [
    [3, "enc:1:"],
    [4, "bb"],
  ]);
  builder.reset();
  assert.equal(sealer.seal(builder.finish(), schema).rowCount, 0);
});

test("without a key no row of such a table is taken, and those of others are", () => {
  const sealer = new ColumnSealer(new ColumnKeys([]));
  assert.equal(
    codeOf(() => sealer.check(withEncryption(true))),
    "COLUMN_LOCKED",
  );
  assert.equal(
    codeOf(() => sealer.check(withEncryption(false))),
    "none",
  );
  assert.equal(
    codeOf(() => new ColumnSealer(keys).check(withEncryption(true))),
    "none",
  );
});

test("a body whose values outgrow a batch is refused", () => {
  const sealer = new ColumnSealer(keys);
  const schema = withEncryption(true);
  const [column] = builderOf(schema, 1).finish().columns.slice(1);
  assert.ok(column !== undefined && column.offsets !== null);
  // Ten million texts of one byte each: 10 MB that become 560 MB.
  const rows = 10_000_000;
  const offsets = Int32Array.from({ length: rows + 1 }, (_, row) => row);
  const batch = { rowCount: rows, columns: [{ ...column, values: new Uint8Array(rows), offsets }] };
  assert.equal(
    codeOf(() => sealer.checkSize(batch, schema)),
    "BODY_TOO_LARGE",
  );
  assert.equal(
    codeOf(() => sealer.checkSize(batch, plain)),
    "none",
  );
});
