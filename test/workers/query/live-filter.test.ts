/** What a live query's filter may be, decided by DuckDB's own parser: expressions over one row, and nothing else. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { SqlParser } from "../../../src/workers/query/parse-statement.js";
import { checkFilterText } from "../../../src/workers/query/live-filter.js";
import { DuckDBEngine } from "../../../src/workers/query/duckdb-engine.js";

let engine: DuckDBEngine;

before(async () => {
  engine = await DuckDBEngine.open({
    memoryBytes: 64 * 1024 * 1024,
    threads: 1,
    spill: null,
    allowedFolders: [],
  });
});

after(() => engine.close());

const check = (filter: string): Promise<void> =>
  engine.withParser((parser: SqlParser) => checkFilterText(parser, "t", filter));

test("expressions", async () => {
  const filters = [
    "v > 1",
    "t.v between 1 and 2 or host in ('a', 'b')",
    "host like 'x%' and not ok",
    "v = 1) or (v = 2",
    "v > 1 -- and so on",
    "v > 1 /* ; */",
    "lower(host) = 'union select'",
    "timestamp > now() - interval 1 hour",
    "case when v is null then true else v > 3 end",
    "regexp_matches(host, '[)(;]')",
    "\"select\" = ';'",
    "len(list_filter([v], x -> x > 1)) = 1",
    "json_extract_string(payload, '$.a') = 'ünï'",
    "v::varchar = '1'",
    "true",
  ];
  for (const filter of filters) await check(filter);
});

test("what is more than an expression", async () => {
  const filters = [
    "1 = 1) union select (1",
    "1 = 1) union all select 1 from other where (true",
    "v) group by (v",
    "v) group by all having (true",
    "v) order by (v",
    "v) limit (1",
    "v) offset (1",
    "v) qualify (v",
    "v) using sample (1",
    "v) window w as (partition by v",
    "v); select (1",
    "v); drop table t; select (1",
    "(select 1) = 1",
    "exists (from t)",
    "v in (select v from t)",
    "v in (from other)",
    "row_number() over () = 1",
    "sum(v) over (order by v) > 3",
    "v > $1",
    "v > ?",
    "v > $name",
    "#1 > 0",
    "columns(*) > 1",
    "read_text('/etc/passwd') = ''",
    "getenv('HOME') = ''",
    "current_setting('threads') = '1'",
    "nextval('s') = 1",
    "query('select 1') = 1",
    "v >",
    "v > 1 garbage",
    "",
    ")",
    "(",
    "v = 'unterminated",
    "v /* unterminated",
    "v = 1\0",
    "x".repeat(20_000),
  ];
  for (const filter of filters) {
    await assert.rejects(
      check(filter),
      ({ code }: { code: string }) => code === "SQL_NOT_ALLOWED" || code === "INVALID_SQL",
      filter.slice(0, 60),
    );
  }
});

test("errors say where in the filter", async () => {
  await assert.rejects(check("v = 1 and\n (select 1) = 1"), {
    code: "SQL_NOT_ALLOWED",
    details: { position: 11, line: 2, column: 2 },
  });
  await assert.rejects(check("ü = 1 garbage"), { code: "INVALID_SQL", details: { position: 6, line: 1, column: 7 } });
});
