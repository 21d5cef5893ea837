import { DuckDBInstance } from "@duckdb/node-api";
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { limits } from "../../../src/shared/limits.js";
import { isGuarded } from "../../../src/workers/query/guarded-functions.js";
import { openFixture, type QueryFixture } from "./query-fixture.js";

let fixture: QueryFixture;
before(async () => {
  fixture = await openFixture();
});
after(() => fixture.close());

/** The error's code and sentence, from the parser or from the run. */
async function refusal(sql: string): Promise<string> {
  const parsed = await fixture.runner.run({ kind: "parse", sql });
  if (parsed.kind === "failed") return `${parsed.error.code} ${parsed.error.message}`;
  const result = await fixture.execute(sql, { timeoutMs: 20_000 });
  return result.kind === "failed" ? `${result.error.code} ${result.error.message}` : result.kind;
}

/** Each held a thread for longer than 8 s past an interrupt, or took gigabytes, of a DuckDB with 512 MiB. */
const attacks: Readonly<Record<string, readonly string[]>> = {
  "long texts": [
    "SELECT length(repeat('x', 4000000000))",
    "SELECT sum(length(repeat('x', 1000000 + i::INT))) FROM range(100000) t(i)",
    "SELECT repeat('x', -(-4000000000))",
    "SELECT length(REPEAT('x', 4000000000))",
    `SELECT length("repeat"('x', 4000000000))`,
    "SELECT length(repeat('x'::BLOB, 4000000000))",
    "SELECT len(repeat([1], 2000000000))",
    "SELECT length(rpad('x', 2000000000, 'y'))",
    "SELECT length(lpad('x', 2000000000, 'yz'))",
    "SELECT length(replace(repeat('a', 100000), 'a', repeat('b', 100000)))",
    "SELECT length(replace(repeat('a', 100000), '', repeat('b', 100000)))",
    "SELECT length(regexp_replace(repeat('a', 100000), 'a', repeat('b', 2000), 'g'))",
    "SELECT bit_length(bitstring('1', 2000000000))",
  ],
  formats: [
    "SELECT length(printf('%2000000000d', 1))",
    "SELECT length(printf('%-020000d', 1))",
    "SELECT length(printf('%.2000000000f', 1.0::DOUBLE))",
    "SELECT length(printf('%*d', 2000000000, 1))",
    "SELECT length(printf('%1$*2$d', 1, 2000000000))",
    "SELECT length(printf('%' || '2000000000' || 'd', 1))",
    "SELECT length(format('{:2000000000d}', 1))",
    "SELECT length(format('{:<2000000000}', 'x'))",
    "SELECT length(format('{:.100000000f}', 1.0::DOUBLE))",
    "SELECT length(format('{:{}}', 1, 2000000000))",
    "SELECT length(format('{{{:{}}', 1, 2000000000))",
    "SELECT length(format(repeat('{0}', 10000), repeat('x', 100000)))",
    "SELECT strftime(TIMESTAMP '2000-01-01', repeat('%A', 100000))",
  ],
  "long lists": [
    "SELECT len(range(1000000000))",
    "SELECT len(generate_series(0, 3000000000))",
    "SELECT len(range(0, -3000000000, -1))",
    "SELECT sum(len(range(1000000 + i))) FROM range(100000) t(i)",
    "SELECT len(range(TIMESTAMP '2000-01-01', TIMESTAMP '2100-01-01', INTERVAL 1 SECOND))",
    "SELECT len(range(DATE '2000-01-01', DATE '2100-01-01', INTERVAL 1 MINUTE))",
    "SELECT len(range(TIMESTAMPTZ '2100-01-01', TIMESTAMPTZ '2000-01-01', INTERVAL '-1' SECOND))",
    "SELECT len(list_resize([1], 2000000000))",
    "SELECT len(array_resize([1], 100000000, 7))",
    "SELECT len(flatten(list_transform(range(10000), x -> range(60000))))",
    "SELECT len([repeat('x', 100000) FOR x IN range(60000)])",
    "SELECT len([range(x) FOR x IN range(60000)])",
  ],
  "values that double": [
    "SELECT length(list_reduce(list_transform(range(60), x -> 'xx'), (a, b) -> a || a))",
    "SELECT length(list_reduce(range(40)::VARCHAR[], lambda a, b: a || b || A))",
    "SELECT len(reduce([[1], [2]], (a, b) -> list_concat(a, a)))",
    "SELECT len(array_reduce([[1], [2]], (a, b) -> list_concat(CASE WHEN true THEN a END, a)))",
    "SELECT bit_count(bitstring_agg(i, 0, 1000000)) FROM range(100000) t(i) GROUP BY i",
    "SELECT bit_count(bitstring_agg(i)) FROM range(100000) t(i) GROUP BY i",
    "SELECT approx_top_k(i, 100000) FROM range(100000000) t(i)",
  ],
  comparisons: [
    "SELECT levenshtein(repeat('ab', 50000), repeat('ba', 50000))",
    "SELECT editdist3(repeat('ab', 50000), repeat('ba', 50000))",
    "SELECT damerau_levenshtein(repeat('ab', 500), repeat('ba', 500))",
    "SELECT jaro_similarity(repeat('ab', 50000), repeat('ba', 50000))",
    "SELECT jaro_winkler_similarity(repeat('ab', 50000), repeat('ba', 50000), 0.5)",
  ],
  patterns: [
    "SELECT repeat('a', 100000) GLOB '*a*a*a*a*b'",
    "SELECT repeat('a', 100000) GLOB repeat('*a', 50) || 'b'",
    "SELECT repeat('a', 100000) GLOB p FROM (VALUES ('*a*a*a*a*b')) v(p)",
    "SELECT repeat('a', 100000) LIKE '%a_%a_%a_%a_b'",
    "SELECT repeat('a', 100000) NOT ILIKE '%a_%a_%a_%a_b'",
    "SELECT repeat('a', 100000) LIKE '%a%a%a%a%ab' ESCAPE '!'",
    "SELECT repeat('a', 100000) LIKE repeat('%a_', 5000) || 'b'",
  ],
  "other ways to the function": [
    "SELECT system.main.repeat('x', 10)",
    "SELECT main.range(10)",
    `SELECT "system"."main"."printf"('x')`,
    "SELECT pg_catalog.levenshtein('a', 'b')",
    `SELECT ${"repeat(".repeat(14)}'x'${", 2)".repeat(14)}`,
    `SELECT 1 WHERE ${"len(range(".repeat(14)}3${"))".repeat(14)} > 0`,
  ],
};

describe("refused within a moment, before it takes anything", () => {
  for (const [name, statements] of Object.entries(attacks)) {
    test(name, async () => {
      for (const sql of statements) assert.match(await refusal(sql), /^INVALID_SQL /, sql);
    });
  }
});

test("the text says what the limit is", async () => {
  assert.match(await refusal("SELECT repeat('x', 1000000)"), new RegExp(`at most ${limits.grownTextBytesMax} bytes`));
  assert.match(await refusal("SELECT range(1000000)"), new RegExp(`${limits.grownListMax} elements; FROM range`));
});

/** Small uses, in all the ways to write them: each must give what a DuckDB without macros gives. */
const harmless = [
  "SELECT repeat('ab', 3), repeat(NULL, 3), repeat('ab', NULL), repeat('x'::BLOB, 2)::VARCHAR, repeat([1, 2], 2), repeat('x', -1)",
  "SELECT repeat('*', i::INT) AS bar, i FROM range(5) t(i) ORDER BY i",
  "SELECT repeat('x', count(*)) FROM range(3)",
  "SELECT repeat('a', (i % 2)::INT) AS k, count(*) AS n FROM range(9) t(i) GROUP BY repeat('a', (i % 2)::INT) ORDER BY k",
  "SELECT repeat('x', row_number() OVER ()) AS s FROM range(3)",
  "SELECT repeat('x', (SELECT 3)), strlen(repeat('x', 131072))",
  "SELECT lpad('7', 3, '0'), rpad('é', 3, 'ü'), lpad('abc', 2, 'x'), lpad(NULL, 2, 'x'), lpad(lpad('1', 2, '0'), 3, 'x')",
  "SELECT [lpad(x::VARCHAR, 3, '0') FOR x IN range(3)], [range(3) FOR x IN range(2)]",
  "SELECT replace(replace(replace('abc', 'a', '1'), 'b', ''), 'x', repeat('y', 1000)), replace('a{body}b', '{body}', repeat('z', 6000))",
  "SELECT regexp_replace('abcb', 'b', 'x'), regexp_replace('abcb', '(B)', '<\\1>', 'gi'), regexp_replace(NULL, 'a', 'b')",
  "SELECT printf('%d|%5.2f|%s|%05d|%%|%,d', 3, 1.5::DOUBLE, 'x', 7, 1234567), printf('12345%%: %d', 1), printf('plain')",
  "SELECT format('{}|{:>5}|{}|{{\"a\": {}}}', 1, 'x', 2, 3), format('{:,}', 1234567), format('{:999}', 'x'), format('12345: {}', 'x')",
  "SELECT range(3), range(1, 3), range(1, 10, 3), range(10, 1, -3), generate_series(0, 2), range(NULL), range(1, NULL), len(range(65536))",
  "SELECT generate_series(DATE '2000-01-01', DATE '2000-01-03', INTERVAL 1 DAY)::VARCHAR, range(TIMESTAMP '2000-01-01', TIMESTAMP '2000-03-01', INTERVAL 1 MONTH)::VARCHAR",
  "SELECT range(TIMESTAMPTZ '2000-01-01', TIMESTAMPTZ '2000-01-02', INTERVAL 12 HOUR)::VARCHAR, len(range(TIMESTAMP '2000-01-01', TIMESTAMP '2000-02-01', INTERVAL 1 MINUTE))",
  "SELECT i, unnest(range(i)) AS u FROM range(4) t(i) ORDER BY ALL",
  "SELECT count(*) FROM range(1000000), generate_series(1, 2)",
  "SELECT count(*) FROM generate_series(TIMESTAMP '2000-01-01', TIMESTAMP '2000-02-01', INTERVAL 10 SECOND)",
  "SELECT count(*) FROM repeat('x', 200000)",
  "SELECT list_resize([1], 3), list_resize([1], 3, 7), array_resize([1, 2], 1), list_resize([1], NULL)",
  "SELECT list_reduce([1, 2, 3], (a, b) -> a + b), list_reduce(['a', 'b'], lambda a, b: a || b), list_reduce([3, 1], (a, b) -> CASE WHEN a > b THEN a ELSE b END)",
  "SELECT levenshtein('duck', 'luck'), editdist3('a', NULL), damerau_levenshtein('ab', 'ba'), levenshtein(repeat('a', 1000), 'b')",
  "SELECT jaro_similarity('duck', 'duckdb'), jaro_winkler_similarity('duck', 'duckdb'), jaro_similarity('a', 'b', 0.5)",
  "SELECT 'ABC' ILIKE 'a_c', 'ABC' ILIKE '%B%', 'ÄB' ILIKE 'ä%', 'ABC' NOT ILIKE 'a%', NULL ILIKE 'a', 'a%c' ILIKE 'A!%C' ESCAPE '!'",
  "SELECT 'ABC' GLOB 'A*', 'ABC' GLOB 'A?C', 'abc' GLOB '[a-b]bc', 'a/b/c' GLOB '*/b/*', 'abc' GLOB 'ABC'",
  "SELECT 'a_b' LIKE '%\\_%' ESCAPE '\\', repeat('a', 10000) LIKE '%a%a%a%a%a%a%a%b', 'foo_bar' LIKE '%o_b%'",
  "SELECT bitstring('0101', 8)::VARCHAR, bitstring_agg(i, 0, 7)::VARCHAR FROM range(3) t(i)",
  "SELECT approx_top_k(i, 10) FROM range(3) t(i)",
  "SELECT strftime(TIMESTAMP '2000-01-02', '%Y-%m'), strptime('2000', '%Y')::VARCHAR",
  "WITH RECURSIVE r AS (SELECT 1 AS n, 'x' AS s UNION ALL SELECT n + 1, repeat('x', n + 1) FROM r WHERE n < 4) FROM r ORDER BY n",
];

test("small uses are as DuckDB has them, column names too", async () => {
  for (const sql of harmless) {
    const text = `SELECT to_json(q)::VARCHAR AS j FROM (${sql}) AS q`;
    const expected = (await fixture.rows(text)).map(([json]) => json);
    const actual = (await fixture.query(text)).map((row) => row["j"]);
    assert.deepEqual(actual, expected, sql);
  }
});

test("sizes and bounds that are parameters", async () => {
  const sql = "SELECT repeat('x', $1) AS a, len(range($1, $2)) AS b, 'ABC' ILIKE $3 AS c, printf($4, $1) AS d";
  const rows = await fixture.query(sql, { values: [3, 5, "ab%", "%02d"] });
  assert.deepEqual(rows, [{ a: "xxx", b: 2, c: true, d: "03" }]);
  const failed = await fixture.execute("SELECT repeat('x', $1)", { values: [4_000_000_000] });
  assert.ok(failed.kind === "failed" && failed.error.code === "INVALID_SQL");
});

test("a literal size leaves no check in the plan", async () => {
  const plan = await fixture.query(
    "EXPLAIN SELECT replace(lpad(i::VARCHAR, 9, '0'), 'a', 'b') FROM range(3) t(i) WHERE i::VARCHAR ILIKE 'a%'",
  );
  const text = JSON.stringify(plan);
  assert.match(text, /replace/);
  assert.match(text, /prefix/);
  assert.doesNotMatch(text, /CASE|error/);
});

test("every guarded function is there, with no overload that its macro forgets", async () => {
  const instance = await DuckDBInstance.create(":memory:");
  const connection = await instance.connect();
  const result = await connection.runAndReadAll(
    "SELECT function_name, list_sort(list(DISTINCT len(parameters))) FROM duckdb_functions() WHERE function_type = 'scalar' GROUP BY ALL",
  );
  connection.closeSync();
  instance.closeSync();
  const counts = new Map(
    result.getRowsJson().map(([name, list]) => [JSON.stringify(name), (list as unknown[]).map(Number)]),
  );
  const expected: Readonly<Record<string, readonly number[]>> = {
    array_resize: [2, 3],
    bitstring: [2],
    damerau_levenshtein: [2],
    editdist3: [2],
    format: [1],
    generate_series: [1, 2, 3],
    jaro_similarity: [2, 3],
    jaro_winkler_similarity: [2, 3],
    levenshtein: [2],
    list_resize: [2, 3],
    lpad: [3],
    printf: [1],
    range: [1, 2, 3],
    regexp_replace: [3, 4],
    repeat: [2],
    replace: [3],
    rpad: [3],
    "~~*": [2],
    "!~~*": [2],
    "~~~": [2],
  };
  for (const [name, lengths] of Object.entries(expected)) {
    assert.ok(isGuarded(name), name);
    assert.deepEqual(counts.get(JSON.stringify(name)), lengths, name);
  }
});
