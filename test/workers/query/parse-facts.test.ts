import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { ErrorCode } from "../../../src/shared/errors.js";
import type { SelectStatement } from "../../../src/shared/query-messages.js";
import { openFixture, type QueryFixture } from "./query-fixture.js";

/** What the parse says of a statement beside its text and its tables. */

let fixture: QueryFixture;
before(async () => {
  fixture = await openFixture();
});
after(async () => fixture.close());

async function parsed(sql: string): Promise<SelectStatement> {
  return (await fixture.parse(sql)) as SelectStatement;
}

async function refused(code: ErrorCode, statements: readonly string[]): Promise<void> {
  for (const sql of statements) {
    const result = await fixture.runner.run({ kind: "parse", sql });
    assert.equal(result.kind === "failed" && result.error.code, code, sql);
  }
}

test("the fingerprint is the statement's without its spacing", async () => {
  const print = async (sql: string): Promise<string> => (await parsed(sql)).fingerprint;
  const same = "SELECT a, 'x' FROM t WHERE b = 1";
  for (const sql of [
    "select a,'x' from t where b=1;",
    "/* c */ SELECT a, 'x' -- d\n FROM t WHERE (b = 1)",
    " SELECT\ta, $$x$$ FROM t WHERE b = 1",
  ]) {
    assert.equal(await print(sql), await print(same), sql);
  }
  const different = [
    same,
    `EXPLAIN ${same}`,
    `EXPLAIN ANALYZE ${same}`,
    "SELECT A, 'x' FROM t WHERE b = 1",
    "SELECT a, 'X' FROM t WHERE b = 1",
    "SELECT a, 'x' FROM t WHERE b = 2",
    "SELECT a, 'x' FROM u WHERE b = 1",
    "SELECT a, 'x' FROM t WHERE b = 9007199254740992",
    "SELECT a, 'x' FROM t WHERE b = 9007199254740993",
    "SELECT a, 'x' FROM t WHERE b = 18446744073709551615",
    "SELECT a, 'x' FROM t WHERE b = 18446744073709551614",
    "SELECT a, 'x' FROM t WHERE b = 0.1",
    "SELECT a, 'x' FROM t WHERE b = 0.10",
    "SELECT a, 'x' FROM t WHERE b = 1e-17",
    `SELECT a, '"query_location":1' FROM t`,
    `SELECT a, '"query_location":2' FROM t`,
    "SELECT a, 'x' AS y FROM t WHERE b = 1",
    "SELECT DISTINCT a, 'x' FROM t WHERE b = 1",
    "SELECT a, 'x' FROM t WHERE b = 1 LIMIT 1",
    "SELECT a, 'x' FROM t WHERE b = 1 ORDER BY a",
    "SELECT a, 'x' FROM t WHERE b = 1 ORDER BY a DESC",
    "SELECT a, 'x' FROM t WHERE b = 1 ORDER BY a NULLS FIRST",
    "SELECT a, 'x' FROM t WHERE b = $1",
    "SELECT a, 'x' FROM t WHERE b = $x",
  ];
  const texts = new Map<string, string>();
  for (const sql of different) {
    const known = texts.get(await print(sql));
    assert.equal(known, undefined, sql);
    texts.set(await print(sql), sql);
  }
});

test("a result that may differ from run to run is volatile", async () => {
  const volatile = [
    "SELECT now()",
    "SELECT NOW ( )",
    "SELECT current_date",
    'SELECT "current_timestamp"',
    "SELECT localtimestamp",
    "SELECT current_localtimestamp()",
    "SELECT * FROM t WHERE ts > today() - INTERVAL 1 DAY",
    "SELECT * FROM t ORDER BY random()",
    "SELECT uuid(), gen_random_uuid()",
    "SELECT current_user, a FROM t",
    "SELECT age(ts) FROM t",
    "SELECT ago(INTERVAL 1 DAY)",
    "SELECT * FROM t WHERE a IN (SELECT max(b) FROM u WHERE c < transaction_timestamp())",
    "WITH x AS (SELECT now() AS n) SELECT * FROM x",
    "SELECT * FROM t TABLESAMPLE 10%",
    "SELECT * FROM t USING SAMPLE 10 ROWS",
    "SELECT * FROM (SELECT * FROM t USING SAMPLE 10 ROWS (reservoir, 42))",
    "SELECT reservoir_quantile(a, 0.5) FROM t",
    "EXPLAIN SELECT now()",
  ];
  for (const sql of volatile) assert.equal((await parsed(sql)).isVolatile, true, sql);
  const constant = [
    "SELECT 'now()', count(*) FROM t",
    "SELECT t.now, t.current_date FROM t",
    "SELECT date_trunc('day', ts), time_bucket(INTERVAL 1 HOUR, ts) FROM t WHERE a = $1",
    "SELECT row_number() OVER (ORDER BY a), version() FROM t",
  ];
  for (const sql of constant) assert.equal((await parsed(sql)).isVolatile, false, sql);
});

test("EXPLAIN is found behind comments, and means nothing else", async () => {
  const sqlOf = async (sql: string): Promise<string> => (await parsed(sql)).sql;
  assert.equal(await sqlOf("/* a */ EXPLAIN /* b; */ SELECT 1"), "EXPLAIN\nSELECT 1");
  assert.equal(await sqlOf("-- a\n explain -- analyze\n select 1"), "EXPLAIN\nselect 1");
  assert.equal(await sqlOf("EXPLAIN/**/ANALYZE(SELECT 1);"), "EXPLAIN ANALYZE\n(SELECT 1)");
  assert.equal(await sqlOf("explain(select 1)"), "EXPLAIN\n(select 1)");
  await refused("SQL_NOT_ALLOWED", ["EXPLAIN /* ; */ COPY t TO 'x'", "/* EXPLAIN */ ATTACH 'x'", "-- EXPLAIN\nLOAD x"]);
  await refused("INVALID_SQL", ["EXPLAINSELECT 1", "EXPLAIN analyzed SELECT 1"]);
});
