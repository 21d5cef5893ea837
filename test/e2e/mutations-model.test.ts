/**
 * Random replaces, merges and deletes by id, alone and mixed in batches, in a table of each mode, against a plain model: among inserts, flushes, merges of
 * files, deletes by condition, a column that widens, and kills. Every look agrees. Longer and other runs:
 *
 *   MINIODB_TEST_STEPS=500 MINIODB_TEST_SEED=1
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { HttpClient, type Reply } from "../harness/http-client.js";
import { seededRandom } from "../harness/seeded-random.js";
import { ServerProcess } from "../harness/server-process.js";

const seed = Number(process.env["MINIODB_TEST_SEED"] ?? Date.now() % 1_000_000);
const steps = Number(process.env["MINIODB_TEST_STEPS"] ?? 20);
const dayMs = 86_400_000;
const firstMs = Date.UTC(2026, 10, 20);
/** Few, so that most of them are met again. */
const ids = Array.from({ length: 12 }, (_, index) =>
  index % 4 === 3 ? `längere-ïd-${index}-mit-mehr-Zeichen` : `r${index}`,
);

interface Row {
  readonly timestamp: string;
  readonly id: string | null;
  readonly n: number | null;
  readonly text: string | null;
}

type Values = Partial<Pick<Row, "n" | "text">>;

describe(`mutations against a model (seed ${seed}, ${steps} steps)`, () => {
  const random = seededRandom(seed);
  const tables = new Map<string, Row[]>([
    ["appended", []],
    ["upserted", []],
  ]);
  const history: string[] = [];
  let server: ServerProcess;
  let client: HttpClient;
  let lastTime = 0;

  before(async () => {
    const merges = ["--compaction-interval-ms", "150", "--compaction-small-files-min", "2"];
    const small = ["--flush-interval-ms", "700", "--seal-hot-segments-max", "2", "--seal-tail-rows-max", "3"];
    server = await ServerProcess.start({ flags: [...merges, ...small] });
    client = new HttpClient(() => server.url);
    const rule = { max_length: 100, pattern: ".*" };
    for (const [table, mode] of [
      ["appended", "append"],
      ["upserted", "upsert"],
    ]) {
      const reply = await client.sendJson("/v1/tables", { table_name: table, config: { mode, id_validation: rule } });
      assert.equal(reply.status, 200, JSON.stringify(reply.body));
    }
    // Columns are there before the first look.
    for (const table of tables.keys()) await write(table, [newRow(ids[0] as string)], table === "upserted");
  });
  after(() => server.dispose());

  /** No two rows have the same time: where several have one id, the latest is the one that a merge takes. */
  function newTime(): string {
    lastTime += 1;
    return new Date(firstMs + random.integer(3) * dayMs + lastTime).toISOString();
  }

  function newRow(id: string): Row {
    return { timestamp: newTime(), id, n: random.integer(100), text: `t${random.integer(1000)}` };
  }

  const without = (rows: readonly Row[], gone: ReadonlySet<string>): Row[] =>
    rows.filter(({ id }) => id === null || !gone.has(id));
  const rowsOf = (table: string): Row[] => tables.get(table) ?? [];
  const someIds = (): string[] => Array.from({ length: 1 + random.integer(4) }, () => random.pick(ids));

  async function write(table: string, rows: readonly Row[], isReplacing: boolean, query = ""): Promise<void> {
    const body = rows.map((row) => JSON.stringify(row)).join("\n");
    const headers = { "content-type": "application/x-ndjson" };
    const reply = await client.send(`/v1/tables/${table}/rows${query}`, { body, headers });
    assert.deepEqual(
      [reply.status, (reply.body as { rejected: number }).rejected],
      [200, 0],
      JSON.stringify(reply.body),
    );
    let known = rowsOf(table);
    for (const row of rows) known = [...(isReplacing ? without(known, new Set([row.id ?? ""])) : known), row];
    tables.set(table, known);
  }

  async function insert(table: string): Promise<string> {
    const rows: Row[] = someIds().map(newRow);
    if (table === "appended" && random.integer(4) === 0) rows.push({ ...newRow(""), id: null });
    await write(table, rows, table === "upserted");
    return `insert ${rows.map(({ id }) => id).join(" ")}`;
  }

  async function bulkReplace(table: string): Promise<string> {
    const rows = someIds().map(newRow);
    await write(table, rows, true, "?mode=replace");
    return `bulk replace ${rows.map(({ id }) => id).join(" ")}`;
  }

  /** Inserts, replaces and deletes in one batch, the same ids again and again. */
  async function mixed(table: string): Promise<string> {
    let known = rowsOf(table);
    const lines: string[] = [];
    const done: string[] = [];
    for (let count = 1 + random.integer(12); count > 0; count--) {
      const row = newRow(random.pick(ids));
      const op = random.pick([undefined, null, "insert", "c", "REPLACE", "u", "delete", "d"]);
      const isPlain = op === undefined || op === null || op === "insert" || op === "c";
      const stays = isPlain && table === "appended" ? known : without(known, new Set([row.id ?? ""]));
      known = op === "delete" || op === "d" ? stays : [...stays, row];
      lines.push(JSON.stringify({ ...row, _op: op }));
      done.push(`${op} ${row.id}`);
    }
    const headers = { "content-type": "application/x-ndjson" };
    const reply = await client.send(`/v1/tables/${table}/rows?mode=operations`, { body: lines.join("\n"), headers });
    const { accepted, rejected } = reply.body as { accepted: number; rejected: number };
    assert.deepEqual([reply.status, accepted, rejected], [200, lines.length, 0], JSON.stringify(reply.body));
    tables.set(table, known);
    return `mixed (${done.join(", ")})`;
  }

  function send(method: "PUT" | "DELETE", body: object): Promise<Reply> {
    const headers = { "content-type": "application/json" };
    return client.send("/v1/data", { method, body: JSON.stringify(body), headers });
  }

  async function replace(table: string): Promise<string> {
    const { timestamp, id, n, text } = newRow(random.pick(ids));
    // Now and then a fraction: the column widens.
    const payload = { n: random.integer(12) === 0 ? 0.5 : n, text };
    const reply = await send("PUT", { table, id, timestamp, payload });
    assert.equal(reply.status, 200, JSON.stringify(reply.body));
    tables.set(table, [...without(rowsOf(table), new Set([id ?? ""])), { timestamp, id, ...payload }]);
    return `replace ${id}`;
  }

  async function merge(table: string): Promise<string> {
    const id = random.pick(ids);
    const payload: Values =
      random.integer(2) === 0 ? { n: random.integer(100) } : { text: random.pick(["partial", "x"]) };
    const timestamp = random.integer(3) === 0 ? newTime() : undefined;
    const reply = await send("PUT", { table, id, payload, partial: true, ...(timestamp && { timestamp }) });
    const known = rowsOf(table)
      .filter((row) => row.id === id)
      .toSorted((one, other) => (one.timestamp < other.timestamp ? -1 : 1))
      .at(-1);
    assert.equal(reply.status, known === undefined ? 404 : 200, JSON.stringify(reply.body));
    if (known === undefined) return `merge ${id}, which is not there`;
    const merged = { ...known, ...payload, ...(timestamp && { timestamp }) };
    tables.set(table, [...without(rowsOf(table), new Set([id])), merged]);
    return `merge ${id}`;
  }

  async function remove(table: string): Promise<string> {
    const gone = new Set(someIds());
    const reply = await send("DELETE", { table, ids: [...gone] });
    const left = without(rowsOf(table), gone);
    const { deleted_count: count } = reply.body as { deleted_count: number };
    assert.deepEqual([reply.status, count], [200, rowsOf(table).length - left.length], JSON.stringify(reply.body));
    tables.set(table, left);
    return `delete ${[...gone].join(" ")}`;
  }

  async function removeWhere(table: string): Promise<string> {
    const n = random.integer(20);
    const reply = await client.sendJson(`/v1/tables/${table}/delete`, { where: `n = ${n}` });
    const left = rowsOf(table).filter((row) => row.n !== n);
    const { deleted_count: count } = reply.body as { deleted_count: number };
    assert.deepEqual([reply.status, count], [200, rowsOf(table).length - left.length], JSON.stringify(reply.body));
    tables.set(table, left);
    return `delete n = ${n}`;
  }

  async function step(): Promise<string> {
    const table = random.integer(2) === 0 ? "appended" : "upserted";
    const kind = random.integer(30);
    if (kind === 0) {
      await server.kill();
      await server.restart();
      return "kill";
    }
    if (kind < 4) {
      const reply = await client.send(`/v1/tables/${table}/flush`, { method: "POST", body: "" });
      assert.equal(reply.status, 200, JSON.stringify(reply.body));
      return `${table}: flush`;
    }
    const changes = [replace, replace, replace, merge, merge, remove, remove, removeWhere];
    const acts = [insert, insert, bulkReplace, mixed, mixed, mixed, ...changes];
    // Several without a look between them: one segment then holds rows and what replaces them.
    const done: string[] = [];
    for (let count = 1 + random.integer(4); count > 0; count--) done.push(await random.pick(acts)(table));
    return `${table}: ${done.join(" + ")}`;
  }

  const sorted = (rows: readonly Row[]): string[] =>
    rows.map(({ timestamp, id, n, text }) => JSON.stringify([timestamp, id, n, text])).toSorted();

  test("every look agrees", { timeout: 900_000 }, async () => {
    for (let count = 0; count < steps; count++) {
      history.push(await step());
      for (const [table, rows] of tables) {
        const seen = await client.query<Row>(`SELECT timestamp, id, n, text FROM ${table}`);
        assert.deepEqual(sorted(seen), sorted(rows), `${table} after ${history.join(", ")}`);
        assert.equal(await client.count(table), rows.length, table);
      }
    }
    for (const [table, rows] of tables) {
      const { body } = await client.send(`/v1/tables/${table}`);
      const { stats } = (body as { table_info: { stats: { record_count: number } } }).table_info;
      assert.equal(stats.record_count, rows.length, table);
    }
  });
});
