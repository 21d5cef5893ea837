/**
 * kill -9 within the commits that change a table as a whole: settings, old days, columns, rollback, tags. Each is done or
 * not done afterwards, no row is lost or comes twice, and the same request brings it about. By default each change is killed
 * at one place of its commit, another each; all places:
 *
 *   MINIODB_TEST_FAILPOINT_KILLS=5
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { FailpointName } from "../../src/shared/failpoints.js";
import type { HttpClient, Reply, Sending } from "../harness/http-client.js";
import { someOf } from "../harness/test-size.js";
import { areAllPlaces, armed, QuietServer } from "./quiet-server.js";

const places: readonly FailpointName[] = [
  "commit.metadata.written",
  "commit.begun",
  "commit.list.written",
  "commit.hint.written",
  "commit.manifest.written",
];

const dayMs = 86_400_000;
const today = new Date(Math.floor(Date.now() / dayMs) * dayMs + dayMs / 2).toISOString();
const longAgo = new Date(Date.now() - 100 * dayMs).toISOString();

/** What a client sees of the table, as one text. */
type Look = (client: HttpClient, table: string) => Promise<string>;

interface TableChange {
  readonly name: string;
  /** Makes the table, with rows in the store and rows that are not. */
  readonly prepare: (client: HttpClient, table: string) => Promise<void>;
  readonly request: (client: HttpClient, table: string) => Promise<Sending & { readonly path: string }>;
  readonly look: Look;
  readonly before: string;
  readonly after: string;
  /** Places that its commit does not pass. */
  readonly without: readonly FailpointName[];
}

async function send(client: HttpClient, path: string, method: "POST" | "PUT", body: object): Promise<Reply> {
  const reply = await client.send(path, { method, body: JSON.stringify(body) });
  assert.equal(reply.status, 200, JSON.stringify(reply.body));
  return reply;
}

async function flush(client: HttpClient, table: string): Promise<string> {
  const reply = await send(client, `/v1/tables/${table}/flush`, "POST", {});
  return (reply.body as { readonly snapshot_id: string }).snapshot_id;
}

async function write(client: HttpClient, table: string, id: string, more: object = {}): Promise<void> {
  await client.write(table, [{ timestamp: today, id, n: id.length, ...more }]);
}

async function someRows(client: HttpClient, table: string): Promise<void> {
  await write(client, table, "a");
  await flush(client, table);
  await write(client, table, "bb");
}

const lookAtRows: Look = async (client, table) => {
  const rows = await client.query(`SELECT * EXCLUDE (timestamp) FROM ${table} ORDER BY id`);
  return rows.map((row) => JSON.stringify(row)).join(" ");
};

const withoutFiles: readonly FailpointName[] = ["commit.list.written", "commit.manifest.written"];

const changes: readonly TableChange[] = [
  {
    name: "settings",
    prepare: someRows,
    request: async (_, table) => ({
      path: `/v1/tables/${table}`,
      method: "PUT",
      body: '{"config":{"retention_days":5}}',
    }),
    look: async (client, table) => {
      const { table_info: info } = (await client.send(`/v1/tables/${table}`)).body as {
        readonly table_info: { readonly config: object; readonly stats: { readonly record_count: number } };
      };
      return JSON.stringify([info.config, info.stats.record_count]);
    },
    before: '[{"id_strategy":"user_provided"},2]',
    after: '[{"retention_days":5,"id_strategy":"user_provided"},2]',
    without: withoutFiles,
  },
  {
    name: "retention",
    prepare: async (client, table) => {
      await client.write(table, [
        { timestamp: longAgo, id: "old" },
        { timestamp: today, id: "young" },
      ]);
      await flush(client, table);
      await write(client, table, "hot");
      await send(client, `/v1/tables/${table}`, "PUT", { config: { retention_days: 5 } });
    },
    request: async (_, table) => ({ path: `/v1/tables/${table}/retention`, method: "POST", body: "{}" }),
    look: async (client, table) => {
      const rows = await client.query<{ id: string }>(`SELECT id FROM ${table} ORDER BY id`);
      return rows.map(({ id }) => id).join(" ");
    },
    before: "hot old young",
    after: "hot young",
    without: [],
  },
  {
    name: "columns",
    prepare: async (client, table) => {
      await write(client, table, "a", { gone: "x" });
      await flush(client, table);
      await write(client, table, "bb", { gone: "y" });
    },
    request: async (_, table) => {
      const list = [
        { op: "rename", name: "n", to: "m" },
        { op: "drop", name: "gone" },
        { op: "add", name: "n", type: "string", after: null },
      ];
      return { path: `/v1/tables/${table}/schema`, method: "PATCH", body: JSON.stringify({ changes: list }) };
    },
    look: lookAtRows,
    before: '{"id":"a","n":1,"gone":"x"} {"id":"bb","n":2,"gone":"y"}',
    after: '{"id":"a","n":null,"m":1} {"id":"bb","n":null,"m":2}',
    without: withoutFiles,
  },
  {
    name: "a column that becomes double",
    prepare: async (client, table) => {
      await write(client, table, "a");
      await flush(client, table);
    },
    request: async (_, table) => {
      const body = JSON.stringify({ changes: [{ op: "type", name: "n", type: "double" }] });
      return { path: `/v1/tables/${table}/schema`, method: "PATCH", body };
    },
    look: async (client, table) => JSON.stringify(await client.query(`SELECT n, typeof(n) AS t FROM ${table}`)),
    before: '[{"n":1,"t":"BIGINT"}]',
    after: '[{"n":1,"t":"DOUBLE"}]',
    without: [],
  },
  {
    name: "rollback",
    prepare: async (client, table) => {
      await someRows(client, table);
      await flush(client, table);
    },
    request: async (client, table) => {
      const { snapshots } = (await client.send(`/v1/tables/${table}/snapshots`)).body as {
        readonly snapshots: readonly { readonly snapshot_id: string }[];
      };
      const body = JSON.stringify({ snapshot_id: snapshots.at(-1)?.snapshot_id });
      return { path: `/v1/tables/${table}/rollback`, method: "POST", body };
    },
    look: lookAtRows,
    before: '{"id":"a","n":1} {"id":"bb","n":2}',
    after: '{"id":"a","n":1}',
    without: ["commit.manifest.written"],
  },
  {
    name: "a tag",
    prepare: async (client, table) => {
      await someRows(client, table);
      await flush(client, table);
    },
    request: async (_, table) => ({ path: `/v1/tables/${table}/tags/v1`, method: "PUT", body: "{}" }),
    look: async (client, table) => {
      const { tags } = (await client.send(`/v1/tables/${table}/tags`)).body as {
        readonly tags: readonly { readonly tag: string; readonly rows: number }[];
      };
      return `${JSON.stringify(tags.map(({ tag, rows }) => [tag, rows]))} ${await lookAtRows(client, table)}`;
    },
    before: '[] {"id":"a","n":1} {"id":"bb","n":2}',
    after: '[["v1",2]] {"id":"a","n":1} {"id":"bb","n":2}',
    without: withoutFiles,
  },
  {
    name: "settings and encrypted columns",
    prepare: someRows,
    request: async (_, table) => {
      const config = { retention_days: 5, encrypted_columns: ["secret"] };
      return { path: `/v1/tables/${table}`, method: "PUT", body: JSON.stringify({ config }) };
    },
    look: async (client, table) => {
      const { table_info: info } = (await client.send(`/v1/tables/${table}`)).body as {
        readonly table_info: { readonly config: Readonly<Record<string, unknown>> };
      };
      return JSON.stringify([info.config["retention_days"] ?? null, info.config["encrypted_columns"] ?? null]);
    },
    before: "[null,null]",
    after: '[5,["secret"]]',
    without: withoutFiles,
  },
];

/** Each change at each of its chosen places, with a table of its own. */
const allKills = changes.flatMap((change, index) => {
  const met = places.filter((place) => !change.without.includes(place));
  const chosen = areAllPlaces ? met : met.slice(index % met.length, (index % met.length) + 1);
  return chosen.map((place) => ({ change, place, table: `t${index}_${places.indexOf(place)}` }));
});
const kills = areAllPlaces ? allKills : someOf(allKills, 2);

describe("kill -9 in a change of a table", () => {
  const server = new QuietServer({ MINIODB_ENCRYPTION_KEY: Buffer.alloc(32, 7).toString("base64") });
  const { client } = server;

  // All of them in one life: a start costs more than a table.
  before(async () => {
    await server.start();
    for (const { change, table } of kills) {
      await change.prepare(client, table);
      assert.equal(await change.look(client, table), change.before);
    }
  });
  after(() => server.dispose());

  // Each life but the first ends in one of the changes. It commits nothing else: that would pass the place where it is to end.
  for (const [index, { change, place, table }] of kills.entries()) {
    test(`${change.name}, at ${place}`, async () => {
      const { path, ...sending } = await change.request(client, table);
      const following = kills[index + 1];
      const next = following === undefined ? {} : armed(following.place, 1);
      await server.dieAt(place, () => client.send(path, sending), { next });
      const seen = await change.look(client, table);
      assert.ok(seen === change.before || seen === change.after, `${seen} is neither before nor after`);
      if (place === "commit.begun") assert.equal(seen, change.before);
      if (place === "commit.metadata.written" || place === "commit.hint.written") assert.equal(seen, change.after);
    });
  }

  for (const { change, place, table } of kills) {
    test(`${change.name}, at ${place}: the same request brings it about, and rows are flushed once`, async () => {
      if ((await change.look(client, table)) === change.before) {
        const { path, ...sending } = await change.request(client, table);
        const reply = await client.send(path, sending);
        assert.equal(reply.status, 200, JSON.stringify(reply.body));
      }
      assert.equal(await change.look(client, table), change.after);
      // What was not flushed is flushed under the new state, once.
      await flush(client, table);
      assert.equal(await change.look(client, table), change.after);
    });
  }

  test("all tables live on, through a drain and another start", async () => {
    const lookAtAll = () => Promise.all(kills.map(({ change, table }) => change.look(client, table)));
    for (const { table } of kills) await client.write(table, [{ timestamp: today, id: "later" }]);
    const seen = await lookAtAll();
    await server.stop();
    await server.start();
    assert.deepEqual(await lookAtAll(), seen);
    for (const { table } of kills) await flush(client, table);
    assert.deepEqual(await lookAtAll(), seen);
  });
});
