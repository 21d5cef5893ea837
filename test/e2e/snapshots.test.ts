/** Pruning by EXPLAIN's report, time travel, and empty tables, as clients meet them. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { HttpClient, type Reply } from "../harness/http-client.js";
import { ServerProcess } from "../harness/server-process.js";

const dayMs = 86_400_000;
const days = 60;
const firstMs = Date.UTC(2026, 8, 1);
const rowsPerDay = 20;

let server: ServerProcess;
let client: HttpClient;

before(async () => {
  server = await ServerProcess.start({ flags: ["--snapshots-keep", "3", "--snapshots-max-age-ms", "3600000"] });
  client = new HttpClient(() => server.url);
});
after(() => server.dispose());

interface FilesReport {
  readonly total: number;
  readonly pruned: number;
  readonly read: number;
  readonly bytes: number;
  readonly bytesTotal: number;
  readonly hot: number;
}

async function explain(sql: string, table: string, more: Readonly<Record<string, unknown>> = {}): Promise<FilesReport> {
  const rows = await client.query<{ explain_key: string; explain_value: string }>(`EXPLAIN ${sql}`, more);
  assert.ok(rows.some((row) => row.explain_key === "physical_plan"));
  const line = rows.find((row) => row.explain_key === "files" && row.explain_value.startsWith(`${table}: `));
  assert.ok(line !== undefined, JSON.stringify(rows));
  const [read = 0, total = 0, pruned = 0, bytes = 0, bytesTotal = 0, hot = 0] = (
    line.explain_value.slice(table.length + 1).match(/\d+/g) ?? []
  ).map(Number);
  return { total, pruned, read, bytes, bytesTotal, hot };
}

async function flush(table: string): Promise<string> {
  const reply = await client.send(`/v1/tables/${table}/flush`, { method: "POST", body: "" });
  assert.equal(reply.status, 200, JSON.stringify(reply.body));
  return (reply.body as { readonly snapshot_id: string }).snapshot_id;
}

interface ListedSnapshot {
  readonly snapshot_id: string;
  readonly timestamp: string;
  readonly is_current: boolean;
  readonly rows: number;
  readonly files: number;
  readonly operation: string;
}

async function snapshotsOf(table: string): Promise<readonly ListedSnapshot[]> {
  const reply = await client.send(`/v1/tables/${table}/snapshots`);
  assert.equal(reply.status, 200, JSON.stringify(reply.body));
  return (reply.body as { readonly snapshots: readonly ListedSnapshot[] }).snapshots;
}

function codeOf(reply: Reply): readonly [number, unknown] {
  return [reply.status, (reply.body as { readonly code?: unknown }).code];
}

describe("pruning", () => {
  before(async () => {
    const rows = Array.from({ length: days * rowsPerDay }, (_, index) => ({
      timestamp: new Date(
        firstMs + Math.floor(index / rowsPerDay) * dayMs + (index % rowsPerDay) * 60_000,
      ).toISOString(),
      id: `row-${index}`,
      host: `host-${String(index % 7)}`,
      n: index,
      usage: index / 10,
    }));
    await client.write("metrics", rows);
    await flush("metrics");
  });

  test("one day's query opens that day's file alone, however the day is written", async () => {
    const day = new Date(firstMs + 17 * dayMs).toISOString().slice(0, 10);
    const next = new Date(firstMs + 18 * dayMs).toISOString().slice(0, 10);
    const conditions = [
      `timestamp >= '${day}' AND timestamp < '${next}'`,
      `timestamp >= TIMESTAMP '${day} 00:00:00' AND timestamp < DATE '${next}'`,
      `timestamp BETWEEN '${day}T00:00:00Z'::timestamptz AND '${day}T23:59:59Z'`,
      `timestamp::date = '${day}'`,
      `date_trunc('day', timestamp) = TIMESTAMPTZ '${day}'`,
      `timestamp >= $1 AND timestamp < $1::TIMESTAMPTZ + INTERVAL 1 DAY`,
    ];
    for (const condition of conditions) {
      const sql = `SELECT count(*) AS c FROM metrics WHERE ${condition}`;
      const more = condition.includes("$1") ? { params: [`${day} 00:00:00`] } : {};
      assert.deepEqual(await client.query(sql, more), [{ c: rowsPerDay }], sql);
      const report = await explain(sql, "metrics", more);
      assert.deepEqual([report.total, report.pruned, report.read], [days, days - 1, 1], sql);
      assert.ok(report.bytes > 0 && report.bytes < report.bytesTotal / 30, JSON.stringify(report));
    }
  });

  test("statistics of other columns count too; what is not understood reads all", async () => {
    const read = async (condition: string): Promise<number> => {
      return (await explain(`SELECT * FROM metrics WHERE ${condition}`, "metrics")).read;
    };
    assert.equal(await read("n BETWEEN 40 AND 59"), 1);
    assert.equal(await read("n IN (0, 1199)"), 2);
    assert.equal(await read("n < 0 OR usage < 1.9"), 1);
    assert.equal(await read("host > 'host-6'"), 0);
    assert.equal(await read("host LIKE 'guest%'"), 0);
    assert.equal(await read("timestamp > now() - INTERVAL '100 years'"), days);
    assert.equal(await read("timestamp < now() - INTERVAL '100 years'"), 0);
    assert.equal(await read("abs(n) < 5"), days);
    assert.equal(await read("n < 5 OR abs(n) < 5"), days);
  });

  test("EXPLAIN ANALYZE and other formats have the report too; a small saving is only named", async () => {
    const analyzed = await client.query<{ explain_key: string }>("EXPLAIN ANALYZE SELECT * FROM metrics WHERE n < 20");
    assert.deepEqual(
      analyzed.map((row) => row.explain_key),
      ["analyzed_plan", "files", "files"],
    );
    const sql = "EXPLAIN SELECT * FROM metrics WHERE n >= 40";
    for (const format of ["json", "csv", "ndjson"]) {
      const reply = await client.sendJson("/v1/query", { sql, format });
      assert.equal(reply.status, 200, JSON.stringify(reply.body));
      assert.match(
        JSON.stringify(reply.body),
        /metrics: 60 of 60 files, 0 pruned \(2 without a row of interest/,
        format,
      );
    }
  });

  test("each table of a join has its report, and a subquery its own condition", async () => {
    const sql = "FROM metrics a JOIN metrics b ON a.n = b.n WHERE a.n < 20 AND b.n >= 1180";
    assert.equal((await explain(sql, "metrics")).read, 2);
    const nested = "SELECT * FROM metrics WHERE n < (SELECT max(n) FROM metrics WHERE n < 10)";
    assert.equal((await explain(nested, "metrics")).read, days);
  });

  test("rows that are not in the store yet are never left out", async () => {
    await client.write("metrics", [{ timestamp: "2026-12-24T00:00:00Z", id: "late", n: 5 }]);
    const sql = "SELECT id FROM metrics WHERE n = 5 ORDER BY id";
    assert.deepEqual(await client.query(sql), [{ id: "late" }, { id: "row-5" }]);
    const report = await explain(sql, "metrics");
    assert.deepEqual([report.read, report.hot], [1, 1]);
  });
});

describe("time travel", () => {
  const ids: string[] = [];
  const times: string[] = [];

  before(async () => {
    for (let round = 0; round < 3; round++) {
      const row = { timestamp: "2026-11-01T00:00:00Z", id: `r${round}`, [`column_${round}`]: round };
      await client.write("history", [row]);
      ids.push(await flush("history"));
      await sleep(20);
      times.push(new Date().toISOString());
      await sleep(20);
    }
    await client.write("history", [{ timestamp: "2026-11-01T00:00:00Z", id: "hot" }]);
  });

  test("the list names each commit, the newest first", async () => {
    const snapshots = await snapshotsOf("history");
    assert.deepEqual(
      snapshots.map((snapshot) => snapshot.snapshot_id),
      ids.toReversed(),
    );
    assert.deepEqual(
      snapshots.map(({ rows, files, operation, is_current }) => [rows, files, operation, is_current]),
      [
        [3, 3, "append", true],
        [2, 2, "append", false],
        [1, 1, "append", false],
      ],
    );
    assert.equal((await client.send("/v1/tables/nothing/snapshots")).status, 404);
  });

  test("a snapshot has the rows and the columns of its time, and no hot ones", async () => {
    const sql = "SELECT id FROM history ORDER BY id";
    for (const [index, id] of ids.entries()) {
      const expected = Array.from({ length: index + 1 }, (_, row) => ({ id: `r${row}` }));
      // Twice, as the second time comes from what main keeps.
      for (let time = 0; time < 2; time++) {
        assert.deepEqual(await client.query(sql, { snapshot_id: id }), expected);
        assert.deepEqual(await client.query(sql, { as_of: times[index] }), expected);
      }
      const [row] = await client.query("SELECT * FROM history LIMIT 1", { snapshot_id: id });
      assert.equal(Object.keys(row ?? {}).length, 3 + index);
    }
    assert.equal((await client.query(sql)).length, 4);
  });

  test("what is not there is refused, and the oldest named", async () => {
    const ask = async (body: object): Promise<Reply> => {
      return client.sendJson("/v1/query", { sql: "SELECT * FROM history", ...body });
    };
    const early = await ask({ as_of: "2001-01-01T00:00:00Z" });
    assert.deepEqual(codeOf(early), [404, "NOT_FOUND"]);
    assert.ok(JSON.stringify(early.body).includes(String(ids[0])), JSON.stringify(early.body));
    assert.deepEqual(codeOf(await ask({ snapshot_id: "123" })), [404, "NOT_FOUND"]);
    assert.deepEqual(codeOf(await ask({ snapshot_id: "abc" })), [400, "INVALID_REQUEST"]);
    assert.deepEqual(codeOf(await ask({ as_of: "yesterday" })), [400, "INVALID_REQUEST"]);
    assert.deepEqual(codeOf(await ask({ as_of: times[0], snapshot_id: ids[0] })), [400, "INVALID_REQUEST"]);
    const join = { sql: "SELECT * FROM history, metrics", snapshot_id: ids[0] };
    assert.deepEqual(codeOf(await client.sendJson("/v1/query", join)), [400, "INVALID_REQUEST"]);
    await client.sendJson("/v1/tables", { table_name: "fresh" });
    const fresh = await client.sendJson("/v1/query", { sql: "SELECT * FROM fresh", as_of: times[0] });
    assert.deepEqual(codeOf(fresh), [404, "NOT_FOUND"]);
  });

  test("tables of one statement are as of the same time", async () => {
    const sql = "SELECT (SELECT count(*) FROM history) AS h, (SELECT count(*) FROM metrics) AS m";
    assert.deepEqual(await client.query(sql, { as_of: times[1] }), [{ h: 2, m: days * rowsPerDay }]);
  });
});

describe("an empty table", () => {
  test("counts 0 and keeps its columns", async () => {
    await client.sendJson("/v1/tables", { table_name: "bare" });
    assert.deepEqual(await client.query("SELECT count(*) AS c FROM bare"), [{ c: 0 }]);
    assert.deepEqual(await client.query("SELECT id, timestamp FROM bare"), []);
    const described = await client.query<{ column_name: string }>("DESCRIBE bare");
    assert.deepEqual(
      described.map((row) => row.column_name),
      ["timestamp", "id"],
    );
    assert.deepEqual(await client.query("SELECT count(*) AS c FROM metrics WHERE n < -1"), [{ c: 0 }]);
    assert.deepEqual(await client.query("SELECT sum(n) AS s, max(host) AS h FROM metrics WHERE n < -1"), [
      { s: null, h: null },
    ]);
    const report = await explain("SELECT * FROM bare", "bare");
    assert.deepEqual([report.total, report.read, report.hot], [0, 0, 0]);
  });
});

describe("garbage collection", () => {
  let busy: ServerProcess;
  let door: HttpClient;

  before(async () => {
    const upkeep = ["--compaction-interval-ms", "200", "--compaction-small-files-min", "3"];
    const snapshots = ["--snapshots-keep", "1", "--snapshots-max-age-ms", "0"];
    const garbage = ["--garbage-interval-ms", "1000", "--garbage-grace-ms", "4000", "--query-cursor-age-ms", "3000"];
    busy = await ServerProcess.start({ flags: [...upkeep, ...snapshots, ...garbage] });
    door = new HttpClient(() => busy.url);
  });
  after(() => busy.dispose());

  function dataFiles(table: string): string[] {
    const warehouse = join(busy.folder, "warehouse");
    const folder = readdirSync(warehouse).find((name) => name.startsWith(`${table}-`));
    assert.ok(folder !== undefined);
    const names = readdirSync(join(warehouse, folder, "data"), { recursive: true }).map(String);
    return names.filter((name) => name.endsWith(".parquet"));
  }

  async function writeAndFlush(table: string, id: string): Promise<void> {
    await door.write(table, [{ timestamp: "2026-11-01T00:00:00Z", id }]);
    const reply = await door.send(`/v1/tables/${table}/flush`, { method: "POST", body: "" });
    assert.equal(reply.status, 200);
  }

  test("takes merged files once they are no snapshot's, but none that a cursor still reads", async () => {
    for (const table of ["free", "held"]) for (const id of ["a", "b"]) await writeAndFlush(table, id);
    const sql = "SELECT id FROM held";
    const first = await door.sendJson("/v1/query", { sql, limit: 1 });
    assert.equal(first.status, 200, JSON.stringify(first.body));
    const heldFiles = dataFiles("held");
    assert.equal(heldFiles.length, 2);
    for (const table of ["free", "held"]) await writeAndFlush(table, "c");
    // Each page renews the cursor, so that it lives longer than any garbage.
    const { next_cursor: cursor } = first.body as { readonly next_cursor: string };
    const readPage = async (): Promise<void> => assert.equal((await door.query(sql, { limit: 1, cursor })).length, 1);
    const deadlineMs = Date.now() + 30_000;
    while (dataFiles("free").length > 1 && Date.now() < deadlineMs) {
      await readPage();
      await sleep(100);
    }
    assert.equal(dataFiles("free").length, 1, "merged, expired and collected");
    // One more round for the other table, which the same collection went through.
    await sleep(1_500);
    const left = dataFiles("held");
    assert.ok(
      heldFiles.every((name) => left.includes(name)),
      JSON.stringify({ heldFiles, left }),
    );
    await readPage();
  });
});
