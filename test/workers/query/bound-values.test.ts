import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { ParameterValue } from "../../../src/shared/query-messages.js";
import type { ResultFormat } from "../../../src/shared/result-format.js";
import { bytesOf, openFixture, type QueryFixture, schemaOf, tableOf } from "./query-fixture.js";

let fixture: QueryFixture;
before(async () => {
  fixture = await openFixture();
});
after(() => fixture.close());

/** The value of `expression` with this parameter, and its type. */
async function seen(expression: string, value: ParameterValue): Promise<unknown> {
  const [row] = await fixture.query(`SELECT ${expression} AS v, typeof($1) AS t`, { values: [value] });
  return [row?.["v"], row?.["t"]];
}

test("each kind of value has its type", async () => {
  const cases: readonly (readonly [ParameterValue, string])[] = [
    [true, "BOOLEAN"],
    [1, "INTEGER"],
    [-2_147_483_648, "BIGINT"],
    [2 ** 40, "BIGINT"],
    [1.5, "DOUBLE"],
    ["x", "VARCHAR"],
    [[1, null, -3], "INTEGER[]"],
    [[1, 2 ** 40], "BIGINT[]"],
    [[2 ** 40, 0.5, null], "DOUBLE[]"],
    [[null, "a", "ä'; DROP"], "VARCHAR[]"],
    [[true, false, null], "BOOLEAN[]"],
  ];
  for (const [value, type] of cases) assert.deepEqual(await seen("$1", value), [value, type]);
  assert.deepEqual(await seen("len($1)", []), [0, '"NULL"[]']);
  assert.deepEqual(await seen("len($1)", [null, null]), [2, '"NULL"[]']);
});

test("lists stand in all the ways to look for one of several, in every format", async () => {
  const path = await fixture.writeParquet(
    "hosts.parquet",
    "SELECT 'h' || i AS host, i::BIGINT AS n, TIMESTAMPTZ '2026-01-01' + INTERVAL (i) HOUR AS ts FROM range(5) t(i)",
    { host: 1, n: 2, ts: 3 },
  );
  const tables = [tableOf("t", schemaOf("host string", "n long", "ts timestamp"), [path])];
  const cases: readonly (readonly [string, ParameterValue, readonly number[]])[] = [
    ["host = ANY($1)", ["h1", "h3", "none"], [1, 3]],
    ["host IN (SELECT unnest($1))", ["h1", "h3"], [1, 3]],
    ["host NOT IN (SELECT unnest($1))", ["h1", "h3"], [0, 2, 4]],
    ["list_contains($1, host)", ["h4"], [4]],
    ["n IN $1", [2, 4], [2, 4]],
    ["n <> ALL($1)", [0, 1.5, 2], [1, 3, 4]],
    ["ts = ANY($1::TIMESTAMPTZ[])", ["2026-01-01T02:00:00Z"], [2]],
    ["n = ANY($1)", [], []],
  ];
  for (const [predicate, value, expected] of cases) {
    const sql = `SELECT n FROM t WHERE ${predicate} ORDER BY n`;
    const rows = await fixture.query(sql, { tables, values: [value] });
    assert.deepEqual(
      rows.map((row) => Number(row["n"])),
      expected,
      predicate,
    );
  }
  for (const format of ["csv", "ndjson", "msgpack", "arrow", "parquet"] satisfies ResultFormat[]) {
    const sql = "SELECT count(*) AS n FROM t WHERE host = ANY($hosts)";
    const result = await fixture.execute(sql, { tables, values: [["h1", "h2"]], format });
    assert.ok(bytesOf(result).length > 0, format);
  }
});

test("a text in a list is no SQL", async () => {
  const value = ["x'] || read_text('/etc/passwd')", "$1", "NULL"];
  assert.deepEqual(await seen("$1", value), [value, "VARCHAR[]"]);
});
