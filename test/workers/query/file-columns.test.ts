import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { QueryTable } from "../../../src/shared/query-messages.js";
import { FileColumns } from "../../../src/workers/query/file-columns.js";
import { openFixture, type QueryFixture, schemaOf, tableOf } from "./query-fixture.js";

let fixture: QueryFixture;
const ids = { timestamp: 1, a: 3, b: 4 };
const at = "TIMESTAMPTZ '2026-01-01' AS timestamp";

before(async () => {
  fixture = await openFixture();
});
after(() => fixture.close());

/** What the table holds, asked three times: the first time by field ids, then learnt, then as the worker likes. */
async function rowsOfTable(table: QueryTable): Promise<unknown> {
  const ask = async (): Promise<unknown> =>
    fixture.query("SELECT * EXCLUDE (timestamp) FROM t ORDER BY ALL", { tables: [table] });
  const first = await ask();
  for (let round = 0; round < 3; round++) assert.deepEqual(await ask(), first);
  return first;
}

describe("a plain view reads what the view by field ids reads", () => {
  test("where all files have the columns of the schema, and where none has one of them", async () => {
    const files = [
      await fixture.writeParquet("one.parquet", `SELECT ${at}, 1::BIGINT AS a, 'x' AS b`, ids),
      await fixture.writeParquet("two.parquet", `SELECT ${at}, 2::BIGINT AS a, NULL::VARCHAR AS b`, ids),
    ];
    const schema = schemaOf("timestamp timestamp", "id string", "a long", "b string", "c double");
    assert.deepEqual(await rowsOfTable(tableOf("t", schema, files)), [
      { id: null, a: 1, b: "x", c: null },
      { id: null, a: 2, b: null, c: null },
    ]);
  });

  test("where columns were renamed, exchanged, dropped, made anew, or are in some files only", async () => {
    const files = [
      await fixture.writeParquet("ab.parquet", `SELECT ${at}, 1::BIGINT AS a, 2::BIGINT AS b`, ids),
      await fixture.writeParquet("only-a.parquet", `SELECT ${at}, 3::BIGINT AS a`, { timestamp: 1, a: 3 }),
    ];
    const [both = "", onlyA = ""] = files;
    const renamed = schemaOf("timestamp timestamp 1", "x long 3", "b long 4");
    assert.deepEqual(await rowsOfTable(tableOf("t", renamed, [both])), [{ x: 1, b: 2 }]);
    const exchanged = schemaOf("timestamp timestamp 1", "b long 3", "a long 4");
    assert.deepEqual(await rowsOfTable(tableOf("t", exchanged, [both])), [{ b: 1, a: 2 }]);
    const anew = schemaOf("timestamp timestamp 1", "b long 4", "a string 9");
    assert.deepEqual(await rowsOfTable(tableOf("t", anew, [both])), [{ b: 2, a: null }]);
    const some = schemaOf("timestamp timestamp 1", "a long 3", "b long 4");
    assert.deepEqual(await rowsOfTable(tableOf("t", some, [onlyA, both])), [
      { a: 1, b: 2 },
      { a: 3, b: null },
    ]);
    const widened = schemaOf("timestamp timestamp 1", "a double 9 3", "b long 4");
    assert.deepEqual(await rowsOfTable(tableOf("t", widened, [both])), [{ a: 1, b: 2 }]);
    const otherCase = schemaOf("timestamp timestamp 1", "A long 3", "b long 4");
    assert.deepEqual(await rowsOfTable(tableOf("t", otherCase, [both])), [{ A: 1, b: 2 }]);
  });

  test("odd names of files and columns", async () => {
    const name = `it's "[odd]" *?.parquet`;
    const file = await fixture.writeParquet("plain.parquet", `SELECT ${at}, 5::BIGINT AS "a ""b"" 'c'"`, {
      timestamp: 1,
      [`a "b" 'c'`]: 3,
    });
    const { renameSync } = await import("node:fs");
    const odd = file.replace("plain.parquet", name);
    renameSync(file, odd);
    const schema = { ...schemaOf("timestamp timestamp"), columns: [...schemaOf("timestamp timestamp").columns] };
    schema.columns.push({ name: `a "b" 'c'`, type: "long", fieldId: 3, required: false });
    assert.deepEqual(await rowsOfTable(tableOf("t", schema, [odd])), [{ [`a "b" 'c'`]: 5 }]);
  });
});

test("a file is learnt when it is met the second time; tables of many files are left alone", () => {
  const columns = new FileColumns();
  const schema = schemaOf("timestamp timestamp");
  const few = tableOf("t", schema, ["/a", "/b"]);
  assert.deepEqual(columns.view(few).unknown, []);
  assert.deepEqual(columns.view(tableOf("t", schema, ["/a", "/c"])).unknown, ["/a"]);
  assert.deepEqual(columns.view(few).unknown, ["/a", "/b"]);
  const many = tableOf(
    "t",
    schema,
    Array.from({ length: 40 }, (_, index) => `/${index}`),
  );
  for (let round = 0; round < 3; round++) assert.deepEqual(columns.view(many).unknown, []);
});
