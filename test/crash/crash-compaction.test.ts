/**
 * kill -9 in the second merge of a compaction that was asked for. The first merge stays, no row is lost or comes twice, no
 * deleted one comes back, and the same request does what is left. By default at two places; all of them:
 *
 *   MINIODB_TEST_FAILPOINT_KILLS=5
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { FailpointName } from "../../src/shared/failpoints.js";
import { someOf } from "../harness/test-size.js";
import { areAllPlaces, QuietServer } from "./quiet-server.js";

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
const chosen = areAllPlaces ? places : someOf(["compact.file.stored", "commit.metadata.written"] as const, 1);

const dayMs = 86_400_000;
const firstMs = Date.UTC(2026, 8, 1);

interface Job {
  readonly id: string;
  readonly state: string;
  readonly merges: number;
  readonly deleted_rows: number;
  readonly ended_at: string | null;
}

describe("kill -9 in a compaction", () => {
  const server = new QuietServer();
  const { client } = server;
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

  const expected = new Map<string, string>();
  const tableAt = (place: FailpointName): string => `t${places.indexOf(place)}`;

  before(async () => {
    await server.start();
    for (const table of chosen.map(tableAt)) {
      await fill(table);
      expected.set(table, await rowsOf(table));
    }
  });
  after(() => server.dispose());

  for (const place of chosen) {
    test(`at ${place}`, async () => {
      const table = tableAt(place);
      await server.dieAt(place, () => compact(table), { count: 2 });
      assert.equal(await rowsOf(table), expected.get(table));
      const rest = await compact(table);
      const isMade = places.indexOf(place) >= madeFrom;
      assert.deepEqual([rest.state, rest.merges], ["done", isMade ? 0 : 1], JSON.stringify(rest));
      assert.equal(await rowsOf(table), expected.get(table));
      await send(`/v1/tables/${table}/flush`);
      assert.equal(await rowsOf(table), expected.get(table));
    });
  }
});
