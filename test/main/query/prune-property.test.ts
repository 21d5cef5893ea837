import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { ParameterValue } from "../../../src/shared/query-messages.js";
import { type SeededRandom, seededRandom } from "../../harness/seeded-random.js";
import { openFixture, type QueryFixture, schemaOf } from "../../workers/query/query-fixture.js";
import { PruneTable, type Row, runBoth } from "./prune-fixture.js";

const seed = Number(process.env["PRUNE_SEED"] ?? Math.floor(Math.random() * 1e9));
const rounds = Number(process.env["PRUNE_ROUNDS"] ?? 150);
const dayMicros = 86_400_000_000n;
/** 2024-01-01. */
const startDay = 19_723n;
const tSchema = schemaOf(
  "timestamp timestamp",
  "id string",
  "n long",
  "d double",
  "s string",
  "b boolean",
  "r double 8 7",
);
const uSchema = schemaOf("timestamp timestamp", "id string", "n long", "m long");
const random = seededRandom(seed);

let fixture: QueryFixture;
let tables: readonly PruneTable[];

before(async () => {
  fixture = await openFixture();
  tables = [await tableT(), await tableU()];
});
after(() => fixture.close());

const texts = [
  "",
  "a",
  "apple",
  "apple pie with cream and sugar",
  "apple pie with cream",
  "b%",
  "Banana",
  "é",
  "öl",
  "日本語",
  "\u{1F600}x",
];

async function tableT(): Promise<PruneTable> {
  const table = new PruneTable(fixture, "T", tSchema);
  const old = tSchema.columns.map((column) => {
    return column.name === "r" ? ({ fieldId: 7, name: "r", type: "long", required: false } as const) : column;
  });
  for (let file = 0; file < 8; file++) {
    const isOld = file % 2 === 0;
    const rows = Array.from({ length: 6 }, (_, index): Row => {
      const orNull = <Value>(value: Value): Value | null => (random.integer(6) === 0 ? null : value);
      const whole = BigInt(file * 10 + random.integer(10));
      return {
        timestamp: (startDay + BigInt(file)) * dayMicros + BigInt(random.integer(86_400)) * 1_000_000n,
        id: `t-${file}-${index}`,
        n: file === 3 ? null : orNull(whole - 20n),
        d: file === 5 && random.integer(2) === 0 ? Number.NaN : orNull(Number(whole) / 10),
        s: orNull(file < 4 ? (texts[file] ?? "") + random.pick(["", "-x", " and a long tail"]) : random.pick(texts)),
        b: file === 1 ? true : file === 2 ? false : orNull(random.integer(2) === 0),
        r: isOld ? orNull(whole) : orNull(Number(whole) + 0.5),
      };
    });
    const columns = isOld ? old : tSchema.columns;
    await table.addFile(rows, file === 6 ? columns.filter((column) => column.name !== "d") : columns);
  }
  return table;
}

async function tableU(): Promise<PruneTable> {
  const table = new PruneTable(fixture, "u", uSchema);
  for (let file = 0; file < 4; file++) {
    const rows = Array.from({ length: 5 }, (_, index): Row => ({
      timestamp: (startDay + BigInt(file * 2)) * dayMicros + BigInt(random.integer(86_400)) * 1_000_000n,
      id: `u-${file}-${index}`,
      n: BigInt(file * 15 + random.integer(15) - 20),
      m: random.integer(5) === 0 ? null : BigInt(file * 100 + random.integer(50)),
    }));
    await table.addFile(rows);
  }
  return table;
}

// ---- random statements

interface Terms {
  readonly random: SeededRandom;
  readonly values: ParameterValue[];
}

const comparisons = ["=", "<", "<=", ">", ">=", "<>", "!="];

function dayText(days: number): string {
  return new Date(Number(startDay * dayMicros) / 1000 + days * 86_400_000).toISOString().slice(0, 10);
}

function timeOperand({ random: pick, values }: Terms): string {
  const day = dayText(pick.integer(12) - 2);
  const clock = `${day} 0${pick.integer(10)}:30:00`;
  const parameter = (value: ParameterValue): string => `$${values.push(value)}`;
  return pick.pick<() => string>([
    () => `'${day}'`,
    () => `DATE '${day}'`,
    () => `TIMESTAMP '${clock}'`,
    () => `'${clock}.250'::timestamptz`,
    () => `TIMESTAMPTZ '${clock}+02'`,
    () => `TIMESTAMPTZ '${clock}-05:30'`,
    () => `TIMESTAMP '${clock}' - INTERVAL '${pick.integer(60)} hours'`,
    () => `'${clock}'::timestamptz + INTERVAL ${pick.integer(3)} MONTH`,
    () => `DATE '${day}' - ${pick.integer(5)}`,
    () => `date_trunc('month', TIMESTAMPTZ '${clock}')`,
    () => `now() - INTERVAL '${pick.integer(40)} months'`,
    () => `current_date - INTERVAL ${pick.integer(1000)} DAY`,
    () => `make_date(2024, 1, ${1 + pick.integer(9)})`,
    () => parameter(clock),
    () => `${parameter(day)}::date`,
    () => "NULL",
  ])();
}

function numberOperand({ random: pick, values }: Terms): string {
  const whole = pick.integer(90) - 25;
  return pick.pick<() => string>([
    () => String(whole),
    () => `${whole}.5`,
    () => `${whole}e0`,
    () => `${whole / 10}`,
    () => `'${whole}'`,
    () => `${whole}::BIGINT`,
    () => `CAST('${whole}' AS DOUBLE)`,
    () => `CAST(${whole}.4 AS INTEGER)`,
    () => "9007199254740993",
    () => `$${values.push(whole)}`,
    () => `$${values.push(whole + 0.25)}`,
    () => `$${values.push(String(whole))}`,
    () => `${whole} + 1`,
    () => "NULL",
    () => "'NaN'::DOUBLE",
  ])();
}

function textOperand({ random: pick, values }: Terms): string {
  const text = pick.pick([...texts, "apple pie with d", "zz"]);
  return pick.pick<() => string>([
    () => `'${text}'`,
    () => `'${text}'::VARCHAR`,
    () => `$${values.push(text)}`,
    () => `lower('${text}')`,
  ])();
}

/** Of the table with this prefix ("", "a.", ...); `isU`: of the table u. */
function term(terms: Terms, prefix: string, isU: boolean): string {
  const { random: pick } = terms;
  const compare = pick.pick(comparisons);
  const number = `${prefix}${pick.pick(isU ? ["n", "m"] : ["n", "d", "r", "N"])}`;
  const time = `${prefix}${pick.pick(["timestamp", '"Timestamp"'])}`;
  const common = [
    () => `${number} ${compare} ${numberOperand(terms)}`,
    () => `${numberOperand(terms)} ${compare} ${number}`,
    () => `${number} ${pick.pick(["", "NOT "])}BETWEEN ${numberOperand(terms)} AND ${numberOperand(terms)}`,
    () => `${number} ${pick.pick(["", "NOT "])}IN (${numberOperand(terms)}, ${numberOperand(terms)})`,
    () => `${time} ${compare} ${timeOperand(terms)}`,
    () => `${time} BETWEEN ${timeOperand(terms)} AND ${timeOperand(terms)}`,
    () => `${time}::date ${compare} ${timeOperand(terms)}`,
    () => `date_trunc('${pick.pick(["day", "hour", "month", "week"])}', ${time}) ${compare} ${timeOperand(terms)}`,
    () => `${number} IS ${pick.pick(["", "NOT "])}NULL`,
    () => `abs(${number}) > 5`,
    () => `${number} IS DISTINCT FROM 3`,
  ];
  const more = [
    () => `${prefix}s ${compare} ${textOperand(terms)}`,
    () =>
      `${prefix}s ${pick.pick(["", "NOT "])}LIKE '${pick.pick(["a%", "apple pie with cream%", "%x", "ap_le%", "é%", "b\\%", "a"])}'`,
    () => `starts_with(${prefix}s, ${textOperand(terms)})`,
    () => `${prefix}s IN (${textOperand(terms)}, ${textOperand(terms)})`,
    () => `${prefix}s ILIKE 'A%'`,
    () => `${prefix}s COLLATE NOCASE = 'APPLE'`,
    () => `${prefix}b`,
    () => `${prefix}b = ${pick.pick(["true", "false"])}`,
    () => `${prefix}s > ${numberOperand(terms)}`,
  ];
  return pick.pick(isU ? common : [...common, ...more])();
}

function condition(terms: Terms, prefix: string, isU: boolean, depth = 0): string {
  const { random: pick } = terms;
  if (depth > 2 || pick.integer(3) === 0) return term(terms, prefix, isU);
  const count = 1 + pick.integer(3);
  const parts = Array.from({ length: count }, () => condition(terms, prefix, isU, depth + 1));
  const joined = `(${parts.join(pick.pick([" AND ", " OR "]))})`;
  return pick.integer(5) === 0 ? `NOT ${joined}` : joined;
}

function statement(terms: Terms): string {
  const { random: pick } = terms;
  const ofT = (prefix: string): string => condition(terms, prefix, false);
  const ofU = (prefix: string): string => condition(terms, prefix, true);
  const join = pick.pick(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
  return pick.pick<() => string>([
    () => `SELECT id FROM t WHERE ${ofT("")} ORDER BY ALL`,
    () => `SELECT count(*) AS c, sum(n) AS s, min(timestamp) AS m FROM T AS a WHERE ${ofT("a.")}`,
    () => `SELECT n AS d, count(*) AS c FROM t WHERE ${ofT("")} GROUP BY ALL HAVING count(*) > 0 ORDER BY ALL`,
    () => `SELECT a.id, c.id FROM t a ${join} u c ON a.n = c.n AND ${ofU("c.")} WHERE ${ofT("a.")} ORDER BY ALL`,
    () => `SELECT a.id, c.id FROM t a ${join} u c ON a.n = c.n AND ${ofT("a.")} WHERE ${ofU("c.")} ORDER BY ALL`,
    () => `SELECT a.id, c.id FROM t a ${join} u c ON a.n = c.n AND ${ofT("a.")} ORDER BY ALL`,
    () => `SELECT a.id, m FROM t a ${join} u c USING (n) WHERE ${ofT("")} ORDER BY ALL`,
    () =>
      `SELECT a.id, c.id, e.id FROM t a ${join} u c ON a.n = c.n ${pick.pick(["LEFT JOIN", "FULL JOIN"])} t e ON e.n = c.n AND ${ofT("e.")} WHERE ${ofU("c.")} ORDER BY ALL`,
    () =>
      `SELECT a.id FROM t a ${pick.pick(["SEMI", "ANTI"])} JOIN u c ON a.n = c.n AND ${ofU("c.")} WHERE ${ofT("a.")} ORDER BY ALL`,
    () =>
      `SELECT a.id, c.id FROM t a ASOF ${pick.pick(["", "LEFT "])}JOIN u c ON a.timestamp >= c.timestamp WHERE ${ofU("c.")} ORDER BY ALL`,
    () => `SELECT a.id, c.id FROM t a POSITIONAL JOIN u c WHERE ${ofU("c.")} ORDER BY ALL`,
    () => `SELECT a.id, m FROM t a, u c WHERE a.n = c.n AND ${ofT("a.")} AND m > ${numberOperand(terms)} ORDER BY ALL`,
    () =>
      `WITH x AS (SELECT * FROM t WHERE ${ofT("")}) SELECT x.id, a.id FROM x LEFT JOIN t a ON a.n = x.n ORDER BY ALL`,
    () => `WITH x AS (SELECT * FROM t WHERE ${ofT("")}) SELECT id FROM x WHERE ${ofT("x.")} ORDER BY ALL`,
    () => `WITH t AS (SELECT * FROM u) SELECT id FROM t WHERE ${ofU("")} UNION ALL SELECT id FROM u ORDER BY ALL`,
    () => `SELECT id FROM t WHERE ${ofT("")} UNION ALL SELECT id FROM t WHERE ${ofT("")} ORDER BY ALL`,
    () => `SELECT id FROM t a WHERE EXISTS (SELECT 1 FROM u WHERE u.n = a.n AND ${ofU("")}) ORDER BY ALL`,
    () => `SELECT id FROM t WHERE n NOT IN (SELECT m FROM u WHERE m IS NOT NULL AND ${ofU("u.")}) ORDER BY ALL`,
    () => `SELECT a.id, c.id FROM t a JOIN t c ON a.n = c.n WHERE ${ofT("a.")} AND ${ofT("c.")} ORDER BY ALL`,
    () => `SELECT (SELECT count(*) FROM u WHERE ${ofU("")}) AS c, id FROM t WHERE ${ofT("t.")} ORDER BY ALL`,
    () => `SELECT n + 100 AS m, m AS n FROM u WHERE ${ofU("")} ORDER BY ALL`,
    () =>
      `SELECT * FROM (SELECT id, n FROM t QUALIFY row_number() OVER (ORDER BY id) <= 9) t WHERE n > ${numberOperand(terms)} ORDER BY ALL`,
    () => `SELECT * FROM t AS z(n, id, x) WHERE x > ${numberOperand(terms)} ORDER BY ALL`,
    () => `SELECT id, v FROM u UNPIVOT (v FOR k IN (n, m)) WHERE ${numberOperand(terms)} < v ORDER BY ALL`,
  ])();
}

test(`the same rows with and without pruning (seed ${seed})`, async (context) => {
  let ran = 0;
  let withPruning = 0;
  let filesPruned = 0;
  for (let round = 0; round < rounds; round++) {
    const terms: Terms = { random, values: [] };
    const sql = statement(terms);
    const { pruned, rows, prunedRows } = await runBoth(fixture, tables, sql, terms.values);
    if (rows === null) continue;
    ran++;
    assert.equal(prunedRows, rows, `seed ${seed}, round ${round}: ${sql} -- ${JSON.stringify(terms.values)}`);
    const count = pruned.reports.reduce((sum, report) => sum + report.filesPruned, 0);
    filesPruned += count;
    if (count > 0) withPruning++;
  }
  context.diagnostic(`${ran} statements ran, ${withPruning} with fewer files, ${filesPruned} files left out`);
  assert.ok(ran > rounds * 0.4, `${ran} of ${rounds} statements ran`);
  assert.ok(withPruning > ran * 0.1, `${withPruning} of ${ran} statements read fewer files`);
});
