import { tableFromIPC } from "apache-arrow";
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Unpackr } from "msgpackr";
import { request } from "undici";
import { ServerProcess } from "../harness/server-process.js";

const rows = 60_000;
let server: ServerProcess;
before(async () => {
  server = await ServerProcess.start({ flags: ["--query-rows-max", "50000"] });
  const lines = Array.from({ length: rows }, (_, index) =>
    JSON.stringify({ id: `id-${index}`, timestamp: 1_700_000_000_000 + index, n: index, v: index / 3, host: 'h,"' }),
  );
  const written = await request(`${server.url}/v1/tables/t/rows`, {
    method: "POST",
    headers: { "content-type": "application/x-ndjson" },
    body: lines.join("\n"),
  });
  assert.equal(written.statusCode, 200, await written.body.text());
});
after(async () => server.dispose());

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

async function ask(query: Readonly<Record<string, unknown>>, accept = ""): Promise<Answer> {
  const reply = await request(`${server.url}/v1/query`, {
    method: "POST",
    headers: accept === "" ? {} : { accept },
    body: JSON.stringify(query),
  });
  const body = Buffer.from(await reply.body.arrayBuffer());
  return { status: reply.statusCode, headers: reply.headers, body };
}

const sql = 'SELECT "timestamp", id, v, n, host FROM t ORDER BY n';

test("every format, small and large, by field and by Accept", async () => {
  for (const count of [5, rows]) {
    const query = { sql: `${sql} LIMIT ${count}` };
    const json = await ask({ ...query, format: "json" });
    const parsed = JSON.parse(json.body.toString()) as { rows: unknown[][]; row_count: number; columns: unknown[] };
    assert.equal(parsed.row_count, count);
    assert.equal(parsed.rows.length, count);
    assert.deepEqual(parsed.columns[0], { name: "timestamp", type: "TIMESTAMP WITH TIME ZONE" });
    assert.deepEqual(parsed.rows[3], ["2023-11-14T22:13:20.003Z", "id-3", 1, 3, 'h,"']);
    const lines = (await ask(query, "application/x-ndjson")).body.toString().trimEnd().split("\n");
    assert.equal(lines.length, count);
    assert.deepEqual(Object.values(JSON.parse(lines[3] ?? "") as object), parsed.rows[3]);
    const csv = await ask(query, "text/csv");
    assert.equal(csv.headers["miniodb-rows"], String(count));
    assert.equal(csv.headers["miniodb-has-more"], "false");
    assert.equal(csv.body.toString().split("\r\n")[4], '2023-11-14T22:13:20.003Z,id-3,1.0,3,"h,"""');
    const arrow = tableFromIPC((await ask(query, "application/vnd.apache.arrow.stream")).body);
    assert.equal(arrow.numRows, count);
    assert.equal(arrow.getChild("id")?.get(count - 1), `id-${count - 1}`);
    const packed = (await ask(query, "application/msgpack")).body;
    const { columns } = new Unpackr({ mapsAsObjects: true }).unpack(packed) as { columns: { n: number[] } };
    assert.equal(columns.n.length, count);
    assert.equal(columns.n.at(-1), count - 1);
    const parquet = await ask({ ...query, format: "parquet" });
    assert.equal(parquet.body.subarray(0, 4).toString(), "PAR1");
    assert.equal(parquet.headers["content-type"], "application/vnd.apache.parquet");
  }
});

test("the original has a limit of its own, and pages", async () => {
  const first = JSON.parse((await ask({ sql })).body.toString()) as Record<string, unknown>;
  assert.equal((JSON.parse(String(first["result_json"])) as unknown[]).length, 50_000);
  assert.equal(first["has_more"], true);
  const lines = await ask({ sql, format: "ndjson", limit: 20_000 });
  assert.equal(lines.headers["miniodb-has-more"], "true");
  const cursor = String(lines.headers["miniodb-next-cursor"]);
  const next = await ask({ sql, format: "ndjson", limit: 20_000, cursor });
  assert.equal(next.headers["miniodb-rows"], "20000");
  assert.equal((JSON.parse(next.body.toString().split("\n")[0] ?? "") as { n: number }).n, 20_000);
});

test("errors have a status, also late in a large result, and an unknown format is one", async () => {
  // Within the rows that the original format has at most.
  const late = `SELECT CASE WHEN n = 45000 THEN 'x' ELSE n::VARCHAR END::BIGINT AS n FROM t`;
  for (const format of ["original", "json", "ndjson", "csv", "arrow", "parquet", "msgpack"]) {
    const answer = await ask({ sql: late, format });
    assert.equal(answer.status, 400, format);
    assert.equal((JSON.parse(answer.body.toString()) as { code: string }).code, "INVALID_SQL");
  }
  assert.equal((await ask({ sql, format: "xml" })).status, 400);
});

test("no result file stays, also of clients that leave", async () => {
  const leaving = new AbortController();
  const body = JSON.stringify({ sql: "SELECT a.* FROM t AS a, range(20)", format: "csv" });
  const reply = await request(`${server.url}/v1/query`, { method: "POST", body, signal: leaving.signal });
  await reply.body.read?.();
  leaving.abort();
  reply.body.on("error", () => {});
  const scratch = join(server.folder, "temp", "query");
  const folders = readdirSync(scratch).filter((name) => name.startsWith("results-"));
  assert.ok(folders.length > 0);
  const left = (): number => folders.reduce((count, folder) => count + readdirSync(join(scratch, folder)).length, 0);
  for (let round = 0; round < 300 && left() > 0; round++) await sleep(10);
  assert.equal(left(), 0);
});
