import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { MiniodbError } from "../../../src/shared/errors.js";
import { dayOfMicros, daySpec } from "../../../src/shared/iceberg/partition-spec.js";
import { changeSchema, withChangedSettings, withSchema } from "../../../src/shared/iceberg/schema-change.js";
import { fromIcebergSchema, toIcebergSchema } from "../../../src/shared/iceberg/schema-json.js";
import { currentSchema, type TableMetadata } from "../../../src/shared/iceberg/table-metadata.js";
import { initialSchema, withColumn, withDouble, type TableSchema } from "../../../src/shared/schema/table-schema.js";
import { sampleSchema } from "./catalog-bench.js";

const empty: TableMetadata = {
  "format-version": 2,
  "table-uuid": "u",
  location: "file:///t",
  "last-sequence-number": 0,
  "last-updated-ms": 0,
  "last-column-id": 2,
  "current-schema-id": 0,
  schemas: [toIcebergSchema(initialSchema)],
  "default-spec-id": 0,
  "partition-specs": [daySpec(initialSchema)],
  "last-partition-id": 1000,
  "default-sort-order-id": 1,
  "sort-orders": [],
  properties: {},
};
const stored = withSchema(empty, sampleSchema);

function conflict(schema: TableSchema, base = stored): MiniodbError {
  try {
    changeSchema(base, schema);
  } catch (error) {
    assert.ok(error instanceof MiniodbError);
    assert.equal(error.code, "COMMIT_CONFLICT");
    return error;
  }
  return assert.fail("the schema was taken");
}

describe("schema JSON", () => {
  test("has every type, and comes back", () => {
    let schema = sampleSchema;
    const types = ["boolean", "double", "timestamp", "json"] as const;
    for (const type of types) schema = withColumn(schema, `a ${type}`, type);
    const json = toIcebergSchema(schema);
    assert.deepEqual(fromIcebergSchema(json, schema.lastFieldId), schema);
    assert.deepEqual(
      json.fields.find((field) => field.name === "a json"),
      {
        id: 8,
        name: "a json",
        required: false,
        type: "string",
        doc: "json",
      },
    );
    assert.deepEqual(json.fields[0], { id: 1, name: "timestamp", required: true, type: "timestamptz" });
  });

  test("a type that no column of ours has is refused by name", () => {
    const field = { id: 3, name: "x", required: false, type: { type: "list" } };
    assert.throws(() => fromIcebergSchema({ type: "struct", "schema-id": 0, fields: [field] }, 3), /"x" has the type/);
  });
});

describe("changeSchema", () => {
  test("an added column is taken, with name mapping and last column id", () => {
    const { metadata, retiredFieldIds } = changeSchema(stored, withColumn(sampleSchema, "New", "double"));
    assert.equal(metadata["last-column-id"], 5);
    assert.equal(currentSchema(metadata).columns.at(-1)?.name, "New");
    assert.match(metadata.properties["schema.name-mapping.default"] ?? "", /\{"field-id":5,"names":\["New"\]\}/);
    assert.equal(retiredFieldIds.size, 0);
    // No snapshot used the schema before.
    assert.equal(metadata.schemas.length, 1);
  });

  test("schemas of retained snapshots stay", () => {
    const snapshot = {
      "snapshot-id": 1,
      "sequence-number": 1,
      "timestamp-ms": 0,
      "manifest-list": "",
      summary: {},
      "schema-id": sampleSchema.version,
    };
    const { metadata } = changeSchema({ ...stored, snapshots: [snapshot] }, withColumn(sampleSchema, "New", "double"));
    assert.deepEqual(
      metadata.schemas.map((schema) => schema["schema-id"]),
      [sampleSchema.version, sampleSchema.version + 1],
    );
  });

  test("an older writer's schema changes nothing", () => {
    const newer = withSchema(stored, withColumn(sampleSchema, "New", "double"));
    assert.equal(changeSchema(newer, sampleSchema).metadata, newer);
    assert.equal(changeSchema(stored, sampleSchema).metadata, stored);
  });

  test("long to double retires the field id, whether the id changes or not", () => {
    const renumbered = changeSchema(stored, withDouble(sampleSchema, 3, true));
    assert.deepEqual([...renumbered.retiredFieldIds], [3]);
    assert.deepEqual(currentSchema(renumbered.metadata).columns[2], {
      fieldId: 5,
      name: "value",
      type: "double",
      required: false,
    });
    const kept = changeSchema(stored, withDouble(sampleSchema, 3, false));
    assert.deepEqual([...kept.retiredFieldIds], [3]);
    assert.equal(currentSchema(kept.metadata).columns[2]?.fieldId, 3);
  });

  test("a column that a newer schema lacks was dropped; a writer that still has it changes nothing", () => {
    const columns = sampleSchema.columns.filter((column) => column.fieldId !== 3);
    const dropped = { ...sampleSchema, version: sampleSchema.version + 1, columns };
    const { metadata, retiredFieldIds } = changeSchema(stored, dropped);
    assert.deepEqual(currentSchema(metadata).columns, columns);
    assert.equal(metadata["last-column-id"], 4);
    assert.equal(retiredFieldIds.size, 0);
    assert.equal(changeSchema(metadata, sampleSchema).metadata, metadata);
    // Its name comes back under another id, in another type.
    const again = withColumn(dropped, "value", "string");
    assert.equal(currentSchema(changeSchema(metadata, again).metadata).columns.at(-1)?.fieldId, 5);
    assert.equal(changeSchema(stored, again).retiredFieldIds.size, 0);
    // Ids beyond what the writer has given are columns that it never knew.
    conflict({ ...dropped, lastFieldId: 2, columns: initialSchema.columns });
  });

  test("a renamed column that became double still retires its field", () => {
    const widened = withDouble(sampleSchema, 3, true);
    const columns = widened.columns.map((column) => (column.fieldId === 5 ? { ...column, name: "other" } : column));
    assert.deepEqual([...changeSchema(stored, { ...widened, columns }).retiredFieldIds], [3]);
  });

  test("two writers that went different ways do not meet", () => {
    const base = withSchema(stored, withColumn(sampleSchema, "mine", "double"));
    conflict(withColumn(sampleSchema, "yours", "string"), base);
    conflict(withColumn(withColumn(sampleSchema, "yours", "string"), "more", "string"), base);
    conflict(withColumn(withColumn(initialSchema, "value", "double"), "label", "string"));
  });
});

describe("sort order and partition", () => {
  test("the sort order follows the settings and the field ids, under a new id each time", () => {
    assert.deepEqual(
      stored["sort-orders"].map((order) => order.fields.map((field) => field["source-id"])),
      [[1]],
    );
    const sorted = withChangedSettings(stored, { sortOrder: ["LABEL", "value", "none"] });
    assert.equal(sorted["default-sort-order-id"], stored["default-sort-order-id"] + 1);
    assert.deepEqual(
      sorted["sort-orders"].map((order) => order.fields.map((field) => field["source-id"])),
      [[4, 3]],
    );
    const again = withChangedSettings(sorted, { flushRows: 5 });
    assert.equal(again["default-sort-order-id"], sorted["default-sort-order-id"]);
    assert.equal(withChangedSettings(sorted, {}), sorted);
    // Its column gets another field id: an order that names the old one could not be read.
    const { metadata } = changeSchema(sorted, withDouble(sampleSchema, 3, true));
    assert.deepEqual(
      metadata["sort-orders"].map((order) => order.fields.map((field) => field["source-id"])),
      [[4, 5]],
    );
  });

  test("the partition field gets out of the way of a column", () => {
    assert.equal(daySpec(initialSchema).fields[0]?.name, "timestamp_day");
    const taken = withColumn(withColumn(initialSchema, "Timestamp_Day", "long"), "timestamp_day_2", "long");
    assert.equal(daySpec(taken).fields[0]?.name, "timestamp_day_3");
  });

  test("days of times before and after 1970", () => {
    assert.equal(dayOfMicros("0"), 0);
    assert.equal(dayOfMicros("86399999999"), 0);
    assert.equal(dayOfMicros("86400000000"), 1);
    assert.equal(dayOfMicros("-1"), -1);
    assert.equal(dayOfMicros("-86400000000"), -1);
    assert.equal(dayOfMicros("-86400000001"), -2);
    assert.equal(dayOfMicros("253402300799999999"), 2_932_896);
  });
});
