import { DuckDBInstance } from "@duckdb/node-api";
import { type Table, tableFromIPC } from "apache-arrow";
import assert from "node:assert/strict";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Unpackr } from "msgpackr";
import { limits } from "../../../src/shared/limits.js";
import type { QueryResult, SelectStatement } from "../../../src/shared/query-messages.js";
import type { ResultFormat } from "../../../src/shared/result-format.js";
import { seededRandom } from "../../harness/seeded-random.js";
import { bytesOf, openFixture, type QueryFixture, textOf } from "./query-fixture.js";

const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 1_000_000_000));
let fixture: QueryFixture;
before(async () => {
  fixture = await openFixture();
});
after(async () => fixture.close());

/** Rows that are too many to go by value, the same each time; NULLs in every column. */
const rowCount = limits.directRowsMax + 300;
function source(noise: number): string {
  const nullable = (text: string, every: number): string => `CASE WHEN (i + ${noise}) % ${every} <> 1 THEN ${text} END`;
  return `SELECT
    make_timestamptz(1700000000000000 + i * 1001) AS "timestamp",
    ${nullable("'id-' || i || CASE WHEN i % 3 = 0 THEN '-longer-than-twelve-bytes-ü' ELSE '' END", 7)} AS id,
    ${nullable("(hash(i) % 1000003)::DOUBLE / 7", 5)} AS v,
    ${nullable("(hash(i)::HUGEINT - 9223372036854775808)::BIGINT", 11)} AS n,
    ${nullable("E'a,\"b\"\\n\\r\\t' || (i % 5)", 4)} AS odd,
    ${nullable("i % 2 = 0", 13)} AS b,
    ${nullable("(i % 100000)::DECIMAL(7,2) / 8", 9)}::DECIMAL(12,4) AS d,
    ${nullable("DATE '1960-01-01' + (i % 40000)::INT", 6)} AS day,
    ${nullable("('\\x00\\xFF' || 'blob')::BLOB || encode(i::VARCHAR)", 8)} AS bytes,
    ${nullable("(i % 70000 - 35000)::INTEGER", 3)} AS small,
    ${nullable("hash(i)::UBIGINT", 10)} AS u
  FROM range(${rowCount}) r(i)`;
}

/** What DuckDB makes of `query`, as text that tells every difference. */
async function fingerprint(folderSql: string): Promise<unknown[]> {
  const instance = await DuckDBInstance.create(":memory:", { threads: "2" });
  const connection = await instance.connect();
  await connection.run("SET TimeZone = 'UTC'");
  const rows = await connection.runAndReadAll(folderSql);
  const json = rows.getRowsJson();
  connection.closeSync();
  instance.closeSync();
  return json;
}

async function save(name: string, format: ResultFormat, sql: string): Promise<string> {
  const result = await fixture.execute(sql, { format, limitRows: null });
  const path = join(fixture.folder, name);
  writeFileSync(path, bytesOf(result));
  return path;
}

function rowsResult(result: QueryResult): Extract<QueryResult, { kind: "rows" }> {
  if (result.kind !== "rows") assert.fail(JSON.stringify(result));
  return result;
}

/** As a client makes it: without records, maps are read as objects only when told so. */
function unpackr(): Unpackr {
  return new Unpackr({ int64AsType: "bigint", mapsAsObjects: true });
}

const differs = (a: string, b: string, on: string): string =>
  `SELECT count(*) AS n FROM (${a}) AS a POSITIONAL JOIN (${b}) AS b WHERE ${on}`;

describe(`large results read back, seed ${seed}`, () => {
  const random = seededRandom(seed);
  const noise = random.integer(1000);
  const sql = source(noise);
  const names = ["timestamp", "id", "v", "n", "odd", "b", "d", "day", "bytes", "small", "u"];
  const distinct = names.map((name) => `a."${name}" IS DISTINCT FROM b."${name}"`).join(" OR ");

  test("Parquet, by DuckDB", async () => {
    const path = await save("r.parquet", "parquet", sql);
    const types = await fingerprint(`SELECT typeof(COLUMNS(*)) FROM '${path}' LIMIT 1`);
    assert.deepEqual(types, await fingerprint(`SELECT typeof(COLUMNS(*)) FROM (${sql}) LIMIT 1`));
    assert.deepEqual(await fingerprint(differs(sql, `FROM '${path}'`, distinct)), [["0"]]);
    assert.deepEqual(await fingerprint(`SELECT count(*) FROM '${path}'`), [[String(rowCount)]]);
  });

  test("CSV, by DuckDB; lines end with CR LF", async () => {
    const path = await save("r.csv", "csv", sql);
    const columns = `{timestamp: 'TIMESTAMPTZ', id: 'VARCHAR', v: 'DOUBLE', n: 'BIGINT', odd: 'VARCHAR', b: 'BOOLEAN',
      d: 'DECIMAL(12,4)', day: 'DATE', bytes: 'VARCHAR', small: 'INTEGER', u: 'UBIGINT'}`;
    const read = `SELECT * REPLACE (from_base64(bytes) AS bytes)
      FROM read_csv('${path}', columns = ${columns}, header = true)`;
    assert.deepEqual(await fingerprint(differs(sql, read, distinct)), [["0"]]);
    assert.deepEqual(await fingerprint(`SELECT count(*) FROM (${read})`), [[String(rowCount)]]);
  });

  test("NDJSON, by DuckDB", async () => {
    const path = await save("r.ndjson", "ndjson", sql);
    const columns = `{timestamp: 'TIMESTAMPTZ', id: 'VARCHAR', v: 'DOUBLE', n: 'BIGINT', odd: 'VARCHAR', b: 'BOOLEAN',
      d: 'DECIMAL(12,4)', day: 'DATE', bytes: 'VARCHAR', small: 'INTEGER', u: 'UBIGINT'}`;
    const read = `SELECT * REPLACE (from_base64(bytes) AS bytes)
      FROM read_json('${path}', columns = ${columns}, format = 'newline_delimited')`;
    assert.deepEqual(await fingerprint(differs(sql, read, distinct)), [["0"]]);
  });

  test("JSON arrays and the original's objects hold the same values", async () => {
    const arrays = JSON.parse(
      bytesOf(await fixture.execute(sql, { format: "json", limitRows: null })).toString(),
    ) as unknown[][];
    const objects = JSON.parse(textOf(await fixture.execute(sql))) as Record<string, unknown>[];
    assert.equal(arrays.length, rowCount);
    assert.deepEqual(
      objects.map((row) => Object.values(row)),
      arrays,
    );
    const lines = bytesOf(await fixture.execute(sql, { format: "ndjson", limitRows: null }))
      .toString()
      .trimEnd()
      .split("\n");
    assert.deepEqual(
      lines.map((line) => JSON.parse(line) as unknown),
      objects,
    );
  });

  test("Arrow IPC, by apache-arrow", async () => {
    const result = rowsResult(await fixture.execute(sql, { format: "arrow", limitRows: null }));
    const table = tableFromIPC(bytesOf(result));
    assert.equal(table.numRows, rowCount);
    assert.equal(
      String(table.schema.fields.map((field) => `${field.name}:${String(field.type)}`)),
      [
        "timestamp:Timestamp<MICROSECOND, UTC>",
        "id:Utf8",
        "v:Float64",
        "n:Int64",
        "odd:Utf8",
        "b:Bool",
        "d:Decimal[12e+4]",
        "day:Date32<DAY>",
        "bytes:Binary",
        "small:Int32",
        "u:Uint64",
      ].join(","),
    );
    await compareToArrow(table, sql);
  });

  test("MessagePack, by msgpackr", async () => {
    const result = rowsResult(await fixture.execute(sql, { format: "msgpack", limitRows: null }));
    const read = unpackr().unpack(bytesOf(result)) as {
      types: Record<string, string>;
      columns: Record<string, unknown[]>;
    };
    assert.deepEqual(Object.keys(read.types), names);
    assert.deepEqual(read.types["n"], "BIGINT");
    const rows = await expected(sql);
    for (const [column, name] of names.entries()) {
      const values = read.columns[name] ?? [];
      assert.equal(values.length, rowCount, name);
      for (const [row, wanted] of rows.entries()) {
        const found = msgpackText(values[row]);
        let want = wanted[column] ?? null;
        if (name === "timestamp" && want !== null) want = String(BigInt(want) / 1000n);
        if (!isSame(name, found, want)) assert.fail(`${name}, row ${row}: ${String(found)} is not ${String(want)}`);
      }
    }
  });

  test("no file stays behind", () => {
    assert.deepEqual(readdirSync(join(fixture.temporaryFolder, "results-test")), []);
  });
});

/** Each value as a text that both sides can make. */
async function expected(sql: string): Promise<(string | null)[][]> {
  const texts = `SELECT epoch_us("timestamp")::VARCHAR, id, v::VARCHAR, n::VARCHAR, odd, b::VARCHAR, d::VARCHAR, day::VARCHAR,
    hex(bytes), small::VARCHAR, u::VARCHAR FROM (${sql})`;
  return (await fingerprint(texts)) as (string | null)[][];
}

/** msgpackr keeps the milliseconds of a timestamp. */
function msgpackText(value: unknown): string | null {
  if (value === null) return null;
  if (value instanceof Date) return String(value.getTime());
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex").toUpperCase();
  return `${value as number}`;
}

/** Doubles as JavaScript writes them. */
function isSame(name: string, found: string | null, wanted: string | null): boolean {
  if (found === null || wanted === null) return found === wanted;
  return name === "v" ? Object.is(Number(found), Number(wanted)) : found === wanted;
}

async function compareToArrow(table: Table, sql: string): Promise<void> {
  const rows = await expected(sql);
  for (const [index, field] of table.schema.fields.entries()) {
    const vector = table.getChildAt(index);
    for (const [row, wanted] of rows.entries()) {
      const value: unknown = vector?.get(row);
      const found = value === null ? null : arrowText(field.name, value);
      const want = wanted[index] ?? null;
      if (!isSame(field.name, found, want)) assert.fail(`${field.name}, row ${row}: ${String(found)} is not ${want}`);
    }
  }
}

function arrowText(name: string, value: unknown): string {
  switch (name) {
    case "timestamp":
      return String(BigInt(Math.round(Number(value) * 1000)));
    case "day":
      return new Date(Number(value)).toISOString().slice(0, 10);
    case "bytes":
      return Buffer.from(value as Uint8Array)
        .toString("hex")
        .toUpperCase();
    case "d": {
      const words = new BigUint64Array((value as Uint32Array).slice().buffer);
      const digits = String(BigInt.asIntN(64, words[0] ?? 0n)).padStart(5, "0");
      return `${digits.slice(0, -4)}.${digits.slice(-4)}`;
    }
    default:
      return String(value);
  }
}

describe("all types", () => {
  /** One row of each kind of value that has a rule of its own. */
  const odd = `SELECT * FROM (VALUES
    (9007199254740993::BIGINT, 170141183460469231731687303715884105727::HUGEINT, 'nan'::DOUBLE, 1.5::DECIMAL(38,2),
     TIMESTAMP '2024-02-29 12:34:56.789012', 'infinity'::TIMESTAMPTZ, TIME '01:02:03.5', INTERVAL 1 DAY,
     [1, NULL, 3], {'a': 1, 'b': TIMESTAMP '2024-01-01'}, MAP {'k': 1.5::DOUBLE}, 'x'::BLOB, '{"z": [1]}'::JSON,
     '550e8400-e29b-41d4-a716-446655440000'::UUID, [1::HUGEINT], '-inf'::FLOAT, ''),
    (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL))
    AS t(i, h, v, d, ts, tz, tm, iv, l, s, m, x, j, u, lh, f, e)`;

  test("CSV", async () => {
    const text = bytesOf(await fixture.execute(odd, { format: "csv" })).toString();
    assert.equal(
      text,
      "i,h,v,d,ts,tz,tm,iv,l,s,m,x,j,u,lh,f,e\r\n" +
        "9007199254740993,170141183460469231731687303715884105727,nan,1.50,2024-02-29T12:34:56.789012Z,,01:02:03.5,1 day," +
        '"[1,null,3]","{""a"":1,""b"":""2024-01-01T00:00:00.000Z""}","{""k"":1.5}",eA==,"{""z"": [1]}",' +
        '550e8400-e29b-41d4-a716-446655440000,[1],-inf,""\r\n' +
        ",,,,,,,,,,,,,,,,\r\n",
    );
  });

  test("JSON arrays and lines", async () => {
    const result = rowsResult(await fixture.execute(odd, { format: "json" }));
    const text = bytesOf(result).toString();
    assert.equal(
      text,
      '[[9007199254740993,170141183460469231731687303715884105727,null,1.50,"2024-02-29T12:34:56.789012Z",null,' +
        '"01:02:03.5","1 day",[1,null,3],{"a":1,"b":"2024-01-01T00:00:00.000Z"},{"k":1.5},"eA==",{"z": [1]},' +
        `"550e8400-e29b-41d4-a716-446655440000",[1],null,""],[${Array.from({ length: 17 }, () => "null").join(",")}]]`,
    );
    assert.deepEqual(result.columns.slice(0, 4), [
      { name: "i", type: "BIGINT" },
      { name: "h", type: "HUGEINT" },
      { name: "v", type: "DOUBLE" },
      { name: "d", type: "DECIMAL(38,2)" },
    ]);
    const lines = bytesOf(await fixture.execute(odd, { format: "ndjson" }))
      .toString()
      .split("\n");
    assert.equal(lines.length, 3);
    assert.equal(lines[2], "");
  });

  test("Parquet and Arrow have the same values; what has no type becomes text", async () => {
    const path = await save("odd.parquet", "parquet", odd);
    const [types, values] = await Promise.all([
      fingerprint(`SELECT typeof(COLUMNS(*)) FROM '${path}' LIMIT 1`),
      fingerprint(`SELECT COLUMNS(*)::VARCHAR FROM '${path}' LIMIT 1`),
    ]);
    const wantedTypes =
      "BIGINT|VARCHAR|DOUBLE|DECIMAL(38,2)|TIMESTAMP|TIMESTAMP WITH TIME ZONE|TIME|VARCHAR|INTEGER[]|" +
      "STRUCT(a INTEGER, b TIMESTAMP)|MAP(VARCHAR, DOUBLE)|BLOB|VARCHAR|VARCHAR|VARCHAR|FLOAT|VARCHAR";
    assert.deepEqual(types, [wantedTypes.split("|")]);
    assert.equal((values[0] as string[])[1], "170141183460469231731687303715884105727");
    assert.equal((values[0] as string[])[14], "[1]");
    const table = tableFromIPC(bytesOf(await fixture.execute(odd, { format: "arrow" })));
    assert.equal(table.numRows, 2);
    assert.equal(table.getChild("h")?.get(0), "170141183460469231731687303715884105727");
    assert.equal(JSON.stringify(table.getChild("l")?.get(0)), "[1,null,3]");
    assert.equal(table.getChild("s")?.get(1), null);
  });

  test("MessagePack", async () => {
    const bytes = bytesOf(await fixture.execute(odd, { format: "msgpack" }));
    const { types, columns } = unpackr().unpack(bytes) as {
      types: Record<string, string>;
      columns: Record<string, unknown[]>;
    };
    assert.equal(types["h"], "HUGEINT");
    const first = Object.values(columns).map((values) => values[0]);
    const numbers = [9007199254740993n, "170141183460469231731687303715884105727", Number.NaN, "1.50"];
    const times = [new Date("2024-02-29T12:34:56.789Z"), null, "01:02:03.5", "1 day"];
    const nested = ["[1,null,3]", '{"a":1,"b":"2024-01-01T00:00:00.000Z"}', '{"k":1.5}'];
    const others = [Buffer.from("x"), '{"z": [1]}', "550e8400-e29b-41d4-a716-446655440000", "[1]"];
    assert.deepEqual(first, [...numbers, ...times, ...nested, ...others, Number.NEGATIVE_INFINITY, ""]);
    for (const values of Object.values(columns)) assert.deepEqual(values[1], null);
  });

  test("whole numbers of every length, and timestamps before 1970 and after 2514, in MessagePack", async () => {
    const list = "range(0, 64) AS r(p), (VALUES (-1), (0), (1)) AS d(k)";
    const sql = `SELECT (CASE WHEN s THEN 1 ELSE -1 END * ((1::HUGEINT << p::INT) + k))::BIGINT AS n FROM ${list}, (VALUES (true), (false)) AS b(s)
      WHERE (1::HUGEINT << p::INT) + k <= 9223372036854775807`;
    const read = async (text: string): Promise<Record<string, unknown[]>> => {
      const result = await fixture.execute(text, { format: "msgpack", limitRows: null });
      return (unpackr().unpack(bytesOf(result)) as { columns: Record<string, unknown[]> }).columns;
    };
    const numbers = (await read(`${sql} ORDER BY n`))["n"] ?? [];
    const wanted = (await fingerprint(`${sql} ORDER BY n`)) as string[][];
    assert.deepEqual(
      numbers.map(String),
      wanted.map(([text]) => text),
    );
    const times = await read(
      `SELECT * FROM (VALUES (TIMESTAMPTZ '1900-01-01 00:00:00.001Z'), ('3000-01-01T00:00:00Z')) t(x)`,
    );
    assert.deepEqual(times["x"], [new Date("1900-01-01T00:00:00.001Z"), new Date("3000-01-01T00:00:00Z")]);
  });
});

describe("small and odd results", () => {
  const all: readonly ResultFormat[] = ["original", "json", "ndjson", "csv", "arrow", "parquet", "msgpack"];

  test("no rows", async () => {
    const empty = "SELECT 1 AS a, 'x' AS b WHERE false";
    const bodies = await Promise.all(all.map(async (format) => bytesOf(await fixture.execute(empty, { format }))));
    assert.deepEqual(bodies.slice(0, 4).map(String), ['"[]"', "[]", "", "a,b\r\n"]);
    const table = tableFromIPC(bodies[4] ?? new Uint8Array(0));
    assert.deepEqual([table.numRows, table.numCols], [0, 2]);
    assert.deepEqual(unpackr().unpack(bodies[6] ?? new Uint8Array(0)), {
      types: { a: "INTEGER", b: "VARCHAR" },
      columns: { a: [], b: [] },
    });
  });

  test("limit and offset say whether there is more, in every format, small and large", async () => {
    for (const format of all) {
      for (const total of [100, rowCount]) {
        const sql = `SELECT i FROM range(${total}) r(i)`;
        for (const [limitRows, offsetRows, rows, hasMore] of [
          [total - 10, 0, total - 10, true],
          [total - 10, 10, total - 10, false],
          [total, 5, total - 5, false],
          [null, 3, total - 3, false],
        ] as const) {
          const result = rowsResult(await fixture.execute(sql, { format, limitRows, offsetRows }));
          bytesOf(result);
          assert.deepEqual([result.rows, result.hasMore], [rows, hasMore], `${format} ${total} ${limitRows}`);
        }
      }
    }
  });

  test("CSV has all nine digits of a nanosecond, before 1970 and at both ends of the type too", async () => {
    const texts = [
      "2024-01-02 03:04:05.123456789",
      "1969-12-31 23:59:59.999999999",
      "1677-09-22 00:00:00.000000001",
      "2262-04-11 23:47:16.854775806",
    ];
    const sql = `SELECT t::TIMESTAMP_NS AS t FROM (VALUES ${texts.map((text) => `('${text}')`).join(", ")}) v(t)`;
    const csv = bytesOf(await fixture.execute(sql, { format: "csv" })).toString();
    assert.equal(csv, ["t", ...texts.map((text) => `${text.replace(" ", "T")}Z`), ""].join("\r\n"));
  });

  test("names that are there twice, EXPLAIN and DESCRIBE, in every format", async () => {
    for (const format of all) {
      const twice = rowsResult(await fixture.execute('SELECT 1 AS a, 2 AS a, 3 AS "A", 4 AS "q""x"', { format }));
      assert.deepEqual(
        twice.columns.map(({ name }) => name),
        ["a", "a_1", "A_2", 'q"x'],
        format,
      );
      bytesOf(twice);
      for (const sql of ["EXPLAIN SELECT 1", "DESCRIBE SELECT 1 AS a, [1] AS b", "SUMMARIZE SELECT 1 AS a"]) {
        const result = rowsResult(await fixture.execute(sql, { format }));
        assert.ok(result.rows > 0, `${format} ${sql}`);
        assert.ok(bytesOf(result).length > 0);
      }
    }
  });

  test("every type that DuckDB has, in every format, in few rows and in many", async () => {
    for (const copies of [1, 1_400]) {
      // Not callable by clients: the statement goes to the worker past the parser.
      const sql = `SELECT t.* FROM test_all_types() AS t, range(${copies})`;
      const parsed = (await fixture.parse("SELECT 1")) as SelectStatement;
      const statement = { ...parsed, sql, text: sql };
      for (const format of all) {
        const rest = { slot: 0, tables: [], values: [], limitRows: null, offsetRows: 0, timeoutMs: 30_000, format };
        const result = rowsResult(await fixture.runner.run({ kind: "execute", statement, ...rest }));
        assert.equal(result.rows, copies * 3, format);
        const bytes = bytesOf(result);
        if (format === "json") assert.equal((JSON.parse(bytes.toString()) as unknown[]).length, copies * 3);
        if (format === "arrow") assert.equal(tableFromIPC(bytes).numRows, copies * 3);
        if (format === "msgpack") assert.ok(unpackr().unpack(bytes));
        if (format === "parquet" || format === "csv") {
          const path = join(fixture.folder, `all-types.${format}`);
          writeFileSync(path, bytes);
          assert.deepEqual(await fingerprint(`SELECT count(*) FROM '${path}'`), [[String(copies * 3)]], format);
        }
      }
    }
  });

  test("an error in a late row is an error of the whole, and leaves no file", async () => {
    const sql = `SELECT CASE WHEN i = 290000 THEN 'x' ELSE i::VARCHAR END::BIGINT AS n FROM range(300000) r(i)`;
    for (const format of all) {
      const result = await fixture.execute(sql, { format, limitRows: null });
      assert.equal(result.kind, "failed", format);
    }
    assert.deepEqual(readdirSync(join(fixture.temporaryFolder, "results-test")), []);
  });

  test("results that are too large, in memory and in files", async () => {
    const small = await openFixture({ resultBytesMax: 1024 * 1024, resultFileBytesMax: 4 * 1024 * 1024 });
    try {
      for (const format of all) {
        const result = await small.execute("SELECT i, md5(i::VARCHAR) AS t FROM range(300000) r(i)", {
          format,
          limitRows: null,
        });
        assert.ok(result.kind === "failed", format);
        assert.equal(result.error.code, "RESULT_TOO_LARGE", format);
      }
      assert.deepEqual(readdirSync(join(small.temporaryFolder, "results-test")), []);
    } finally {
      await small.close();
    }
  });
});
