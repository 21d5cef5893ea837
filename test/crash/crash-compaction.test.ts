/**
 * kill -9 in the second merge of a compaction that was asked for. The first merge stays, no row is lost or comes twice, no
 * deleted one comes back, and the same request does what is left. By default at two places; all of them:
 *
 *   MINIODB_TEST_FAILPOINT_KILLS=5
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { FailpointName } from "../../src/shared/failpoints.js";
import { HttpClient } from "../harness/http-client.js";
import { ServerProcess } from "../harness/server-process.js";

/** In the order that a merge passes them; from the metadata on it is made. */
const places: readonly FailpointName[] = [
  "compact.file.written",
  "compact.file.stored",
  "compact.commit.next",
  "commit.begun",
  "commit.manifest.written",
  "commit.list.written",
  "commit.metadata.written",
  "commit.hint.written",
];
const madeFrom = places.indexOf("commit.metadata.written");
const isWhole = Number(process.env["MINIODB_TEST_FAILPOINT_KILLS"] ?? 1) >= 5;
const chosen = isWhole ? places : (["compact.file.stored", "commit.metadata.written"] as const);

const dayMs = 86_400_000;
const firstMs = Date.UTC(2026, 8, 1);
const flags = ["flush", "compaction", "garbage", "retention"].flatMap((name) => [`--${name}-interval-ms`, "86400000"]);

interface Job {
  readonly id: string;
  readonly state: string;
  readonly merges: number;
  readonly deleted_rows: number;
  readonly ended_at: string | null;
}

describe("kill -9 in a compaction", () => {
  const folder = mkdtempSync(join(tmpdir(), "miniodb-crash-compaction-"));
  let server: ServerProcess;
  const client = new HttpClient(() => server.url);
  const start = async (env: Record<string, string> = {}): Promise<void> => {
    server = await ServerProcess.start({ folder, flags, env });
  };
  const send = async (path: string, body: object = {}): Promise<unknown> => {
    const reply = await client.sendJson(path, body);
    assert.equal(reply.status, 200, JSON.stringify(reply.body));
    return reply.body;
  };
  const rowsOf = async (table: string): Promise<string> =>
    JSON.stringify(await client.query(`SELECT * FROM ${table} ORDER BY id`));
  const compact = async (table: string): Promise<Job> => {
    const { compaction } = (await send(`/v1/tables/${table}/compact`, { full: true })) as { readonly compaction: Job };
    for (;;) {
      const job = (await client.send(`/v1/tables/${table}/compactions/${compaction.id}`)).body as Job;
      if (job.ended_at !== null) return job;
      await delay(20);
    }
  };
  /** Two days of three files each, in both of which rows are deleted, and rows that are in the log only. */
  const fill = async (table: string): Promise<void> => {
    for (let flush = 0; flush < 3; flush++) {
      const rows = Array.from({ length: 20 }, (_, n) => {
        return { timestamp: firstMs + (n % 2) * dayMs + flush * 1000 + n, id: `${flush}-${n}`, n };
      });
      await client.write(table, rows);
      await send(`/v1/tables/${table}/flush`);
    }
    await send(`/v1/tables/${table}/delete`, { where: "n IN (4, 5)" });
    await client.write(table, [{ timestamp: firstMs, id: "hot", n: 100 }]);
  };

  before(async () => {
    await start();
    for (const place of chosen) await fill(`t${places.indexOf(place)}`);
  });
  afterEach(() => server.kill());
  after(() => rmSync(folder, { recursive: true, force: true }));

  for (const place of chosen) {
    test(`at ${place}`, async () => {
      const index = places.indexOf(place);
      const table = `t${index}`;
      await server.kill();
      await start();
      const expected = await rowsOf(table);
      await server.kill();
      await start({ MINIODB_FAILPOINT: `${place}:2:kill` });
      await assert.rejects(compact(table), "the server dies in the second merge");
      await server.exit;
      await start();
      assert.equal(await rowsOf(table), expected);
      const rest = await compact(table);
      assert.deepEqual([rest.state, rest.merges], ["done", index < madeFrom ? 1 : 0], JSON.stringify(rest));
      assert.equal(await rowsOf(table), expected);
      await send(`/v1/tables/${table}/flush`);
      assert.equal(await rowsOf(table), expected);
      await server.stop();
    });
  }
});
