import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { withFileNames } from "../../../src/workers/query/explain-paths.js";
import type { ResultFormat } from "../../../src/shared/result-format.js";
import { bytesOf, openFixture, type QueryFixture, schemaOf, tableOf } from "./query-fixture.js";

let fixture: QueryFixture;
before(async () => {
  fixture = await openFixture();
});
after(() => fixture.close());

test("EXPLAIN and EXPLAIN ANALYZE name files, and no folder of the server", async () => {
  const names = ["a-file-with-a-long-name-0123456789-0123456789.parquet", "b.parquet", "c.parquet"];
  const files: string[] = [];
  for (const name of names) files.push(await fixture.writeParquet(name, "SELECT 1::BIGINT AS a", { a: 1 }));
  const schema = schemaOf("a long");
  const tables = [tableOf("t", schema, files), tableOf("u", schema, files.slice(1))];
  const parts = fixture.warehouse.split("/").filter((part) => part.length > 3);
  assert.ok(parts.length >= 2, fixture.warehouse);
  for (const verb of ["EXPLAIN", "EXPLAIN ANALYZE"]) {
    for (const format of ["original", "json", "csv"] satisfies ResultFormat[]) {
      const sql = `${verb} SELECT * FROM t JOIN u ON t.a = u.a UNION ALL SELECT a, a FROM t WHERE a > 0`;
      const result = await fixture.execute(sql, { tables, format });
      // Box by box, without the breaks of lines.
      const text = bytesOf(result)
        .toString()
        .replaceAll(/[\s│]|\\n/g, "");
      for (const part of parts) assert.ok(!text.includes(part), `${verb} ${format}: ${part} in ${text}`);
      if (verb === "EXPLAIN ANALYZE") assert.match(text, /b\.parquet,c\.parquet/);
    }
  }
});

const sideBySide = [
  "┌───────────┐┌───────────┐",
  "│ Filename(s): ││ Filename(s): │",
  "│ /tmp/x/hot/a.││   /y/b.pq    │",
  "│ pq, /tmp/c.pq││              │",
  "│              ││   /not/me    │",
  "└───────────┘└───────────┘",
];

test("boxes side by side, each to its own empty line", () => {
  const expected = [...sideBySide];
  expected[2] = "│  a.pq, c.pq  ││     b.pq     │";
  expected[3] = "│              ││              │";
  assert.equal(withFileNames(sideBySide.join("\n")), expected.join("\n"));
});

test("a plan without files is as it was", () => {
  for (const plan of ["", "└──┘\n", "│ Filename(s) │\n│ /a/b │"]) assert.equal(withFileNames(plan), plan);
});
