/**
 * kill -9 in the flush of rows that replace and delete others, and in the group commit of a replace: every look afterwards has
 * the new row or the old one, never both and never neither, and the store has the rows of before the flush or of after it. By
 * default some of the places; all:
 *
 *   MINIODB_TEST_FAILPOINT_KILLS=5
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, describe, test } from "node:test";
import type { FailpointName } from "../../src/shared/failpoints.js";
import { HttpClient } from "../harness/http-client.js";
import { ServerProcess } from "../harness/server-process.js";

const isWhole = Number(process.env["MINIODB_TEST_FAILPOINT_KILLS"] ?? 1) >= 5;
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
const chosen = isWhole ? flushPlaces : flushPlaces.slice(0, 3);

/** Nothing commits by itself: the failpoint is met by the request. */
const flags = ["flush", "compaction", "garbage", "retention"].flatMap((name) => [`--${name}-interval-ms`, "86400000"]);
const timestamp = "2026-11-20T12:00:00Z";

describe("kill -9 among mutations", () => {
  const folder = mkdtempSync(join(tmpdir(), "miniodb-crash-mutations-"));
  let server: ServerProcess | undefined;
  const start = async (env: Record<string, string> = {}): Promise<ServerProcess> => {
    server = await ServerProcess.start({ folder, flags, env });
    return server;
  };
  // Of a test that failed: the next one takes the folder.
  afterEach(() => server?.kill());
  after(() => rmSync(folder, { recursive: true, force: true }));

  let current: ServerProcess;
  const client = new HttpClient(() => current.url);
  const send = async (method: "PUT" | "DELETE", body: object): Promise<void> => {
    const reply = await client.send("/v1/data", { method, body: JSON.stringify(body) });
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

  for (const [index, place] of chosen.entries()) {
    test(`in a flush, at ${place}`, async () => {
      const table = `flushed_${index}`;
      current = await start();
      await client.write(
        table,
        [1, 2, 3, 4].map((n) => ({ timestamp, id: `${"abcd"[n - 1]}`, n })),
      );
      assert.equal((await flush(table)).status, 200);
      await send("PUT", { table, id: "a", timestamp, payload: { n: 5 } });
      await client.write(table, [{ timestamp, id: "e", n: 6 }]);
      await send("DELETE", { table, ids: ["b", "e"] });
      await send("PUT", { table, id: "c", payload: { n: 7 }, partial: true });
      const before = "a1 b2 c3 d4";
      const after = "a5 c7 d4";
      assert.equal(await look(table), after);
      await current.kill();

      current = await start({ MINIODB_FAILPOINT: `${place}:1:kill` });
      await assert.rejects(flush(table), "the server dies before it answers");
      await current.exit;

      current = await start();
      assert.equal(await look(table), after);
      const seen = await stored(table);
      assert.ok(seen === before || seen === after, `the store has ${seen}`);
      if (place === "commit.begun" || place === "flush.commit.next") assert.equal(seen, before);
      if (place === "commit.metadata.written" || place === "commit.hint.written") assert.equal(seen, after);
      await send("PUT", { table, id: "d", timestamp, payload: { n: 8 } });
      assert.equal((await flush(table)).status, 200);
      assert.equal(await look(table), "a5 c7 d8");
      assert.equal(await stored(table), "a5 c7 d8");
      await current.stop();
    });
  }

  for (const place of ["wal.group.written", "wal.group.synced"] as const) {
    test(`in the group commit of a replace, at ${place}`, async () => {
      const table = `logged_${place.replaceAll(".", "_")}`;
      current = await start();
      await client.write(table, [{ timestamp, id: "a", n: 1 }]);
      assert.equal((await flush(table)).status, 200);
      await current.kill();

      current = await start({ MINIODB_FAILPOINT: `${place}:1:kill` });
      await assert.rejects(send("PUT", { table, id: "a", timestamp, payload: { n: 2 } }), "the server dies");
      await current.exit;

      current = await start();
      const seen = await look(table);
      assert.ok(seen === "a1" || seen === "a2", seen);
      if (place === "wal.group.synced") assert.equal(seen, "a2");
      assert.equal((await flush(table)).status, 200);
      assert.equal(await look(table), seen);
      assert.equal(await stored(table), seen);
      await current.stop();
    });
  }
});
