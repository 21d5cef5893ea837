/** Back to an earlier state of a table, and tags that keep one. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { AfterKill } from "../harness/after-kill.js";
import { HttpClient, type Reply } from "../harness/http-client.js";
import { ServerProcess } from "../harness/server-process.js";

let server: ServerProcess;
let client: HttpClient;
const afterKill = new AfterKill();

const timestamp = "2026-11-20T00:00:00Z";

before(async () => {
  const expiry = ["--snapshots-keep", "1", "--snapshots-max-age-ms", "3600000", "--garbage-interval-ms", "1000"];
  const merges = ["--compaction-interval-ms", "3600000"];
  server = await ServerProcess.start({ flags: ["--flush-interval-ms", "3600000", ...expiry, ...merges] });
  client = new HttpClient(() => server.url);
});
after(() => server.dispose());

interface SnapshotRow {
  readonly snapshot_id: string;
  readonly timestamp: string;
  readonly operation: string;
  readonly tags: readonly string[];
}

async function send(path: string, method: "POST" | "PUT" | "DELETE", body: object = {}): Promise<Reply> {
  return client.send(path, { method, body: JSON.stringify(body) });
}

async function write(table: string, ...ids: readonly string[]): Promise<void> {
  await client.write(
    table,
    ids.map((id) => ({ timestamp, id })),
  );
}

async function flush(table: string): Promise<string> {
  const reply = await send(`/v1/tables/${table}/flush`, "POST");
  assert.equal(reply.status, 200, JSON.stringify(reply.body));
  return (reply.body as { readonly snapshot_id: string }).snapshot_id;
}

async function rollback(table: string, body: object): Promise<Reply> {
  return send(`/v1/tables/${table}/rollback`, "POST", body);
}

async function idsOf(table: string, more: object = {}): Promise<string> {
  const rows = await client.query<{ id: string }>(`SELECT id FROM ${table} ORDER BY id`, { ...more });
  return rows.map((row) => row.id).join(" ");
}

async function snapshotsOf(table: string): Promise<readonly SnapshotRow[]> {
  const reply = await client.send(`/v1/tables/${table}/snapshots`);
  return (reply.body as { readonly snapshots: readonly SnapshotRow[] }).snapshots;
}

function codeOf(reply: Reply): readonly unknown[] {
  return [reply.status, (reply.body as { readonly code?: string }).code];
}

describe("rollback", () => {
  test("goes back with what is acknowledged behind it, can be undone, and flushes nothing twice", async () => {
    await write("back", "a");
    const first = await flush("back");
    await write("back", "b");
    await flush("back");
    await write("back", "c");
    const done = await rollback("back", { snapshot_id: first });
    assert.equal(done.status, 200, JSON.stringify(done.body));
    assert.equal((done.body as { readonly rows: number }).rows, 1);
    assert.equal(await idsOf("back"), "a");
    await write("back", "d");
    assert.equal(await idsOf("back"), "a d");
    afterKill.add("the rows that were flushed are gone from the log, or passed by", async () => {
      assert.equal(await idsOf("back"), "a d");
      await flush("back");
      assert.equal(await idsOf("back"), "a d");
      // What was there before the rollback, the unflushed row included, is a snapshot like others.
      const [, , before] = await snapshotsOf("back");
      assert.equal(before?.operation, "append");
      assert.equal((await rollback("back", { snapshot_id: before?.snapshot_id })).status, 200);
      assert.equal(await idsOf("back"), "a b c");
      afterKill.add("so are those of a rollback that was undone", async () => {
        assert.equal(await idsOf("back"), "a b c");
      });
    });
  });

  test("by time", async () => {
    await write("times", "a");
    await flush("times");
    await sleep(20);
    const time = new Date().toISOString();
    await sleep(20);
    await write("times", "b");
    await flush("times");
    assert.equal((await rollback("times", { as_of: time })).status, 200);
    assert.equal(await idsOf("times"), "a");
    // As of a time before the rollback, the table is what it was then.
    const [newest, second] = await snapshotsOf("times");
    assert.ok(newest !== undefined && second !== undefined && newest.timestamp >= second.timestamp);
    assert.equal(await idsOf("times", { as_of: second.timestamp }), "a b");
  });

  test("what cannot be gone back to is refused", async () => {
    await write("refused", "a");
    const first = await flush("refused");
    await client.write("refused", [{ timestamp, id: "b", n: 1 }]);
    const second = await flush("refused");
    assert.deepEqual(codeOf(await rollback("refused", {})), [400, "INVALID_REQUEST"]);
    assert.deepEqual(codeOf(await rollback("refused", { snapshot_id: first, tag: "x" })), [400, "INVALID_REQUEST"]);
    assert.deepEqual(codeOf(await rollback("refused", { snapshot_id: "77" })), [404, "NOT_FOUND"]);
    assert.deepEqual(codeOf(await rollback("nowhere", { snapshot_id: "77" })), [404, "TABLE_NOT_FOUND"]);
    const changes = [{ op: "drop", name: "n" }];
    await client.send("/v1/tables/refused/schema", { method: "PATCH", body: JSON.stringify({ changes }) });
    await write("refused", "c");
    await flush("refused");
    const lossy = await rollback("refused", { snapshot_id: second });
    assert.deepEqual(codeOf(lossy), [400, "INVALID_REQUEST"]);
    assert.deepEqual((lossy.body as { readonly details: { readonly columns: unknown } }).details.columns, ["n"]);
    assert.equal((await rollback("refused", { snapshot_id: second, allow_missing_columns: true })).status, 200);
    assert.equal(await idsOf("refused"), "a b");
  });

  test(
    "rows that are acknowledged meanwhile are before it or after it, and never lost",
    { timeout: 60_000 },
    async () => {
      await client.sendJson("/v1/tables", { table_name: "busy", config: { buffer_size: 20 } });
      await write("busy", "start");
      const first = await flush("busy");
      let isDone = false;
      let sent = 0;
      const writing = (async () => {
        while (!isDone) {
          const number = sent;
          await client.write("busy", [{ timestamp, id: `w${number}`, n: number }]);
          sent++;
        }
      })();
      for (let round = 0; round < 10; round++) {
        await sleep(50);
        const before = sent;
        const reply = await rollback("busy", { snapshot_id: first });
        assert.equal(reply.status, 200, JSON.stringify(reply.body));
        const acknowledged = sent;
        const sql = "SELECT count(*)::INTEGER AS c, min(n) AS low, max(n) AS high FROM busy WHERE n IS NOT NULL";
        const [row] = await client.query<{ c: number; low: number | null; high: number }>(sql);
        if (row?.low === null || row === undefined) continue;
        // What is there is a gapless end of what was sent: everything before the rollback went, nothing after it.
        assert.equal(row.c, row.high - row.low + 1, JSON.stringify(row));
        assert.ok(row.low >= before - 1, `${row.low} was acknowledged before ${before}`);
        assert.ok(row.high >= acknowledged - 1, `${row.high} is not all of ${acknowledged}`);
      }
      isDone = true;
      await writing;
    },
  );
});

describe("tags", () => {
  test("are set, listed, queried, moved and deleted, across restarts", async (context) => {
    await write("tagged", "a");
    const put = await send("/v1/tables/tagged/tags/v1.0", "PUT");
    assert.equal(put.status, 200, JSON.stringify(put.body));
    const { snapshot_id: first } = put.body as { readonly snapshot_id: string };
    await write("tagged", "b");
    await flush("tagged");
    await send("/v1/tables/tagged/tags/latest", "PUT");
    await send("/v1/tables/tagged/tags/release", "PUT", { snapshot_id: first });
    await afterKill.run(context, server);
    assert.equal(await idsOf("tagged", { tag: "v1.0" }), "a");
    assert.equal(await idsOf("tagged", { tag: "latest" }), "a b");
    const list = (await client.send("/v1/tables/tagged/tags")).body as {
      readonly tags: readonly { readonly tag: string; readonly rows: number }[];
    };
    assert.deepEqual(
      list.tags.map(({ tag, rows }) => [tag, rows]),
      [
        ["latest", 2],
        ["release", 1],
        ["v1.0", 1],
      ],
    );
    assert.deepEqual((await snapshotsOf("tagged")).at(-1)?.tags, ["release", "v1.0"]);
    assert.equal((await rollback("tagged", { tag: "release" })).status, 200);
    assert.equal(await idsOf("tagged"), "a");
    assert.equal((await send("/v1/tables/tagged/tags/release", "DELETE")).status, 200);
    assert.deepEqual(codeOf(await send("/v1/tables/tagged/tags/release", "DELETE")), [404, "NOT_FOUND"]);
    const gone = await client.sendJson("/v1/query", { sql: "SELECT * FROM tagged", tag: "release" });
    assert.deepEqual(codeOf(gone), [404, "NOT_FOUND"]);
    assert.deepEqual(codeOf(await send("/v1/tables/tagged/tags/main", "PUT")), [400, "INVALID_REQUEST"]);
    assert.deepEqual(codeOf(await send("/v1/tables/tagged/tags/a%20b", "PUT")), [400, "INVALID_REQUEST"]);
    assert.deepEqual(codeOf(await send("/v1/tables/tagged/tags/x", "PUT", { snapshot_id: "5" })), [404, "NOT_FOUND"]);
    assert.deepEqual(codeOf(await client.send("/v1/tables/nowhere/tags")), [404, "TABLE_NOT_FOUND"]);
    assert.equal((await send("/v1/tables/tagged/tags", "PUT")).status, 405);
    assert.deepEqual(codeOf(await client.sendJson("/v1/query", { sql: "SELECT 1", tag: "v1.0", as_of: timestamp })), [
      400,
      "INVALID_REQUEST",
    ]);
  });

  test("of several tables are read in one statement", async () => {
    for (const table of ["left_side", "right_side"]) {
      await write(table, "a");
      await send(`/v1/tables/${table}/tags/same`, "PUT");
      await write(table, "b");
    }
    const sql = "SELECT (SELECT count(*) FROM left_side) AS l, (SELECT count(*) FROM right_side) AS r";
    assert.deepEqual(await client.query(sql), [{ l: 2, r: 2 }]);
    assert.deepEqual(await client.query(sql, { tag: "same" }), [{ l: 1, r: 1 }]);
  });
});

test("after another kill -9", (context) => afterKill.run(context, server));
