import assert from "node:assert/strict";
import { test } from "node:test";
import { keptText, restoredLine } from "../../../src/main/mutate/kept-rows.js";
import { applyOperations } from "../../../src/shared/schema/schema-operations.js";
import { initialSchema, withColumn, withDouble } from "../../../src/shared/schema/table-schema.js";

const rules = { hasValues: () => true, isCommitted: () => true, sortOrder: [] };

test("a kept row comes back under the columns of now, its values as they were written", () => {
  let schema = initialSchema;
  for (const name of ["big", "renamed", "dropped", "nothing"]) schema = withColumn(schema, name, "long");
  const text = keptText(schema, '"2026-11-22T10:00:00Z"', [
    ["big", "9007199254740993"],
    ["renamed", '{"a":[1.50]}'],
    ["dropped", "3"],
    ["nothing", "null"],
  ]);
  const later = applyOperations(
    schema,
    [
      { kind: "rename", name: "renamed", to: "new name" },
      { kind: "drop", name: "dropped" },
    ],
    rules,
  );
  // A long column that became double has a field id of its own.
  const widened = withDouble(later, 3, true);
  const line = restoredLine(widened, 'it"s', text);
  assert.equal(
    line,
    '{"id":"it\\"s","timestamp":"2026-11-22T10:00:00Z","big":9007199254740993,"new name":{"a":[1.50]}}',
  );
});
