/** What a table's settings do, changed while it is written, across restarts; and statistics that are true. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { AfterKill } from "../harness/after-kill.js";
import { HttpClient, type Reply } from "../harness/http-client.js";
import { ServerProcess } from "../harness/server-process.js";

interface TableInfo {
  readonly config: Readonly<Record<string, unknown>>;
  readonly stats: Readonly<Record<string, unknown>>;
  readonly last_write?: { readonly seconds: number };
}

let server: ServerProcess;
let client: HttpClient;
const afterKill = new AfterKill();

before(async () => {
  server = await ServerProcess.start({ flags: ["--flush-interval-ms", "3600000"] });
  client = new HttpClient(() => server.url);
});
after(() => server.dispose());

async function create(table: string, config: object, more: object = {}): Promise<Reply> {
  return client.sendJson("/v1/tables", { table_name: table, config, ...more });
}

async function change(table: string, config: unknown): Promise<Reply> {
  return client.send(`/v1/tables/${table}`, { method: "PUT", body: JSON.stringify({ config }) });
}

async function infoOf(table: string): Promise<TableInfo> {
  const reply = await client.send(`/v1/tables/${table}`);
  assert.equal(reply.status, 200, JSON.stringify(reply.body));
  return (reply.body as { readonly table_info: TableInfo }).table_info;
}

async function postOne(table: string, id: string): Promise<Reply> {
  return client.sendJson("/v1/data", { table, id, timestamp: "2026-11-20T00:00:00Z", payload: { value: 1 } });
}

async function waitFor(what: string, isTrue: () => Promise<boolean>): Promise<void> {
  const deadlineMs = Date.now() + 20_000;
  while (!(await isTrue())) {
    assert.ok(Date.now() < deadlineMs, what);
    await sleep(50);
  }
}

function codeOf(reply: Reply): readonly unknown[] {
  return [reply.status, (reply.body as { readonly code?: string }).code];
}

describe("settings", () => {
  test("id_strategy, id_prefix and id_validation act from the next request on", async () => {
    await create("ids", {});
    assert.equal((await postOne("ids", "")).status, 400);
    assert.equal((await change("ids", { id_strategy: "uuid", id_prefix: "u-" })).status, 200);
    const generated = await postOne("ids", "");
    assert.equal(generated.status, 200, JSON.stringify(generated.body));
    assert.match((generated.body as { readonly id: string }).id, /^u-[0-9a-f-]{36}$/);
    assert.equal((await change("ids", { id_validation: { pattern: "^x[0-9]+$", max_length: 4 } })).status, 200);
    assert.deepEqual(codeOf(await postOne("ids", "y1")), [400, "ROW_REJECTED"]);
    assert.deepEqual(codeOf(await postOne("ids", "x1234")), [400, "ROW_REJECTED"]);
    assert.equal((await postOne("ids", "x12")).status, 200);
    await change("ids", { id_strategy: null, auto_generate_id: true, id_prefix: "" });
    assert.match(((await postOne("ids", "")).body as { readonly id: string }).id, /^[0-9a-f-]{36}$/);
    await change("ids", { auto_generate_id: null, id_validation: null });
    assert.equal((await postOne("ids", "y1")).status, 200);
    assert.equal((await postOne("ids", "")).status, 400);
  });

  test("buffer_size and flush_interval_seconds act without a restart", async () => {
    await create("flushing", {});
    await client.write("flushing", [{ value: 1 }]);
    assert.equal((await infoOf("flushing")).stats["unflushed_rows"], 1);
    await change("flushing", { flush_interval_seconds: 1 });
    await waitFor("flushed by age", async () => (await infoOf("flushing")).stats["unflushed_rows"] === 0);
    await change("flushing", { flush_interval_seconds: null, buffer_size: 3 });
    await client.write("flushing", [{ value: 2 }, { value: 3 }]);
    await sleep(600);
    assert.equal((await infoOf("flushing")).stats["unflushed_rows"], 2);
    await client.write("flushing", [{ value: 4 }]);
    await waitFor("flushed by rows", async () => (await infoOf("flushing")).stats["unflushed_rows"] === 0);
    assert.equal((await infoOf("flushing")).stats["record_count"], 4);
  });

  test("add_columns and long_meets_double refuse rows with a reason", async () => {
    await client.write("strict", [{ value: 1 }]);
    await change("strict", { add_columns: false, long_meets_double: "reject" });
    const body = '{"value":2}\n{"value":3,"other":1}\n{"value":1.5}';
    const reply = await client.send("/v1/tables/strict/rows", {
      body,
      headers: { "content-type": "application/x-ndjson" },
    });
    const { accepted, errors } = reply.body as {
      readonly accepted: number;
      readonly errors: readonly { readonly row: number; readonly column: string; readonly code: string }[];
    };
    assert.equal(accepted, 1);
    assert.deepEqual(
      errors.map(({ row, column, code }) => [row, column, code]),
      [
        [1, "other", "UNKNOWN_COLUMN"],
        [2, "value", "TYPE_MISMATCH"],
      ],
    );
    await change("strict", { ignore_unknown: true });
    await client.write("strict", [{ value: 3, other: 1 }]);
    const columns = async (): Promise<string[]> =>
      (await client.query<{ column_name: string }>("DESCRIBE strict")).map((column) => column.column_name);
    assert.deepEqual(await columns(), ["timestamp", "id", "value"]);
    await change("strict", { add_columns: true, ignore_unknown: null });
    await client.write("strict", [{ value: 3, other: 1 }]);
    assert.deepEqual(await columns(), ["timestamp", "id", "value", "other"]);
  });

  test("rejected rows go to the table of dead letters where that is asked for, and stay there", async () => {
    const headers = { "content-type": "application/x-ndjson" };
    const write = async (table: string, query: string, body: string): Promise<Record<string, unknown>> => {
      const reply = await client.send(`/v1/tables/${table}/rows${query}`, { body, headers });
      return { status: reply.status, ...(reply.body as object) };
    };
    const letters = (table: string): Promise<Record<string, unknown>[]> =>
      client.query(
        `SELECT batch_id, row_number, column_name, code, format, raw FROM miniodb_rejected WHERE table_name = '${table}' ORDER BY row_number`,
      );
    const mixed = '{"n":1}\n{"n":"x"}\nbroken\n{"n":2}';
    const plain = await write("lettered", "", mixed);
    assert.deepEqual([plain["accepted"], plain["rejected"], plain["dead_letters"]], [2, 2, undefined]);
    const asked = await write("lettered", "?dead_letters=true&batch_id=b1", mixed);
    assert.deepEqual([asked["accepted"], asked["rejected"], asked["dead_letters"]], [2, 2, 2], JSON.stringify(asked));
    const expected = [
      { batch_id: "b1", row_number: 1, column_name: "n", code: "TYPE_MISMATCH", format: "ndjson", raw: '{"n":"x"}' },
      { batch_id: "b1", row_number: 2, column_name: null, code: "INVALID_JSON", format: "ndjson", raw: "broken" },
    ];
    assert.deepEqual(await letters("lettered"), expected);
    const repeated = await write("lettered", "?dead_letters=true&batch_id=b1", mixed);
    assert.deepEqual([repeated["repeated"], repeated["dead_letters"]], [true, undefined]);
    await change("lettered", { dead_letters: true });
    const none = await write("lettered", "", '{"n":"y"}');
    assert.deepEqual([none["status"], none["code"], none["dead_letters"]], [400, "ROW_REJECTED", 1]);
    const row = { table: "lettered", id: "a", payload: { n: "z" } };
    assert.equal(((await client.sendJson("/v1/data", row)).body as Record<string, unknown>)["dead_letters"], 1);
    // More than a reply lists, in a body that is decoded in slices.
    const many = `{"n":"${"x".repeat(1_000)}"}\n`.repeat(1_500);
    const large = await write("lettered", "?batch_id=b2", `{"n":3}\n${many}`);
    assert.deepEqual([large["rejected"], (large["errors"] as unknown[]).length], [1_500, 100]);
    const kept = Number(large["dead_letters"]);
    assert.ok(kept > 500 && kept <= 1_000, `${kept} letters`);
    afterKill.add("dead letters", async () => {
      const counts = await client.query(
        "SELECT batch_id, count(*)::INTEGER AS n FROM miniodb_rejected GROUP BY 1 ORDER BY 1 NULLS FIRST",
      );
      assert.deepEqual(counts, [
        { batch_id: null, n: 2 },
        { batch_id: "b1", n: 2 },
        { batch_id: "b2", n: kept },
      ]);
    });
  });

  test("a change names what it changes; all is there after kill -9", async (context) => {
    await create("kept", { buffer_size: 77, properties: { owner: "ops" }, sort_order: ["host"], backup_enabled: true });
    const reply = await change("kept", { retention_days: 9, properties: { owner: "dev", team: "a" } });
    const expected = {
      buffer_size: 77,
      retention_days: 9,
      backup_enabled: true,
      properties: { owner: "dev", team: "a" },
      id_strategy: "user_provided",
      sort_order: ["host"],
    };
    assert.deepEqual((reply.body as { readonly config: object }).config, expected);
    await Promise.all([change("kept", { flush_bytes: 5000 }), change("kept", { id_prefix: "k" })]);
    afterKill.add("settings", async () => {
      const { config } = await infoOf("kept");
      assert.deepEqual(config, { ...expected, flush_bytes: 5000, id_prefix: "k" });
    });
    await afterKill.run(context, server);
  });

  test("create with if_not_exists leaves a table as it is", async () => {
    await create("once", { buffer_size: 11 });
    assert.deepEqual(codeOf(await create("once", { buffer_size: 12 })), [409, "TABLE_EXISTS"]);
    assert.equal((await create("ONCE", { buffer_size: 12 }, { if_not_exists: true })).status, 200);
    assert.equal((await infoOf("once")).config["buffer_size"], 11);
  });

  test("wrong changes change nothing", async () => {
    await create("wrong", { buffer_size: 5 });
    for (const config of [
      undefined,
      [],
      { buffer_size: "x" },
      { buffersize: 1 },
      { id_validation: { pattern: "(" } },
    ]) {
      assert.deepEqual(codeOf(await change("wrong", config)), [400, "INVALID_REQUEST"], JSON.stringify(config));
    }
    assert.deepEqual(codeOf(await change("nowhere", {})), [404, "TABLE_NOT_FOUND"]);
    assert.deepEqual((await infoOf("wrong")).config, { buffer_size: 5, id_strategy: "user_provided" });
  });
});

describe("statistics", () => {
  test("count committed and unflushed rows, with their oldest and newest time", async () => {
    await create("counted", {});
    const empty = { record_count: 0, file_count: 0, size_bytes: 0, unflushed_rows: 0, unflushed_bytes: 0 };
    assert.deepEqual((await infoOf("counted")).stats, empty);
    assert.equal((await infoOf("counted")).last_write, undefined);
    await client.write("counted", [
      { timestamp: "2026-11-02T00:00:00.000001Z" },
      { timestamp: "2026-11-03T00:00:00Z" },
    ]);
    const times = { oldest: Date.UTC(2026, 10, 2) / 1000, newest: Date.UTC(2026, 10, 3) / 1000 };
    const buffered = (await infoOf("counted")).stats;
    assert.deepEqual(buffered["oldest_record"], { seconds: times.oldest, nanos: 1000 });
    assert.deepEqual(buffered["newest_record"], { seconds: times.newest, nanos: 0 });
    assert.deepEqual([buffered["record_count"], buffered["unflushed_rows"], buffered["file_count"]], [2, 2, 0]);
    assert.ok(Number(buffered["unflushed_bytes"]) > 0);
    await client.send("/v1/tables/counted/flush", { method: "POST", body: "" });
    const flushed = (await infoOf("counted")).stats;
    assert.deepEqual([flushed["record_count"], flushed["unflushed_rows"], flushed["file_count"]], [2, 0, 2]);
    assert.ok(Number(flushed["size_bytes"]) > 0);
    await client.write("counted", [{ timestamp: "2026-11-01T00:00:00Z" }]);
    const both = (await infoOf("counted")).stats;
    assert.deepEqual([both["record_count"], both["unflushed_rows"], both["file_count"]], [3, 1, 2]);
    assert.deepEqual(both["oldest_record"], { seconds: Date.UTC(2026, 10, 1) / 1000, nanos: 0 });
    assert.deepEqual(both["newest_record"], { seconds: times.newest, nanos: 0 });
    const list = (await client.send("/v1/tables?pattern=count*")).body as { readonly tables: readonly TableInfo[] };
    assert.deepEqual(list.tables[0]?.stats, both);
  });

  test("never count a row twice or not at all while it is flushed", async () => {
    await create("moving", { buffer_size: 20 });
    let written = 0;
    let isWriting = true;
    const writing = (async () => {
      for (let round = 0; round < 60; round++) {
        await client.write("moving", [{ n: 1 }, { n: 2 }, { n: 3 }, { n: 4 }, { n: 5 }]);
        written += 5;
      }
      isWriting = false;
    })();
    while (isWriting) {
      const before = written;
      const rows = Number((await infoOf("moving")).stats["record_count"]);
      // What was acknowledged before the question is there; what is under way may be.
      assert.ok(rows >= before && rows <= written + 5, `${before} <= ${rows} <= ${written + 5}`);
    }
    await writing;
    assert.equal((await infoOf("moving")).stats["record_count"], 300);
    assert.ok((await infoOf("moving")).last_write !== undefined);
  });
});
