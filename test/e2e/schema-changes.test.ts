/** Columns that are renamed, dropped, added, moved and given other types, beside writes, flushes, merges and kill -9. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { AfterKill } from "../harness/after-kill.js";
import { HttpClient, type Reply } from "../harness/http-client.js";
import { LiveClient } from "../harness/live-client.js";
import { ServerProcess } from "../harness/server-process.js";

let server: ServerProcess;
let client: HttpClient;
const afterKill = new AfterKill();

const timestamp = "2026-11-20T00:00:00Z";

before(async () => {
  server = await ServerProcess.start({
    flags: ["--flush-interval-ms", "3600000", "--compaction-interval-ms", "300", "--compaction-small-files-min", "3"],
  });
  client = new HttpClient(() => server.url);
});
after(() => server.dispose());

async function patch(table: string, changes: readonly object[]): Promise<Reply> {
  return client.send(`/v1/tables/${table}/schema`, { method: "PATCH", body: JSON.stringify({ changes }) });
}

async function changed(table: string, ...changes: readonly object[]): Promise<string> {
  const reply = await patch(table, changes);
  assert.equal(reply.status, 200, JSON.stringify(reply.body));
  return columnsIn(reply);
}

function columnsIn(reply: Reply): string {
  const { columns } = reply.body as { readonly columns: readonly { readonly id: number; readonly name: string }[] };
  return columns.map(({ id, name }) => `${name}${id}`).join(" ");
}

async function flush(table: string): Promise<void> {
  const reply = await client.send(`/v1/tables/${table}/flush`, { method: "POST", body: "" });
  assert.equal(reply.status, 200, JSON.stringify(reply.body));
}

async function rowsOf(table: string, columns: string): Promise<unknown[][]> {
  const rows = await client.query(`SELECT id, ${columns} FROM ${table} ORDER BY id`);
  return rows.map((row) => Object.values(row));
}

function codeOf(reply: Reply): readonly unknown[] {
  return [reply.status, (reply.body as { readonly code?: string }).code];
}

describe("columns", () => {
  test("renamed, dropped and added again: flushed and unflushed rows read right, through restarts", async () => {
    await client.write("life", [{ timestamp, id: "r1", a: 1, b: "x" }]);
    await flush("life");
    await client.write("life", [{ timestamp, id: "r2", a: 2, b: "y" }]);
    assert.equal(await changed("life", { op: "rename", name: "a", to: "value" }), "timestamp1 id2 value3 b4");
    const renamed = [
      ["r1", 1],
      ["r2", 2],
    ];
    assert.deepEqual(await rowsOf("life", "value"), renamed);
    // The old name is free for another column.
    await client.write("life", [{ timestamp, id: "r3", a: "text", value: 3 }]);
    assert.deepEqual(await rowsOf("life", "value, a"), [
      ["r1", 1, null],
      ["r2", 2, null],
      ["r3", 3, "text"],
    ]);
    await changed("life", { op: "drop", name: "b" });
    assert.equal((await client.sendJson("/v1/query", { sql: "SELECT b FROM life" })).status, 400);
    await client.write("life", [{ timestamp, id: "r4", b: 4.5 }]);
    const expected = [
      ["r1", 1, null, null],
      ["r2", 2, null, null],
      ["r3", 3, "text", null],
      ["r4", null, null, 4.5],
    ];
    assert.deepEqual(await rowsOf("life", "value, a, b"), expected);
    afterKill.add("from the log: records of three schemas, one with a column that is gone", async () => {
      assert.deepEqual(await rowsOf("life", "value, a, b"), expected);
      await flush("life");
      assert.deepEqual(await rowsOf("life", "value, a, b"), expected);
      afterKill.add("from the store: files of several schemas", async () => {
        assert.deepEqual(await rowsOf("life", "value, a, b"), expected);
        const reply = await client.send("/v1/tables/life/schema");
        assert.equal(columnsIn(reply), "timestamp1 id2 value3 a5 b6");
      });
    });
  });

  test("a change is durable when it is answered, without any row", async () => {
    await client.sendJson("/v1/tables", { table_name: "early" });
    await changed(
      "early",
      { op: "add", name: "n", type: "double", comment: "a number" },
      { op: "add", name: "seen", type: "timestamp", after: null },
    );
    afterKill.add("a change without any row is there", async () => {
      const { columns } = (await client.send("/v1/tables/early/schema")).body as {
        readonly columns: readonly object[];
      };
      assert.deepEqual(columns.slice(2), [
        { id: 4, name: "seen", type: "timestamp", required: false },
        { id: 3, name: "n", type: "double", required: false, comment: "a number" },
      ]);
      // Declared types are those that rows are read with.
      await client.write("early", [{ timestamp, id: "r1", n: 1, seen: "2026-11-20T10:00:00Z" }]);
      assert.deepEqual(await rowsOf("early", "typeof(n) AS t, seen"), [["r1", "DOUBLE", "2026-11-20T10:00:00.000Z"]]);
      await client.write("early", [{ timestamp, id: "r2", extra: true }]);
      await flush("early");
      afterKill.add("a comment outlives columns that rows add", async () => {
        const later = (await client.send("/v1/tables/early")).body as {
          readonly table_info: { readonly columns: readonly { readonly comment?: string }[] };
        };
        assert.equal(later.table_info.columns[3]?.comment, "a number");
      });
    });
  });

  test("types: free before there are values, long to double with them", async () => {
    await client.write("types", [{ timestamp, id: "r1", n: 1 }]);
    await changed("types", { op: "add", name: "free", type: "long" });
    await changed("types", { op: "type", name: "free", type: "timestamp" });
    assert.deepEqual(codeOf(await patch("types", [{ op: "type", name: "n", type: "string" }])), [
      400,
      "INVALID_REQUEST",
    ]);
    await flush("types");
    await client.write("types", [{ timestamp, id: "r2", n: 2, free: "2026-11-20T10:00:00Z" }]);
    // With rows in the store and rows that are not.
    await changed("types", { op: "type", name: "n", type: "double" });
    await client.write("types", [{ timestamp, id: "r3", n: 3.5 }]);
    const expected = [
      ["r1", 1, "DOUBLE"],
      ["r2", 2, "DOUBLE"],
      ["r3", 3.5, "DOUBLE"],
    ];
    assert.deepEqual(await rowsOf("types", "n, typeof(n) AS t"), expected);
    await flush("types");
    assert.deepEqual(await rowsOf("types", "n, typeof(n) AS t"), expected);
    // With rows in the store alone.
    await client.write("whole", [{ timestamp, id: "r1", n: 7 }]);
    await flush("whole");
    await changed("whole", { op: "type", name: "n", type: "double" });
    await changed("whole", { op: "rename", name: "n", to: "m" });
    await client.write("whole", [{ timestamp, id: "r2", m: 7.5 }]);
    afterKill.add("a column that has become double and was renamed", async () => {
      const whole = [
        ["r1", 7],
        ["r2", 7.5],
      ];
      assert.deepEqual(await rowsOf("whole", "m"), whole);
    });
  });

  test("a wrong list changes nothing", async () => {
    await client.write("wrong", [{ timestamp, id: "r1", n: 1 }]);
    const changes = [
      { op: "rename", name: "n", to: "m" },
      { op: "drop", name: "nothing" },
    ];
    const reply = await patch("wrong", changes);
    assert.deepEqual(codeOf(reply), [400, "INVALID_REQUEST"]);
    assert.equal((reply.body as { readonly details: { readonly change: number } }).details.change, 1);
    assert.deepEqual(await rowsOf("wrong", "n"), [["r1", 1]]);
    assert.deepEqual(codeOf(await patch("nowhere", [{ op: "drop", name: "n" }])), [404, "TABLE_NOT_FOUND"]);
    assert.deepEqual(codeOf(await patch("wrong", [])), [400, "INVALID_REQUEST"]);
    await client.sendJson("/v1/tables", { table_name: "sorted", config: { sort_order: ["n"] } });
    await client.write("sorted", [{ timestamp, id: "r1", n: 1 }]);
    assert.deepEqual(codeOf(await patch("sorted", [{ op: "drop", name: "n" }])), [400, "INVALID_REQUEST"]);
  });

  test("an earlier snapshot has the columns of its time", async () => {
    await client.write("past", [{ timestamp, id: "r1", a: 1, b: 2 }]);
    await flush("past");
    const { snapshots } = (await client.send("/v1/tables/past/snapshots")).body as {
      readonly snapshots: readonly { readonly snapshot_id: string }[];
    };
    await changed("past", { op: "rename", name: "a", to: "c" }, { op: "drop", name: "b" });
    const [row] = await client.query("SELECT * FROM past", { snapshot_id: snapshots[0]?.snapshot_id });
    assert.deepEqual(Object.keys(row ?? {}), ["timestamp", "id", "a", "b"]);
    assert.deepEqual(await rowsOf("past", "c"), [["r1", 1]]);
    // A change of columns alone makes no snapshot.
    const list = (await client.send("/v1/tables/past/snapshots")).body as { readonly total: number };
    assert.equal(list.total, 1);
  });

  test("live queries have the columns as of now; a filter on a name that is gone ends with an error", async () => {
    const before = await client.write("followed", [{ timestamp, id: "start", a: 0, b: "y" }]);
    const live = await LiveClient.open(server.url);
    await live.subscribe({ id: "all", table: "followed", from: before.sequence });
    await client.write("followed", [{ timestamp, id: "r1", a: 1, b: "x" }]);
    const { rows: first, token } = await live.rows(1);
    assert.deepEqual(first, [{ timestamp: `${timestamp.slice(0, -1)}.000Z`, id: "r1", a: 1, b: "x" }]);
    const swap = { op: "add", name: "a", type: "string" };
    await changed("followed", { op: "rename", name: "a", to: "c" }, { op: "drop", name: "b" }, swap);
    await client.write("followed", [{ timestamp, id: "r2", a: "text", c: 2 }]);
    const { rows: second } = await live.rows(1);
    assert.deepEqual(second, [{ timestamp: `${timestamp.slice(0, -1)}.000Z`, id: "r2", c: 2, a: "text" }]);
    // Rows from before the change, read anew: the values went along with the rename, and not with the name.
    const again = await LiveClient.open(server.url);
    await again.subscribe({ table: "followed", from: before.sequence });
    const { rows } = await again.rows(2);
    assert.deepEqual(
      rows.map(({ id, a, c }) => [id, a, c]),
      [
        ["r1", null, 1],
        ["r2", "text", 2],
      ],
    );
    const filtered = await LiveClient.open(server.url);
    await filtered.subscribe({ table: "followed", filter: "c > 1", from: token });
    assert.equal((await filtered.rows(1)).rows[0]?.["id"], "r2");
    await changed("followed", { op: "rename", name: "c", to: "d" });
    await client.write("followed", [{ timestamp, id: "r3", d: 3 }]);
    const end = await filtered.next();
    assert.deepEqual([end.type, end.code], ["error", "INVALID_SQL"], JSON.stringify(end));
    await Promise.all([live.cut(), again.cut(), filtered.cut()]);
  });

  test("beside writes, flushes and merges no row is lost and no value moves", { timeout: 60_000 }, async () => {
    await client.sendJson("/v1/tables", { table_name: "busy", config: { buffer_size: 40 } });
    await client.write("busy", [{ timestamp, id: "start", n: 0, keep: 0, drop: 0 }]);
    let isDone = false;
    let sent = 1;
    const writing = (async () => {
      while (!isDone) {
        // The names that the column has in turn; rows under a name that is gone make a column of their own.
        const rows = Array.from({ length: 10 }, () => ({ timestamp, id: `w${sent}`, keep: sent++, drop: 1 }));
        await client.write("busy", rows);
      }
    })();
    for (let round = 0; round < 12; round++) {
      await changed("busy", { op: "rename", name: "n", to: `n${round}` });
      await changed("busy", { op: "rename", name: `n${round}`, to: "n" }, { op: "move", name: "n", after: null });
      // A row may have added it again already.
      const reply = await patch("busy", [{ op: "drop", name: "drop" }]);
      assert.ok(reply.status === 200 || reply.status === 400, JSON.stringify(reply.body));
    }
    isDone = true;
    await writing;
    const sql = "SELECT count(*) AS c, count(DISTINCT keep) AS d, sum(keep) AS s FROM busy";
    const expected = [{ c: sent, d: sent, s: (sent * (sent - 1)) / 2 }];
    assert.deepEqual(await client.query(sql), expected);
    afterKill.add("what came beside changes", async () => {
      assert.deepEqual(await client.query(sql), expected);
      await flush("busy");
      assert.deepEqual(await client.query(sql), expected);
    });
  });

  test("after kill -9", (context) => afterKill.run(context, server));
  test("after another one", (context) => afterKill.run(context, server));
});
