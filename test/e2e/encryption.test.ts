/** Encrypted columns: what lies on the disk, what queries see, and what happens to both over a table's life. */
import { DuckDBInstance } from "@duckdb/node-api";
import { Dictionary, Int32, Table, tableToIPC, Utf8, vectorFromArray } from "apache-arrow";
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { BackupClient } from "../harness/backup-client.js";
import { HttpClient, type Reply, type WriteReply } from "../harness/http-client.js";
import { LiveClient } from "../harness/live-client.js";
import { ServerProcess } from "../harness/server-process.js";

const keyFolder = mkdtempSync(join(tmpdir(), "miniodb-e2e-keys-"));
const keyFile = join(keyFolder, "keys");
const oldKey = Buffer.alloc(32, 1).toString("hex");
const newKey = Buffer.alloc(32, 2).toString("base64");
const timestamp = "2026-11-20T00:00:00Z";

let server: ServerProcess;
let client: HttpClient;

before(async () => {
  writeFileSync(keyFile, oldKey);
  server = await ServerProcess.start({
    flags: ["--flush-interval-ms", "3600000", "--encryption-key-file", keyFile],
  });
  client = new HttpClient(() => server.url);
});
after(async () => {
  await server.dispose();
  rmSync(keyFolder, { recursive: true, force: true });
});

async function post(path: string, body: object = {}): Promise<Reply> {
  const reply = await client.sendJson(path, body);
  assert.equal(reply.status, 200, `${path}: ${JSON.stringify(reply.body)}`);
  return reply;
}

async function change(table: string, config: object): Promise<Reply> {
  return client.send(`/v1/tables/${table}`, { method: "PUT", body: JSON.stringify({ config }) });
}

function codeOf(reply: Reply): readonly unknown[] {
  return [reply.status, (reply.body as { readonly code?: string }).code];
}

function filesOf(folder: string): string[] {
  const entries = readdirSync(folder, { withFileTypes: true, recursive: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

/** Files of the data folder, logs and segments among them, that hold the bytes of this text. */
function filesWith(text: string): string[] {
  return filesOf(server.folder).filter((path) => {
    try {
      return readFileSync(path).includes(text);
    } catch (error) {
      // A spare segment of the log has come into use, or a file was merged, since the folder was read.
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
      throw error;
    }
  });
}

/** The column as another engine sees it, in all Parquet files of the server that have it. */
async function storedValues(column: string): Promise<(string | null)[]> {
  const instance = await DuckDBInstance.create(":memory:");
  const connection = await instance.connect();
  const values: (string | null)[] = [];
  for (const path of filesOf(server.folder).filter((file) => file.endsWith(".parquet"))) {
    const described = await connection.runAndReadAll(`SELECT name FROM parquet_schema('${path}')`);
    if (!described.getRows().some(([name]) => name === column)) continue;
    const rows = (await connection.runAndReadAll(`SELECT "${column}" FROM read_parquet('${path}')`)).getRows();
    values.push(...rows.map(([value]) => value as string | null));
  }
  connection.closeSync();
  instance.closeSync();
  return values;
}

async function emails(table: string, column = "email"): Promise<unknown[]> {
  const rows = await client.query<{ readonly id: string; readonly v?: string | null }>(
    `SELECT id, ${column} AS v FROM ${table} ORDER BY id`,
  );
  return rows.map(({ id, v }) => `${id} ${v ?? "-"}`);
}

const people = [
  { id: "a", timestamp, email: "alice-secret@example.com", city: "visible-town" },
  { id: "b", timestamp, email: "bob-secret@example.com", city: "visible-town" },
  { id: "c", timestamp, email: "", city: "visible-town" },
  { id: "d", timestamp, city: "visible-town" },
];
const changed = ["a alice-secret@example.com", "c carol-secret@example.com", "d -", "enc enc:1:00000000:AAAA"];
const mails = ["a anna-early@example.com", "b ben-later@example.com", "c cleo-later@example.com"];
const expected = ["a alice-secret@example.com", "b bob-secret@example.com", "c ", "d -"];

describe("a table that is created with encrypted columns", () => {
  test("queries see the values, the disk does not: log, hot segments, files", async () => {
    await post("/v1/tables", {
      table_name: "people",
      config: { encrypted_columns: ["email"], properties: { a: "b" } },
    });
    await client.write("people", people);
    assert.deepEqual(await emails("people"), expected);
    assert.ok(filesWith("visible-town").length > 0);
    assert.deepEqual(filesWith("-secret@"), []);
    await post("/v1/tables/people/flush");
    assert.deepEqual(await emails("people"), expected);
    const [bob] = await client.query("SELECT id FROM people WHERE email = 'bob-secret@example.com' AND city LIKE 'v%'");
    assert.deepEqual(bob, { id: "b" });
    const stored = await storedValues("email");
    assert.ok(stored.length >= people.length);
    for (const value of stored) assert.match(value ?? "enc:1:00000000:", /^enc:1:[0-9a-f]{8}:/);
    assert.ok((await storedValues("city")).includes("visible-town"));
    const { table_info: info } = (await client.send("/v1/tables/people")).body as {
      readonly table_info: { readonly config: object; readonly columns: readonly object[] };
    };
    assert.deepEqual(info.config, {
      encrypted_columns: ["email"],
      properties: { a: "b" },
      id_strategy: "user_provided",
    });
    assert.deepEqual(info.columns[2], { id: 3, name: "email", type: "string", required: false, encrypted: true });
  });

  test("values that are merged, replaced, deleted and sent live are encrypted once", async () => {
    const live = await LiveClient.open(server.url);
    assert.equal((await live.subscribe({ table: "people", filter: "email LIKE 'carol%'" })).type, "subscribed");
    const merged = { table: "people", id: "d", payload: { city: "other" }, partial: true };
    assert.equal((await client.send("/v1/data", { method: "PUT", body: JSON.stringify(merged) })).status, 200);
    const patched = { table: "people", id: "c", payload: { email: "carol-secret@example.com" }, partial: true };
    assert.equal((await client.send("/v1/data", { method: "PUT", body: JSON.stringify(patched) })).status, 200);
    const again = { table: "people", id: "c", payload: { city: "moved" }, partial: true };
    assert.equal((await client.send("/v1/data", { method: "PUT", body: JSON.stringify(again) })).status, 200);
    let seen = await live.next();
    while (seen.type !== "rows") seen = await live.next();
    assert.equal(seen.rows?.[0]?.["email"], "carol-secret@example.com");
    await live.cut();
    await client.write("people", [{ id: "enc", timestamp, email: "enc:1:00000000:AAAA", city: "x" }]);
    assert.deepEqual(codeOf(await client.sendJson("/v1/tables/people/rows", [{ id: "n", email: 5 }])), [
      400,
      "ROW_REJECTED",
    ]);
    const deleted = await post("/v1/tables/people/delete", { where: "email = 'bob-secret@example.com'" });
    assert.equal((deleted.body as { readonly deleted_count: number }).deleted_count, 1);
    assert.deepEqual(await emails("people"), changed);
    assert.deepEqual(filesWith("-secret@"), []);
  });

  test("columns of Arrow, dictionaries too, and a batch that is sent twice", async () => {
    await post("/v1/tables", { table_name: "arrows", config: { encrypted_columns: ["email"] } });
    const text = new Utf8();
    const columns = {
      id: vectorFromArray(["a", "b", "c"], text),
      email: vectorFromArray(["x-secret@example.com", null, "x-secret@example.com"], new Dictionary(text, new Int32())),
    };
    const body = tableToIPC(new Table(columns), "stream");
    const headers = { "content-type": "application/vnd.apache.arrow.stream", "idempotency-key": "once" };
    const replies: WriteReply[] = [];
    for (let round = 0; round < 2; round++) {
      replies.push((await client.send("/v1/tables/arrows/rows", { body, headers })).body as WriteReply);
    }
    assert.deepEqual(
      replies.map(({ accepted }) => accepted),
      [3, 3],
    );
    assert.equal(replies[0]?.sequence, replies[1]?.sequence);
    assert.deepEqual(await emails("arrows"), ["a x-secret@example.com", "b -", "c x-secret@example.com"]);
    assert.deepEqual(filesWith("-secret@"), []);
  });

  test("no copy of its rows lies beside it: dead letters have no text, and a soft delete is refused", async () => {
    const rejected = [{ id: "bad", timestamp: "no time", email: "dora-secret@example.com" }];
    const reply = await client.sendJson("/v1/tables/people/rows?dead_letters=true", rejected);
    assert.equal((reply.body as { readonly dead_letters?: number }).dead_letters, 1);
    const letters = await client.query("SELECT column_name, code, raw FROM miniodb_rejected");
    assert.deepEqual(letters, [{ column_name: "timestamp", code: "INVALID_TIMESTAMP", raw: null }]);
    const soft = { table: "people", ids: ["a"], soft: true };
    const refused = await client.send("/v1/data", { method: "DELETE", body: JSON.stringify(soft) });
    assert.deepEqual(codeOf(refused), [400, "INVALID_REQUEST"]);
    assert.deepEqual(await emails("people"), changed);
    assert.deepEqual(filesWith("-secret@"), []);
  });
});

describe("a table that has rows", () => {
  test("keeps its old values as they are, and encrypts new ones; the column can be renamed", async () => {
    await client.write("late", [{ id: "a", timestamp, mail: "anna-early@example.com", phone: "555-early" }]);
    const reply = await change("late", { encrypted_columns: ["MAIL", "phone"], buffer_size: 1000 });
    assert.equal(reply.status, 200, JSON.stringify(reply.body));
    assert.deepEqual((reply.body as { readonly config: object }).config, {
      buffer_size: 1000,
      id_strategy: "user_provided",
      encrypted_columns: ["mail", "phone"],
    });
    await client.write("late", [{ id: "b", timestamp, mail: "ben-later@example.com", phone: "555-later" }]);
    const renamed = await client.send("/v1/tables/late/schema", {
      method: "PATCH",
      body: JSON.stringify({ changes: [{ op: "rename", name: "mail", to: "email" }] }),
    });
    assert.equal(renamed.status, 200, JSON.stringify(renamed.body));
    await client.write("late", [{ id: "c", timestamp, email: "cleo-later@example.com" }]);
    assert.deepEqual(await emails("late"), mails);
  });

  test("what cannot be encrypted is refused, and nothing has changed", async () => {
    await client.write("plain", [{ id: "a", timestamp, n: 1, text: "x" }]);
    await change("plain", { sort_order: ["text"] });
    for (const names of [["n"], ["id"], ["timestamp"], ["text"], ["other", "n"], "text"]) {
      assert.deepEqual(
        codeOf(await change("plain", { encrypted_columns: names })),
        [400, "INVALID_REQUEST"],
        String(names),
      );
    }
    assert.deepEqual(Object.keys((await client.query("SELECT * FROM plain"))[0] ?? {}), [
      "timestamp",
      "id",
      "n",
      "text",
    ]);
    assert.equal((await change("plain", { sort_order: null })).status, 200);
    assert.equal((await change("plain", { encrypted_columns: ["text"] })).status, 200);
    assert.deepEqual(codeOf(await change("plain", { sort_order: ["text"] })), [400, "INVALID_REQUEST"]);
    const drop = await client.send("/v1/tables/plain/schema", {
      method: "PATCH",
      body: JSON.stringify({ changes: [{ op: "drop", name: "text" }] }),
    });
    assert.deepEqual(codeOf(drop), [400, "INVALID_REQUEST"]);
    const created = { table_name: "never", config: { encrypted_columns: ["id"] } };
    assert.deepEqual(codeOf(await client.sendJson("/v1/tables", created)), [400, "INVALID_REQUEST"]);
  });
});

describe("after kill -9", () => {
  test("the log has what was written, before and after a new key; the old one decrypts", async () => {
    writeFileSync(keyFile, `${newKey}\n${oldKey}\n`);
    await server.kill();
    await server.restart();
    assert.deepEqual(await emails("people"), changed);
    assert.deepEqual(await emails("late"), mails);
    await client.write("people", [{ id: "f", timestamp, email: "frank-secret@example.com" }]);
    await post("/v1/tables/people/flush");
    await post("/v1/tables/late/flush");
    assert.deepEqual(await emails("people"), [...changed, "f frank-secret@example.com"]);
    assert.deepEqual(await emails("late"), mails);
    // A file is left out for none of its cipher texts.
    for (const name of ["anna-early", "ben-later", "cleo-later"]) {
      const sql = `SELECT count(*)::INTEGER AS n FROM late WHERE email = '${name}@example.com'`;
      assert.deepEqual(await client.query(sql), [{ n: 1 }], name);
    }
    assert.deepEqual(filesWith("-later"), []);
    await change("late", { encrypted_columns: [] });
    await client.write("late", [{ id: "d", timestamp, email: "dora-plain@example.com" }]);
    assert.deepEqual(await emails("late"), [...mails, "d dora-plain@example.com"]);
    assert.ok(filesWith("dora-plain").length > 0);
  });

  test("a copy that a restore makes can be read, and a merge of its files too", async () => {
    await post("/v1/tables/people/flush");
    const backups = new BackupClient(client);
    const made = await backups.create();
    const restored = await backups.restore({ backup_file: made.backup_id, rename: { people: "copy" } });
    assert.equal(restored["entries_ok"], 1, JSON.stringify(restored));
    assert.deepEqual(await emails("copy"), await emails("people"));
    await client.write("copy", [{ id: "g", timestamp, email: "grace-secret@example.com" }]);
    await post("/v1/tables/copy/compact", { full: true });
    assert.equal((await emails("copy")).at(-2), "f frank-secret@example.com");
    assert.deepEqual(filesWith("-secret@"), []);
  });

  test("without its key a column is locked, and the rest of the table is not", async () => {
    writeFileSync(keyFile, newKey);
    await server.kill();
    await server.restart();
    const all = await client.sendJson("/v1/query", { sql: "SELECT email FROM people" });
    assert.deepEqual(codeOf(all), [409, "COLUMN_LOCKED"]);
    assert.equal((await client.query("SELECT id, city FROM people")).length, 5);
    const [frank] = await client.query("SELECT email FROM people WHERE id = 'f'");
    assert.deepEqual(frank, { email: "frank-secret@example.com" });
    assert.deepEqual(filesWith("-secret@"), []);
  });
});
