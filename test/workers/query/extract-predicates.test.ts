import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Operand, Predicate, PredicateColumn } from "../../../src/shared/predicate.js";
import type { SelectStatement } from "../../../src/shared/query-messages.js";
import { openFixture, type QueryFixture } from "./query-fixture.js";

let fixture: QueryFixture;
before(async () => {
  fixture = await openFixture();
});
after(() => fixture.close());

/** `t: a = 1 & b < 2` per table, in the order of the names. */
async function predicatesOf(sql: string): Promise<string> {
  const { predicates } = (await fixture.parse(sql)) as SelectStatement;
  const lines = predicates.map(({ table, predicate }) => `${table}: ${textOf(predicate)}`);
  return lines.toSorted().join("; ");
}

function textOf(predicate: Predicate): string {
  switch (predicate.kind) {
    case "any":
      return "any";
    case "and":
      return predicate.terms.map(textOf).join(" & ");
    case "or":
      return `(${predicate.terms.map(textOf).join(" | ")})`;
    case "compare":
      return `${columnText(predicate.column)} ${predicate.operator} ${operandText(predicate.operand)}`;
    case "prefix":
      return `${columnText(predicate.column)} ^@ ${operandText(predicate.prefix)}`;
    case "is":
      return `${predicate.value ? "" : "!"}${columnText(predicate.column)}`;
    case "is-null":
    case "is-not-null":
      return `${columnText(predicate.column)} ${predicate.kind}`;
  }
}

function columnText({ name, unless, truncate }: PredicateColumn): string {
  const text = truncate === null ? name : `${truncate}(${name})`;
  return unless.length === 0 ? text : `${text}[not in ${unless.join(", ")}]`;
}

function operandText(operand: Operand): string {
  switch (operand.kind) {
    case "literal":
      return JSON.stringify(operand.value);
    case "decimal":
      return `${operand.unscaled}e-${operand.scale}`;
    case "parameter":
      return `$${operand.name}`;
    case "now":
      return `now:${operand.type}`;
    case "cast":
      return `${operandText(operand.operand)}::${operand.type}`;
    case "truncate":
      return `${operand.unit}(${operandText(operand.operand)})`;
    case "shift":
      return `${operandText(operand.operand)} + ${operand.months}m${operand.days}d${operand.micros}us`;
  }
}

async function check(cases: Readonly<Record<string, string>>): Promise<void> {
  for (const [sql, expected] of Object.entries(cases)) assert.equal(await predicatesOf(sql), expected, sql);
}

describe("what WHERE says of a table", () => {
  test("comparisons, either way round, and their opposites", () =>
    check({
      "FROM t": "",
      "FROM t WHERE a = 1 AND 2 > b AND t.c <> 'x'": 't: a = 1 & b < 2 & c <> "x"',
      "FROM t WHERE NOT (a = 1 OR b >= 2.50)": "t: a <> 1 & b < 250e-2",
      "FROM t WHERE NOT (a = 1 AND NOT b < 2)": "t: (a <> 1 | b < 2)",
      "FROM t WHERE a BETWEEN 1 AND 2": "t: a >= 1 & a <= 2",
      "FROM t WHERE a NOT BETWEEN 1 AND 2": "t: (a < 1 | a > 2)",
      "FROM t WHERE 5 BETWEEN a AND b": "t: a <= 5 & b >= 5",
      "FROM t WHERE a IN (1, 2)": "t: (a = 1 | a = 2)",
      "FROM t WHERE a NOT IN (1, 2)": "t: a <> 1 & a <> 2",
      "FROM t WHERE a IS NULL AND NOT b IS NULL": "t: a is-null & b is-not-null",
      "FROM t WHERE a AND NOT b": "t: a & !b",
      "FROM t WHERE a = ? AND b < ?": "t: a = $1 & b < $2",
      "FROM t WHERE a LIKE 'ab%c' AND starts_with(b, 'x') AND c ^@ 'y'": 't: a ^@ "ab" & b ^@ "x" & c ^@ "y"',
    }));

  test("times", () =>
    check({
      "FROM t WHERE ts > now() - INTERVAL '1 hour'": "t: ts > now:timestamptz + 0m0d-3600000000us",
      "FROM t WHERE ts > now() - INTERVAL 3 MONTH": "t: ts > now:timestamptz + -3m0d0us",
      "FROM t WHERE ts >= current_date - 7": "t: ts >= now:date + 0m-7d0us",
      "FROM t WHERE ts < TIMESTAMP '2024-01-01'": 't: ts < "2024-01-01"::timestamp',
      "FROM t WHERE ts < '2024-01-01'::timestamptz": 't: ts < "2024-01-01"::timestamptz',
      "FROM t WHERE ts::date = DATE '2024-01-01'": 't: date(ts) = "2024-01-01"::date',
      "FROM t WHERE date_trunc('hour', ts) = date_trunc('day', now())": "t: hour(ts) = day(now:timestamptz)",
      // The statement itself has a column of this name.
      "SELECT 1 AS current_date FROM t WHERE ts > current_date": "",
    }));

  test("what is not understood says nothing, and takes an OR with it", () =>
    check({
      "FROM t WHERE a + 1 = 2 AND b = 1": "t: b = 1",
      "FROM t WHERE a + 1 = 2 OR b = 1": "",
      "FROM t WHERE a = b": "",
      "FROM t WHERE a = random()": "",
      "FROM t WHERE a COLLATE NOCASE = 'x'": "",
      "FROM t WHERE a ILIKE 'x%' AND b LIKE $1 AND c NOT LIKE 'a%'": "",
      "FROM t WHERE a IS DISTINCT FROM 1": "",
      "FROM t WHERE a::BIGINT = 1": "",
      "FROM t WHERE TRY_CAST('x' AS DATE) < ts": "",
      "FROM t WHERE a IN (SELECT 1)": "",
      "FROM t WHERE ts > now() - INTERVAL '1 hour 5 minutes'": "",
      "FROM t WHERE list_any_value(list_filter([1], a -> a > 5)) = 1": "",
      "FROM t TABLESAMPLE 10% WHERE a = 1": "",
      "SELECT * FROM t WHERE a = 1 USING SAMPLE 5 ROWS": "",
      "FROM t AS x(b, a) WHERE a = 1": "",
    }));

  test("a statement of thousands of comparisons is read in part, a deep one without harm", async () => {
    const list = Array.from({ length: 5_000 }, (_, index) => index).join(", ");
    assert.equal(await predicatesOf(`FROM t WHERE a IN (${list})`), "");
    const deep = `${"a = 1 AND (b = 2 OR (".repeat(80)}c = 3${"))".repeat(80)}`;
    assert.match(await predicatesOf(`FROM t WHERE ${deep}`), /^t: a = 1( & |$)/);
  });
});

describe("which table a condition is of", () => {
  test("names with a table, without one, and of nobody", () =>
    check({
      "FROM t AS x WHERE x.a = 1": "t: a = 1",
      "FROM t AS x WHERE t.a = 1": "",
      "FROM t WHERE T.A = 1": "t: A = 1",
      "FROM t, u WHERE t.a = 1 AND b = 2": "t: a = 1 & b[not in u] = 2; u: b[not in t] = 2",
      "FROM t JOIN u USING (k) WHERE k = 1 AND t.a = 2": "t: a = 2",
      "FROM t NATURAL JOIN u WHERE k = 1 AND u.a = 2": "u: a = 2",
      "FROM t, t WHERE t.a = 1": "",
    }));

  test("both sides of each join", () =>
    check({
      "FROM t JOIN u ON t.a = 1 AND u.b = 2 WHERE t.c = 3 AND u.d = 4": "t: c = 3 & a = 1; u: d = 4 & b = 2",
      "FROM t LEFT JOIN u ON t.a = 1 AND u.b = 2 WHERE t.c = 3 AND u.d = 4": "t: c = 3; u: d = 4 & b = 2",
      "FROM t RIGHT JOIN u ON t.a = 1 AND u.b = 2 WHERE t.c = 3 AND u.d = 4": "t: c = 3 & a = 1; u: d = 4",
      "FROM t FULL JOIN u ON t.a = 1 AND u.b = 2 WHERE t.c = 3 AND u.d = 4": "t: c = 3; u: d = 4",
      "FROM t LEFT JOIN u ON true WHERE u.d IS NULL": "",
      "FROM t LEFT JOIN u ON u.d IS NULL": "u: d is-null",
      "FROM t LEFT JOIN (u FULL JOIN v ON u.x = v.x) ON u.d IS NULL AND v.e = 1": "v: e = 1",
      "FROM t LEFT JOIN u ON true WHERE u.d IS NULL OR u.d = 1": "",
      "FROM t SEMI JOIN u ON t.a = 1 AND u.b = 2 WHERE t.c = 3": "t: c = 3",
      "FROM t ANTI JOIN u ON t.a = 1 AND u.b = 2 WHERE t.c = 3": "t: c = 3",
      "FROM t ASOF JOIN u ON t.a >= u.a WHERE t.c = 3 AND u.d = 4": "",
      "FROM t POSITIONAL JOIN u WHERE t.c = 3 AND u.d = 4": "",
    }));

  test("each SELECT for itself, each place of a table for itself", () =>
    check({
      "FROM t WHERE a = 1 UNION ALL FROM t WHERE a = 2": "t: (a = 1 | a = 2)",
      "FROM t WHERE a = 1 UNION ALL FROM t": "",
      "FROM t x, t y WHERE x.a = 1 AND y.a = 2": "t: (a = 1 | a = 2)",
      "FROM t WHERE a = 1 AND b IN (SELECT b FROM u WHERE c = 2)": "t: a = 1; u: c = 2",
      "SELECT * FROM (SELECT * FROM t WHERE a = 1) t WHERE b = 2": "t: a = 1",
      "WITH x AS (FROM t WHERE a = 1) FROM x WHERE b = 2": "t: a = 1",
      "WITH t AS (FROM u WHERE a = 1) FROM t WHERE b = 2": "u: a = 1",
      "WITH t AS (FROM t WHERE a = 1) FROM t WHERE b = 2": "",
      "SELECT (SELECT max(b) FROM u WHERE u.k = t.k AND u.c = 1) FROM t WHERE t.a = 2": "t: a = 2; u: c = 1",
      "EXPLAIN FROM t WHERE a = 1": "t: a = 1",
    }));
});
