import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { limits } from "../../../src/shared/limits.js";
import type {
  ParameterValue,
  QueryInstance,
  QueryResult,
  QueryTable,
  SelectStatement,
} from "../../../src/shared/query-messages.js";
import { hiddenStatements, smugglers, statementsBeside } from "./attack-corpus.js";
import { openFixture, type QueryFixture, rowsOf, schemaOf, tableOf, textOf } from "./query-fixture.js";

/**
 * Texts that try to get out, against the parser and a confined DuckDB as the server runs them. There are secrets in
 * three places: in a folder that DuckDB may not open, in one that it may (so that the parser alone stands before it),
 * and in the environment. No attack may end with one of them in its result, with another file, or with another answer
 * of the table afterwards.
 */
const secret = "c0ffee-secret-7421";
const environmentName = "MINIODB_ATTACK_SECRET";

let fixture: QueryFixture;
/** In which DuckDB the attacks run that the parser lets through: in each in turn. */
let instance: QueryInstance = "all-threads";
let table: QueryTable;
let outside: string;
let inside: string;
before(async () => {
  process.env[environmentName] = secret;
  fixture = await openFixture();
  const file = await fixture.writeParquet("t.parquet", "SELECT 1::BIGINT AS a, 'x' AS b", { a: 1, b: 2 });
  table = tableOf("t", schemaOf("a long", "b string"), [file]);
  outside = join(fixture.folder, "outside.csv");
  inside = join(fixture.warehouse, "inside.csv");
  mkdirSync(join(fixture.warehouse, "other"));
  for (const path of [outside, inside]) writeFileSync(path, `content,${secret}\n${secret},1\n`);
  await fixture.writeParquet(join("other", "u.parquet"), `SELECT '${secret}' AS content`, { content: 1 });
});
after(async () => {
  delete process.env[environmentName];
  await fixture.close();
});

/** As main would: a statement with a table that it does not know does not run. */
async function attack(sql: string, values: readonly ParameterValue[] = []): Promise<string> {
  const parsed = await fixture.runner.run({ kind: "parse", sql });
  if (parsed.kind === "failed") return parsed.error.code;
  assert.ok(parsed.kind === "parsed");
  const { statement } = parsed;
  if (statement.kind === "show-tables") return "show-tables";
  if (statement.tables.some(({ name }) => name.toLowerCase() !== "t")) return "TABLE_NOT_FOUND";
  if (statement.parameters.length !== values.length) return "INVALID_REQUEST";
  return endOf(await run(statement, values), sql);
}

function run(statement: SelectStatement, values: readonly ParameterValue[] = []): Promise<QueryResult> {
  return fixture.runner.run({
    kind: "execute",
    slot: 0,
    instance,
    statement,
    tables: [table],
    values,
    limitRows: 100,
    offsetRows: 0,
    timeoutMs: 20_000,
    format: "original",
  });
}

function endOf(result: QueryResult, sql: string): string {
  if (result.kind === "failed") {
    assert.ok(!result.error.message.includes(secret), `${sql}: ${result.error.message}`);
    return result.error.code;
  }
  assert.equal(result.kind, "rows", sql);
  assert.ok(!textOf(result).includes(secret), `${sql}: ${textOf(result)}`);
  return "rows";
}

/** Every file below the folder with its bytes, but for DuckDB's own spill folder. */
function filesNow(): string[] {
  return readdirSync(fixture.folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted()
    .map((path) => `${path} ${readFileSync(path).toString("base64")}`);
}

const refusals = new Set(["SQL_NOT_ALLOWED", "INVALID_SQL", "TABLE_NOT_FOUND", "INVALID_REQUEST"]);

async function refusedWithoutEffect(statements: readonly string[]): Promise<void> {
  const before = filesNow();
  for (const sql of statements) {
    const end = await attack(sql);
    assert.ok(refusals.has(end), `${sql.slice(0, 300)} ended with ${end}`);
  }
  assert.deepEqual(filesNow(), before);
  assert.deepEqual(rowsOf(await fixture.execute("SELECT count(*) AS n, sum(a) AS s FROM t", { tables: [table] })), [
    { n: 1, s: 1 },
  ]);
}

for (const each of ["all-threads", "one-thread"] satisfies QueryInstance[]) {
  describe(`attacks on the instance ${each}`, () => {
    before(() => {
      instance = each;
    });
    attacks();
  });
}

function attacks(): void {
  test("files by function and by name, in every place of a statement", async () => {
    for (const path of [outside, inside, join(fixture.warehouse, "other", "u.parquet"), "/etc/passwd"]) {
      await refusedWithoutEffect(smugglers(path));
    }
  });

  test("statements that write, load, attach or set, alone and behind or around a SELECT", async () => {
    const target = join(fixture.warehouse, "written.csv");
    await refusedWithoutEffect(hiddenStatements(target));
    assert.equal(existsSync(target), false);
  });

  test("a second statement behind each kind of separator and quote", async () => {
    await refusedWithoutEffect(statementsBeside(`COPY t TO '${join(fixture.warehouse, "written.csv")}'`));
    await refusedWithoutEffect(statementsBeside(`ATTACH '${join(fixture.warehouse, "x.db")}'`));
  });

  test("the environment, the settings and the catalog", async () => {
    await refusedWithoutEffect([
      `SELECT getenv('${environmentName}')`,
      `SELECT "getenv"('${environmentName}') FROM t`,
      `SELECT main.getenv('${environmentName}')`,
      `SELECT system.main."GetEnv"('${environmentName}')`,
      `SELECT '${environmentName}'.getenv()`,
      `SELECT list_transform(['${environmentName}'], x -> getenv(x))`,
      `SELECT list_apply(['${environmentName}'], lambda x: getenv(x))`,
      `SELECT list_aggregate(['${environmentName}'], 'getenv')`,
      `SELECT max(getenv('${environmentName}')) OVER () FROM t`,
      `SELECT a FROM t GROUP BY a, getenv('${environmentName}')`,
      `SELECT COLUMNS(c -> getenv('${environmentName}') IS NULL) FROM t`,
      "SELECT current_setting('allowed_directories')",
      "SELECT current_setting('secret_directory')",
      "SELECT getvariable('x')",
      "SELECT * FROM duckdb_settings()",
      "SELECT * FROM duckdb_views()",
      "SELECT sql FROM duckdb_views",
      "SELECT * FROM duckdb_secrets()",
      "SELECT * FROM duckdb_temporary_files()",
      "SELECT * FROM information_schema.columns",
      "SELECT * FROM pg_catalog.pg_class",
      "SELECT * FROM sqlite_master",
      "SELECT * FROM sqlite_schema",
      "SELECT * FROM temp.sqlite_master",
      "SELECT * FROM pragma_show('t')",
      "SELECT * FROM pragma_storage_info('t')",
      "SHOW ALL TABLES",
      "SHOW DATABASES",
      "SHOW memory_limit",
      "DESCRIBE duckdb_settings",
      "SUMMARIZE duckdb_settings()",
    ]);
  });

  test("values of parameters stay values", async () => {
    const before = filesNow();
    const values = [
      "'; DROP TABLE t; --",
      "1); COPY t TO '/tmp/x'; --",
      `(SELECT content FROM read_text('${inside}'))`,
      inside,
      "$1",
      "?",
      "\\'",
      "'",
      '"',
      "\0",
      "a\0b",
      "é\u{1f600}\u202e",
      "\ufeff",
      "${process.env}",
    ];
    for (const value of values) {
      const statement = (await fixture.parse(
        "SELECT $1 AS v, length($1) AS n FROM t WHERE b <> $1",
      )) as SelectStatement;
      const [row] = rowsOf(await run(statement, [value]));
      assert.equal(row?.["v"], value);
      const named = (await fixture.parse('SELECT $"__proto__" AS v, $constructor AS w')) as SelectStatement;
      assert.deepEqual(rowsOf(await run(named, [value, 1])), [{ v: value, w: 1 }]);
    }
    for (const sql of [
      "SELECT * FROM $1",
      "SELECT * FROM read_text($1)",
      "FROM read_csv(?)",
      "FROM query_table($1)",
      "FROM query($1)",
      "SELECT getenv($1)",
      "DESCRIBE $1",
      "COPY t TO $1",
      "SELECT * FROM glob($1)",
      "EXECUTE p($1)",
    ]) {
      assert.ok(refusals.has(await attack(sql, [inside])), sql);
    }
    assert.deepEqual(filesNow(), before);
  });

  test("texts that are deep, long or odd end soon, with an answer or an error", async () => {
    const repeat = (text: string, count: number): string => text.repeat(count);
    const texts = [
      `SELECT ${repeat("(", 60_000)}1${repeat(")", 60_000)}`,
      `SELECT ${repeat("[", 60_000)}1`,
      `SELECT ${repeat("- ", 60_000)}1`,
      `SELECT ${repeat("NOT ", 50_000)}true`,
      `SELECT 1${repeat("+1", 60_000)}`,
      `SELECT 1${repeat("::INT", 30_000)}`,
      `SELECT NULL::INT${repeat("[]", 30_000)}`,
      `SELECT a${repeat(".a", 60_000)} FROM t`,
      `SELECT ${repeat("(SELECT ", 60)}1${repeat(")", 60)}`,
      `SELECT * FROM ${repeat("(SELECT * FROM ", 400)}t${repeat(")", 400)}`,
      `SELECT * FROM ${repeat("(PIVOT ", 16)}t${repeat(" ON a IN (1) USING max(b))", 16)}`,
      `SELECT a${repeat("->'x'", 60)} FROM t`,
      `SELECT ${repeat("list_transform([1], lambda x: ", 30)}1${repeat(")", 30)}`,
      `SELECT 1 WHERE ${repeat("EXISTS (SELECT 1 WHERE ", 60)}true${repeat(")", 60)}`,
      `SELECT ${repeat("a, ", 20_000)}b FROM t`,
      `SELECT 1${repeat(";", 200_000)}`,
      `${repeat("EXPLAIN ", 20_000)}SELECT 1`,
      `${repeat("/*", 50_000)}SELECT 1${repeat("*/", 50_000)}`,
      `/*${repeat("x", 200_000)}`,
      `SELECT '${repeat("''", 100_000)}'`,
      `SELECT $${repeat("x", 100_000)}$ a $${repeat("x", 100_000)}$`,
      `SELECT "${repeat("x", 200_000)}" FROM t`,
      `SELECT * FROM t WHERE b LIKE '${repeat("%_", 60_000)}'`,
      repeat("\n", 260_000),
      repeat("é", 100_000),
      repeat("\u{1f600}", 60_000),
      `SELECT 1 -- ${repeat(" ", 200_000)}`,
      `SELECT '${repeat("x", limits.sqlBytesMax)}'`,
    ];
    for (const sql of texts) {
      const startedMs = performance.now();
      const end = await attack(sql);
      const elapsedMs = performance.now() - startedMs;
      assert.ok(end === "rows" || refusals.has(end), `${sql.slice(0, 80)} ended with ${end}`);
      assert.ok(elapsedMs < 5_000, `${sql.slice(0, 80)} took ${elapsedMs} ms`);
    }
  });

  test("what the parser lets through is planned in seconds", async () => {
    const repeat = (text: string, count: number): string => text.repeat(count);
    const subqueries = limits.subqueryDepthMax;
    const deep = limits.expressionDepthMax - 2;
    const texts = [
      `SELECT ${repeat("(SELECT ", subqueries)}1${repeat(")", subqueries)}`,
      `SELECT 1 WHERE ${repeat("EXISTS (SELECT 1 WHERE ", subqueries)}true${repeat(")", subqueries)}`,
      `SELECT ${repeat("list_transform([1], lambda x: ", subqueries)}1${repeat(")", subqueries)}`,
      `SELECT '{}'::JSON${repeat("->'x'", subqueries)}`,
      `SELECT 1${repeat("+1", deep)}`,
      `SELECT ${repeat("abs(", deep)}1${repeat(")", deep)}`,
      `SELECT ${repeat("[", deep)}1${repeat("]", deep)}`,
      `SELECT 'a'${repeat("||'b'", deep)}`,
    ];
    for (const sql of texts) {
      const startedMs = performance.now();
      assert.equal(await attack(sql), "rows", sql.slice(0, 80));
      const elapsedMs = performance.now() - startedMs;
      assert.ok(elapsedMs < 5_000, `${sql.slice(0, 80)} took ${elapsedMs} ms`);
    }
  });

  test("functions that overrun their stack on nested values are refused", async () => {
    const deep = "(repeat('[', 100000) || repeat(']', 100000))";
    await refusedWithoutEffect([
      `SELECT json_structure(${deep})`,
      `SELECT json_group_structure(${deep})`,
      `SELECT json_contains(${deep}, '1')`,
      `SELECT json_merge_patch(${deep}, ${deep})`,
      `SELECT json_transform('1', ${deep})`,
      `SELECT json_transform_strict('1', ${deep})`,
      `SELECT from_json('1', ${deep})`,
      `SELECT from_json_strict('1', ${deep})`,
      `SELECT ${deep}::JSON::VARIANT`,
      `SELECT TRY_CAST(${deep}::JSON AS "variant"[])`,
      `SELECT ${deep}::JSON::STRUCT(a VARIANT)`,
      `SELECT CAST(${deep}::JSON AS MAP(VARCHAR, VARIANT))`,
      `SELECT ${deep}.json_structure()`,
      `SELECT variant_typeof(${deep}::JSON)`,
      `SELECT variant_extract(${deep}::JSON, 1)`,
    ]);
    for (const call of ["json_type", "json_array_length", "json_valid", "json_quote"]) {
      assert.equal(await attack(`SELECT length(${call}(${deep})::VARCHAR)`), "rows", call);
    }
  });

  test("behind the parser, DuckDB itself is shut in", async () => {
    const plain = (await fixture.parse("SELECT 1")) as SelectStatement;
    const before = filesNow();
    const past = [
      `SELECT * FROM read_text('${outside}')`,
      `SELECT * FROM '${outside}'`,
      "SELECT * FROM glob('/etc/*')",
      "SELECT * FROM read_csv('https://localhost:1/x.csv')",
      "SELECT * FROM query('SET threads = 1')",
    ];
    for (const sql of past) {
      const result = await run({ ...plain, sql, text: sql });
      if (result.kind === "rows") {
        assert.ok(!textOf(result).includes(secret) && !textOf(result).includes("/etc/"), sql);
      } else {
        assert.ok(!JSON.stringify(result).includes(secret), sql);
      }
    }
    assert.deepEqual(filesNow(), before);
  });
}
