import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { operationsOfBody } from "../../../src/main/protocols/schema-changes.js";
import { MiniodbError } from "../../../src/shared/errors.js";
import { fromIcebergSchema, toIcebergSchema } from "../../../src/shared/iceberg/schema-json.js";
import { applyOperations, type SchemaFacts } from "../../../src/shared/schema/schema-operations.js";
import {
  initialSchema,
  isDroppedField,
  withColumn,
  type TableSchema,
} from "../../../src/shared/schema/table-schema.js";

let base = withColumn(initialSchema, "a", "long");
base = withColumn(base, "b", "string");
base = withColumn(base, "c", "json");

const nothing: SchemaFacts = { hasValues: () => false, isCommitted: () => false, sortOrder: [] };
const everything: SchemaFacts = { hasValues: () => true, isCommitted: () => true, sortOrder: [] };

function apply(changes: readonly object[], facts = nothing, schema = base): TableSchema {
  return applyOperations(schema, operationsOfBody({ changes }), facts);
}

function namesOf(schema: TableSchema): string {
  return schema.columns.map((column) => `${column.name}${column.fieldId}`).join(" ");
}

function refusal(changes: readonly object[], facts = nothing): string {
  try {
    apply(changes, facts);
  } catch (error) {
    assert.ok(error instanceof MiniodbError);
    assert.equal(error.code, "INVALID_REQUEST");
    return `${String(error.details["change"])}: ${error.message}`;
  }
  return assert.fail(`${JSON.stringify(changes)} was taken`);
}

describe("operations on columns", () => {
  test("add, rename, drop and move, one version for all", () => {
    const next = apply([
      { op: "rename", name: "A", to: "first" },
      { op: "drop", name: "b" },
      { op: "add", name: "b", type: "double", after: null, comment: "again" },
      { op: "add", name: "last", type: "boolean" },
      { op: "move", name: "c", after: "id" },
      { op: "move", name: "first" },
    ]);
    assert.equal(namesOf(next), "timestamp1 id2 c5 b6 last7 first3");
    assert.equal(next.version, base.version + 1);
    assert.equal(next.lastFieldId, 7);
    assert.ok(isDroppedField(next, 4) && !isDroppedField(next, 6) && !isDroppedField(next, 8));
    assert.equal(next.columns[3]?.comment, "again");
  });

  test("what changes nothing is no new version", () => {
    assert.equal(apply([{ op: "type", name: "a", type: "long" }]), base);
    assert.equal(apply([{ op: "comment", name: "a", comment: null }]), base);
    const there = [
      { op: "rename", name: "a", to: "x" },
      { op: "rename", name: "x", to: "a" },
    ];
    assert.equal(apply(there), base);
    assert.equal(namesOf(apply([{ op: "rename", name: "a", to: "A" }])), "timestamp1 id2 A3 b4 c5");
  });

  test("a column without values takes any type, with values long alone takes double", () => {
    const free = apply([{ op: "type", name: "a", type: "timestamp" }]);
    assert.deepEqual(free.columns[2], { fieldId: 6, name: "a", type: "timestamp", required: false });
    const widened = apply([{ op: "type", name: "a", type: "double" }], everything);
    assert.deepEqual(widened.columns[2], {
      fieldId: 6,
      name: "a",
      type: "double",
      required: false,
      replacesFieldId: 3,
    });
    const unflushed = apply([{ op: "type", name: "a", type: "double" }], { ...everything, isCommitted: () => false });
    assert.deepEqual(unflushed.columns[2], { fieldId: 3, name: "a", type: "double", required: false });
    assert.match(refusal([{ op: "type", name: "b", type: "long" }], everything), /has string values/);
  });

  test("comments are docs of the Iceberg fields, those of json columns behind their mark", () => {
    const next = apply([
      { op: "comment", name: "timestamp", comment: "when" },
      { op: "comment", name: "b", comment: "a text" },
      { op: "comment", name: "c", comment: "a tree" },
    ]);
    const json = toIcebergSchema(next);
    assert.deepEqual(
      json.fields.map((field) => field.doc),
      ["when", undefined, undefined, "a text", "json: a tree"],
    );
    assert.deepEqual(fromIcebergSchema(json, next.lastFieldId), next);
    assert.equal(apply([{ op: "comment", name: "b", comment: "" }], nothing, next).columns[3]?.comment, undefined);
    assert.match(refusal([{ op: "comment", name: "b", comment: "json: x" }]), /does not begin with/);
  });

  test("what cannot be done is refused with the number of the change", () => {
    const good = { op: "add", name: "x", type: "long" };
    const cases: readonly (readonly [object, RegExp])[] = [
      [{ op: "add", name: "B", type: "long" }, /^1: there is a column b already/],
      [{ op: "add", name: "y", type: "int" }, /one of boolean, long, double, string, timestamp, json/],
      [{ op: "add", name: "y\n", type: "long" }, /1 to 255 bytes/],
      [{ op: "add", name: "y", type: "long", after: "z" }, /after names no column/],
      [{ op: "add", name: "y", type: "long", after: "timestamp" }, /id stands behind timestamp/],
      [{ op: "add", name: "y", type: "long", default: 1 }, /^1: default of a change must be left out/],
      [{ op: "rename", name: "z", to: "y" }, /there is no column z/],
      [{ op: "rename", name: "a", to: "ID" }, /there is a column id already/],
      [{ op: "drop", name: "timestamp" }, /every table's/],
      [{ op: "move", name: "id" }, /every table's/],
      [{ op: "split", name: "a" }, /one of add, rename, drop, move, type, comment/],
      [{ op: "drop" }, /name of a change must be a text/],
    ];
    for (const [change, expected] of cases) assert.match(refusal([good, change]), expected, JSON.stringify(change));
    const sorted = { ...nothing, sortOrder: ["A"] };
    assert.match(refusal([{ op: "drop", name: "a" }], sorted), /change its sort_order first/);
    assert.match(refusal([{ op: "rename", name: "a", to: "y" }], sorted), /change its sort_order first/);
    for (const body of [{}, { changes: [] }, { changes: {} }, { changes: [1] }]) {
      assert.throws(() => operationsOfBody(body), /changes|a change must be an object/);
    }
  });
});
