/** The doors of the write path as a client meets them, on one real server. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { pack } from "msgpackr";
import { tableFromArrays, tableToIPC } from "apache-arrow";
import { AfterKill } from "../harness/after-kill.js";
import { HttpClient, type WriteReply } from "../harness/http-client.js";
import { ServerProcess } from "../harness/server-process.js";

describe("the write path", () => {
  let server: ServerProcess;
  let client: HttpClient;
  const afterKill = new AfterKill();

  before(async () => {
    server = await ServerProcess.start({ flags: ["--ingest-workers", "2"] });
    client = new HttpClient(() => server.url);
  });

  after(() => server.dispose());

  test("every format brings the same rows", async () => {
    const rows = [
      { timestamp: "2026-11-22T10:00:00.000Z", id: "a", host: "h1", usage: 1.5, count: 9007199254740993n },
      { timestamp: "2026-11-22T10:00:01.000Z", id: "b", host: 'ü"2', usage: -2.25, count: -1n },
    ];
    const json = rows.map((row) =>
      JSON.stringify(row, (_, value: unknown) => (typeof value === "bigint" ? "#" : value)),
    );
    const lines = json.map((line, index) => line.replace('"#"', String(rows[index]?.count)));
    const columns = {
      timestamp: rows.map((row) => row.timestamp),
      id: rows.map((row) => row.id),
      host: rows.map((row) => row.host),
      usage: rows.map((row) => row.usage),
      count: rows.map((row) => row.count),
    };
    const csv = `timestamp,id,host,usage,count\n${rows
      .map((row) => `${row.timestamp},${row.id},"${row.host.replaceAll('"', '""')}",${row.usage},${row.count}`)
      .join("\n")}\n`;
    const arrow = tableFromArrays({
      ...columns,
      usage: Float64Array.from(columns.usage),
      count: BigInt64Array.from(columns.count),
    });
    const bodies: Record<string, readonly [string, string | Uint8Array]> = {
      ndjson: ["application/x-ndjson", lines.join("\n")],
      json_array: ["application/json", `[${lines.join(",")}]`],
      csv: ["text/csv; charset=utf-8", csv],
      msgpack_rows: ["application/msgpack", pack(rows)],
      msgpack_columns: ["application/msgpack", pack({ columns })],
      arrow: ["application/vnd.apache.arrow.stream", tableToIPC(arrow, "stream")],
    };
    for (const [name, [contentType, body]] of Object.entries(bodies)) {
      const table = `formats_${name}`;
      for (const encoding of ["identity", "gzip"]) {
        const reply = await client.send(`/v1/tables/${table}/rows`, {
          body: encoding === "gzip" ? gzipSync(body) : body,
          headers: { "content-type": contentType, "content-encoding": encoding },
        });
        assert.equal(reply.status, 200, `${name}: ${JSON.stringify(reply.body)}`);
        assert.equal((reply.body as WriteReply).accepted, 2, name);
      }
      const found = await client.query(
        `select distinct timestamp, id, host, usage, cast(count as varchar) as count from ${table} order by id`,
      );
      const expected = rows.map((row) => ({ ...row, count: String(row.count) }));
      assert.deepEqual(found, expected, name);
    }
  });

  test("POST /v1/data keeps the original's shape", async () => {
    const body = { table: "users", id: "u-1", timestamp: "2026-11-22T10:00:00Z", payload: { name: "Ann", id: 7 } };
    const reply = await client.sendJson("/v1/data", body);
    assert.equal(reply.status, 200, JSON.stringify(reply.body));
    const { success, message, id } = reply.body as { success: boolean; message: string; id: string };
    assert.deepEqual([success, id], [true, "u-1"]);
    assert.equal(message, "Data successfully ingested for table: users, ID: u-1");
    assert.deepEqual(await client.query("select id, name, id_2 from users"), [{ id: "u-1", name: "Ann", id_2: 7 }]);
    const refused = await client.sendJson("/v1/data", { table: "users", payload: { name: "nobody" } });
    assert.equal(refused.status, 400);
  });

  test("a batch's account names every rejected row; the others are in", async () => {
    const lines = [
      '{"v":1}',
      '{"v":"text"}',
      "not json",
      '{"v":3,"timestamp":"never"}',
      '{"v":9223372036854775808}',
      '{"v":5}',
    ];
    const reply = await client.send("/v1/tables/account/rows", {
      body: lines.join("\n"),
      headers: { "content-type": "application/x-ndjson" },
    });
    assert.equal(reply.status, 200);
    const account = reply.body as WriteReply;
    assert.deepEqual([account.accepted, account.rejected], [2, 4]);
    assert.deepEqual(
      account.errors.map(({ row, column, code }) => [row, column, code]),
      [
        [1, "v", "TYPE_MISMATCH"],
        [2, null, "INVALID_JSON"],
        [3, "timestamp", "INVALID_TIMESTAMP"],
        [4, "v", "NUMBER_OUT_OF_RANGE"],
      ],
    );
    assert.deepEqual(await client.query("select sum(v) as v from account"), [{ v: 6 }]);
  });

  test("what was acknowledged is in the next query, for every durability", async () => {
    for (let round = 1; round <= 30; round++) {
      for (const durability of ["memory", "fsync", "stored"]) {
        if (durability === "stored" && round > 3) continue;
        const reply = await client.send(`/v1/tables/visible_${durability}/rows?durability=${durability}`, {
          body: `{"round":${round}}`,
          headers: { "content-type": "application/x-ndjson" },
        });
        assert.equal((reply.body as WriteReply).durability, durability);
        assert.equal(await client.count(`visible_${durability}`), round, durability);
      }
    }
  });

  test("a batch id counts once, also when its repeats run at the same time", async () => {
    const send = (): Promise<WriteReply> =>
      client.write("once", [{ v: 1 }, { v: 2 }], { "idempotency-key": "batch-1" });
    const replies = await Promise.all(Array.from({ length: 20 }, send));
    assert.equal(await client.count("once"), 2);
    assert.equal(new Set(replies.map((reply) => reply.sequence)).size, 1);
    const other = await client.send("/v1/tables/once/rows", {
      body: '{"v":3}',
      headers: { "content-type": "application/x-ndjson", "idempotency-key": "batch-1" },
    });
    assert.equal(other.status, 409);
    // A flush trims what the ids came from; they outlive it, and a restart.
    await client.send("/v1/tables/once/flush", { method: "POST" });
    assert.equal((await send()).sequence, replies[0]?.sequence);
    afterKill.add("a batch id counts once", async () => {
      assert.equal((await send()).sequence, replies[0]?.sequence);
      assert.equal(await client.count("once"), 2);
    });
  });

  test("a long column that meets fractions becomes double, before and after a flush", async () => {
    await client.write("widen", [{ v: 1 }, { v: 2 }]);
    await client.write("widen", [{ v: 1.5 }]);
    assert.deepEqual(await client.query("select sum(v) as v from widen"), [{ v: 4.5 }]);
    await client.write("widen_late", [{ v: 1 }, { v: 2 }]);
    await client.send("/v1/tables/widen_late/flush", { method: "POST" });
    await client.write("widen_late", [{ v: 1.5 }]);
    assert.deepEqual(await client.query("select sum(v) as v from widen_late"), [{ v: 4.5 }]);
    const flushed = await client.send("/v1/tables/widen_late/flush", { method: "POST" });
    assert.equal(flushed.status, 200, JSON.stringify(flushed.body));
    assert.deepEqual(await client.query("select sum(v) as v, count(*) as n from widen_late"), [{ v: 4.5, n: 3 }]);
    afterKill.add("a column that has become double", async () => {
      assert.deepEqual(await client.query("select sum(v) as v, count(*) as n from widen_late"), [{ v: 4.5, n: 3 }]);
    });
  });

  test("after kill -9", (context) => afterKill.run(context, server));

  test("columns of rows that no query saw before their flush are there after it", async () => {
    await client.write("unseen", [{ v: 1 }]);
    await client.send("/v1/tables/unseen/flush", { method: "POST" });
    assert.deepEqual(await client.query("select v from unseen"), [{ v: 1 }]);
  });

  test("min_sequence waits for a write, and refuses what is no token", async () => {
    const { sequence } = await client.write("tokens", [{ v: 1 }]);
    assert.deepEqual(await client.query("select v from tokens", { min_sequence: sequence }), [{ v: 1 }]);
    const refused = await client.sendJson("/v1/query", { sql: "select v from tokens", min_sequence: "nonsense" });
    assert.equal(refused.status, 400);
    const dot = sequence.indexOf(".");
    const future = sequence.slice(0, dot + 1) + "zzzz";
    const late = await client.sendJson("/v1/query", {
      sql: "select v from tokens",
      min_sequence: future,
      timeout_ms: 100,
    });
    assert.equal(late.status, 504);
  });

  test("tables are created, listed, described, flushed and dropped", async () => {
    const create = await client.sendJson("/v1/tables", {
      table_name: "made",
      config: { id_strategy: "uuid", buffer_size: 10 },
    });
    assert.equal(create.status, 200, JSON.stringify(create.body));
    assert.equal((await client.sendJson("/v1/tables", { table_name: "Made" })).status, 409);
    assert.equal((await client.sendJson("/v1/tables", { table_name: "MADE", if_not_exists: true })).status, 200);
    assert.deepEqual(await client.query("select count(*) as n from made"), [{ n: 0 }]);
    await client.write("made", [{ v: 1 }]);
    const [row] = await client.query<{ id: string }>("select id from MADE");
    assert.match(row?.id ?? "", /^[0-9a-f-]{36}$/);
    assert.equal((await client.send("/v1/tables/made/flush", { method: "POST" })).status, 200);
    const described = await client.send("/v1/tables/made");
    const { table_info: info } = described.body as {
      table_info: { stats: { record_count: number; file_count: number } };
    };
    assert.deepEqual([info.stats.record_count, info.stats.file_count], [1, 1]);
    const list = await client.send("/v1/tables?pattern=mad*");
    assert.equal((list.body as { total: number }).total, 1);
    assert.equal((await client.send("/v1/tables/made", { method: "DELETE" })).status, 200);
    assert.equal((await client.send("/v1/tables/made")).status, 404);
    assert.equal((await client.send("/v1/tables/made", { method: "DELETE" })).status, 404);
    assert.equal((await client.send("/v1/tables/made?if_exists=true", { method: "DELETE" })).status, 200);
    await client.write("made", [{ other: "x" }]);
    assert.deepEqual(await client.query("select other from made"), [{ other: "x" }]);
  });

  test("a large body does not hold up other tables, and is one batch", async () => {
    const rows = Array.from({ length: 60_000 }, (_, v) => `{"v":${v},"text":"${"x".repeat(80)}"}`).join("\n");
    const large = client.send("/v1/tables/large/rows", {
      body: rows,
      headers: { "content-type": "application/x-ndjson" },
    });
    const behind = client.write("large", [{ v: -1 }]);
    const beside = client.write("beside", [{ v: 1 }]);
    const replies = await Promise.all([large, behind, beside]);
    assert.equal((replies[0].body as WriteReply).accepted, 60_000);
    assert.equal(await client.count("large"), 60_001);
  });

  test("health and metrics", async () => {
    const health = await client.send("/v1/health");
    assert.equal(health.status, 200);
    assert.equal((health.body as { status: string }).status, "healthy");
    const metrics = await client.send("/metrics");
    assert.match(String(metrics.body), /miniodb_rows_accepted_total [1-9]/);
  });

  test("the metric of flushed rows counts the rows of the commit, whatever came since", async () => {
    const flush = (table: string) => client.send(`/v1/tables/${table}/flush`, { method: "POST" });
    const flushedRows = async (): Promise<number> => {
      const { body } = await client.send("/metrics");
      return Number(/^miniodb_flushed_rows_total (\d+)$/m.exec(String(body))?.[1]);
    };
    const { body } = await client.send("/v1/tables");
    for (const { name } of (body as { tables: readonly { name: string }[] }).tables) await flush(name);
    const before = await flushedRows();
    await client.write("counted", [{ v: 1 }, { v: 2 }, { v: 3 }]);
    await flush("counted");
    assert.equal((await flushedRows()) - before, 3);
  });
});
