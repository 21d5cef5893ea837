/** Paging, result cache and control of queries, as a client meets them on one real server. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { HttpClient, type Reply } from "../harness/http-client.js";
import { ServerProcess } from "../harness/server-process.js";

/** Runs until it is stopped. */
const endless =
  "SELECT count(*) FROM range(1000000) a, range(1000000) b, range(1000000) c WHERE a.range + b.range = c.range + 7";
/** The same, of a kind that DuckDB may have an estimate for. */
const endlessScan = "SELECT count(*) FROM range(1000000000000) r(i) WHERE i % 7 = 3 AND sqrt(i) < 0";
const rowsPerBatch = 5_000;

let server: ServerProcess;
let client: HttpClient;

before(async () => {
  server = await ServerProcess.start({
    flags: [
      "--query-concurrency=2",
      "--query-queue-max=6",
      "--query-slow-ms=300",
      "--query-memory-bytes=96MiB",
      "--query-spill-bytes-max=32MiB",
      "--compaction-interval-ms=300",
      "--compaction-small-files-min=2",
    ],
  });
  client = new HttpClient(() => server.url);
});
after(() => server.dispose());

async function writeBatch(table: string, first: number): Promise<void> {
  await client.write(
    table,
    Array.from({ length: rowsPerBatch }, (_, index) => ({
      n: first + index,
      half: Math.floor((first + index) / 2),
      v: (first + index) / 3,
    })),
  );
}

function query(body: Readonly<Record<string, unknown>>): Promise<Reply> {
  return client.sendJson("/v1/query", { format: "json", ...body });
}

interface Page {
  readonly rows: unknown[][];
  readonly has_more: boolean;
  readonly next_cursor: string;
}

async function page(body: Readonly<Record<string, unknown>>): Promise<Page> {
  const reply = await client.sendJson("/v1/query", body);
  assert.equal(reply.status, 200, JSON.stringify(reply.body));
  const { result_json: text, has_more, next_cursor } = reply.body as Page & { readonly result_json: string };
  const rows = (JSON.parse(text) as object[]).map((row) => Object.values(row) as unknown[]);
  return { rows, has_more, next_cursor };
}

function codeOf(reply: Reply): unknown {
  return (reply.body as { readonly code?: unknown }).code;
}

function cacheOf(reply: Reply): unknown {
  return reply.headers["cache-status"];
}

describe("pages", () => {
  test("are of one result, whatever is written, flushed and merged meanwhile", async () => {
    const rowsBefore = 2 * rowsPerBatch;
    const statements: Readonly<Record<string, (rows: unknown[][]) => unknown[]>> = {
      "SELECT n FROM paged WHERE n % 7 <> 3": (rows) => rows.map(([n]) => n),
      "SELECT n, half FROM paged ORDER BY half DESC": (rows) => rows.map(([n]) => n),
      "SELECT half, count(*) AS c, avg(v) AS v FROM paged GROUP BY half": (rows) => rows.map(([half]) => half),
      "SELECT a.n FROM paged a JOIN paged b ON a.n = b.n": (rows) => rows.map(([n]) => n),
      "SELECT n, row_number() OVER () AS r, random() AS x FROM paged": (rows) => rows.map(([, r]) => r),
    };
    const expected: readonly number[] = [
      Array.from({ length: rowsBefore }, (_, n) => n).filter((n) => n % 7 !== 3).length,
      rowsBefore,
      rowsBefore / 2,
      rowsBefore,
      rowsBefore,
    ];
    let round = 0;
    for (const [index, [sql, keyOf]] of Object.entries(statements).entries()) {
      const table = `paged_${index}`;
      await writeBatch(table, 0);
      await writeBatch(table, rowsPerBatch);
      const text = sql.replaceAll("paged", table);
      const keys: unknown[] = [];
      let cursor = "";
      for (let pages = 0; pages < 100; pages++) {
        const found = await page({ sql: text, limit: 1_500, cursor });
        keys.push(...keyOf(found.rows));
        assert.equal(found.has_more, found.next_cursor !== "", sql);
        cursor = found.next_cursor;
        if (cursor === "") break;
        round++;
        await writeBatch(table, 1_000_000 + round * rowsPerBatch);
        if (round % 2 === 0) await client.send(`/v1/tables/${table}/flush`, { method: "POST" });
      }
      assert.equal(keys.length, expected[index], sql);
      assert.equal(new Set(keys).size, expected[index], sql);
    }
  });

  test("a cursor goes on with its statement only; one that is not kept is told so", async () => {
    await writeBatch("cursors", 0);
    const first = await page({ sql: "SELECT n FROM cursors", limit: 10 });
    const other = await query({ sql: "SELECT n + 1 FROM cursors", limit: 10, cursor: first.next_cursor });
    assert.deepEqual([other.status, codeOf(other)], [400, "INVALID_REQUEST"]);
    const spaced = await page({ sql: "select n\n from cursors -- the same", limit: 10, cursor: first.next_cursor });
    assert.deepEqual(
      spaced.rows.map(([n]) => n),
      Array.from({ length: 10 }, (_, index) => 10 + index),
    );
    const again = await page({ sql: "SELECT n FROM cursors", limit: 5, cursor: first.next_cursor });
    assert.deepEqual(again.rows[0], [10], "a page can be read twice, and in another size");
    const expired = await query({ sql: "SELECT n FROM cursors", cursor: `${"A".repeat(22)}.a` });
    assert.deepEqual([expired.status, codeOf(expired)], [410, "CURSOR_EXPIRED"]);
  });
});

describe("the result cache", () => {
  test("answers what has not changed, and never what has", async () => {
    await writeBatch("cached", 0);
    const sql = "SELECT count(*) AS c, sum(n) AS s FROM cached";
    for (let round = 1; round <= 5; round++) {
      const first = await query({ sql });
      assert.equal(cacheOf(first), "MiniODB; fwd=miss; stored");
      let second = await query({ sql: `${sql} -- round ${round}` });
      for (let tries = 0; tries < 5 && cacheOf(second) !== "MiniODB; hit"; tries++) second = await query({ sql });
      assert.equal(cacheOf(second), "MiniODB; hit", "the same tree in another spelling");
      assert.deepEqual(second.body, first.body);
      assert.equal((await page({ sql })).rows[0]?.[0], round * rowsPerBatch);
      if (round % 2 === 0) await client.send("/v1/tables/cached/flush", { method: "POST" });
      await writeBatch("cached", round * rowsPerBatch);
    }
  });

  test("not for what depends on more than the tables", async () => {
    for (const sql of ["SELECT now() AS t, count(*) AS c FROM cached", "SELECT random() AS r FROM cached LIMIT 1"]) {
      const replies = [await query({ sql }), await query({ sql })];
      for (const reply of replies) assert.equal(cacheOf(reply), "MiniODB; fwd=bypass", sql);
      assert.notDeepEqual(replies[0]?.body, replies[1]?.body, sql);
    }
  });

  test("keeps parameters, formats and limits apart", async () => {
    const sql = "SELECT n FROM cached WHERE n < ? ORDER BY n";
    const seen = new Set<string>();
    for (const request of [
      { params: [3] },
      { params: ["3"] },
      { params: [4] },
      { params: [3], limit: 2 },
      { params: [3], format: "csv" },
      { params: [3], format: "original" },
    ]) {
      let [first, second] = [await query({ sql, ...request }), await query({ sql, ...request })];
      assert.equal(cacheOf(first), "MiniODB; fwd=miss; stored", JSON.stringify(first.body));
      // A merge between the two makes a new version of the table.
      for (let tries = 0; tries < 5 && cacheOf(second) !== "MiniODB; hit"; tries++) {
        [first, second] = [second, await query({ sql, ...request })];
      }
      assert.equal(cacheOf(second), "MiniODB; hit");
      assert.deepEqual(second.body, first.body);
      seen.add(JSON.stringify(request));
    }
    assert.equal(seen.size, 6);
  });
});

test("the metrics count hits, misses and kept results", async () => {
  const text = String((await client.send("/metrics")).body);
  for (const name of ["result_cache_hits_total", "result_cache_misses_total", "result_cache_bytes", "query_cursors"]) {
    assert.match(text, new RegExp(`^miniodb_${name} [1-9]`, "m"));
  }
});

describe("control", () => {
  test("a query under way is listed, with its progress, and cancelled by its id", async () => {
    const running = query({ sql: endlessScan, query_id: "mine-1" });
    await until(async () => (await described("mine-1"))["state"] === "running");
    const { queries } = (await client.send("/v1/queries")).body as { readonly queries: { readonly id: string }[] };
    assert.deepEqual(
      queries.map(({ id }) => id),
      ["mine-1"],
    );
    const one = await described("mine-1");
    assert.equal(one["sql"], endlessScan);
    assert.ok(Number(one["elapsed_ms"]) > 0);
    // DuckDB has an estimate for some statements at some times.
    const { progress = "absent" } = one;
    assert.ok(progress === null || (typeof progress === "number" && progress >= 0 && progress <= 1), String(progress));
    const twice = await query({ sql: "SELECT 1", query_id: "mine-1" });
    assert.deepEqual([twice.status, codeOf(twice)], [400, "INVALID_REQUEST"]);
    const cancelled = await client.send("/v1/queries/mine-1", { method: "DELETE" });
    assert.equal(cancelled.status, 200);
    const reply = await running;
    assert.deepEqual([reply.status, codeOf(reply)], [409, "QUERY_CANCELLED"]);
    await idle();
    assert.equal((await client.send("/v1/queries/mine-1", { method: "DELETE" })).status, 404);
    assert.equal((await query({ sql: "SELECT 1 AS x", query_id: "mine-1" })).headers["miniodb-query-id"], "mine-1");
    for (const id of ["", "a b", "x".repeat(65)]) {
      const { status } = await query({ sql: "SELECT 1 AS x", query_id: id });
      assert.equal(status, id === "" ? 200 : 400);
    }
  });

  test("a client that leaves takes its query with it", async () => {
    const control = new AbortController();
    const gone = fetch(`${server.url}/v1/query`, {
      method: "POST",
      body: JSON.stringify({ sql: endless, query_id: "gone" }),
      signal: control.signal,
    });
    gone.catch(() => {});
    await until(async () => (await described("gone"))["state"] === "running");
    control.abort();
    await assert.rejects(gone);
    await idle();
  });

  test("beyond slots and queue: 503 with Retry-After, at once", async () => {
    const long = Array.from({ length: 8 }, async (_, index) => query({ sql: endless, query_id: `long-${index}` }));
    await until(async () => (await admitted()) === 8);
    const busy = await query({ sql: "SELECT 1 AS x" });
    assert.deepEqual([busy.status, codeOf(busy), busy.headers["retry-after"]], [503, "SERVER_BUSY", "1"]);
    const states = (await client.send("/v1/queries")).body as { readonly queries: { readonly state: string }[] };
    assert.deepEqual(states.queries.map(({ state }) => state).toSorted(), [
      "running",
      "running",
      ...Array.from({ length: 6 }, () => "waiting"),
    ]);
    await Promise.all(long.map(async (_, index) => client.send(`/v1/queries/long-${index}`, { method: "DELETE" })));
    for (const reply of await Promise.all(long)) assert.equal(codeOf(reply), "QUERY_CANCELLED");
    await idle();
    assert.equal((await query({ sql: "SELECT 1 AS x" })).status, 200);
  });

  test("a query that runs out of memory and of spill room fails alone", async () => {
    await writeBatch("small", 0);
    const large = query({
      sql: "SELECT count(*) FROM (SELECT md5(range::VARCHAR) AS k, list(range) AS l FROM range(20000000) GROUP BY ALL ORDER BY k)",
    });
    let answered = 0;
    let isOver = false;
    const small = (async () => {
      for (; !isOver; answered++) {
        const { status, body } = await query({ sql: `SELECT sum(n) + ${answered} AS s FROM small` });
        assert.equal(status, 200, JSON.stringify(body));
      }
    })();
    const reply = await large;
    isOver = true;
    await small;
    assert.deepEqual([reply.status, codeOf(reply)], [413, "RESULT_TOO_LARGE"], JSON.stringify(reply.body));
    assert.ok(answered > 0);
    assert.equal((await query({ sql: "SELECT count(*) AS c FROM small" })).status, 200);
  });

  test("a slow query is in the log with its plan, one that was stopped too", async () => {
    const sql = "SELECT sum(sqrt(a.range + b.range)) AS slow_one FROM range(6000) a, range(6000) b";
    assert.equal((await query({ sql })).status, 200);
    assert.equal(codeOf(await query({ sql: endless.replace("+ 7", "+ 8"), timeout_ms: 600 })), "QUERY_TIMEOUT");
    await until(() => Promise.resolve(server.output.includes("c.range + 8")));
    const lines = server.output.split("\n").filter((line) => line.includes('"slow query"'));
    const ofSql = (part: string): Record<string, unknown> =>
      JSON.parse(lines.find((line) => line.includes(part)) ?? "{}") as Record<string, unknown>;
    assert.equal(ofSql("slow_one")["outcome"], "ok");
    assert.match(String(ofSql("slow_one")["plan"]), /RANGE/);
    const stopped = ofSql("c.range + 8");
    assert.equal(stopped["outcome"], "QUERY_TIMEOUT");
    assert.match(String(stopped["plan"]), /RANGE/);
    await idle();
  });
});

async function described(id: string): Promise<Readonly<Record<string, unknown>>> {
  return (await client.send(`/v1/queries/${id}`)).body as Readonly<Record<string, unknown>>;
}

async function admitted(): Promise<number> {
  return ((await client.send("/v1/queries")).body as { readonly total: number }).total;
}

async function idle(): Promise<void> {
  await until(async () => (await admitted()) === 0);
}

/** Fails after ten seconds. */
async function until(isTrue: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 500; tries++) {
    if (await isTrue()) return;
    await sleep(20);
  }
  assert.fail(`still not so after a while: ${String(isTrue)}`);
}
