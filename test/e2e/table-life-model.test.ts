/**
 * Random lives of one table against a plain model: rows are written, flushed and deleted, columns renamed, dropped, added and
 * moved, states tagged and gone back to, the server killed. Every look agrees. Longer and other runs:
 *
 *   MINIODB_TEST_STEPS=500 MINIODB_TEST_SEED=1
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { HttpClient } from "../harness/http-client.js";
import { seededRandom } from "../harness/seeded-random.js";
import { ServerProcess } from "../harness/server-process.js";
import { sized, sizedBy } from "../harness/test-size.js";

const seed = Number(process.env["MINIODB_TEST_SEED"] ?? 20261123);
const steps = sizedBy("MINIODB_TEST_STEPS", 20, 40);
/** In a small run a life that would be killed more often writes instead: a start costs more than ten other steps. */
const killsMax = process.env["MINIODB_TEST_STEPS"] === undefined ? sized(2, Infinity) : Infinity;
const dayMs = 86_400_000;
const firstMs = Date.UTC(2026, 10, 20);

interface ModelColumn {
  /** Of this column alone, whatever its name is or was. */
  readonly uid: number;
  name: string;
  readonly type: "long" | "string";
}

interface ModelRow {
  readonly id: string;
  readonly values: ReadonlyMap<number, number | string>;
}

class Model {
  readonly columns: ModelColumn[] = [];
  rows: ModelRow[] = [];
  readonly tags = new Map<string, readonly ModelRow[]>();
  #lastUid = 0;

  add(name: string, type: ModelColumn["type"]): ModelColumn {
    const column = { uid: ++this.#lastUid, name, type };
    this.columns.push(column);
    return column;
  }

  /** As `SELECT *` has them, without timestamp. */
  look(rows: readonly ModelRow[]): string[] {
    return rows
      .map((row) => {
        const values = this.columns.map(({ uid, name }) => [name, row.values.get(uid) ?? null] as const);
        return JSON.stringify(Object.fromEntries([["id", row.id], ...values]));
      })
      .toSorted();
  }
}

describe(`a table's life against a model (seed ${seed}, ${steps} steps)`, () => {
  const random = seededRandom(seed);
  const model = new Model();
  const history: string[] = [];
  let server: ServerProcess;
  let client: HttpClient;
  let lastId = 0;
  let kills = 0;

  before(async () => {
    const merges = ["--compaction-interval-ms", "200", "--compaction-small-files-min", "2"];
    server = await ServerProcess.start({ flags: ["--flush-interval-ms", "1000", "--snapshots-keep", "2", ...merges] });
    client = new HttpClient(() => server.url);
    // A table without a commit has no state to tag.
    await write();
    await send("/flush", "POST", {});
  });
  after(() => server.dispose());

  async function send(path: string, method: "POST" | "PUT" | "PATCH", body: object): Promise<void> {
    const reply = await client.send(`/v1/tables/life${path}`, { method, body: JSON.stringify(body) });
    assert.equal(reply.status, 200, `${method} ${path}: ${JSON.stringify(reply.body)}`);
  }

  const change = (operation: object): Promise<void> => send("/schema", "PATCH", { changes: [operation] });
  const freshName = (): string => `c${random.integer(12)}`;
  const isFree = (name: string): boolean => model.columns.every((column) => column.name !== name);
  const anyColumn = (): ModelColumn | undefined => model.columns[random.integer(Math.max(1, model.columns.length))];

  async function write(): Promise<void> {
    const bodies: object[] = [];
    for (let count = 1 + random.integer(4); count > 0; count--) {
      const values = new Map<number, number | string>();
      const body: Record<string, unknown> = {
        timestamp: new Date(firstMs + random.integer(3) * dayMs).toISOString(),
        id: `r${++lastId}`,
      };
      const name = freshName();
      // A new key now and then: its first value gives it its type.
      if (random.integer(4) === 0 && isFree(name)) model.add(name, random.integer(2) === 0 ? "long" : "string");
      for (const column of model.columns) {
        if (column.name !== name && random.integer(2) === 0) continue;
        const value = column.type === "long" ? random.integer(1000) : `t${random.integer(1000)}`;
        values.set(column.uid, value);
        body[column.name] = value;
      }
      model.rows = [...model.rows, { id: `r${lastId}`, values }];
      bodies.push(body);
    }
    await client.write("life", bodies);
  }

  /** By a condition on a column, whatever it was called when the rows came, or by id. */
  async function remove(): Promise<string> {
    const column = anyColumn();
    const limit = random.integer(1000);
    let isGone = ({ id }: ModelRow): boolean => Number(id.slice(1)) % 5 === limit % 5;
    let where = `substr(id, 2)::BIGINT % 5 = ${limit % 5}`;
    if (column !== undefined && column.type === "long") {
      isGone = ({ values }) => Number(values.get(column.uid) ?? Infinity) < limit / 4;
      where = `"${column.name}" < ${limit / 4}`;
    } else if (column !== undefined) {
      isGone = ({ values }) => `${values.get(column.uid) ?? ""}`.endsWith(`${limit % 10}`);
      where = `"${column.name}" LIKE '%${limit % 10}'`;
    }
    const reply = await client.sendJson("/v1/tables/life/delete", { where });
    const gone = model.rows.filter(isGone).length;
    assert.deepEqual([reply.status, (reply.body as { deleted_count?: number }).deleted_count], [200, gone], where);
    model.rows = model.rows.filter((row) => !isGone(row));
    return `delete ${where}`;
  }

  async function changeColumns(): Promise<string> {
    const column = anyColumn();
    const name = freshName();
    const kind = random.integer(4);
    if (kind === 0 && isFree(name)) {
      const { type } = model.add(name, random.integer(2) === 0 ? "long" : "string");
      await change({ op: "add", name, type });
      return `add ${name}`;
    }
    if (column === undefined) return "nothing";
    if (kind === 1 && isFree(name)) {
      const before = column.name;
      column.name = name;
      await change({ op: "rename", name: before, to: name });
      return `rename ${before} to ${name}`;
    }
    if (kind === 2) {
      model.columns.splice(model.columns.indexOf(column), 1);
      await change({ op: "drop", name: column.name });
      return `drop ${column.name}`;
    }
    await change({ op: "move", name: column.name, after: null });
    model.columns.splice(model.columns.indexOf(column), 1);
    model.columns.unshift(column);
    return `move ${column.name}`;
  }

  async function travel(): Promise<string> {
    const tag = `t${random.integer(3)}`;
    const tagged = model.tags.get(tag);
    if (tagged === undefined || random.integer(3) === 0) {
      await send(`/tags/${tag}`, "PUT", {});
      model.tags.set(tag, model.rows);
      return `tag ${tag}`;
    }
    await send("/rollback", "POST", { tag, allow_missing_columns: true });
    model.rows = [...tagged];
    return `rollback to ${tag}`;
  }

  async function step(): Promise<string> {
    const kind = random.integer(24);
    if (kind >= 20) return remove();
    if (kind < 9 || (kind === 19 && kills === killsMax)) {
      await write();
      return "write";
    }
    if (kind < 11) {
      await send("/flush", "POST", {});
      return "flush";
    }
    if (kind < 16) return changeColumns();
    if (kind < 19) return travel();
    kills++;
    await server.kill();
    await server.restart();
    return "kill";
  }

  async function seen(): Promise<string[]> {
    const rows = await client.query("SELECT * EXCLUDE (timestamp) FROM life");
    // The model has numbers in the order of its columns, as SELECT * does.
    return rows.map((row) => JSON.stringify(row)).toSorted();
  }

  test("every look agrees", { timeout: 600_000 }, async () => {
    for (let count = 0; count < steps; count++) {
      history.push(await step());
      assert.deepEqual(await seen(), model.look(model.rows), `after ${history.join(", ")}`);
    }
    const counts = await client.query<{ c: number }>("SELECT count(*) AS c FROM life");
    assert.equal(counts[0]?.c, model.rows.length);
    const { body } = await client.send("/v1/tables/life");
    const { stats } = (body as { table_info: { stats: { record_count: number } } }).table_info;
    assert.equal(stats.record_count, model.rows.length);
    for (const [tag, rows] of model.tags) {
      const ids = await client.query<{ id: string }>("SELECT id FROM life ORDER BY id", { tag });
      assert.deepEqual(
        ids.map(({ id }) => id),
        rows.map(({ id }) => id).toSorted(),
        tag,
      );
    }
  });
});
