/** Batches of mixed inserts, replaces and deletes (`mode=operations`), as clients meet them. */
import { tableFromArrays, tableToIPC } from "apache-arrow";
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { pack } from "msgpackr";
import { WebSocket } from "ws";
import { HttpClient, type Reply } from "../harness/http-client.js";
import { ServerProcess } from "../harness/server-process.js";
import { watchCount } from "../harness/watch-count.js";

const keyFolder = mkdtempSync(join(tmpdir(), "miniodb-e2e-operations-"));
let server: ServerProcess;
let client: HttpClient;

before(async () => {
  const keyFile = join(keyFolder, "keys");
  writeFileSync(keyFile, Buffer.alloc(32, 1).toString("hex"));
  // Nothing is flushed but on demand, and hot segments are many.
  const small = ["--seal-tail-rows-max", "2", "--seal-hot-segments-max", "3"];
  server = await ServerProcess.start({
    flags: ["--flush-interval-ms", "600000", "--encryption-key-file", keyFile, ...small],
  });
  client = new HttpClient(() => server.url);
});
after(async () => {
  await server.dispose();
  rmSync(keyFolder, { recursive: true, force: true });
});

type Sent = Partial<Record<string, unknown>>;

interface Account {
  readonly accepted: number;
  readonly rejected: number;
  readonly errors: readonly { readonly row: number; readonly column: string | null; readonly code: string }[];
  readonly sequence: string;
  readonly repeated?: boolean;
  readonly dead_letters?: number;
  readonly code?: string;
  readonly message?: string;
}

async function post(path: string, body: string | Uint8Array, headers: Record<string, string> = {}): Promise<Reply> {
  return client.send(path, { body, headers: { "content-type": "application/x-ndjson", ...headers } });
}

async function operate(table: string, rows: readonly Sent[], query = ""): Promise<Account & { status: number }> {
  const body = rows.map((row) => JSON.stringify(row)).join("\n");
  const reply = await post(`/v1/tables/${table}/rows?mode=operations${query}`, body);
  return { status: reply.status, ...(reply.body as Account) };
}

async function done(table: string, rows: readonly Sent[], query = ""): Promise<Account> {
  const account = await operate(table, rows, query);
  assert.deepEqual([account.status, account.rejected], [200, 0], JSON.stringify(account));
  return account;
}

async function create(table: string, config: object): Promise<void> {
  const reply = await client.sendJson("/v1/tables", { table_name: table, config });
  assert.equal(reply.status, 200, JSON.stringify(reply.body));
}

async function flush(table: string): Promise<void> {
  const reply = await client.send(`/v1/tables/${table}/flush`, { method: "POST", body: "" });
  assert.equal(reply.status, 200, JSON.stringify(reply.body));
}

async function look(table: string): Promise<string> {
  const rows = await client.query<{ id: string | null; n: number | null }>(`SELECT id, n FROM ${table} ORDER BY id, n`);
  return rows.map(({ id, n }) => `${id}${n}`).join(" ");
}

async function columnsOf(table: string): Promise<string> {
  const rows = await client.query<{ column_name: string }>(`DESCRIBE SELECT * FROM ${table}`).catch(() => []);
  if (rows.length > 0) return rows.map(({ column_name: name }) => name).join(" ");
  const [row] = await client.query(`SELECT * FROM ${table} LIMIT 1`);
  return Object.keys(row ?? {}).join(" ");
}

const before3 = [1, 2, 3].map((n) => ({ id: "abc"[n - 1], n }));
const batch: readonly { _op: string | null; id: string; n: number | null }[] = [
  { _op: "delete", id: "a", n: null },
  { _op: "Replace", id: "b", n: 20 },
  { _op: "insert", id: "c", n: 30 },
  { _op: "c", id: "x", n: 1 },
  { _op: "d", id: "x", n: null },
  { _op: "r", id: "x", n: 2 },
  { _op: "u", id: "y", n: 1 },
  { _op: "UPSERT", id: "y", n: 2 },
  { _op: "update", id: "y", n: 3 },
  { _op: null, id: "z", n: 5 },
  { _op: "u", id: "gone", n: 6 },
  { _op: "d", id: "gone", n: null },
];
const formatTables = ["ndjson", "gzip", "json", "csv", "msgpack_rows", "msgpack_columns", "arrow"] as const;
const outcome = "b20 c3 c30 x2 y3 z5";

test("every format says it, and the rows of an id act in their order", async () => {
  const columns = {
    _op: batch.map(({ _op }) => _op),
    id: batch.map(({ id }) => id),
    n: batch.map(({ n }) => n),
  };
  const lines = batch.map((row) => JSON.stringify(row)).join("\n");
  const csv = ["_OP,id,n", ...batch.map(({ _op, id, n }) => `${_op ?? ""},${id},${n ?? ""}`)].join("\r\n");
  const arrow = tableFromArrays({ ...columns, n: Float64Array.from(columns.n, (n) => n ?? 0) });
  const formats: Record<(typeof formatTables)[number], [string, string | Uint8Array, Record<string, string>?]> = {
    ndjson: ["application/x-ndjson", lines],
    gzip: ["application/x-ndjson", gzipSync(lines), { "content-encoding": "gzip" }],
    json: ["application/json", JSON.stringify(batch)],
    csv: ["text/csv", csv],
    msgpack_rows: ["application/msgpack", pack(batch)],
    msgpack_columns: ["application/msgpack", pack({ columns })],
    arrow: ["application/vnd.apache.arrow.stream", tableToIPC(arrow, "stream")],
  };
  for (const [table, [type, body, headers = {}]] of Object.entries(formats)) {
    await client.write(table, before3);
    const reply = await post(`/v1/tables/${table}/rows?mode=operations`, body, { "content-type": type, ...headers });
    assert.deepEqual([reply.status, (reply.body as Account).accepted], [200, batch.length], table);
    assert.equal(await look(table), outcome, table);
  }
});

test("a reader beside batches that swap one row for another sees one row at any moment, also through flushes", async () => {
  await client.write("steady", [{ id: "r0", n: 0 }]);
  const durabilities: Readonly<Record<number, string>> = { 3: "&durability=memory", 6: "&durability=stored" };
  const watch = watchCount(client, "steady", 1);
  for (let n = 1; n <= 25; n++) {
    const rows = [
      { _op: n % 2 === 0 ? "c" : "u", id: `r${n}`, n },
      { _op: "d", id: `r${n - 1}` },
    ];
    const { sequence } = await done("steady", rows, durabilities[n % 8] ?? "");
    const seen = await client.query(`SELECT id, n FROM steady`, { min_sequence: sequence });
    assert.deepEqual(seen, [{ id: `r${n}`, n }]);
    if (n % 8 === 0) await flush("steady");
  }
  await watch.end();
});

test("rows that make no sense are rejected alone, in the order of all errors, and kept as dead letters", async () => {
  await client.write("wrong", before3);
  const rows = [
    { _op: "u", id: "a", n: 10 },
    { _op: "truncate", id: "b", n: 1 },
    { _op: "d", n: 1 },
    { _op: 5, id: "b" },
    { _op: "u", id: "b", n: "text" },
    { _op: "c", n: 4 },
    { _op: "u", id: "breaks the rule", n: 1 },
    { _op: "d", id: "breaks the rule" },
  ];
  const account = await operate("wrong", rows, "&dead_letters=true&batch_id=w1");
  const expected = [
    [1, "_op", "INVALID_OPERATION"],
    [2, "id", "ID_REQUIRED"],
    [3, "_op", "TYPE_MISMATCH"],
    [4, "n", "TYPE_MISMATCH"],
    [6, "id", "INVALID_ID"],
  ];
  assert.deepEqual([account.status, account.accepted, account.rejected, account.dead_letters], [200, 3, 5, 5]);
  assert.deepEqual(
    account.errors.map(({ row, column, code }) => [row, column, code]),
    expected,
  );
  assert.equal(await look("wrong"), "a10 b2 c3 null4");
  const letters = await client.query<{ row_number: number; code: string; raw: string }>(
    `SELECT row_number, code, raw FROM miniodb_rejected WHERE table_name = 'wrong' ORDER BY row_number`,
  );
  assert.deepEqual(
    letters.map(({ row_number: row, code }) => [row, code]),
    expected.map(([row, , code]) => [row, code]),
  );
  assert.deepEqual(JSON.parse(letters[0]?.raw ?? ""), rows[1]);
  const repeat = await operate("wrong", rows, "&batch_id=w1");
  assert.deepEqual([repeat.repeated, repeat.accepted, repeat.rejected], [true, 3, 5]);
  const all = await operate("wrong", [{ _op: "no", id: "a", more: 1 }]);
  assert.deepEqual([all.status, all.accepted, all.rejected], [400, 0, 1]);
  assert.equal(await columnsOf("wrong"), "timestamp id n");
});

test("after a kill every batch is there as a whole, and its repeat adds nothing and names a sequence that is there", async () => {
  const rows = [...Array.from({ length: 40 }, (_, n) => ({ _op: "u", id: "a", n })), { id: "b", n: 1 }];
  const first = await done("again", rows, "&batch_id=b1");
  await done("again", [{ _op: "u", id: "a", n: 100 }]);
  await server.kill();
  await server.restart();
  for (const table of formatTables) assert.equal(await look(table), outcome, table);
  for (const table of ["ndjson", "arrow"]) {
    await flush(table);
    assert.equal(await look(table), outcome);
    assert.equal(await columnsOf(table), "timestamp id n");
  }
  // The next batch meets what is in files.
  await done("ndjson", [
    { _op: "d", id: "c" },
    { _op: "c", id: "c", n: 31 },
    { _op: "u", id: "x", n: 3 },
  ]);
  assert.equal(await look("ndjson"), "b20 c31 x3 y3 z5");
  const repeat = await done("again", rows, "&batch_id=b1");
  assert.deepEqual([repeat.repeated, repeat.accepted, repeat.sequence], [true, 41, first.sequence]);
  const seen = await client.query(`SELECT n FROM again ORDER BY n`, { min_sequence: repeat.sequence });
  assert.deepEqual(seen, [{ n: 1 }, { n: 100 }]);
  const conflict = await operate("again", [{ id: "z" }], "&batch_id=b1");
  assert.deepEqual([conflict.status, conflict.code], [409, "BATCH_ID_CONFLICT"]);
});

test("a table's own rules hold: upsert, strict, unknown keys left out, made ids, encrypted columns", async () => {
  await create("upserted", { mode: "upsert" });
  await done("upserted", [
    { id: "a", n: 1 },
    { id: "a", n: 2, _op: "c" },
    { id: "b", n: 3 },
    { id: "b", _op: "d" },
  ]);
  assert.equal(await look("upserted"), "a2");
  assert.equal((await operate("upserted", [{ n: 1, _op: "insert" }])).errors[0]?.code, "ID_REQUIRED");
  await client.write("strict", before3);
  const config = JSON.stringify({ config: { add_columns: false } });
  assert.equal((await client.send("/v1/tables/strict", { method: "PUT", body: config })).status, 200);
  const strict = await operate("strict", [
    { id: "a", _op: "u", n: 10 },
    { id: "b", _op: "u", more: 1 },
  ]);
  assert.deepEqual(
    strict.errors.map(({ row, code }) => [row, code]),
    [[1, "UNKNOWN_COLUMN"]],
  );
  assert.equal(await look("strict"), "a10 b2 c3");
  await create("lenient", { ignore_unknown: true });
  assert.equal((await done("lenient", [{ id: "a", _op: "u", more: 1 }])).accepted, 1);
  await create("made", { id_strategy: "uuid" });
  await done("made", [{ n: 1 }, { n: 2, _op: "c" }]);
  assert.equal((await client.query(`SELECT DISTINCT id FROM made WHERE length(id) = 36`)).length, 2);
  await create("secret", { encrypted_columns: ["name"] });
  await done("secret", [
    { id: "a", name: "Ann", _op: "u" },
    { id: "b", name: "Bob" },
    { id: "a", _op: "d" },
    { id: "c", name: "Cy" },
  ]);
  await flush("secret");
  await done("secret", [
    { id: "b", _op: "d" },
    { id: "d", name: "Di", _op: "c" },
  ]);
  assert.deepEqual(await client.query(`SELECT id, name FROM secret ORDER BY id`), [
    { id: "c", name: "Cy" },
    { id: "d", name: "Di" },
  ]);
});

test("without the mode the field is a column, and a table with that column refuses the mode", async () => {
  await client.write("plain", [{ id: "a", n: 1, _op: "delete" }]);
  assert.deepEqual(await client.query(`SELECT id, _op FROM plain`), [{ id: "a", _op: "delete" }]);
  const refused = await operate("plain", [{ id: "a", _op: "delete" }]);
  assert.deepEqual([refused.status, refused.code], [400, "INVALID_REQUEST"]);
  assert.match(refused.message ?? "", /_op/);
  for (const query of ["operations&soft=true", "delete&soft=true", "delete&soft=1", "operations&soft"]) {
    const soft = await post(`/v1/tables/soft/rows?mode=${query}`, `{"id":"a","_op":"d"}`);
    assert.equal(soft.status, 400, JSON.stringify(soft.body));
  }
  const other = await post("/v1/tables/plain/rows?mode=operation", "{}");
  assert.match((other.body as Account).message ?? "", /replace, delete or operations/);
});

test("a large batch and a stream do the same", async () => {
  const count = 30_000;
  const rows = Array.from({ length: count }, (_, n) => {
    const id = `i${n % 5000}`;
    return n % 3 === 2 ? { _op: "d", id } : { _op: n % 3 === 0 ? "c" : "u", id, n, text: "x".repeat(50) };
  });
  const living = new Map<string, number[]>();
  for (const { _op: op, id, n } of rows) {
    const known = op === "c" ? (living.get(id) ?? []) : [];
    living.set(id, n === undefined ? [] : [...known, n]);
  }
  const expected = [...living.values()].flat();
  assert.equal((await done("large", rows)).accepted, count);
  const sum = expected.reduce((total, n) => total + n, 0);
  const totals = `SELECT count(*) AS rows, sum(n)::DOUBLE AS total FROM large`;
  assert.deepEqual(await client.query(totals), [{ rows: expected.length, total: sum }]);
  const socket = new WebSocket(`${server.url.replace("http", "ws")}/v1/stream?table=streamed&mode=operations`);
  const answers: (Account & { readonly seq?: number })[] = [];
  socket.on("message", (data: Buffer) => answers.push(JSON.parse(data.toString()) as Account & { seq?: number }));
  await once(socket, "open");
  for (const [index, row] of [
    { id: "a", n: 1 },
    { id: "a", n: 2, _op: "u" },
    { id: "a", _op: "d" },
  ].entries()) {
    socket.send(`{"seq":${index}}\n${JSON.stringify(row)}\n${JSON.stringify({ id: `s${index}`, n: index })}`);
  }
  socket.send(`{"seq":3,"mode":"operations","soft":true}\n{"id":"s0","_op":"d"}`);
  while (answers.length < 5) await once(socket, "message");
  socket.close();
  const answered = [0, 1, 2, 3].map((seq) => answers.find((answer) => answer.seq === seq));
  assert.deepEqual(
    answered.map((answer) => answer?.accepted ?? answer?.code),
    [2, 2, 2, "INVALID_REQUEST"],
  );
  assert.equal(await look("streamed"), "s00 s11 s22");
});
