/**
 * kill -9 in the flush of rows that replace and delete others, and in the group commit of a batch that does both: every look afterwards has
 * the new row or the old one, never both and never neither, and the store has the rows of before the flush or of after it. By
 * default some of the places; all:
 *
 *   MINIODB_TEST_FAILPOINT_KILLS=5
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { FailpointName } from "../../src/shared/failpoints.js";
import { someOf } from "../harness/test-size.js";
import { areAllPlaces, armed, QuietServer } from "./quiet-server.js";

const flushPlaces: readonly FailpointName[] = [
  "commit.metadata.written",
  "flush.commit.next",
  "commit.list.written",
  "flush.file.stored",
  "commit.manifest.written",
  "commit.hint.written",
  "flush.file.written",
  "commit.begun",
];
const chosen = areAllPlaces ? flushPlaces : someOf(flushPlaces.slice(0, 3), 1);
const logPlacesAll: readonly FailpointName[] = ["wal.group.written", "wal.group.synced"];
const logPlaces = areAllPlaces ? logPlacesAll : someOf(logPlacesAll, 1);
/** In the order of the tests. */
const lives = [...chosen, ...logPlaces];
const timestamp = "2026-11-20T12:00:00Z";

describe("kill -9 among mutations", () => {
  const server = new QuietServer();
  const { client } = server;
  const flushed = (place: FailpointName): string => `flushed_${flushPlaces.indexOf(place)}`;
  const logged = (place: FailpointName): string => `logged_${place.replaceAll(".", "_")}`;

  const send = async (method: "PUT" | "DELETE", body: object): Promise<void> => {
    const reply = await client.send("/v1/data", { method, body: JSON.stringify(body) });
    assert.equal(reply.status, 200, JSON.stringify(reply.body));
  };
  const operate = async (table: string, rows: readonly object[]): Promise<void> => {
    const body = rows.map((row) => JSON.stringify(row)).join("\n");
    const headers = { "content-type": "application/x-ndjson" };
    const reply = await client.send(`/v1/tables/${table}/rows?mode=operations`, { body, headers });
    assert.equal(reply.status, 200, JSON.stringify(reply.body));
  };
  const look = async (table: string, more: Readonly<Record<string, unknown>> = {}): Promise<string> => {
    const rows = await client.query<{ id: string; n: number }>(`SELECT id, n FROM ${table} ORDER BY id, n`, more);
    return rows.map(({ id, n }) => `${id}${n}`).join(" ");
  };
  const flush = (table: string) => client.send(`/v1/tables/${table}/flush`, { method: "POST", body: "" });
  const stored = async (table: string): Promise<string> => {
    const { snapshots } = (await client.send(`/v1/tables/${table}/snapshots`)).body as {
      readonly snapshots: readonly { readonly snapshot_id: string }[];
    };
    return look(table, { snapshot_id: snapshots[0]?.snapshot_id });
  };

  const rowsBefore = "a1 b2 c3 d4";
  const rowsAfter = "a5 c7 d4";
  /** Four rows in the store, and in the log what changes three of them. */
  const prepare = async (table: string): Promise<void> => {
    await client.write(
      table,
      [1, 2, 3, 4].map((n) => ({ timestamp, id: `${"abcd"[n - 1]}`, n })),
    );
    assert.equal((await flush(table)).status, 200);
    await send("PUT", { table, id: "a", timestamp, payload: { n: 5 } });
    await client.write(table, [{ timestamp, id: "e", n: 6 }]);
    await operate(table, [
      { _op: "d", id: "b" },
      { _op: "c", id: "passing", n: 9 },
      { _op: "d", id: "passing" },
      { _op: "d", id: "e" },
    ]);
    await send("PUT", { table, id: "c", payload: { n: 7 }, partial: true });
    assert.equal(await look(table), rowsAfter);
  };

  // All tables in one life: a start costs more than a table.
  before(async () => {
    await server.start();
    for (const place of chosen) await prepare(flushed(place));
    for (const place of logPlaces) {
      await client.write(logged(place), [{ timestamp, id: "a", n: 1 }]);
      assert.equal((await flush(logged(place))).status, 200);
    }
  });
  after(() => server.dispose());

  // Each life but the first ends in one of the requests. It writes nothing else: that might pass the place where it is to end.
  const dieAt = (place: FailpointName, request: () => Promise<unknown>): Promise<void> => {
    const following = lives[lives.indexOf(place) + 1];
    return server.dieAt(place, request, { next: following === undefined ? {} : armed(following, 1) });
  };

  for (const place of chosen) {
    test(`in a flush, at ${place}`, async () => {
      const table = flushed(place);
      await dieAt(place, () => flush(table));
      assert.equal(await look(table), rowsAfter);
      const seen = await stored(table);
      assert.ok(seen === rowsBefore || seen === rowsAfter, `the store has ${seen}`);
      if (place === "commit.begun" || place === "flush.commit.next") assert.equal(seen, rowsBefore);
      if (place === "commit.metadata.written" || place === "commit.hint.written") assert.equal(seen, rowsAfter);
    });
  }

  for (const place of logPlaces) {
    test(`in the group commit of a batch that deletes, replaces and inserts, at ${place}`, async () => {
      const table = logged(place);
      const batch = [
        { _op: "d", id: "a" },
        { _op: "u", timestamp, id: "b", n: 1 },
        { _op: "c", timestamp, id: "c", n: 1 },
        { _op: "c", timestamp, id: "a", n: 2 },
      ];
      await dieAt(place, () => operate(table, batch));
      const seen = await look(table);
      assert.ok(seen === "a1" || seen === "a2 b1 c1", seen);
      if (place === "wal.group.synced") assert.equal(seen, "a2 b1 c1");
    });
  }

  test("what was cut off is flushed by the same request, with what came since", async () => {
    for (const table of chosen.map(flushed)) {
      assert.equal(await look(table), rowsAfter);
      await send("PUT", { table, id: "d", timestamp, payload: { n: 8 } });
      assert.equal((await flush(table)).status, 200);
      assert.equal(await look(table), "a5 c7 d8");
      assert.equal(await stored(table), "a5 c7 d8");
    }
    for (const table of logPlaces.map(logged)) {
      const seen = await look(table);
      assert.equal((await flush(table)).status, 200);
      assert.equal(await look(table), seen);
      assert.equal(await stored(table), seen);
    }
  });

  test("all tables live on, through a drain and another start", async () => {
    const tables = [...chosen.map(flushed), ...logPlaces.map(logged)];
    const seen = await Promise.all(tables.map((table) => look(table)));
    await server.stop();
    await server.start();
    assert.deepEqual(await Promise.all(tables.map((table) => look(table))), seen);
  });
});
