import assert from "node:assert/strict";
import { test } from "node:test";
import { groupRows, keptText, restoredLine } from "../../../src/main/mutate/kept-rows.js";
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

test("rows are written in groups that have all rows of an id, and several ids as long as they are small", () => {
  const row = (id: string, bytes: number, n = 0) => ({ row_id: id, content: "x".repeat(bytes), n });
  const rows = [row("a", 40, 1), row("b", 40), row("a", 40, 2), row("c", 10), row("d", 500), row("e", 1)];
  const groups = groupRows(rows, 100).map((group) => group.map(({ row_id: id }) => id).join(""));
  assert.deepEqual(groups, ["aa", "bc", "d", "e"]);
  assert.deepEqual(
    groupRows(rows, 100)[0]?.map(({ n }) => n),
    [1, 2],
  );
  assert.deepEqual(groupRows([], 100), []);
});
