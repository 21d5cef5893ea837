import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { KeptFile, QueryResult, SelectStatement } from "../../../src/shared/query-messages.js";
import { openFixture, type QueryFixture, rowsOf } from "./query-fixture.js";

let fixture: QueryFixture;
let keptFolder: string;
let keptNumber = 0;

before(async () => {
  fixture = await openFixture();
  keptFolder = join(fixture.temporaryFolder, "kept");
  mkdirSync(keptFolder, { recursive: true });
});
after(() => fixture.close());

interface Asked {
  readonly limitRows: number;
  readonly rowsMax?: number;
  readonly bytesMax?: number;
}

async function run(sql: string, { limitRows, rowsMax = 1_000, bytesMax = 1024 * 1024 }: Asked): Promise<QueryResult> {
  const statement = (await fixture.parse(sql)) as SelectStatement;
  const keep = { path: join(keptFolder, `${++keptNumber}.parquet`), rowsMax, bytesMax };
  const task = { kind: "execute", slot: 0, statement, tables: [], values: [], offsetRows: 0 } as const;
  return fixture.runner.run({ ...task, limitRows, timeoutMs: 60_000, format: "original", keep });
}

function keptOf(result: QueryResult): KeptFile {
  assert.ok(result.kind === "rows" && result.kept !== undefined, JSON.stringify(result));
  return result.kept;
}

describe("a kept result", () => {
  test("gives the rows of the page and those after it as the statement would, of every type", async () => {
    const columns = [
      "i AS n",
      "170141183460469231731687303715884105727::HUGEINT - i AS huge",
      "i::UBIGINT + 18446744073709551000::UBIGINT AS big",
      "i / 3 AS d",
      "(i / 3)::DECIMAL(30, 7) AS dec",
      "[i, NULL, i + 1] AS list",
      "{'a': i, 'b': 'it''s \"' || i, 'c': NULL} AS struct",
      "MAP {i::VARCHAR: [i]} AS map",
      "INTERVAL (i) DAY AS span",
      "TIME '10:00:00.123456' AS clock",
      "make_timestamp_ns(1700000000123456789 + i) AS nanos",
      "uuid '00000000-0000-0000-0000-00000000000a' AS id",
      "('m' || i % 3)::ENUM('m0', 'm1', 'm2') AS mood",
      "'\\x00\\xff'::BLOB AS bytes",
      "'01'::BIT AS bits",
      "CASE WHEN i % 2 = 0 THEN 'NaN'::DOUBLE END AS nan",
      "TIMESTAMPTZ '2026-01-01 00:00:00.5+02' AS zoned",
      "DATE '2026-01-01' AS day",
      "i % 2 = 0 AS flag",
      "i AS n",
    ];
    const sql = `SELECT ${columns.join(", ")} FROM range(1, 31) r(i) ORDER BY i DESC`;
    const result = await run(sql, { limitRows: 7 });
    const kept = keptOf(result);
    assert.equal(kept.isWhole, true);
    const direct = await fixture.query(sql);
    assert.equal(direct.length, 30);
    assert.deepEqual(rowsOf(result), direct.slice(0, 7));
    const parsed = await fixture.runner.run({ kind: "parse", sql: kept.sql });
    // Clients cannot read files: only the worker's own statement may name it.
    assert.equal(parsed.kind, "failed");
    const statement = { ...((await fixture.parse("SELECT 1")) as SelectStatement), sql: kept.sql, text: kept.sql };
    const task = { kind: "execute", slot: 0, statement, tables: [], values: [], limitRows: 100 } as const;
    const page = await fixture.runner.run({ ...task, offsetRows: 7, timeoutMs: 60_000, format: "original" });
    assert.deepEqual(rowsOf(page), direct.slice(7));
  });

  test("is cut at its rows, is not kept beyond its bytes, and leaves no file where nothing is kept", async () => {
    const sql = "SELECT i, md5(i::VARCHAR) AS m FROM range(5000) r(i) ORDER BY m";
    const cut = await run(sql, { limitRows: 10, rowsMax: 100 });
    assert.ok(cut.kind === "rows" && cut.hasMore);
    assert.equal(keptOf(cut).isWhole, false);
    const before = readdirSync(keptFolder).length;
    const large = await run(sql, { limitRows: 10, rowsMax: 5_000, bytesMax: 1_000 });
    assert.ok(large.kind === "rows" && large.kept === undefined && large.hasMore && large.rows === 10);
    const all = await run(sql, { limitRows: 5_000 });
    assert.ok(all.kind === "rows" && all.kept === undefined && !all.hasMore);
    assert.equal(readdirSync(keptFolder).length, before);
    assert.ok(existsSync(keptOf(cut).path));
  });
});
