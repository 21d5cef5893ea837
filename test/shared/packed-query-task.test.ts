import assert from "node:assert/strict";
import { test } from "node:test";
import { packTask, unpackTask } from "../../src/shared/packed-query-task.js";
import type { QueryTable, QueryTask, SelectStatement } from "../../src/shared/query-messages.js";
import type { TableSchema } from "../../src/shared/schema/table-schema.js";

const schema: TableSchema = {
  version: 4,
  lastFieldId: 5,
  columns: [
    { name: "timestamp", type: "timestamp", fieldId: 1, required: true },
    { name: 'a "b" \u2028 é', type: "double", fieldId: 5, required: false, replacesFieldId: 3 },
  ],
};
const deletes = [{ file: "/w/a.parquet", deleteFiles: ["/w/d.parquet"] }];
const places = { file: "f", row: "r" };
const tables: readonly QueryTable[] = [
  { name: "t", schema, committedFiles: ["/w/a.parquet"], hotFiles: ["/h/b.parquet"], deletes, places },
  { name: "u", schema: { ...schema, version: 5 }, committedFiles: [], hotFiles: [] },
];
const statement: SelectStatement = {
  kind: "select",
  sql: "SELECT $1 FROM t, u",
  text: " SELECT $1 FROM t, u",
  startBytes: 1,
  tables: [{ name: "t", position: 16 }],
  predicates: [{ table: "t", predicate: { kind: "any" } }],
  limitRows: null,
  parameters: ["1"],
  fingerprint: "f",
  isVolatile: false,
  isBlocking: true,
};
const execute: QueryTask = {
  kind: "execute",
  slot: 3,
  statement,
  tables,
  values: ["x", [1, 2.5, null]],
  limitRows: 10,
  offsetRows: 0,
  timeoutMs: 1_000,
  format: "json",
  notes: ["n"],
  keep: { path: "/k", rowsMax: 1, bytesMax: 2 },
  slowMs: 5,
};

test("a task comes through its message as it was, but for what only main needs of the statement", () => {
  const sent = (task: QueryTask): QueryTask => unpackTask(structuredClone(packTask(task)));
  const expected = { ...execute, statement: { ...statement, tables: [], predicates: [] } };
  assert.deepEqual(sent(execute), expected);
  const parse = { kind: "parse", sql: "SELECT 1" } as const;
  assert.deepEqual(sent(parse), parse);
  const [first, again] = [sent(execute), sent(execute)];
  assert.ok(first.kind === "execute" && again.kind === "execute");
  assert.equal(first.tables[0]?.schema, again.tables[0]?.schema, "equal schemas are one object");
  assert.notEqual(first.tables[0]?.schema, first.tables[1]?.schema);
  // More versions than are kept: the oldest is read anew.
  for (let version = 10; version < 1_100; version++) {
    const [table] = tables.slice(0, 1).map((each) => ({ ...each, schema: { ...schema, version } }));
    assert.ok(table !== undefined);
    const through = sent({ ...execute, tables: [table] });
    assert.ok(through.kind === "execute");
    assert.equal(through.tables[0]?.schema.version, version);
  }
  const late = sent(execute);
  assert.deepEqual(late, expected);
  assert.ok(late.kind === "execute" && late.tables[0]?.schema !== first.tables[0]?.schema);
});
