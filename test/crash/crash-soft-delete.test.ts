/**
 * kill -9 between the two steps of a soft delete (rows are kept, rows go) and of its restore (rows are back, nothing is kept
 * any more). No row is lost: it is in its table, or kept, or for a moment both. The same request again brings about what it
 * would have, and no row comes twice, though nothing in an append table keeps two rows of an id apart. Each life begins armed
 * for the end of the next test. With the log's own place, and another start at the end:
 *
 *   MINIODB_TEST_FAILPOINT_KILLS=5
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { areAllPlaces, armed, QuietServer } from "./quiet-server.js";

const timestamp = "2026-11-20T12:00:00Z";
/** Four of them are more than what is decoded in one go. */
const longText = "x".repeat(300 * 1024);

interface Done {
  readonly deleted_count?: number;
  readonly restored_count?: number;
  readonly errors?: readonly string[] | null;
}

const skipLong = areAllPlaces ? false : "runs with MINIODB_TEST_FAILPOINT_KILLS=5";

describe("kill -9 between the steps of a soft delete", () => {
  const server = new QuietServer();
  const { client } = server;
  const remove = async (table: string, ids: readonly string[], soft = true): Promise<number> => {
    const reply = await client.send("/v1/data", { method: "DELETE", body: JSON.stringify({ table, ids, soft }) });
    assert.equal(reply.status, 200, JSON.stringify(reply.body));
    return (reply.body as Done).deleted_count ?? -1;
  };
  const restore = async (table: string, ids: readonly string[]): Promise<readonly [number, number, number]> => {
    const reply = await client.sendJson("/v1/data/restore", { table, ids });
    const { restored_count: restored = 0, errors } = reply.body as Done;
    return [reply.status, restored, errors?.length ?? 0];
  };
  const look = async (table: string): Promise<string> => {
    const rows = await client.query<{ id: string; n: number }>(`SELECT id, n FROM ${table} ORDER BY id, n`);
    return rows.map(({ id, n }) => `${id}${n}`).join(" ");
  };
  const kept = async (table: string): Promise<string> => {
    const rows = await client.query<{ row_id: string; rows: number }>(
      `SELECT row_id, count(*) AS rows FROM miniodb_deleted WHERE table_name = '${table}' GROUP BY 1 ORDER BY 1`,
    );
    return rows.map(({ row_id: id, rows: count }) => `${id}${count}`).join(" ");
  };
  const flush = async (table: string): Promise<void> => {
    assert.equal((await client.send(`/v1/tables/${table}/flush`, { method: "POST", body: "" })).status, 200);
  };
  const write = (table: string, rows: string, more: object = {}) =>
    client.write(
      table,
      rows.split(" ").map((row) => ({ timestamp, id: row.slice(0, 1), n: Number(row.slice(1)), ...more })),
    );
  const rowsBefore = "a1 a2 b3 c4";
  /** Between the steps: each row that was to go is in the table, and kept, and a restore leaves it alone. */
  const areInBoth = async (table: string): Promise<void> => {
    assert.equal(await look(table), rowsBefore);
    assert.equal(await kept(table), "a2 b1");
    assert.deepEqual(await restore(table, ["a", "b"]), [200, 0, 2]);
    assert.equal(await look(table), rowsBefore);
  };
  /** Before a flush and after it. */
  const areBack = async (table: string): Promise<void> => {
    assert.equal(await look(table), rowsBefore);
    await flush(table);
    assert.equal(await look(table), rowsBefore);
  };

  // Two rows of an id in the store and in the log each; a first deletion, so that the table of kept rows is there.
  before(async () => {
    await server.start(armed("keep.rows.kept", 3));
    for (const table of ["deleting", "restoring"]) {
      await write(table, "a1 b3");
      await flush(table);
      await write(table, "a2 c4");
    }
    await write("large", "a1 a2 b3 b4", { text: longText });
    assert.equal(await remove("large", ["a", "b"]), 4);
    assert.equal(await remove("restoring", ["a", "b"]), 3);
  });
  after(() => server.dispose());

  test("rows are kept, and have not gone: a second delete takes them, a restore brings each back once", async () => {
    const table = "deleting";
    await server.dieIn(() => remove(table, ["a", "b"]), armed("keep.rows.restored", 2));
    // Nothing was deleted: there is nothing to restore.
    await areInBoth(table);
    assert.equal(await remove(table, ["a", "b"]), 3);
    assert.equal(await look(table), "c4");
    assert.deepEqual(await restore(table, ["a", "b"]), [200, 3, 0]);
    await areBack(table);
  });

  test("rows are back, and still kept: a second restore leaves them alone, as does one after another delete", async () => {
    const table = "restoring";
    await server.dieIn(() => restore(table, ["a", "b"]), armed("keep.rows.restored", 2));
    await areInBoth(table);
    await areBack(table);
    assert.equal(await remove(table, ["a"]), 2);
    assert.equal(await look(table), "b3 c4");
    assert.deepEqual(await restore(table, ["a", "b"]), [200, 2, 1]);
    await areBack(table);
  });

  test("a large restore brings all rows back, or none", async () => {
    const table = "large";
    await server.dieIn(() => restore(table, ["a", "b"]));
    // Nothing is forgotten yet.
    assert.equal(await kept(table), "a2 b2");
    assert.equal(await look(table), "a1 a2 b3 b4");
    assert.deepEqual(await restore(table, ["a", "b"]), [200, 0, 2]);
    assert.equal(await look(table), "a1 a2 b3 b4");
  });

  test(
    "rows have gone, and nobody was told: they can be restored, and a second delete finds none",
    { skip: skipLong },
    async () => {
      const table = "deleting";
      // The first group has what is kept.
      await server.dieAt("wal.group.synced", () => remove(table, ["a", "b"]), { count: 2 });
      assert.equal(await look(table), "c4");
      assert.equal(await remove(table, ["a", "b"]), 0);
      assert.deepEqual(await restore(table, ["a", "b"]), [200, 3, 0]);
      assert.equal(await look(table), rowsBefore);
    },
  );

  test("all of it lives on, through a drain and another start", { skip: skipLong }, async () => {
    await server.stop();
    await server.start();
    for (const table of ["deleting", "restoring"]) assert.equal(await look(table), rowsBefore);
    assert.equal(await look("large"), "a1 a2 b3 b4");
    // What a delete for good leaves is in nobody's way.
    assert.equal(await remove("deleting", ["c"], false), 1);
    assert.deepEqual((await restore("deleting", ["c"]))[0], 404);
  });
});
