import { DuckDBInstance } from "@duckdb/node-api";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { isAllowedTableFunction, isVolatileFunction, refusalOf } from "../../../src/workers/query/function-rules.js";
import { repositoryRoot } from "../../harness/repository-root.js";

/**
 * Every function of the pinned DuckDB, one a line with its kind and whether clients may call it. When this test fails
 * after an upgrade: look at each new name, decide in function-rules.ts, then write the file anew from the actual lines.
 */
const reviewedFile = join(repositoryRoot, "test", "golden", "duckdb-functions.txt");

async function actualLines(): Promise<string[]> {
  const instance = await DuckDBInstance.create(":memory:");
  const connection = await instance.connect();
  // Operators and the sort keys and collations of ICU's languages are families of their own.
  const result = await connection.runAndReadAll(`
    SELECT DISTINCT function_type, lower(function_name)
    FROM duckdb_functions()
    WHERE regexp_matches(function_name, '^[A-Za-z_]') AND NOT starts_with(function_name, 'icu_collate_')
    ORDER BY ALL`);
  connection.closeSync();
  instance.closeSync();
  return result.getRows().map(([kind, name]) => {
    const isTable = kind === "table" || kind === "table_macro" || kind === "pragma";
    const isAllowed = isTable
      ? kind !== "pragma" && isAllowedTableFunction(String(name))
      : refusalOf(String(name)) === null;
    return `${String(kind)} ${String(name)} ${isAllowed ? "allowed" : "refused"}`;
  });
}

test("every function of this DuckDB version was looked at", async () => {
  const reviewed = readFileSync(reviewedFile, "utf8").trimEnd().split("\n");
  assert.deepEqual(await actualLines(), reviewed);
});

test("no function that reads files, settings or the environment is allowed", async () => {
  const suspicious =
    /read|scan|glob|file|csv|parquet|env|setting|secret|attach|copy|load|install|query|duckdb|pragma|log|sql/;
  const fine = new Set([
    "generate_subscripts",
    "log",
    "log10",
    "log2",
    "json_merge_patch",
    "parse_filename",
    "histogram",
    "current_query",
    "current_catalog",
    "formatreadabledecimalsize",
    "formatreadablesize",
  ]);
  const open = (await actualLines())
    .map((line) => line.split(" "))
    .filter(([, name = "", verdict]) => verdict === "allowed" && suspicious.test(name) && !fine.has(name));
  assert.deepEqual(open, []);
});

test("what DuckDB does not call constant is refused or known as volatile", async () => {
  const instance = await DuckDBInstance.create(":memory:");
  const connection = await instance.connect();
  const result = await connection.runAndReadAll(`
    SELECT DISTINCT lower(function_name) FROM duckdb_functions()
    WHERE stability <> 'CONSISTENT'
       OR (function_type = 'macro'
           AND regexp_matches(macro_definition, '(now|current_\\w+|random|uuid|today|localtime\\w*|setseed)(\\(|\\b)'))`);
  connection.closeSync();
  instance.closeSync();
  const names = result.getRows().map(([name]) => String(name));
  assert.ok(names.length > 20, "DuckDB tells the stability of its functions");
  const unknown = names.filter((name) => !isVolatileFunction(name) && refusalOf(name) === null);
  assert.deepEqual(unknown, []);
});
