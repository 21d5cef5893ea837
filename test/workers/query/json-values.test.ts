import { DuckDBInstance } from "@duckdb/node-api";
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { limits } from "../../../src/shared/limits.js";
import { doubleText, jsonWriter, rfc3339 } from "../../../src/workers/query/json-values.js";
import { seededRandom } from "../../harness/seeded-random.js";
import { bytesOf, openFixture, type QueryFixture, rowsOf, textOf } from "./query-fixture.js";

const seed = Number(process.env["MINIODB_TEST_SEED"] ?? Date.now() % 1_000_000);

let fixture: QueryFixture;
before(async () => {
  fixture = await openFixture();
});
after(async () => fixture.close());

/** The text of the one value that the expression has. */
async function textOfValue(expression: string): Promise<string> {
  const result = await fixture.execute(`SELECT ${expression} AS v`);
  const text = textOf(result);
  rowsOf(result);
  assert.ok(text.startsWith('[{"v":') && text.endsWith("}]"), text);
  return text.slice('[{"v":'.length, -2);
}

async function check(cases: readonly (readonly [string, string])[]): Promise<void> {
  for (const [expression, expected] of cases) assert.equal(await textOfValue(expression), expected, expression);
}

describe("values as JSON", () => {
  test("numbers keep all their digits", async () => {
    await check([
      ["9007199254740993::BIGINT", "9007199254740993"],
      ["(-9223372036854775808)::BIGINT", "-9223372036854775808"],
      ["18446744073709551615::UBIGINT", "18446744073709551615"],
      ["170141183460469231731687303715884105727::HUGEINT", "170141183460469231731687303715884105727"],
      ["340282366920938463463374607431768211455::UHUGEINT", "340282366920938463463374607431768211455"],
      ["'123456789012345678901234567890123456789012345'::BIGNUM", "123456789012345678901234567890123456789012345"],
      ["(-128)::TINYINT", "-128"],
      ["1.50::DECIMAL(4,2)", "1.5"],
      ["(-0.05)::DECIMAL(4,2)", "-0.05"],
      ["12345678901234567890.123456789012345678::DECIMAL(38,18)", "12345678901234567890.123456789012345678"],
      ["(-0.000000000000000001)::DECIMAL(38,18)", "-0.000000000000000001"],
      ["0.1::DOUBLE", "0.1"],
      ["1::DOUBLE", "1.0"],
      ["1e21::DOUBLE", "1e21"],
      ["1e-7::DOUBLE", "1e-7"],
      ["1.7976931348623157e308::DOUBLE", "1.7976931348623157e308"],
      ["-0.0::DOUBLE", "-0.0"],
      ["'nan'::DOUBLE", "null"],
      ["'inf'::DOUBLE", "null"],
      ["'-inf'::FLOAT", "null"],
      ["1.5::FLOAT", "1.5"],
      ["NULL", "null"],
      ["NULL::BIGINT", "null"],
      ["true", "true"],
    ]);
  });

  test("timestamps are RFC 3339 in UTC", async () => {
    await check([
      ["TIMESTAMPTZ '2024-01-02 03:04:05.678+00'", '"2024-01-02T03:04:05.678Z"'],
      ["TIMESTAMPTZ '2024-01-02 03:04:05.678+02'", '"2024-01-02T01:04:05.678Z"'],
      ["TIMESTAMP '2024-01-02 03:04:05'", '"2024-01-02T03:04:05.000Z"'],
      ["TIMESTAMP '2024-01-02 03:04:05.678901'", '"2024-01-02T03:04:05.678901Z"'],
      ["TIMESTAMP '2024-01-02 03:04:05.000001'", '"2024-01-02T03:04:05.000001Z"'],
      ["TIMESTAMP '1969-12-31 23:59:59.999999'", '"1969-12-31T23:59:59.999999Z"'],
      ["TIMESTAMP '1677-09-22 00:12:43.000010'", '"1677-09-22T00:12:43.000010Z"'],
      ["TIMESTAMP '0001-01-01 00:00:00'", '"0001-01-01T00:00:00.000Z"'],
      ["TIMESTAMP '9999-12-31 23:59:59.999999'", '"9999-12-31T23:59:59.999999Z"'],
      ["TIMESTAMP '12024-01-01 00:00:00'", '"12024-01-01T00:00:00.000Z"'],
      ["TIMESTAMP_S '2024-01-02 03:04:05'", '"2024-01-02T03:04:05.000Z"'],
      ["TIMESTAMP_MS '2024-01-02 03:04:05.678'", '"2024-01-02T03:04:05.678Z"'],
      ["TIMESTAMP_NS '2024-01-02 03:04:05.678901234'", '"2024-01-02T03:04:05.678901234Z"'],
      ["TIMESTAMP_NS '1969-12-31 23:59:59.999999999'", '"1969-12-31T23:59:59.999999999Z"'],
      ["'infinity'::TIMESTAMPTZ", "null"],
      ["'-infinity'::TIMESTAMP", "null"],
      ["'infinity'::DATE", "null"],
      ["DATE '2024-01-02'", '"2024-01-02"'],
      ["TIME '03:04:05.5'", '"03:04:05.5"'],
      ["TIMETZ '03:04:05+02'", '"03:04:05+02"'],
      ["INTERVAL '1 month 2 days 03:04:05'", '"1 month 2 days 03:04:05"'],
    ]);
    assert.equal(rfc3339(-1n), '"1969-12-31T23:59:59.999999999Z"');
  });

  test("texts, bytes and JSON", async () => {
    await check([
      ["'a\"b\\c'", '"a\\"b\\\\c"'],
      ["E'line\\nfeed\\ttab'", '"line\\nfeed\\ttab"'],
      ["chr(1) || chr(31) || '\\u001f'", '"\\u0001\\u001F\\\\u001f"'],
      ["'ü😀'", '"ü😀"'],
      ["chr(65279) || 'x'", '"\uFEFFx"'],
      ["''", '""'],
      ["'\\x00\\xFF'::BLOB", '"AP8="'],
      ["'abcd'::BLOB", '"YWJjZA=="'],
      ["''::BLOB", '""'],
      ["'{\"a\": [1, 9007199254740993]}'::JSON", '{"a": [1, 9007199254740993]}'],
      ["E'{\"a\":\\n1}'::JSON", '{"a": 1}'],
      ['\'{"a": {"b": "x"}}\'::JSON->\'$.a\'', '{"b":"x"}'],
      ["'{\"a\": \"x\"}'::JSON->>'$.a'", '"x"'],
      ["'NaN'::JSON", '"NaN"'],
      ["'[1,]'::JSON", '"[1,]"'],
      ["'{\"a\": 1}'", '"{\\"a\\": 1}"'],
      ["'550e8400-e29b-41d4-a716-446655440000'::UUID", '"550e8400-e29b-41d4-a716-446655440000"'],
      ["'b'::ENUM ('a', 'b')", '"b"'],
      ["'0101'::BIT", '"0101"'],
    ]);
  });

  test("nested values follow the same rules inside", async () => {
    await check([
      ["[1, NULL, 9007199254740993]", "[1,null,9007199254740993]"],
      ["[]", "[]"],
      ["[[1.5::DOUBLE, 'nan'::DOUBLE], NULL]", "[[1.5,null],null]"],
      ["[1, 2]::INT[2]", "[1,2]"],
      ["{'b': 1, 'a': TIMESTAMP '2024-01-02 03:04:05', '1': NULL}", '{"b":1,"a":"2024-01-02T03:04:05.000Z","1":null}'],
      ["{'x': {'y': '\\xFF'::BLOB}}", '{"x":{"y":"/w=="}}'],
      ["MAP {'b': 1, 'a': NULL}", '{"b":1,"a":null}'],
      ["MAP {2: 'x', 1: 'y'}", '{"2":"x","1":"y"}'],
      ["MAP {DATE '2024-01-02': 1}", '{"2024-01-02":1}'],
      ["union_value(k := 1)", "1"],
      ["union_value(k := 'x')", '"x"'],
    ]);
  });

  test("every type that DuckDB has gives valid JSON", async () => {
    const rows = (await fixture.rows("SELECT column_name FROM (DESCRIBE FROM test_all_types())")).map(([name]) =>
      String(name),
    );
    assert.ok(rows.length > 40);
    // Not callable by clients: the statement goes to the worker past the parser.
    const statement = {
      kind: "select",
      sql: "FROM test_all_types()",
      text: "",
      startBytes: 0,
      tables: [],
      limitRows: null,
      predicates: [],
      parameters: [],
      fingerprint: "",
      isVolatile: false,
      isBlocking: false,
    } as const;
    const task = {
      kind: "execute",
      slot: 0,
      statement,
      tables: [],
      values: [],
      limitRows: 10,
      offsetRows: 0,
      timeoutMs: 10_000,
      format: "original",
    } as const;
    const found = rowsOf(await fixture.runner.run(task));
    assert.equal(found.length, 3);
    assert.deepEqual(Object.keys(found[0] ?? {}), rows);
    for (const value of Object.values(found[2] ?? {})) assert.equal(value, null);
  });

  test("column names are unique and keep their order", async () => {
    const [row] = await fixture.query(
      'SELECT 1 AS a, 2 AS a, 3 AS "A", 4 AS a_1, 5 AS "2", 6 AS "1", 7 AS "q""x", 8 AS a',
    );
    assert.equal(Object.keys(row ?? {}).length, 8);
    const text = textOf(await fixture.execute('SELECT 1 AS z, 2 AS "2", 3 AS "1", 4 AS z, 5 AS "q""x"'));
    assert.equal(text, '[{"z":1,"2":2,"1":3,"z_1":4,"q\\"x":5}]');
  });
});

/** Expressions over i (BIGINT) and seeded noise that fill a column; NULLs come by themselves. */
const columnMakers: readonly ((noise: number) => string)[] = [
  (noise) => `CASE WHEN i % 7 <> 3 THEN (hash(i + ${noise})::HUGEINT - 9223372036854775808)::BIGINT END`,
  (noise) => `CASE WHEN i % 5 <> 1 THEN hash(i * ${noise + 1})::DOUBLE / (i - 100) END`,
  (noise) => `(hash(i + ${noise}) % 100000)::DOUBLE / 100`,
  (noise) => `CASE WHEN i % 3 = 0 THEN 'nan' WHEN i % 3 = 1 THEN '-inf' ELSE (i * ${noise})::VARCHAR END::DOUBLE`,
  () => `(i % 1000)::FLOAT / 7`,
  (noise) => `make_timestamptz((hash(i + ${noise}) % 4000000000000000)::BIGINT - 1000000000000000)`,
  (noise) => `make_timestamp((hash(i + ${noise}) % 4000000000000)::BIGINT * 1000)`,
  () =>
    `CASE WHEN i % 11 = 0 THEN 'infinity'::TIMESTAMP ELSE TIMESTAMP '2024-02-29 00:00:00' + INTERVAL (i) SECONDS END`,
  (noise) => `DATE '1970-01-01' + (hash(i + ${noise}) % 60000)::INT`,
  () => `i % 2 = 0`,
  (noise) =>
    `CASE i % 6 WHEN 0 THEN '' WHEN 1 THEN NULL WHEN 2 THEN E'q"\\\\\\n\\t\\x01\\x1f/' || i WHEN 3 THEN 'ü😀' || ${noise} ELSE 'id-' || i END`,
  () => `chr((i % 55000)::INT + 1)`,
  () => `('a' || i)::BLOB`,
  (noise) => `(hash(i + ${noise}) % 1000000000)::DECIMAL(12,3) / 100`,
  () => `uuid_column(i)`,
  () => `(i::HUGEINT * 170141183460469231731687303715)`,
  () => `(i % 3)::UTINYINT`,
];

/** The rows as JSON text, every cell by jsonWriter from a JavaScript value. */
async function textByValues(source: string): Promise<string> {
  const instance = await DuckDBInstance.create(":memory:");
  const connection = await instance.connect();
  try {
    const reader = await connection.runAndReadAll(source);
    const names = reader.columnNames();
    const writers = reader.columnTypes().map((type) => jsonWriter(type));
    const rows = reader.getRows().map((row) => {
      return `{${row.map((value, column) => `${JSON.stringify(names[column])}:${writers[column]?.(value)}`).join(",")}}`;
    });
    return `[${rows.join(",")}]`;
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

function assertSameText(found: string, expected: string, name: string): void {
  if (found === expected) return;
  let at = 0;
  while (found[at] === expected[at]) at++;
  assert.fail(`${name} at ${at}: ${found.slice(at - 80, at + 40)}\n instead of ${expected.slice(at - 80, at + 40)}`);
}

describe("JSON from bytes, by DuckDB, and from values", () => {
  test(`is the same text, seed ${seed}`, async () => {
    const random = seededRandom(seed);
    const columns = columnMakers.map((make, index) => {
      const text = make(random.integer(1_000_000)).replace("uuid_column(i)", "md5(i::VARCHAR)::UUID");
      return `${text} AS ${random.pick(["c", "C", "na me", 'q"x', "sélect"])}${index}`.replace(
        /AS (.*)$/,
        (_, name: string) => `AS "${name.replaceAll('"', '""')}"`,
      );
    });
    const count = limits.directRowsMax + 1 + random.integer(3000);
    const source = `SELECT ${columns.join(", ")} FROM range(${count}) r(i)`;
    const expected = await textByValues(source);
    const large = await fixture.execute(source);
    assert.ok(large.kind === "rows");
    assert.equal(large.rows, count);
    assertSameText(textOf(large), expected, "with more rows than go by value");
    // Pages of up to directRowsMax rows have the columns without fast cells from values.
    const parts: string[] = [];
    for (let offsetRows = 0; offsetRows < count; offsetRows += limits.directRowsMax) {
      const part = await fixture.execute(source, { limitRows: limits.directRowsMax, offsetRows });
      assert.ok(part.kind === "rows");
      assert.equal(part.hasMore, offsetRows + part.rows < count);
      parts.push(textOf(part).slice(1, -1));
    }
    assertSameText(`[${parts.join(",")}]`, expected, "in pages");
    assert.equal((JSON.parse(expected) as unknown[]).length, count);
    const literal = bytesOf(await fixture.execute(source)).toString();
    assert.ok(literal === JSON.stringify(expected), "result_json is the text as a JSON string");
  });

  test(`doubles and integers of every size, seed ${seed}`, async () => {
    const random = seededRandom(seed);
    for (const type of ["DOUBLE", "FLOAT", "BIGINT", "HUGEINT", "UBIGINT", "DECIMAL(15,6)", "DECIMAL(4,1)"]) {
      const powers = type.startsWith("DECIMAL") ? 4 : 18;
      const source = `SELECT ((CASE WHEN '${type}' = 'UBIGINT' OR i % 3 = 0 THEN 1 ELSE -1 END)
          * round((hash(i + ${random.integer(1e6)}) % 1000000)::DOUBLE / 999, (i % 7)::INT)
          * pow(10, (i % ${powers}) - 2) / 10)::${type} AS v FROM range(5000) r(i)`;
      const ranged = type === "DECIMAL(4,1)" ? source.replace(/\(\(CASE[^]*\/ 10\)/, "(i % 19990 / 10 - 999)") : source;
      assertSameText(textOf(await fixture.execute(ranged)), await textByValues(ranged), type);
    }
  });

  test("a byte that needs an escape, or hardly not, at every place of texts of every length", async () => {
    const characters = [1, 8, 31, 32, 33, 34, 35, 91, 92, 93, 127, 128, 161, 162, 220, 8364, 128512];
    const source = `SELECT repeat('a', p) || chr(c) || repeat('Ü', n % 2) || repeat('z', n - p) AS v
      FROM range(40) n(n), range(40) p(p), (SELECT unnest([${characters.join(", ")}]) AS c) WHERE p <= n`;
    assertSameText(textOf(await fixture.execute(source)), await textByValues(source), "texts");
  });

  test("doubles of up to nine places", async () => {
    for (const places of [0, 1, 2, 3, 4, 5, 6, 7, 9]) {
      const source = `SELECT (CASE WHEN i % 2 = 0 THEN -1 ELSE 1 END) * round((hash(i)::DOUBLE / 18446744073709551616.0) * pow(10, (i % 15) - 4), ${places}) AS v
        FROM range(5000) r(i)`;
      assertSameText(textOf(await fixture.execute(source)), await textByValues(source), `${places} places`);
    }
  });

  test("numbers read back as they were", () => {
    const random = seededRandom(seed);
    for (let round = 0; round < 20_000; round++) {
      const bits = new Float64Array(new Uint32Array([random.integer(2 ** 32), random.integer(2 ** 32)]).buffer)[0] ?? 0;
      if (!Number.isFinite(bits)) continue;
      assert.ok(Object.is(Number(doubleText(bits)), bits), String(bits));
      assert.ok(Object.is(JSON.parse(doubleText(bits)), bits), String(bits));
    }
  });
});
