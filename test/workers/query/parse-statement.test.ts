import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { ErrorCode } from "../../../src/shared/errors.js";
import { limits } from "../../../src/shared/limits.js";
import type { QueryResult, SelectStatement } from "../../../src/shared/query-messages.js";
import { openFixture, type QueryFixture } from "./query-fixture.js";

let fixture: QueryFixture;
before(async () => {
  fixture = await openFixture();
});
after(async () => fixture.close());

async function parsed(sql: string): Promise<SelectStatement> {
  const statement = await fixture.parse(sql);
  assert.notEqual(statement.kind, "show-tables", sql);
  return statement as SelectStatement;
}

async function failure(sql: string): Promise<Extract<QueryResult, { kind: "failed" }>["error"]> {
  const result = await fixture.runner.run({ kind: "parse", sql });
  assert.ok(result.kind === "failed", `${sql} was let through: ${JSON.stringify(result)}`);
  return result.error;
}

async function refused(code: ErrorCode, statements: readonly string[]): Promise<void> {
  for (const sql of statements) assert.equal((await failure(sql)).code, code, sql);
}

describe("statements that are no SELECT", () => {
  test("writers, settings, files and everything else is refused", async () => {
    await refused("SQL_NOT_ALLOWED", [
      "COPY t TO '/tmp/x.csv'",
      "COPY (SELECT 1) TO '/tmp/x.parquet'",
      "COPY t FROM '/etc/passwd'",
      "ATTACH '/tmp/x.db' AS x",
      "DETACH x",
      "USE x",
      "PRAGMA database_list",
      "PRAGMA show_tables",
      "SET threads = 1",
      "SET VARIABLE x = 1",
      "RESET threads",
      "INSTALL httpfs",
      "LOAD httpfs",
      "CREATE TABLE x AS SELECT 1",
      "CREATE TEMP TABLE x (a INT)",
      "CREATE VIEW v AS SELECT 1",
      "CREATE MACRO f(x) AS x",
      "CREATE OR REPLACE TEMP MACRO count(x) AS 1",
      "CREATE SECRET s (TYPE s3)",
      "CREATE SEQUENCE s",
      "CREATE TYPE e AS ENUM ('a')",
      "DROP TABLE t",
      "ALTER TABLE t ADD COLUMN x INT",
      "INSERT INTO t VALUES (1)",
      "INSERT INTO t SELECT 1 RETURNING *",
      "WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x",
      "UPDATE t SET a = 1",
      "DELETE FROM t",
      "TRUNCATE t",
      "MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE",
      "BEGIN",
      "COMMIT",
      "CHECKPOINT",
      "VACUUM",
      "ANALYZE",
      "CALL range(3)",
      "CALL pragma_version()",
      "PREPARE p AS SELECT 1",
      "EXECUTE p",
      "DEALLOCATE p",
      "EXPORT DATABASE '/tmp/x'",
      "IMPORT DATABASE '/tmp/x'",
      "COMMENT ON TABLE t IS 'x'",
      "EXPLAIN INSERT INTO t VALUES (1)",
      "EXPLAIN ANALYZE COPY t TO '/tmp/x'",
      "EXPLAIN ANALYZE SET threads = 1",
      "EXPLAIN SHOW TABLES",
      "SHOW DATABASES",
      "SHOW ALL TABLES",
      "PIVOT t ON a",
    ]);
  });

  test("a PIVOT without its values is told what to write instead", async () => {
    const texts = [
      "PIVOT t ON a",
      "-- why\n pivot t ON a USING sum(b)",
      "FROM (PIVOT t ON a USING sum(b))",
      "(PIVOT t ON a)",
      "WITH x AS (PIVOT t ON a) SELECT * FROM x",
      "EXPLAIN PIVOT t ON a",
    ];
    for (const sql of texts) {
      const result = await fixture.runner.run({ kind: "parse", sql });
      assert.ok(result.kind === "failed" && result.error.code === "SQL_NOT_ALLOWED", sql);
      assert.match(result.error.message, /ON a IN \('x', 'y'\)/, sql);
    }
    const other = await fixture.runner.run({ kind: "parse", sql: "DELETE FROM t WHERE a = 'pivot'" });
    assert.ok(other.kind === "failed" && /only one SELECT/.test(other.error.message));
  });

  test("a second statement is refused, whatever stands between the two", async () => {
    await refused("SQL_NOT_ALLOWED", [
      "SELECT 1; SELECT 2",
      "SELECT 1; DROP TABLE t",
      "SELECT 1;;;; DROP TABLE t",
      "SELECT 1; /* ; */ COPY t TO 'x'",
      "SELECT 1; -- end\nSET threads = 1",
      "SELECT ';'; SELECT 2;",
      "SHOW TABLES; SELECT 1",
      "EXPLAIN SELECT 1; SELECT 2",
    ]);
  });

  test("what does not parse says where", async () => {
    await refused("INVALID_SQL", [
      "",
      "  \n ",
      "-- nothing",
      "/* nothing */;",
      "SELEC 1",
      "SELECT 1 FROM",
      "SELECT 'open",
      "SELECT 1 /* open",
      'SELECT "open',
      "SELECT $$ open",
      "SELECT 1)",
      "SELECT 1) AS q, (SELECT 2",
      "WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x",
      "SELECT * INTO x FROM t",
      "EXPLAIN EXPLAIN SELECT 1",
      "EXPLAIN (FORMAT json) SELECT 1",
    ]);
    const error = await failure("SELECT é,\n  1 + , 2");
    assert.equal(error.code, "INVALID_SQL");
    assert.deepEqual([error.details["line"], error.details["column"]], [2, 7], error.message);
    assert.equal(error.details["position"], "SELECT é,\n  1 + ".length);
    assert.match(error.message, /line 2, column 7/);
  });

  test("texts that a C string would cut, and texts without end, are refused", async () => {
    await refused("INVALID_SQL", ["SELECT 1\0; DROP TABLE t", "\0", `SELECT '${"x".repeat(limits.sqlBytesMax)}'`]);
  });
});

describe("SELECT that reaches outside", () => {
  const outside = [
    "read_csv('/etc/passwd')",
    "read_csv_auto('/etc/passwd')",
    "read_text('/etc/passwd')",
    "read_blob('/etc/passwd')",
    "read_json('/etc/passwd')",
    "read_json_objects('/etc/passwd')",
    "read_ndjson('/etc/passwd')",
    "read_parquet('/tmp/*.parquet')",
    "parquet_scan('/tmp/*.parquet')",
    "parquet_metadata('/tmp/x.parquet')",
    "parquet_schema('/tmp/x.parquet')",
    "parquet_kv_metadata('/tmp/x.parquet')",
    "glob('/*')",
    "sniff_csv('/etc/passwd')",
    "query('SELECT 1')",
    "query_table('t')",
    "json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "duckdb_settings()",
    "duckdb_tables()",
    "duckdb_secrets()",
    "duckdb_functions()",
    "duckdb_logs()",
    "pragma_version()",
    "pragma_table_info('t')",
    "pragma_database_size()",
    "sql_auto_complete('SEL')",
    "seq_scan('t')",
    "arrow_scan(1, 2, 3)",
    "checkpoint()",
    "force_checkpoint()",
    "enable_logging()",
    "enable_profiling()",
    "truncate_duckdb_logs()",
    "which_secret('s3://x', 's3')",
    "test_all_types()",
    "icu_calendar_names()",
    "pg_timezone_names()",
    "summary('t')",
    "histogram_values(t, 'a')",
    "no_such_function()",
  ];

  test("table functions that are not on the list, in whatever place and spelling", async () => {
    for (const call of outside) {
      const name = call.slice(0, call.indexOf("("));
      await refused("SQL_NOT_ALLOWED", [
        `SELECT * FROM ${call}`,
        `SELECT * FROM ${name.toUpperCase()}${call.slice(name.length)}`,
        `SELECT * FROM "${name}"${call.slice(name.length)} AS x`,
        `FROM system.main.${call}`,
      ]);
    }
    const call = "read_text('/etc/passwd')";
    await refused("SQL_NOT_ALLOWED", [
      `SELECT (SELECT max(content) FROM ${call})`,
      `SELECT * FROM t WHERE EXISTS (FROM ${call})`,
      `SELECT * FROM t WHERE a IN (SELECT content FROM ${call})`,
      `SELECT * FROM t, LATERAL (SELECT * FROM ${call})`,
      `SELECT * FROM t JOIN ${call} ON true`,
      `WITH x AS (SELECT * FROM ${call}) SELECT 1`,
      `WITH x AS MATERIALIZED (FROM ${call}) SELECT * FROM x`,
      `WITH RECURSIVE r AS (SELECT 1 UNION ALL SELECT 2 FROM ${call}) SELECT * FROM r`,
      `SELECT 1 UNION ALL SELECT content FROM ${call}`,
      `SELECT * FROM (VALUES ((SELECT max(content) FROM ${call})))`,
      `SELECT [x FOR x IN (SELECT content FROM ${call})]`,
      `SELECT unnest((SELECT list(content) FROM ${call}))`,
      `SELECT list_transform([1], lambda x: (SELECT max(content) FROM ${call}))`,
      `SELECT 1 ORDER BY (SELECT max(content) FROM ${call})`,
      `SELECT 1 LIMIT (SELECT count(*) FROM ${call})`,
      `SELECT sum(a) OVER (ORDER BY (SELECT max(content) FROM ${call})) FROM t`,
      `SELECT sum(a) FILTER (WHERE (SELECT true FROM ${call})) FROM t`,
      `SELECT * FROM range((SELECT count(*) FROM ${call}))`,
      `FROM ${call} SELECT content`,
      `PIVOT (FROM ${call}) ON content IN ('a') USING count(*)`,
      `UNPIVOT (FROM ${call}) ON content`,
      `SELECT /* ${call} */ * FROM/**/read_text/**/('/etc/passwd')`,
      `SELECT * FROM\nread_text\n(\n'/etc/passwd'\n)`,
      `DESCRIBE SELECT * FROM ${call}`,
      `SUMMARIZE SELECT * FROM ${call}`,
      `EXPLAIN SELECT * FROM ${call}`,
      `EXPLAIN ANALYZE SELECT * FROM ${call}`,
      `(SELECT 1) UNION (SELECT 1 FROM ${call})`,
      `SELECT 'é' AS "ü", (SELECT max(content) FROM ${call})`,
    ]);
  });

  test("functions of the server's state and of files, in every kind of expression", async () => {
    const calls = [
      "getenv('HOME')",
      "GETENV('HOME')",
      "\"getenv\"('HOME')",
      "system.main.getenv('HOME')",
      "('HOME').getenv()",
      "current_setting('allowed_directories')",
      "read_text('/etc/passwd')",
      "getvariable('x')",
      "setseed(0.5)",
      "nextval('s')",
      "currval('s')",
      "sleep_ms(1000)",
      "pg_sleep(1)",
      "write_log('x')",
      "json_serialize_plan('SELECT 1')",
      "json_deserialize_sql('{}')",
      "finalize(x)",
      "variant_bytes_to_variant(x)",
      "__internal_decompress_string(1::UTINYINT)",
    ];
    for (const call of calls) await refused("SQL_NOT_ALLOWED", [`SELECT ${call}`]);
    const call = "getenv('HOME')";
    await refused("SQL_NOT_ALLOWED", [
      `SELECT upper(${call})`,
      `SELECT ${call}::VARCHAR`,
      `SELECT TRY_CAST(${call} AS INT)`,
      `SELECT CASE WHEN ${call} = '' THEN 1 END`,
      `SELECT 1 BETWEEN ${call} AND 2`,
      `SELECT 'a' LIKE ${call}`,
      `SELECT 'a' COLLATE nocase = ${call}`,
      `SELECT [${call}]`,
      `SELECT {'a': ${call}}`,
      `SELECT MAP {'a': ${call}}`,
      `SELECT a[${call}] FROM t`,
      `SELECT struct_pack(a := ${call})`,
      `SELECT list_transform([1], lambda x: ${call})`,
      `SELECT COLUMNS(c -> c = ${call}) FROM t`,
      `SELECT * REPLACE (${call} AS a) FROM t`,
      `SELECT * FROM t WHERE a = ${call}`,
      `SELECT 1 GROUP BY ${call}`,
      `SELECT 1 HAVING ${call} = ''`,
      `SELECT 1 QUALIFY ${call} = ''`,
      `SELECT DISTINCT ON (${call}) 1`,
      `SELECT count(*) FILTER (WHERE ${call} = '')`,
      `SELECT string_agg(a, ',' ORDER BY ${call}) FROM t`,
      `SELECT lag(a, 1, ${call}) OVER () FROM t`,
      `SELECT sum(b) OVER w FROM t WINDOW w AS (PARTITION BY ${call})`,
      `SELECT * FROM (VALUES (${call}))`,
      `SELECT * FROM t JOIN u ON ${call} = ''`,
      `SELECT * FROM t LIMIT ${call}`,
      `SELECT * FROM generate_series(1, ${call})`,
    ]);
    const error = await failure("SELECT 'é',\n upper(getenv('x'))");
    assert.deepEqual([error.details["line"], error.details["column"]], [2, 8], error.message);
  });

  test("files, catalogs and schemas by name are tables that main must know", async () => {
    const names = [
      "/etc/passwd",
      "x.parquet",
      "s3://bucket/x.parquet",
      "https://x/y.csv",
      "*.parquet",
      "duckdb_settings",
      "sqlite_master",
    ];
    for (const name of names) {
      for (const quote of ["'", '"']) {
        const { tables } = await parsed(`SELECT * FROM ${quote}${name}${quote}`);
        assert.deepEqual(tables, [{ name, position: 14 }]);
      }
    }
    await refused("SQL_NOT_ALLOWED", [
      "SELECT * FROM information_schema.tables",
      "SELECT * FROM pg_catalog.pg_tables",
      "SELECT * FROM main.t",
      "SELECT * FROM memory.main.t",
      "SELECT * FROM temp.main.t",
      "SELECT * FROM system.main.duckdb_settings",
      "SELECT * FROM t AT (VERSION => 1)",
      "SELECT * FROM (SHOW TABLES)",
      "SELECT * FROM (SHOW ALL TABLES)",
    ]);
  });
});

describe("names of tables", () => {
  async function namesOf(sql: string): Promise<string[]> {
    return (await parsed(sql)).tables.map((table) => table.name);
  }

  test("each once, as first written, wherever it stands", async () => {
    assert.deepEqual(await namesOf("SELECT * FROM Cpu JOIN mem USING (host) WHERE x IN (SELECT y FROM CPU, disk)"), [
      "Cpu",
      "mem",
      "disk",
    ]);
    assert.deepEqual(await namesOf("SELECT (SELECT max(a) FROM u) FROM t UNION SELECT 1 FROM v"), ["u", "t", "v"]);
    assert.deepEqual(await namesOf("DESCRIBE t"), ["t"]);
    assert.deepEqual(await namesOf("SHOW t"), ["t"]);
    assert.deepEqual(await namesOf("SUMMARIZE t"), ["t"]);
    assert.deepEqual(await namesOf("TABLE t"), ["t"]);
    assert.deepEqual(await namesOf("EXPLAIN SELECT * FROM t"), ["t"]);
    assert.deepEqual(await namesOf("SELECT 1"), []);
    const { tables } = await parsed("EXPLAIN ANALYZE SELECT 'é' FROM t");
    assert.deepEqual(tables, [{ name: "t", position: "EXPLAIN ANALYZE SELECT 'é' FROM ".length }]);
  });

  test("a CTE hides a table only where it is in reach", async () => {
    assert.deepEqual(await namesOf("WITH c AS (SELECT * FROM t) SELECT * FROM c, C"), ["t"]);
    assert.deepEqual(await namesOf("WITH t AS (SELECT * FROM t) SELECT * FROM t"), ["t"]);
    assert.deepEqual(await namesOf("WITH a AS (SELECT 1), b AS (SELECT * FROM a) SELECT * FROM b"), []);
    assert.deepEqual(await namesOf("WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a"), ["b"]);
    assert.deepEqual(await namesOf("SELECT * FROM (WITH u AS (SELECT 1) SELECT * FROM u) x, u"), ["u"]);
    assert.deepEqual(await namesOf("SELECT (WITH u AS (SELECT 1) SELECT 1 FROM u), 2 FROM u"), ["u"]);
    assert.deepEqual(await namesOf("WITH u AS (SELECT 1) SELECT * FROM t WHERE EXISTS (SELECT * FROM u)"), ["t"]);
    assert.deepEqual(await namesOf("WITH u AS (SELECT 1) (SELECT * FROM u UNION ALL SELECT * FROM u)"), []);
    const recursive = "WITH RECURSIVE r AS (SELECT 1 a UNION ALL SELECT a + 1 FROM r WHERE a < 5) SELECT * FROM r";
    assert.deepEqual(await namesOf(recursive), []);
    assert.deepEqual(await namesOf("WITH RECURSIVE r AS (SELECT a FROM r UNION ALL SELECT 1 FROM r) SELECT 1"), ["r"]);
    // The name of a CTE in one place is no excuse for a file of that name in another.
    assert.deepEqual(await namesOf("SELECT * FROM (WITH \"x.csv\" AS (SELECT 1) SELECT 1) a, 'x.csv'"), ["x.csv"]);
  });
});

describe("what may run", () => {
  test("words of other statements in literals, names and comments", async () => {
    const texts = [
      "SELECT 'update t set a = 1; drop table t; -- no'",
      'SELECT "update", "delete", "copy" FROM t',
      "SELECT 1 AS \"from 'x.csv'\"",
      "SELECT $$ it's ; -- DROP $$",
      "SELECT E'\\'; DROP TABLE t; --'",
      "SELECT '''; DROP TABLE t'",
      "SELECT 1 -- ; DROP TABLE t",
      "SELECT 1 /* ; DROP TABLE t */",
      "SELECT 1 /* /* nested ; */ ; */",
      "-- COPY\nSELECT 1",
      "/* SET */ SELECT 1",
      "SELECT 'read_csv(''/etc/passwd'')'",
      "SELECT {'type': 'BASE_TABLE', 'table_name': 'x', 'sample': NULL, 'cte_map': 1, 'class': 'FUNCTION'}",
    ];
    for (const sql of texts) {
      const statement = await parsed(sql);
      assert.equal(statement.sql, sql);
      assert.equal(statement.kind, "select");
    }
  });

  test("the semicolon at the end goes, and nothing else", async () => {
    const cases: readonly (readonly [string, string])[] = [
      ["SELECT 1;", "SELECT 1"],
      ["SELECT 1 ; \n", "SELECT 1 "],
      ["SELECT ';';", "SELECT ';'"],
      ["SELECT ';'", "SELECT ';'"],
      ["SELECT 1 ; -- a;b", "SELECT 1 "],
      ["SELECT ';' ; /* ; */ ;; -- ;", "SELECT ';' "],
      ["SELECT 1 -- ;", "SELECT 1 -- ;"],
      ["DESCRIBE t;", "DESCRIBE t"],
      ["SUMMARIZE t ;", "SUMMARIZE t "],
      ["VALUES (1), (';');", "VALUES (1), (';')"],
    ];
    for (const [sql, expected] of cases) assert.equal((await parsed(sql)).sql, expected, sql);
    assert.equal((await parsed("EXPLAIN ANALYZE SELECT ';';")).sql, "EXPLAIN ANALYZE\nSELECT ';'");
  });

  test("all forms of SELECT", async () => {
    const texts = [
      "FROM t",
      "TABLE t",
      "VALUES (1, 'a'), (2, 'b')",
      "(SELECT 1)",
      "SELECT 1 UNION SELECT 2 INTERSECT SELECT 3 EXCEPT SELECT 4",
      "SELECT * FROM t ASOF JOIN u USING (a)",
      "SELECT * FROM t POSITIONAL JOIN u",
      "SELECT * FROM t SEMI JOIN u USING (a)",
      "SELECT * FROM t TABLESAMPLE 10%",
      "SELECT * FROM t USING SAMPLE 10 ROWS",
      "SELECT a, sum(b) FROM t GROUP BY ROLLUP (a) HAVING sum(b) > 1 ORDER BY ALL",
      "SELECT a, row_number() OVER (PARTITION BY b ORDER BY c) AS n FROM t QUALIFY n = 1",
      "SELECT DISTINCT ON (a) a, b FROM t ORDER BY a, b",
      "SELECT * EXCLUDE (a) REPLACE (b + 1 AS b) RENAME (c AS d) FROM t",
      "SELECT COLUMNS('a.*') FROM t",
      "SELECT t.a.b.c, a[1], a[1:2], {'x': 1}.x FROM t",
      "SELECT list_transform([1, 2], lambda x: x + 1), [x * 2 FOR x IN [1, 2] IF x > 1]",
      "SELECT CAST(a AS INT), a::DATE, TRY_CAST(a AS DOUBLE), a IS NULL, NOT a, a IS DISTINCT FROM b FROM t",
      "SELECT EXTRACT(year FROM ts), ts AT TIME ZONE 'UTC', INTERVAL 3 DAYS, DATE '2024-01-01' FROM t",
      "SELECT now(), current_date, current_timestamp, uuid(), random(), version(), current_user",
      "SELECT time_bucket(INTERVAL 5 MINUTES, ts), avg(v) FROM t GROUP BY 1",
      "SELECT * FROM range(10), generate_series(1, 3) AS g(n), unnest([1, 2]) AS u(x), repeat('a', 3)",
      "SELECT * FROM json_each('[1]'), json_tree('{}')",
      "PIVOT t ON a IN ('x', 'y') USING sum(b)",
      "UNPIVOT t ON a, b",
      "SELECT * FROM t PIVOT (sum(b) FOR a IN ('x', 'y'))",
      "WITH RECURSIVE r AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM r WHERE a < 3) SELECT * FROM r",
      "SELECT #1 FROM t",
      "SELECT 'a' COLLATE nocase",
      "SELECT j->'$.a', j->>'b', json_extract(j, '$[0]') FROM t",
      "SELECT * FROM t WHERE a = ANY (SELECT b FROM u) OR a IN (1, 2) OR b LIKE 'x%' OR c BETWEEN 1 AND 2",
      "SELECT count(*) FROM (DESCRIBE t)",
    ];
    for (const sql of texts) await parsed(sql);
    for (const sql of ["SHOW TABLES", "show tables;", "SHOW TABLES -- all"]) {
      assert.deepEqual(await fixture.parse(sql), { kind: "show-tables" }, sql);
    }
  });

  test("limit, parameters and blocking forms are reported", async () => {
    assert.equal((await parsed("SELECT * FROM t LIMIT 7")).limitRows, 7);
    assert.equal((await parsed("SELECT * FROM (SELECT * FROM t LIMIT 7)")).limitRows, null);
    assert.equal((await parsed("SELECT * FROM t LIMIT 1 + 2")).limitRows, null);
    assert.deepEqual((await parsed("SELECT ?, $2 + a FROM t")).parameters, ["1", "2"]);
    assert.deepEqual((await parsed("SELECT ?, ? + a FROM t LIMIT ?")).parameters, ["1", "2", "3"]);
    assert.deepEqual((await parsed("SELECT $2, $1, $2 FROM t")).parameters, ["1", "2"]);
    assert.deepEqual((await parsed("EXPLAIN SELECT $Host, $host, $at")).parameters, ["at", "Host"]);
    await refused("INVALID_SQL", ["SELECT $1, $3", "SELECT $99999999999", "SELECT $2, ?", "SELECT $1, $name"]);
    const blocking = [
      "SELECT a FROM t ORDER BY a",
      "SELECT a FROM t GROUP BY a",
      "SELECT DISTINCT a FROM t",
      "SELECT * FROM t JOIN u USING (a)",
      "SELECT a FROM t UNION SELECT a FROM t",
      "SELECT sum(a) OVER () FROM t",
      "SELECT * FROM (SELECT * FROM t ORDER BY a)",
      "SELECT a FROM t WHERE a IN (SELECT b FROM u)",
      "SELECT unnest(list(a)) FROM t",
    ];
    for (const sql of blocking) assert.equal((await parsed(sql)).isBlocking, true, sql);
    for (const sql of ["SELECT a + 1 FROM t WHERE b > 1", "SELECT count(*) FROM t", "SELECT max(a) FROM t"]) {
      assert.equal((await parsed(sql)).isBlocking, false, sql);
    }
  });

  test("deep and long statements are walked or refused, never fatal", async () => {
    const sumOf = (terms: number): string => `SELECT ${Array.from({ length: terms }, (_, index) => index).join(" + ")}`;
    assert.equal((await parsed(sumOf(limits.expressionDepthMax - 1))).kind, "select");
    const path = "a->'b'";
    assert.equal((await parsed(`SELECT ${path}${"->'b'".repeat(limits.subqueryDepthMax - 1)} FROM t`)).kind, "select");
    // DuckDB would plan these for longer than anybody waits, and hear no interrupt.
    const subqueries = limits.subqueryDepthMax + 1;
    await refused("INVALID_SQL", [
      sumOf(900),
      `SELECT ${path}${"->'b'".repeat(subqueries)} FROM t`,
      `SELECT ${"(SELECT ".repeat(subqueries)}1${")".repeat(subqueries)}`,
      `SELECT 1 WHERE ${"EXISTS (SELECT 1 WHERE ".repeat(subqueries)}true${")".repeat(subqueries)}`,
      `SELECT ${"list_transform([1], lambda x: ".repeat(subqueries)}1${")".repeat(subqueries)}`,
    ]);
    const list = `SELECT * FROM t WHERE a IN (${Array.from({ length: 20_000 }, (_, index) => index).join(",")})`;
    assert.equal((await parsed(list)).tables.length, 1);
    await refused("INVALID_SQL", [`SELECT ${"(".repeat(50_000)}1${")".repeat(50_000)}`]);
    const union = Array.from({ length: 500 }, () => "SELECT 1").join(" UNION ALL ");
    assert.equal((await parsed(union)).kind, "select");
  });
});
