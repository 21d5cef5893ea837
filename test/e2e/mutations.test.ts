/** Replaces, merges and deletes by id, and tables of mode upsert, as clients meet them. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { WebSocket } from "ws";
import { AfterKill } from "../harness/after-kill.js";
import { HttpClient, type Reply } from "../harness/http-client.js";
import { LiveClient } from "../harness/live-client.js";
import { watchCount } from "../harness/watch-count.js";
import { ServerProcess } from "../harness/server-process.js";

let server: ServerProcess;
let client: HttpClient;
const afterKill = new AfterKill();

before(async () => {
  // Nothing is flushed but on demand, and hot segments are many.
  const flags = ["--flush-interval-ms", "600000", "--seal-tail-rows-max", "1", "--seal-hot-segments-max", "3"];
  server = await ServerProcess.start({ flags });
  client = new HttpClient(() => server.url);
});
after(() => server.dispose());

interface Done {
  readonly success: boolean;
  readonly message: string;
  readonly id: string;
  readonly sequence: string;
  readonly durability: string;
  readonly deleted_count: number;
  readonly code: string;
}

async function send(method: "POST" | "PUT" | "DELETE", body: object): Promise<[number, Done]> {
  const headers = { "content-type": "application/json" };
  const reply = await client.send("/v1/data", { method, body: JSON.stringify(body), headers });
  return [reply.status, reply.body as Done];
}

async function put(table: string, id: string, payload: object, more: object = {}): Promise<Done> {
  const [status, done] = await send("PUT", { table, id, payload, ...more });
  assert.deepEqual([status, done.success], [200, true], JSON.stringify(done));
  return done;
}

async function flush(table: string): Promise<void> {
  const reply = await client.send(`/v1/tables/${table}/flush`, { method: "POST", body: "" });
  assert.equal(reply.status, 200, JSON.stringify(reply.body));
}

async function create(table: string, config: object): Promise<Reply> {
  return client.sendJson("/v1/tables", { table_name: table, config });
}

async function rows(table: string): Promise<string[]> {
  const found = await client.query<{ id: string; n: number | null; s: string | null }>(`SELECT id, n, s FROM ${table}`);
  return found.map(({ id, n, s }) => `${id} ${n} ${s}`).toSorted();
}

async function recordCount(table: string): Promise<number> {
  const { body } = await client.send(`/v1/tables/${table}`);
  return (body as { table_info: { stats: { record_count: number } } }).table_info.stats.record_count;
}

describe("PUT /v1/data", () => {
  test("takes the place of every row with the id: buffered, sealed, stored, after a kill, and in the store", async () => {
    await client.write("put", [
      { id: "a", n: 1, s: "first" },
      { id: "a", n: 2, s: "second" },
      { id: "b", n: 3, s: "other" },
    ]);
    await flush("put");
    await client.write("put", [{ id: "a", n: 4, s: "hot" }]);
    assert.equal((await rows("put")).length, 4);
    const done = await put("put", "a", { n: 5 });
    assert.match(done.message, /table: put, ID: a$/);
    assert.deepEqual([done.id, done.durability], ["a", "fsync"]);
    const expected = ["a 5 null", "b 3 other"];
    assert.deepEqual(await rows("put"), expected);
    assert.equal(await recordCount("put"), 2);
    await put("put", "c", { n: 6, s: "new" });
    afterKill.add("PUT: between what was acknowledged and the flush", async () => {
      expected.push("c 6 new");
      assert.deepEqual(await rows("put"), expected);
      await put("put", "a", { n: 7, s: "again" });
      expected[0] = "a 7 again";
      await flush("put");
      assert.deepEqual(await rows("put"), expected);
      assert.equal(await recordCount("put"), 3);
      afterKill.add("PUT: in the store", async () => assert.deepEqual(await rows("put"), expected));
    });
  });

  test("a cached result is of the rows of before, and not given after", async () => {
    await client.write("cached", [{ id: "a", n: 1, s: "x" }]);
    await flush("cached");
    assert.deepEqual(await rows("cached"), ["a 1 x"]);
    assert.deepEqual(await rows("cached"), ["a 1 x"]);
    await put("cached", "a", { n: 2, s: "y" });
    assert.deepEqual(await rows("cached"), ["a 2 y"]);
    await send("DELETE", { table: "cached", ids: ["a"] });
    assert.deepEqual(await rows("cached"), []);
    assert.equal(await client.count("cached"), 0);
  });

  test("a reader beside replaces sees one row of the id at any moment, also while flushes commit", async () => {
    await client.write("steady", [{ id: "a", n: 0, s: "x" }]);
    const watch = watchCount(client, "steady", 1);
    for (let n = 1; n <= 20; n++) {
      await put("steady", "a", { n, s: "x" });
      if (n % 5 === 0) await flush("steady");
      assert.deepEqual(await rows("steady"), [`a ${n} x`]);
    }
    await watch.end();
  });

  test("refuses what is no row, and an unknown table", async () => {
    await client.write("refusing", [{ id: "a", n: 1, s: "x" }]);
    const refused = async (body: object): Promise<[number, string]> => {
      const [status, { code }] = await send("PUT", body);
      return [status, code];
    };
    assert.deepEqual(await refused({ table: "refusing", payload: { n: 1 } }), [400, "ROW_REJECTED"]);
    assert.deepEqual(await refused({ table: "refusing", id: "a" }), [400, "ROW_REJECTED"]);
    assert.deepEqual(await refused({ table: "nowhere", id: "a", payload: {} }), [404, "TABLE_NOT_FOUND"]);
    const partial = { table: "refusing", id: "b", payload: { n: 1 }, partial: true };
    assert.deepEqual(await refused(partial), [404, "NOT_FOUND"]);
    assert.deepEqual(await refused({ ...partial, table: "nowhere" }), [404, "TABLE_NOT_FOUND"]);
    assert.deepEqual(await refused({ ...partial, partial: 1 }), [400, "INVALID_REQUEST"]);
    assert.deepEqual(await refused({ ...partial, id: "a", payload: { n: "text" } }), [400, "ROW_REJECTED"]);
    assert.deepEqual(await rows("refusing"), ["a 1 x"]);
  });
});

describe("partial", () => {
  test("keeps what the payload does not name, to the last digit", async () => {
    const body = `{"id":"a","timestamp":"2026-03-04T05:06:07.891234Z","big":9007199254740993,"f":0.1,"s":"a\\"b","j":{"k":[1,null]},"t":true,"gone":1}`;
    const headers = { "content-type": "application/x-ndjson" };
    const written = await client.send("/v1/tables/merged/rows", { body, headers });
    assert.equal(written.status, 200, JSON.stringify(written.body));
    const look = async (): Promise<unknown[]> =>
      client.query(
        `SELECT epoch_us("timestamp")::VARCHAR AS at, id, big::VARCHAR AS big, f, s, j, t, gone, more FROM merged`,
      );
    await put("merged", "a", { gone: null, more: 1.5 }, { partial: true });
    const known = await client.query<{ j: unknown }>("SELECT j FROM merged");
    const row = { at: "1772600767891234", id: "a", big: "9007199254740993", f: 0.1, s: 'a"b', t: true, gone: null };
    assert.deepEqual(await look(), [{ ...row, j: known[0]?.j, more: 1.5 }]);
    await flush("merged");
    await put("merged", "a", { S: "c" }, { partial: true, timestamp: "2026-03-04T05:06:08Z" });
    assert.deepEqual(await look(), [{ ...row, at: "1772600768000000", s: "c", j: known[0]?.j, more: 1.5 }]);
    assert.equal((await client.query("SELECT j->'$.k[0]' AS k FROM merged"))[0]?.["k"], 1);
  });

  test("merges of one row at once all count", async () => {
    await client.write("crowd", [{ id: "a", n: 0, s: "x" }]);
    const merges = Array.from({ length: 12 }, (_, index) =>
      put("crowd", "a", { [`c${index}`]: index }, { partial: true }),
    );
    await Promise.all(merges);
    const [row] = await client.query("SELECT * EXCLUDE (timestamp) FROM crowd");
    const expected = Array.from({ length: 12 }, (_, index) => [`c${index}`, index]);
    assert.deepEqual(row, { id: "a", n: 0, s: "x", ...Object.fromEntries(expected) });
  });
});

describe("DELETE /v1/data", () => {
  test("counts the rows that were there, wherever they are, and survives a kill", async () => {
    await client.write("gone", [
      { id: "a", n: 1, s: "x" },
      { id: "a", n: 2, s: "x" },
      { id: "b", n: 3, s: "x" },
    ]);
    await flush("gone");
    await client.write("gone", [
      { id: "a", n: 4, s: "x" },
      { id: "c", n: 5, s: "x" },
    ]);
    const [, done] = await send("DELETE", { table: "gone", ids: ["a", "c", "it's", "a"] });
    assert.deepEqual([done.success, done.deleted_count], [true, 4]);
    assert.deepEqual(await rows("gone"), ["b 3 x"]);
    assert.deepEqual(await client.query("SELECT id FROM gone", { min_sequence: done.sequence }), [{ id: "b" }]);
    afterKill.add("DELETE: what was deleted is not there, and its id is free", async () => {
      assert.deepEqual(await rows("gone"), ["b 3 x"]);
      const [, again] = await send("DELETE", { table: "gone", ids: ["a", "c"] });
      assert.deepEqual([again.success, again.deleted_count], [false, 0]);
      await client.write("gone", [{ id: "a", n: 6, s: "y" }]);
      assert.deepEqual(await rows("gone"), ["a 6 y", "b 3 x"]);
      await flush("gone");
      assert.deepEqual(await rows("gone"), ["a 6 y", "b 3 x"]);
      await send("DELETE", { table: "gone", ids: ["a", "b"] });
      await flush("gone");
      assert.equal(await recordCount("gone"), 0);
    });
  });

  test("requests for one id at once count each row once", async () => {
    await client.write(
      "race",
      Array.from({ length: 10 }, (_, n) => ({ id: `i${n % 2}`, n, s: "x" })),
    );
    const deletes = await Promise.all(
      Array.from({ length: 6 }, (_, index) =>
        send("DELETE", { table: "race", ids: index % 2 === 0 ? ["i0"] : ["i1", "i0"] }),
      ),
    );
    const counts = deletes.map(([, done]) => done.deleted_count);
    assert.equal(
      counts.reduce((sum, count) => sum + count, 0),
      10,
      counts.join(" "),
    );
  });
});

describe("soft deletes", () => {
  type Restored = Done & { readonly restored_count: number; readonly errors: readonly string[] | null };
  const restore = async (table: string, ...ids: readonly string[]): Promise<[number, Restored]> => {
    const reply = await client.sendJson("/v1/data/restore", { table, ids });
    return [reply.status, reply.body as Restored];
  };
  const soft = async (table: string, ...ids: readonly string[]): Promise<number> => {
    const [status, done] = await send("DELETE", { table, ids, soft: true });
    assert.equal(status, 200, JSON.stringify(done));
    return done.deleted_count;
  };

  test("keep rows exactly, through a kill, a flush and a merge, and changes of the columns", async () => {
    const body = `{"id":"a","timestamp":"2026-03-04T05:06:07.891234Z","big":9007199254740993,"f":0.1,"s":"it's \\"a\\"","j":{"k":[1,null]},"t":true,"gone":1,"at":1}
{"id":"a","timestamp":"2026-03-05T00:00:00Z","big":1}
{"id":"b","timestamp":"2026-03-05T00:00:00Z","big":2}`;
    await client.send("/v1/tables/soft/rows", { body, headers: { "content-type": "application/x-ndjson" } });
    await client.sendJson("/v1/tables", { table_name: "soft", if_not_exists: true });
    const look = (sql = "*"): Promise<unknown[]> => client.query(`SELECT ${sql} FROM soft ORDER BY "timestamp", id`);
    const before = await look("* EXCLUDE (gone), big::VARCHAR AS digits");
    await flush("soft");
    assert.deepEqual(await soft("soft", "a", "nobody"), 2);
    await flush("soft");
    assert.equal((await client.sendJson("/v1/tables/soft/compact", { full: true })).status, 200);
    const changes = [
      { op: "rename", name: "s", to: "text" },
      { op: "drop", name: "gone" },
    ];
    const headers = { "content-type": "application/json" };
    const changed = await client.send("/v1/tables/soft/schema", {
      method: "PATCH",
      body: JSON.stringify({ changes }),
      headers,
    });
    assert.equal(changed.status, 200, JSON.stringify(changed.body));
    afterKill.add("soft deletes: rows come back as they were", async () => {
      assert.equal(await client.count("soft"), 1);
      const [status, done] = await restore("soft", "a", "b", "nobody");
      assert.deepEqual([status, done.success, done.restored_count, done.errors?.length], [200, true, 2, 2]);
      assert.deepEqual(await look("* RENAME (text AS s), big::VARCHAR AS digits"), before);
      // What is back is not kept any more.
      const keptRows = "SELECT row_id FROM miniodb_deleted WHERE table_name = 'soft'";
      assert.deepEqual(await client.query(keptRows), []);
      const [again, refusal] = await restore("soft", "nobody");
      assert.deepEqual([again, refusal.code], [404, "NOT_FOUND"]);
    });
  });

  test("the last deletion of an id comes back, and no row that is there is touched", async () => {
    await client.write("lasting", [{ id: "a", n: 1, s: "x" }]);
    assert.equal(await soft("lasting", "a"), 1);
    await client.write("lasting", [{ id: "a", n: 2, s: "y" }]);
    const [, refused] = await restore("lasting", "a");
    assert.deepEqual([refused.success, refused.restored_count], [false, 0]);
    assert.match(refused.errors?.[0] ?? "", /^a: a row/);
    assert.equal(await soft("lasting", "a"), 1);
    assert.deepEqual(await rows("lasting"), []);
    await restore("lasting", "a");
    assert.deepEqual(await rows("lasting"), ["a 2 y"]);
    await send("DELETE", { table: "lasting", ids: ["a"] });
    assert.equal((await restore("nowhere", "a"))[1].code, "TABLE_NOT_FOUND");
    const { body } = await client.send("/v1/tables/miniodb_deleted");
    const { config } = (body as { table_info: { config: { retention_days: number } } }).table_info;
    assert.equal(config.retention_days, 30);
  });

  test("take no row that was not kept, whatever is written meanwhile", async () => {
    await client.write("raced", [{ id: "a", n: 0, s: "x" }]);
    let isWriting = true;
    const writer = (async (): Promise<void> => {
      for (let n = 1; n < 40; n++) {
        await client.write("raced", [{ id: "a", n, s: "x" }]);
        await delay(n % 20);
      }
      isWriting = false;
    })();
    let deleted = 0;
    for (let isLast = false; !isLast;) {
      isLast = !isWriting;
      const [status, done] = await send("DELETE", { table: "raced", ids: ["a"], soft: true });
      if (status === 200) deleted += done.deleted_count;
      else assert.equal(done.code, "COMMIT_CONFLICT", JSON.stringify(done));
    }
    await writer;
    // Copies of looks that came too late are gone.
    const kept = await client.count("miniodb_deleted WHERE table_name = 'raced'");
    assert.deepEqual([kept, deleted, await client.count("raced")], [40, 40, 0]);
  });

  test("are not restored beside a row that came before the restore", async () => {
    // Tokens of one stream: a longer number is a higher one.
    const isAfter = (one: string, other: string): boolean =>
      one.length > other.length || (one.length === other.length && one > other);
    for (let round = 0; round < 12; round++) {
      const id = `r${round}`;
      await client.write("late", [{ id, n: 1, s: "kept" }]);
      assert.equal(await soft("late", id), 1);
      const writing = delay(round % 8).then(() => client.write("late", [{ id, n: 2, s: "new" }]));
      const [[, restored], { sequence }] = await Promise.all([restore("late", id), writing]);
      const count = restored.restored_count;
      assert.ok(count === 0 || isAfter(sequence, restored.sequence), `${restored.sequence} ${sequence}`);
      assert.equal(await client.count(`late WHERE id = '${id}'`), count + 1);
    }
  });
});

describe("batches of deletes", () => {
  type Deleted = Done & { readonly accepted: number; readonly rejected: number; readonly repeated?: boolean };
  const remove = async (table: string, query: string, body: string, type = "text/csv"): Promise<[number, Deleted]> => {
    const headers = { "content-type": type };
    const reply = await client.send(`/v1/tables/${table}/rows?mode=delete${query}`, { body, headers });
    return [reply.status, reply.body as Deleted];
  };

  test("take the ids of any format, count the rows that were there, and add no column", async () => {
    const numbered = Array.from({ length: 3_000 }, (_, n) => ({ id: `i${n}`, n, s: "x" }));
    await client.write("bulk", numbered);
    await flush("bulk");
    await client.write("bulk", [
      { id: "i0", n: 0, s: "again" },
      { id: "i5000", n: 0, s: "hot" },
    ]);
    const [status, done] = await remove("bulk", "", "other,id\n1,i0\nx,i5000\n2,none\n3,\n4,i0\n");
    assert.deepEqual([status, done.accepted, done.rejected, done.deleted_count], [200, 4, 1, 3], JSON.stringify(done));
    assert.equal(await client.count("bulk"), 2_999);
    // More ids than a statement has room for.
    const many = numbered.slice(100, 1_900).map(({ id }) => `{"id":"${id}","n":"no number"}`);
    const [, more] = await remove("bulk", "&durability=memory", many.join("\n"), "application/x-ndjson");
    assert.deepEqual([more.accepted, more.deleted_count, more.durability], [1_800, 1_800, "memory"]);
    const [, none] = await remove("bulk", "", `[{"id":"i150"},{"id":"nobody"}]`, "application/json");
    assert.deepEqual([none.accepted, none.deleted_count, none.sequence], [2, 0, ""]);
    const columns = await client.query<{ column_name: string }>("DESCRIBE bulk");
    assert.deepEqual(
      columns.map((column) => column.column_name),
      ["timestamp", "id", "n", "s"],
    );
    afterKill.add("batches of deletes", async () => {
      assert.equal(await client.count("bulk"), 1_199);
      await flush("bulk");
      assert.equal(await recordCount("bulk"), 1_199);
    });
  });

  test("are refused whole, or by row, and a repeat deletes nothing anew", async () => {
    await client.write("again", [{ id: "a", n: 1, s: "x" }]);
    const [, first] = await remove("again", "&batch_id=d1", "id\na\n");
    assert.deepEqual([first.deleted_count, first.repeated], [1, undefined]);
    await client.write("again", [{ id: "a", n: 2, s: "y" }]);
    const [, second] = await remove("again", "&batch_id=d1", "id\na\n");
    assert.deepEqual([second.deleted_count, second.repeated], [null, true]);
    assert.equal((await remove("again", "&batch_id=d1", "id\nb\n"))[1].code, "BATCH_ID_CONFLICT");
    assert.deepEqual(await rows("again"), ["a 2 y"]);
    assert.deepEqual([(await remove("again", "", "n\n1\n"))[1].code], ["ROW_REJECTED"]);
    assert.deepEqual([(await remove("nowhere", "", "id\na\n"))[1].code], ["TABLE_NOT_FOUND"]);
    assert.deepEqual([(await remove("again", "&count=maybe", "id\na\n"))[0]], [400]);
    assert.deepEqual([(await remove("again", "", '["', "application/json"))[1].code], ["INVALID_BODY"]);
    const tooMany = Array.from({ length: 10_001 }, (_, n) => `i${n}`).join("\n");
    assert.equal((await remove("again", "", `id\n${tooMany}\n`))[1].code, "BODY_TOO_LARGE");
    const [, unseen] = await remove("again", "&count=false", `id\na\n${tooMany}\n`);
    assert.deepEqual([unseen.accepted, unseen.deleted_count], [10_002, undefined]);
    assert.deepEqual(await rows("again"), []);
  });

  test("keep their place among the other batches of a stream", async () => {
    const url = `${server.url.replace(/^http/, "ws")}/v1/stream?table=streamed&format=ndjson`;
    const socket = new WebSocket(url);
    const acks: { readonly type: string; readonly seq: number; readonly accepted: number }[] = [];
    await new Promise<void>((resolve, reject) => {
      socket.on("error", reject);
      socket.on("open", () => {
        for (let seq = 0; seq < 40; seq++) {
          const mode = seq % 4 === 3 ? "delete" : "replace";
          socket.send(`{"seq":${seq},"mode":"${mode}"}\n{"id":"a","n":${seq},"s":"x"}\n{"id":"b${seq}","n":1,"s":"y"}`);
        }
      });
      socket.on("message", (data) => {
        const message = JSON.parse(Buffer.isBuffer(data) ? data.toString() : "{}") as (typeof acks)[number];
        if (message.type !== "welcome") acks.push(message);
        if (acks.length === 40) resolve();
      });
    });
    socket.close();
    assert.ok(acks.every(({ type, accepted }) => type === "ack" && accepted === 2));
    assert.deepEqual(await client.query("SELECT id FROM streamed WHERE id = 'a'"), []);
    assert.equal(await client.count("streamed"), 30);
  });
});

test("a live query has every row that was taken, replaced or not, and nothing of deletes, also from a token before them", async () => {
  const first = await client.write("followed", [{ id: "a", n: 1, s: "x" }]);
  const live = await LiveClient.open(server.url);
  assert.equal((await live.subscribe({ id: "now", table: "followed" })).type, "subscribed");
  await put("followed", "a", { n: 2, s: "y" });
  await send("DELETE", { table: "followed", ids: ["a"] });
  await client.write("followed", [{ id: "b", n: 3, s: "x" }]);
  await send("DELETE", { table: "followed", ids: ["b"] });
  const last = await put("followed", "c", { n: 4, s: "z" });
  const seen = await live.rows(3);
  assert.deepEqual(
    seen.rows.map(({ n }) => n),
    [2, 3, 4],
  );
  assert.equal(seen.token, last.sequence);
  assert.equal((await live.subscribe({ id: "again", table: "followed", from: first.sequence })).type, "subscribed");
  assert.deepEqual((await live.rows(3)).rows, seen.rows);
  await live.cut();
});

describe("batches and tables of mode upsert", () => {
  test("mode=replace: the last row of an id wins, in its batch too; ids are required", async () => {
    await client.write("batch", [{ id: "a", n: 1, s: "x" }]);
    const headers = { "content-type": "text/csv" };
    const body = "id,n,s\na,2,y\nb,3,y\na,4,z\n,5,z\n";
    const reply = await client.send("/v1/tables/batch/rows?mode=replace", { body, headers });
    const { accepted, rejected, errors } = reply.body as { accepted: number; rejected: number; errors: object[] };
    assert.deepEqual([reply.status, accepted, rejected, errors.length], [200, 3, 1, 1], JSON.stringify(reply.body));
    assert.deepEqual(await rows("batch"), ["a 4 z", "b 3 y"]);
    const wrong = await client.send("/v1/tables/batch/rows?mode=upsert", { body, headers });
    assert.equal(wrong.status, 400);
  });

  test("an upsert table needs ids, shows the last write of each, and can be made of an append table", async () => {
    assert.equal((await create("ups", { mode: "upsert", id_strategy: "uuid" })).status, 400);
    assert.equal((await create("ups", { mode: "other" })).status, 400);
    assert.equal((await create("ups", { mode: "upsert" })).status, 200);
    const { body } = await client.send("/v1/tables/ups");
    assert.equal((body as { table_info: { config: { mode: string } } }).table_info.config.mode, "upsert");
    await client.write("ups", [
      { id: "a", n: 1, s: "x" },
      { id: "b", n: 2, s: "x" },
      { id: "a", n: 3, s: "y" },
    ]);
    await send("POST", { table: "ups", id: "b", payload: { n: 4, s: "z" } });
    assert.deepEqual(await rows("ups"), ["a 3 y", "b 4 z"]);
    const headers = { "content-type": "application/json" };
    const none = await client.send("/v1/tables/ups/rows", { body: `[{"n":1}]`, headers });
    assert.equal((none.body as { code: string }).code, "ROW_REJECTED");
    await flush("ups");
    await client.write("ups", [{ id: "a", n: 5, s: "x" }]);
    assert.deepEqual(await rows("ups"), ["a 5 x", "b 4 z"]);
    const change = async (config: object): Promise<number> => {
      const reply = await client.send("/v1/tables/ups", { method: "PUT", body: JSON.stringify({ config }), headers });
      return reply.status;
    };
    assert.equal(await change({ auto_generate_id: true }), 400);
    assert.equal(await change({ mode: "append" }), 200);
    await client.write("ups", [{ id: "a", n: 6, s: "x" }]);
    assert.deepEqual(await rows("ups"), ["a 5 x", "a 6 x", "b 4 z"]);
    assert.equal(await change({ mode: "upsert" }), 200);
    await client.write("ups", [{ id: "a", n: 7, s: "x" }]);
    assert.deepEqual(await rows("ups"), ["a 7 x", "b 4 z"]);
    await flush("ups");
    assert.deepEqual(await rows("ups"), ["a 7 x", "b 4 z"]);
  });

  test("deletes by condition, time travel and rollback know nothing of what is not there any more", async () => {
    await create("mixed", { mode: "upsert" });
    await client.write(
      "mixed",
      [1, 2, 3, 4].map((n) => ({ id: `i${n}`, n, s: "x" })),
    );
    await flush("mixed");
    const { body } = await client.send("/v1/tables/mixed/snapshots");
    const [first] = (body as { snapshots: { snapshot_id: string }[] }).snapshots;
    await client.write("mixed", [{ id: "i1", n: 9, s: "y" }]);
    await send("DELETE", { table: "mixed", ids: ["i2"] });
    const deleted = await client.sendJson("/v1/tables/mixed/delete", { where: "n IN (1, 2, 3)" });
    assert.equal((deleted.body as { deleted_count: number }).deleted_count, 1);
    assert.deepEqual(await rows("mixed"), ["i1 9 y", "i4 4 x"]);
    const before = await client.query("SELECT id FROM mixed ORDER BY id", { snapshot_id: first?.snapshot_id });
    assert.equal(before.length, 4);
    await put("mixed", "i4", { n: 10, s: "z" });
    const back = await client.sendJson("/v1/tables/mixed/rollback", { snapshot_id: first?.snapshot_id });
    assert.equal(back.status, 200, JSON.stringify(back.body));
    assert.deepEqual(await rows("mixed"), ["i1 1 x", "i2 2 x", "i3 3 x", "i4 4 x"]);
  });
});

describe("all of that", () => {
  test("after kill -9", (context) => afterKill.run(context, server));
  test("after another one", (context) => afterKill.run(context, server));
});
