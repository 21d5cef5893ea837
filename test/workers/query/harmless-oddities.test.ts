import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { ParameterValue, QueryTable } from "../../../src/shared/query-messages.js";
import { type ResultFormat, resultFormats } from "../../../src/shared/result-format.js";
import { openFixture, type QueryFixture, schemaOf, tableOf } from "./query-fixture.js";

/** Statements that look like attacks, or are written as nobody would, and must work; each with its answer. */

let fixture: QueryFixture;
let tables: readonly QueryTable[];
before(async () => {
  fixture = await openFixture();
  const words = await fixture.writeParquet(
    "words.parquet",
    `SELECT * FROM (VALUES ('update', 1::BIGINT, 'drop table t; --', 1.5), ('delete', 2, '/* c */', 2.5), (NULL, 3, ';', NULL))
     AS v("select", "order", "a;b", "drop table")`,
    { select: 1, order: 2, "a;b": 3, "drop table": 4 },
  );
  const many = await fixture.writeParquet(
    "many.parquet",
    `SELECT range AS a, 'n' || range AS b, TIMESTAMPTZ '2026-01-01 00:00:00+00' + to_seconds(range) AS ts FROM range(50000)`,
    { a: 1, b: 2, ts: 3 },
  );
  tables = [
    { name: "from", schema: wordsSchema, committedFiles: [words], hotFiles: [] },
    tableOf("many", schemaOf("a long", "b string", "ts timestamp"), [many]),
  ];
});
after(async () => fixture.close());

const wordsSchema = {
  version: 1,
  lastFieldId: 4,
  columns: [
    { name: "select", type: "string", fieldId: 1, required: false },
    { name: "order", type: "long", fieldId: 2, required: false },
    { name: "a;b", type: "string", fieldId: 3, required: false },
    { name: "drop table", type: "double", fieldId: 4, required: false },
  ],
} as const;

async function answer(sql: string, values: readonly ParameterValue[] = []): Promise<unknown[][]> {
  const { tables: named } = (await fixture.parse(sql)) as { tables: readonly { name: string }[] };
  const wanted = new Set(named.map(({ name }) => name.toLowerCase()));
  const used = tables.filter(({ name }) => wanted.has(name));
  return (await fixture.query(sql, { tables: used, values })).map((row) => Object.values(row));
}

describe("oddities that work", () => {
  const cases: readonly (readonly [string, unknown[][]])[] = [
    ["SELECT 'update', 'delete from t; -- x', ';'", [["update", "delete from t; -- x", ";"]]],
    ["SELECT '--', '/*', '*/'", [["--", "/*", "*/"]]],
    ["SELECT '''; DROP TABLE t; --'", [["'; DROP TABLE t; --"]]],
    ["SELECT E'\\'; DROP', $$it's ; --$$, $x$ $$ ; $x$", [["'; DROP", "it's ; --", " $$ ; "]]],
    ["SELECT 1 -- ; DROP TABLE t", [[1]]],
    ["SELECT /* ; /* nested */ DROP */ 1 /* -- */;", [[1]]],
    ["-- COPY t TO 'x'\n/* ATTACH */ SELECT 1;;;  ;\n", [[1]]],
    ["SELECT 1\r\n;\t", [[1]]],
    ["select(1)", [[1]]],
    ["SELECT '\u{1f600}' AS \"\u{1f600}\", 'é' -- ü", [["\u{1f600}", "é"]]],
    ["SELECT 'read_csv(''/etc/passwd'')' AS \"getenv('HOME')\"", [["read_csv('/etc/passwd')"]]],
    ['SELECT count(*) FROM "from"', [[3]]],
    ['SELECT "select" FROM "from" WHERE "order" = 1', [["update"]]],
    ['SELECT "a;b" FROM "from" ORDER BY "order" DESC LIMIT 1;', [[";"]]],
    ['SELECT "a;b", "drop table" FROM "FROM" WHERE "a;b" = \'drop table t; --\';', [["drop table t; --", 1.5]]],
    ['SELECT "from"."order" AS "update" FROM "from" "from" WHERE "select" IN (\'delete\')', [[2]]],
    ['FROM "from" SELECT max("order")', [[3]]],
    ['TABLE "from" LIMIT 1', [["update", 1, "drop table t; --", 1.5]]],
    [
      "VALUES (1, 'a'), (2, ';')",
      [
        [1, "a"],
        [2, ";"],
      ],
    ],
    ["(SELECT 1) UNION ALL (SELECT 2) ORDER BY 1 DESC", [[2], [1]]],
    ["SELECT 1 INTERSECT SELECT 1 EXCEPT SELECT 2", [[1]]],
    ["WITH a AS (SELECT 1 AS x), b AS (SELECT x + 1 AS y FROM a) SELECT x, y FROM a, b", [[1, 2]]],
    ["WITH RECURSIVE r AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM r WHERE x < 4) SELECT sum(x) FROM r", [[10]]],
    ["WITH many AS (SELECT 7 AS a) SELECT a FROM many", [[7]]],
    ["SELECT (SELECT max(a) FROM many) - (SELECT min(a) FROM many)", [[49999]]],
    ['SELECT count(*) FROM many m JOIN "from" f ON m.a = f."order" WHERE f."select" IS NOT NULL', [[2]]],
    ["SELECT m.a, l.n FROM many m, LATERAL (SELECT m.a * 2 AS n) l WHERE m.a = 21", [[21, 42]]],
    ["SELECT a FROM many QUALIFY row_number() OVER (ORDER BY a DESC) = 1", [[49999]]],
    ["SELECT sum(a) OVER (ORDER BY a ROWS 1 PRECEDING) FROM many ORDER BY a LIMIT 3", [["0"], ["1"], ["3"]]],
    ["PIVOT (SELECT a % 2 AS k, a AS v FROM many WHERE a < 4) ON k IN (0, 1) USING sum(v)", [["2", "4"]]],
    [
      "SELECT * FROM (UNPIVOT (SELECT 1 AS x, 2 AS y) ON x, y) ORDER BY value",
      [
        ["x", 1],
        ["y", 2],
      ],
    ],
    ["SELECT 1 WHERE EXISTS (FROM many WHERE b = 'n7')", [[1]]],
    ["SELECT count(*) FROM many WHERE ts >= '2026-01-01T10:00:00Z' AND b LIKE 'n4999%'", [[10]]],
    ["SELECT [x * 2 FOR x IN [1, 2] IF x > 1], {'a': 1}.a", [[[4], 1]]],
    [
      "DESCRIBE many",
      [
        ["a", "BIGINT"],
        ["b", "VARCHAR"],
        ["ts", "TIMESTAMP WITH TIME ZONE"],
      ],
    ],
    [
      "describe many;",
      [
        ["a", "BIGINT"],
        ["b", "VARCHAR"],
        ["ts", "TIMESTAMP WITH TIME ZONE"],
      ],
    ],
    [
      "DESCRIBE SELECT 1 AS x, 'a' AS y",
      [
        ["x", "INTEGER"],
        ["y", "VARCHAR"],
      ],
    ],
  ];
  for (const [sql, expected] of cases) {
    test(sql.replaceAll("\n", " "), async () => {
      const rows = await answer(sql);
      const isDescribe = /^describe/i.test(sql);
      // JSON has sums of integers as numbers or texts by their type; what counts here is the digits.
      const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value).replace(/"(\d+)"/g, "$1"));
      assert.deepEqual(plain(isDescribe ? rows.map((row) => row.slice(0, 2)) : rows), plain(expected));
    });
  }

  test("EXPLAIN and EXPLAIN ANALYZE show the plan, with values too", async () => {
    for (const sql of [
      "EXPLAIN SELECT count(*) FROM many WHERE a < $1",
      "explain analyze select count(*) from many where a < ?;",
      "/* why */ EXPLAIN SELECT * FROM many WHERE a < ? LIMIT 3",
    ]) {
      const rows = await answer(sql, [10]);
      assert.match(JSON.stringify(rows), /PARQUET|READ_PARQUET|TABLE_SCAN|Profiling/i, sql);
    }
  });
});

describe("values of parameters", () => {
  test("each type at each kind of place", async () => {
    const cases: readonly (readonly [string, readonly ParameterValue[], unknown[][]])[] = [
      ["SELECT ?, ?, ?, ?, ?", [null, true, 5, 1.5, "x"], [[null, true, 5, 1.5, "x"]]],
      ["SELECT typeof($1), typeof($2), typeof($3)", [5, 2_147_483_648, 0.5], [["INTEGER", "BIGINT", "DOUBLE"]]],
      ["SELECT $1 + 0", [Number.MAX_SAFE_INTEGER], [[9_007_199_254_740_991]]],
      ["SELECT ($1::BIGINT)::VARCHAR", ["9007199254740993"], [["9007199254740993"]]],
      ["SELECT $2, $1, $2", ["a", "b"], [["b", "a", "b"]]],
      ["SELECT $lo || $Hi || $LO", ["h", "l"], [["lhl"]]],
      ["SELECT a FROM many WHERE a IN ($1, $2) ORDER BY a", [3, 5], [[3], [5]]],
      ["SELECT a FROM many ORDER BY a LIMIT ? OFFSET ?", [2, 7], [[7], [8]]],
      [
        "SELECT count(*) FROM many WHERE ts >= $from AND ts < $until",
        ["2026-01-01T00:00:10Z", "2026-01-01 00:00:20"],
        [[10]],
      ],
      ["SELECT count(*) FROM many WHERE ts BETWEEN ? AND ?", ["2026-01-01", "2026-01-01T00:00:09.5Z"], [[10]]],
      ["SELECT count(*) FROM many WHERE ts < $1::TIMESTAMPTZ + INTERVAL 1 MINUTE", ["2026-01-01"], [[60]]],
      ["SELECT count(*) FROM many WHERE a = $1", ["17"], [[1]]],
      ["SELECT count(*) FROM many WHERE a = $1", [null], [[0]]],
      ["SELECT b FROM many WHERE b = $1", ["n7"], [["n7"]]],
      ["SELECT -$1, 1-$1", [-5], [[5, 6]]],
      ["SELECT round(2.567, $1), INTERVAL ($1) DAY = INTERVAL 2 DAYS", [2], [[2.57, true]]],
      ["SELECT * FROM range($1)", [2], [[0], [1]]],
      ["WITH c AS (SELECT ? AS x) SELECT x, ? FROM c", ["a", "b"], [["a", "b"]]],
      ["VALUES (?), (?)", ["a", "b"], [["a"], ["b"]]],
      ['SELECT \'?\', "$1" FROM (SELECT $1 AS "$1") -- ? $2', ["v"], [["?", "v"]]],
      ["SELECT list_transform([1, 2], lambda x: x + $1)", [10], [[[11, 12]]]],
    ];
    for (const [sql, values, expected] of cases) assert.deepEqual(await answer(sql, values), expected, sql);
  });

  test("large results have them too, in every format", async () => {
    const sql = "SELECT a, b, ts, $tag AS tag FROM many WHERE a >= $from";
    const used = tables.filter(({ name }) => name === "many");
    // By the alphabet: $from, $tag.
    const values = [10, "it's ; -- \u{1f600}"];
    for (const format of Object.keys(resultFormats) as ResultFormat[]) {
      const result = await fixture.execute(sql, { tables: used, values, format });
      assert.ok(result.kind === "rows", `${format}: ${JSON.stringify(result)}`);
      assert.equal(result.rows, 49_990, format);
    }
    const rows = await fixture.query(sql, { tables: used, values });
    assert.equal(rows.length, 49_990);
    assert.equal(rows.at(-1)?.["tag"], "it's ; -- \u{1f600}");
  });

  test("a value that does not fit is an error of the statement, at its place", async () => {
    const sql = "SELECT count(*)\nFROM many WHERE a = $1::BIGINT";
    const result = await fixture.execute(sql, { tables: tables.slice(1), values: ["x"] });
    assert.ok(result.kind === "failed");
    assert.equal(result.error.code, "INVALID_SQL");
    assert.equal(result.error.details["line"], 2);
  });
});

describe("names that are not there", () => {
  async function failure(sql: string): Promise<{ code: string; message: string; details: Record<string, unknown> }> {
    const result = await fixture.execute(sql, { tables: tables.slice(1) });
    assert.ok(result.kind === "failed", sql);
    return result.error;
  }

  test("a column: its place, and what may be meant", async () => {
    const error = await failure("SELECT 'é',\n  bb FROM many");
    assert.equal(error.code, "INVALID_SQL");
    assert.deepEqual(error.details, { position: 14, line: 2, column: 3, name: "bb", suggestion: "b" });
    const qualified = await failure("SELECT m.tz FROM many AS m");
    assert.deepEqual(qualified.details, { position: 7, line: 1, column: 8, name: "tz", suggestion: "ts" });
    assert.equal(
      (await failure("SELECT count(*) FROM many WHERE nothing_like_it = 1")).details["suggestion"],
      undefined,
    );
    assert.equal((await failure("SELECT mny.a FROM many")).details["suggestion"], "many");
    const anywhere = await failure(
      "WITH x AS (SELECT 1 AS ab) SELECT many.a, x.zz FROM many, x WHERE tss > '2026-01-01'",
    );
    assert.equal(anywhere.details["name"], "tss");
    assert.equal(anywhere.details["suggestion"], "ts");
  });

  test("a function: its place, and one that clients may call", async () => {
    const error = await failure("SELECT 1,\n uper(b) FROM many");
    assert.equal(error.code, "INVALID_SQL");
    assert.deepEqual(error.details, { position: 11, line: 2, column: 2, function: "uper", suggestion: "upper" });
    assert.equal((await failure("SELECT getenvv('x')")).details["suggestion"], undefined);
    assert.equal((await failure("SELECT summ(a) FROM many")).details["suggestion"], "sum");
  });
});
