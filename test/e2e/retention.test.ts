/** Rows that are older than their table keeps them: tried, removed on request, and by the server itself. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { HttpClient, type Reply } from "../harness/http-client.js";
import { ServerProcess } from "../harness/server-process.js";
import { sized } from "../harness/test-size.js";

const dayMs = 86_400_000;

let server: ServerProcess;
let client: HttpClient;

/** Noon of the day so many days ago: never near a border, whenever the test runs. */
function daysAgo(days: number): string {
  return new Date((Math.floor(Date.now() / dayMs) - days) * dayMs + dayMs / 2).toISOString();
}

async function flush(table: string): Promise<void> {
  const reply = await client.send(`/v1/tables/${table}/flush`, { method: "POST", body: "" });
  assert.equal(reply.status, 200, JSON.stringify(reply.body));
}

async function retention(table: string, body: object): Promise<Reply> {
  return client.sendJson(`/v1/tables/${table}/retention`, body);
}

async function setDays(table: string, days: number | null): Promise<void> {
  const body = JSON.stringify({ config: { retention_days: days } });
  assert.equal((await client.send(`/v1/tables/${table}`, { method: "PUT", body })).status, 200);
}

async function idsOf(table: string, more: object = {}): Promise<string> {
  const rows = await client.query<{ id: string }>(`SELECT id FROM ${table} ORDER BY id`, { ...more });
  return rows.map((row) => row.id).join(" ");
}

function codeOf(reply: Reply): readonly unknown[] {
  return [reply.status, (reply.body as { readonly code?: string }).code];
}

describe("retention on request", () => {
  before(async () => {
    server = await ServerProcess.start({
      flags: ["--flush-interval-ms", "3600000", "--retention-interval-ms", "86400000"],
    });
    client = new HttpClient(() => server.url);
  });
  after(() => server.dispose());

  test("a dry run says what would go, under the table's days or others", async () => {
    const rows = [0, 1, 3, 10, 40].map((days) => ({ timestamp: daysAgo(days), id: `d${days}` }));
    await client.write("aged", rows);
    await flush("aged");
    assert.deepEqual(codeOf(await retention("aged", { dry_run: true })), [400, "INVALID_REQUEST"]);
    const tried = await retention("aged", { dry_run: true, retention_days: 30 });
    const { days, bytes, ...others } = tried.body as { readonly days: readonly object[]; readonly bytes: number };
    const first = daysAgo(30).slice(0, 10);
    assert.deepEqual(others, {
      success: true,
      dry_run: true,
      retention_days: 30,
      first_day_kept: first,
      files: 1,
      rows: 1,
    });
    assert.deepEqual(days, [{ day: daysAgo(40).slice(0, 10), files: 1, rows: 1, bytes }]);
    await setDays("aged", 2);
    const planned = (await retention("aged", { dry_run: true })).body as { readonly rows: number };
    assert.equal(planned.rows, 3);
    assert.equal(await idsOf("aged"), "d0 d1 d10 d3 d40");
    assert.deepEqual(codeOf(await retention("aged", { retention_days: 1 })), [400, "INVALID_REQUEST"]);
    assert.deepEqual(codeOf(await retention("aged", { dry_run: true, retention_days: 0 })), [400, "INVALID_REQUEST"]);
    assert.deepEqual(codeOf(await retention("nowhere", {})), [404, "TABLE_NOT_FOUND"]);
  });

  test("old days go in one commit; unflushed rows stay, and earlier snapshots too", async () => {
    await client.write("aged", [
      { timestamp: daysAgo(0), id: "hot" },
      { timestamp: daysAgo(20), id: "late" },
    ]);
    const done = (await retention("aged", {})).body as { readonly rows: number; readonly dry_run: boolean };
    assert.deepEqual([done.rows, done.dry_run], [3, false]);
    // A row that came late is not in the store yet: it is seen until the round after its flush.
    assert.equal(await idsOf("aged"), "d0 d1 hot late");
    await flush("aged");
    assert.equal(await idsOf("aged"), "d0 d1 hot late");
    assert.equal(((await retention("aged", {})).body as { readonly rows: number }).rows, 1);
    assert.equal(await idsOf("aged"), "d0 d1 hot");
    const list = await client.send("/v1/tables/aged/snapshots");
    const { snapshots } = list.body as { readonly snapshots: readonly Readonly<Record<string, unknown>>[] };
    assert.deepEqual(
      snapshots.map(({ operation, rows }) => [operation, rows]),
      [
        ["delete", 3],
        ["append", 4],
        ["delete", 2],
        ["append", 5],
      ],
    );
    assert.equal(await idsOf("aged", { snapshot_id: snapshots[3]?.["snapshot_id"] }), "d0 d1 d10 d3 d40");
    const metrics = String((await client.send("/metrics")).body);
    assert.match(metrics, /^miniodb_retention_rows_total 4$/m);
    assert.match(metrics, /^miniodb_retention_files_total 4$/m);
    await server.kill();
    await server.restart();
    assert.equal(await idsOf("aged"), "d0 d1 hot");
  });
});

describe("retention by the server", () => {
  before(async () => {
    const flags = ["--retention-interval-ms", "100", "--flush-interval-ms", "200"];
    const merges = ["--compaction-interval-ms", "100", "--compaction-small-files-min", "2"];
    server = await ServerProcess.start({ flags: [...flags, ...merges] });
    client = new HttpClient(() => server.url);
  });
  after(() => server.dispose());

  test("goes on beside writes, flushes and merges, and never takes a row that is young enough", async () => {
    await client.write("busy", [{ timestamp: daysAgo(0), id: "r0", n: 0 }]);
    await setDays("busy", 3);
    let young = 1;
    for (let round = 0; round < sized(20, 40); round++) {
      await client.write("busy", [
        { timestamp: daysAgo(round % 4), id: `y${round}`, n: 1 },
        { timestamp: daysAgo(4 + (round % 5)), id: `o${round}`, n: 2 },
      ]);
      young++;
      const [row] = await client.query<{ c: number }>("SELECT count(*) AS c FROM busy WHERE n < 2");
      assert.equal(row?.c, young);
      await sleep(30);
    }
    const deadlineMs = Date.now() + 20_000;
    while ((await client.count("busy")) > young && Date.now() < deadlineMs) await sleep(50);
    assert.equal(await client.count("busy"), young);
    // Switched off, old rows stay.
    await setDays("busy", null);
    await client.write("busy", [{ timestamp: daysAgo(900), id: "ancient", n: 0 }]);
    await flush("busy");
    await sleep(500);
    assert.equal(await client.count("busy"), young + 1);
  });
});
