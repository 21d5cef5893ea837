/** Deletes by predicate and by id, as clients meet them. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { AfterKill } from "../harness/after-kill.js";
import { HttpClient, type Reply } from "../harness/http-client.js";
import { seededRandom } from "../harness/seeded-random.js";
import { ServerProcess } from "../harness/server-process.js";

const seed = Number(process.env["MINIODB_TEST_SEED"] ?? Date.now() % 1_000_000);
const rounds = Number(process.env["MINIODB_TEST_DELETE_ROUNDS"] ?? 4);
const kills = Number(process.env["MINIODB_TEST_DELETE_KILLS"] ?? 1);
const rowsMs = Date.UTC(2026, 8, 1);
const dayMs = 86_400_000;

let server: ServerProcess;
let client: HttpClient;
const afterKill = new AfterKill();

before(async () => {
  // Merges run all the time, and meet the deletes.
  server = await ServerProcess.start({
    flags: [
      "--compaction-interval-ms",
      "150",
      "--compaction-small-files-min",
      "2",
      "--snapshots-max-age-ms",
      "3600000",
    ],
  });
  client = new HttpClient(() => server.url);
});
after(() => server.dispose());

interface Deleted {
  readonly success: boolean;
  readonly deleted_count: number;
  readonly dry_run: boolean;
  readonly snapshot_id: string | null;
  readonly sequence: string;
}

async function deleteWhere(table: string, body: object): Promise<Deleted> {
  const reply = await client.sendJson(`/v1/tables/${table}/delete`, body);
  assert.equal(reply.status, 200, JSON.stringify(reply.body));
  return reply.body as Deleted;
}

async function flush(table: string): Promise<void> {
  const reply = await client.send(`/v1/tables/${table}/flush`, { method: "POST", body: "" });
  assert.equal(reply.status, 200, JSON.stringify(reply.body));
}

async function numbersOf(table: string, more: Readonly<Record<string, unknown>> = {}): Promise<number[]> {
  const rows = await client.query<{ n: number }>(`SELECT n FROM ${table} ORDER BY n`, more);
  return rows.map(({ n }) => n);
}

function rowsFrom(first: number, count: number): object[] {
  return Array.from({ length: count }, (_, index) => {
    const n = first + index;
    return { timestamp: rowsMs + (n % 3) * dayMs, id: `row-${n}`, n, host: `host-${n % 7}` };
  });
}

const without = (count: number, gone: (n: number) => boolean): number[] =>
  Array.from({ length: count }, (_, n) => n).filter((n) => !gone(n));

describe("delete by predicate", () => {
  test("counts, deletes, and says which snapshot is without the rows", async () => {
    await client.write("plain", rowsFrom(0, 300));
    const counted = await deleteWhere("plain", { where: "n % 10 = 3", dry_run: true });
    assert.deepEqual([counted.deleted_count, counted.dry_run], [30, true]);
    assert.equal((await numbersOf("plain")).length, 300);
    const deleted = await deleteWhere("plain", { where: "n % 10 = 3" });
    assert.deepEqual([deleted.deleted_count, deleted.dry_run, deleted.success], [30, false, true]);
    const left = without(300, (n) => n % 10 === 3);
    assert.deepEqual(await numbersOf("plain"), left);
    assert.deepEqual(await numbersOf("plain", { min_sequence: deleted.sequence }), left);
    const again = await deleteWhere("plain", { where: "n % 10 = 3" });
    assert.equal(again.deleted_count, 0);
    const info = await client.send("/v1/tables/plain");
    const { stats } = (info.body as { table_info: { stats: { record_count: number } } }).table_info;
    assert.equal(stats.record_count, 270);
  });

  test("a snapshot keeps its rows, and its deletes", async () => {
    await client.write("past", rowsFrom(0, 100));
    const first = await deleteWhere("past", { where: "n < 10" });
    const second = await deleteWhere("past", { where: "n BETWEEN 5 AND 19" });
    assert.equal(second.deleted_count, 10);
    assert.deepEqual(
      await numbersOf("past", { snapshot_id: first.snapshot_id }),
      without(100, (n) => n < 10),
    );
    assert.deepEqual(
      await numbersOf("past", { snapshot_id: second.snapshot_id }),
      without(100, (n) => n < 20),
    );
    const back = await client.sendJson("/v1/tables/past/rollback", { snapshot_id: first.snapshot_id });
    assert.equal(back.status, 200, JSON.stringify(back.body));
    assert.deepEqual(
      await numbersOf("past"),
      without(100, (n) => n < 10),
    );
    assert.equal((await deleteWhere("past", { where: "n BETWEEN 5 AND 19" })).deleted_count, 10);
    const listed = await client.send("/v1/tables/past/snapshots");
    const { snapshots } = listed.body as { snapshots: readonly { rows: number; operation: string }[] };
    assert.equal(snapshots.find(({ operation }) => operation === "delete")?.rows, 80);
  });

  test("values are parameters, pages go on over deleted rows, and EXPLAIN says how many there are", async () => {
    await client.write("paged", rowsFrom(0, 200));
    const gone = await deleteWhere("paged", {
      where: "host = $host AND n > $from",
      params: { host: "host-1", from: 20 },
    });
    const left = without(200, (n) => n % 7 === 1 && n > 20);
    assert.equal(gone.deleted_count, 200 - left.length);
    const seen: number[] = [];
    let cursor = "";
    do {
      const reply = await client.sendJson("/v1/query", { sql: "SELECT n FROM paged", limit: 30, cursor });
      const page = reply.body as { result_json: string; next_cursor: string };
      seen.push(...(JSON.parse(page.result_json) as { n: number }[]).map(({ n }) => n));
      cursor = page.next_cursor;
    } while (cursor !== "");
    assert.deepEqual(
      seen.toSorted((one, other) => one - other),
      left,
    );
  });

  test("rows that come while it runs are not touched, and no row is lost beside merges and flushes", async () => {
    const random = seededRandom(seed);
    let next = 0;
    const alive = new Set<number>();
    for (let round = 0; round < rounds; round++) {
      const rows = rowsFrom(next, 50);
      for (let n = next; n < next + 50; n++) alive.add(n);
      next += 50;
      await client.write("busy", rows);
      if (random.integer(2) === 0) await flush("busy");
      const remainder = random.integer(5);
      const [deleted] = await Promise.all([
        deleteWhere("busy", { where: `n % 5 = ${remainder} AND n < ${next}` }),
        client.write("busy", rowsFrom(1_000_000 + round * 10, 10)),
      ]);
      const gone = [...alive].filter((n) => n < next && n % 5 === remainder);
      assert.equal(deleted.deleted_count, gone.length, `round ${round}, MINIODB_TEST_SEED=${seed}`);
      for (const n of gone) alive.delete(n);
      for (let n = 0; n < 10; n++) alive.add(1_000_000 + round * 10 + n);
      assert.deepEqual(
        await numbersOf("busy"),
        [...alive].toSorted((one, other) => one - other),
      );
    }
    afterKill.add("what was deleted beside merges and flushes", async () => {
      assert.deepEqual(
        await numbersOf("busy"),
        [...alive].toSorted((one, other) => one - other),
      );
    });
  });

  test("deletes of one table at once each count their own rows", async () => {
    await client.write("crowd", rowsFrom(0, 400));
    const counts = await Promise.all(
      Array.from({ length: 8 }, (_, index) => deleteWhere("crowd", { where: `n % 8 <= ${index}` })),
    );
    assert.equal(
      counts.reduce((sum, { deleted_count }) => sum + deleted_count, 0),
      400,
    );
    assert.deepEqual(await numbersOf("crowd"), []);
    await client.write("crowd", rowsFrom(7, 3));
    assert.deepEqual(await numbersOf("crowd"), [7, 8, 9]);
  });

  test("a server that dies in a delete has deleted all of the rows or none", async (context) => {
    const random = seededRandom(seed);
    await client.write("killed", rowsFrom(0, 500));
    for (let kill = 0; kill < kills; kill++) {
      const before = await numbersOf("killed");
      const remainder = random.integer(11);
      const answer = deleteWhere("killed", { where: `n % 11 = ${remainder}` }).catch(() => null);
      await new Promise((resolve) => setTimeout(resolve, random.integer(120)));
      afterKill.add("the delete that was under way", async () => {
        const deleted = await answer;
        const left = before.filter((n) => n % 11 !== remainder);
        const seen = await numbersOf("killed");
        if (deleted !== null || seen.length !== before.length) assert.deepEqual(seen, left);
        else assert.deepEqual(seen, before);
      });
      await afterKill.run(context, server);
    }
  });

  test("what is no condition on a row is refused", async () => {
    await client.write("refused", rowsFrom(0, 5));
    const code = async (body: object, table = "refused"): Promise<[number, string]> => {
      const reply: Reply = await client.sendJson(`/v1/tables/${table}/delete`, body);
      return [reply.status, (reply.body as { code: string }).code];
    };
    assert.deepEqual(await code({}), [400, "INVALID_REQUEST"]);
    assert.deepEqual(await code({ where: "" }), [400, "INVALID_REQUEST"]);
    assert.deepEqual(await code({ where: "nosuch = 1" }), [400, "INVALID_SQL"]);
    assert.deepEqual(await code({ where: "n = " }), [400, "INVALID_SQL"]);
    assert.deepEqual(await code({ where: "n = $x" }), [400, "INVALID_REQUEST"]);
    assert.deepEqual(await code({ where: "true", timeout_ms: 0 }), [400, "INVALID_REQUEST"]);
    for (const where of [
      "n IN (SELECT 1)",
      "true) OR (true) UNION SELECT 1, 2 WHERE (true",
      "read_text('/etc/passwd') IS NULL",
      "row_number() OVER () = 1",
    ]) {
      assert.equal((await code({ where }))[1], "SQL_NOT_ALLOWED", where);
    }
    assert.deepEqual(await code({ where: "true" }, "nowhere"), [404, "TABLE_NOT_FOUND"]);
    assert.deepEqual(await numbersOf("refused"), [0, 1, 2, 3, 4]);
  });
});

describe("DELETE /v1/data", () => {
  test("by id, with the true number of rows", async () => {
    await client.write("byid", rowsFrom(0, 20));
    const remove = async (body: object): Promise<Reply> =>
      client.send("/v1/data", {
        method: "DELETE",
        body: JSON.stringify(body),
        headers: { "content-type": "application/json" },
      });
    const reply = await remove({ table: "byid", ids: ["row-3", "row-4", "it's", "no such row"] });
    assert.equal(reply.status, 200);
    assert.equal((reply.body as { deleted_count: number }).deleted_count, 2);
    assert.deepEqual(
      await numbersOf("byid"),
      without(20, (n) => n === 3 || n === 4),
    );
    const nothing = (await remove({ table: "byid", ids: ["row-3"] })).body as {
      success: boolean;
      deleted_count: number;
    };
    assert.deepEqual([nothing.success, nothing.deleted_count], [false, 0]);
    for (const ids of [[], "row-1", [1], [""], undefined]) {
      assert.equal((await remove({ table: "byid", ids })).status, 400);
    }
  });
});
