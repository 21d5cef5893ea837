/** SQL, parameters and errors of POST /v1/query, as a client meets them, on one real server. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { HttpClient, type Reply } from "../harness/http-client.js";
import { ServerProcess } from "../harness/server-process.js";

interface ErrorBody {
  readonly error: string;
  readonly code: string;
  readonly details: Record<string, unknown>;
}

describe("SQL over HTTP", () => {
  let server: ServerProcess;
  let client: HttpClient;

  before(async () => {
    server = await ServerProcess.start();
    client = new HttpClient(() => server.url);
    const rows = Array.from({ length: 200 }, (_, index) => ({
      timestamp: new Date(Date.UTC(2026, 0, 1, 0, index)).toISOString(),
      id: `r${index}`,
      host: `h${index % 4}`,
      usage: index / 2,
      order: index,
      note: "it's; -- update",
    }));
    await client.write("cpu", rows);
    await client.write(
      "hosts",
      [0, 1, 2, 3].map((index) => ({ id: `h${index}`, rack: index % 2, big: index })),
    );
  });

  after(() => server.dispose());

  function send(sql: string, more: Readonly<Record<string, unknown>> = {}): Promise<Reply> {
    return client.sendJson("/v1/query", { sql, ...more });
  }

  async function refused(
    sql: string,
    status: number,
    more: Readonly<Record<string, unknown>> = {},
  ): Promise<ErrorBody> {
    const reply = await send(sql, more);
    assert.equal(reply.status, status, `${sql}: ${JSON.stringify(reply.body)}`);
    return reply.body as ErrorBody;
  }

  test("parameters by position and by name", async () => {
    const count = "SELECT count(*) AS n FROM cpu WHERE";
    const cases: readonly (readonly [string, unknown, number])[] = [
      [`${count} host = ?`, ["h1"], 50],
      [`${count} host = $1 AND "order" < $2`, ["h1", 100], 25],
      [`${count} host = $host OR host = $other`, { host: "h1", OTHER: "h2" }, 100],
      [`${count} timestamp >= $1 AND timestamp < $2`, ["2026-01-01T00:10:00Z", "2026-01-01T00:20:00Z"], 10],
      [`${count} usage > ?`, [99.25], 1],
      [`${count} "order" = $1::BIGINT`, ["7"], 1],
      [`${count} note = $note`, { note: "it's; -- update" }, 200],
      [`${count} host = $1`, ["h1' OR '1'='1"], 0],
      [`${count} host IS NOT DISTINCT FROM ?`, [null], 0],
      [`${count} ?`, [true], 200],
    ];
    for (const [sql, params, expected] of cases) {
      assert.deepEqual(await client.query(sql, { params }), [{ n: expected }], sql);
    }
    const page = await client.query("SELECT id FROM cpu ORDER BY timestamp LIMIT $size OFFSET $from", {
      params: { size: 2, from: 3 },
    });
    assert.deepEqual(page, [{ id: "r3" }, { id: "r4" }]);
  });

  test("the same text with other values is another result", async () => {
    const sql = "SELECT max(usage) AS m FROM cpu WHERE host = $1";
    for (const [host, expected] of [
      ["h0", 98],
      ["h1", 98.5],
      ["h0", 98],
      ["nobody", null],
    ]) {
      assert.deepEqual(await client.query(sql, { params: [host] }), [{ m: expected }]);
    }
  });

  test("parameters in large results, in EXPLAIN, and in each format", async () => {
    const sql = "SELECT a.id, $tag AS tag FROM cpu a, cpu b WHERE b.host = $host";
    const params = { tag: "x", host: "h1" };
    assert.equal((await client.query(sql, { params })).length, 10_000);
    for (const format of ["json", "ndjson", "csv", "arrow", "parquet", "msgpack"]) {
      const reply = await send(sql, { params, format });
      assert.equal(reply.status, 200, `${format}: ${JSON.stringify(reply.body).slice(0, 300)}`);
    }
    for (const verb of ["EXPLAIN", "explain analyze"]) {
      const rows = await client.query(`${verb} ${sql}`, { params });
      assert.match(JSON.stringify(rows), /explain_value|analyzed_plan|physical_plan/, verb);
    }
  });

  test("a list for one parameter", async () => {
    const sql = "SELECT count(*)::INTEGER AS n FROM cpu WHERE host = ANY($hosts)";
    const all = await client.query<{ n: number }>("SELECT count(*)::INTEGER AS n FROM cpu WHERE host IN ('h0', 'h1')");
    const reply = await client.sendJson("/v1/query", { sql, params: { hosts: ["h0", "h1"] } });
    assert.equal(reply.status, 200, JSON.stringify(reply.body));
    assert.equal((reply.body as { readonly result_json: string }).result_json, JSON.stringify(all));
  });

  test("values that are missing, too many or of no type", async () => {
    const sql = "SELECT count(*) FROM cpu WHERE host = $1";
    const cases: readonly (readonly [string, unknown, Record<string, unknown>])[] = [
      [sql, undefined, { expected: 1, given: 0 }],
      [sql, ["a", "b"], { expected: 1, given: 2 }],
      [sql, { host: "a" }, { parameters: ["1"] }],
      [sql, [["a", 1]], { parameter: "1" }],
      [sql, [{ a: 1 }], { parameter: "1" }],
      [sql, [2 ** 60], { parameter: "1" }],
      ["SELECT $host", {}, { parameter: "host", parameters: ["host"] }],
      ["SELECT $host", { host: 1, port: 2 }, { parameter: "port", parameters: ["host"] }],
      ["SELECT 1", [1], { expected: 0, given: 1 }],
      [sql, "h1", {}],
    ];
    for (const [text, params, details] of cases) {
      const error = await refused(text, 400, { params });
      assert.equal(error.code, "INVALID_REQUEST", JSON.stringify(error));
      assert.deepEqual(error.details, { field: "params", ...details });
    }
  });

  test("names that are not there come with their place and a suggestion", async () => {
    const table = await refused("SELECT *\nFROM cpuu", 404);
    assert.equal(table.code, "TABLE_NOT_FOUND");
    assert.equal(table.details["suggestion"], "cpu");
    assert.equal(table.details["position"], 14);
    const column = await refused("SELECT\n  usag FROM cpu", 400);
    assert.equal(column.code, "INVALID_SQL");
    assert.deepEqual(column.details, { position: 9, line: 2, column: 3, name: "usag", suggestion: "usage" });
    const named = await refused("SELECT uper(host) FROM cpu", 400);
    assert.deepEqual(named.details, { position: 7, line: 1, column: 8, function: "uper", suggestion: "upper" });
    const syntax = await refused("SELECT * FORM cpu", 400);
    assert.equal(syntax.code, "INVALID_SQL");
    assert.equal(syntax.details["line"], 1);
    const value = await refused("SELECT 'x'::BIGINT FROM cpu", 400);
    assert.equal(value.code, "INVALID_SQL");
  });

  test("forms of statements", async () => {
    for (const sql of ["SHOW TABLES", "show tables;", "SHOW TABLES -- all\n;"]) {
      assert.deepEqual(await client.query(sql), [{ name: "cpu" }, { name: "hosts" }], sql);
    }
    const columns = await client.query<{ column_name: string; column_type: string }>("DESCRIBE hosts;");
    assert.ok(columns.some(({ column_name: name, column_type: type }) => name === "rack" && type === "BIGINT"));
    const joined = await client.query(
      `WITH busy AS (SELECT host, max(usage) AS top FROM cpu GROUP BY host)
       SELECT h.rack, max(b.top) AS top FROM busy b JOIN hosts h ON h.id = b.host GROUP BY ALL ORDER BY 1;`,
    );
    assert.deepEqual(joined, [
      { rack: 0, top: 99 },
      { rack: 1, top: 99.5 },
    ]);
    assert.deepEqual(
      await client.query(
        "SELECT host, id FROM cpu QUALIFY row_number() OVER (PARTITION BY host ORDER BY usage DESC) = 1 ORDER BY ALL LIMIT 1",
      ),
      [{ host: "h0", id: "r196" }],
    );
    const pivoted = "PIVOT (SELECT host FROM cpu) ON host IN ('h0', 'h1') USING count(*)";
    assert.equal((await client.query(pivoted)).length, 1);
    assert.deepEqual(await client.query("SELECT id FROM hosts UNION ALL SELECT id FROM hosts ORDER BY 1 LIMIT 2"), [
      { id: "h0" },
      { id: "h0" },
    ]);
  });

  test("what is no SELECT, or reaches outside, is refused", async () => {
    for (const sql of [
      "DROP TABLE cpu",
      "SELECT 1; DROP TABLE cpu",
      "COPY cpu TO '/tmp/x.csv'",
      "SELECT * FROM read_text('/etc/passwd')",
      "SELECT getenv('HOME')",
      "SET threads = 1",
      "PRAGMA database_list",
      "ATTACH 'x.db'",
    ]) {
      assert.equal((await refused(sql, 403)).code, "SQL_NOT_ALLOWED", sql);
    }
    assert.equal((await refused("SELECT * FROM '/etc/passwd'", 404)).code, "TABLE_NOT_FOUND");
    assert.equal((await refused(`SELECT ${"(SELECT ".repeat(40)}1${")".repeat(40)}`, 400)).code, "INVALID_SQL");
    assert.equal((await refused(`SELECT a${".a".repeat(60_000)} FROM cpu`, 400)).code, "INVALID_SQL");
    assert.equal(await client.count("cpu"), 200);
  });
});
