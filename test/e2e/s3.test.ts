/** A whole server whose tables are on a real S3 server: write, flush, start from nothing but the bucket, merge, collect. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { HttpClient } from "../harness/http-client.js";
import { findPython, needPeer } from "../harness/peer.js";
import { repositoryRoot } from "../harness/repository-root.js";
import { listKeys, type S3TestServer, startS3Server, storeEnvironment, whyNoS3Server } from "../harness/s3-server.js";
import { ServerProcess } from "../harness/server-process.js";
import { someOf, whyLeftOut } from "../harness/test-size.js";

const skip = await whyNoS3Server();
const firstDayMs = Date.parse("2026-01-01T00:00:00Z");
const dayMs = 86_400_000;
const days = 3;
const rowsPerDay = 500;
/** What a node goes through after the first tests; a small run has one of the two. */
const chosen = someOf(["kills", "merges"], 1);
const quietFlags = ["--flush-interval-ms", "1h", "--compaction-interval-ms", "1d"];

type Node = Readonly<{ server: ServerProcess; client: HttpClient }>;

describe("a server on S3", { skip }, () => {
  const root = mkdtempSync(join(tmpdir(), "miniodb-e2e-s3-"));
  const servers: ServerProcess[] = [];
  let s3: S3TestServer;
  let bucket: string;
  /** From test to test: a start costs more than a table. */
  let node: Node;

  before(async () => {
    s3 = await startS3Server();
    bucket = await s3.createBucket();
  });

  after(async () => {
    for (const server of servers) await server.dispose();
    await s3.stop();
    rmSync(root, { recursive: true, force: true });
  });

  /** A node with a data folder of this name; without one there before, it knows nothing but its bucket. */
  const start = async (folder: string): Promise<Node> => {
    const env = storeEnvironment(s3, bucket);
    const server = await ServerProcess.start({ folder: join(root, folder), env, flags: quietFlags });
    servers.push(server);
    return { server, client: new HttpClient(() => server.url) };
  };

  const total = async (client: HttpClient, table: string): Promise<readonly number[]> => {
    const [row] = await client.query<{ n: number; sum: number }>(`select count(*) as n, sum(v) as sum from ${table}`);
    return [Number(row?.n), Number(row?.sum)];
  };

  const flush = async (client: HttpClient, table: string): Promise<void> => {
    const reply = await client.send(`/v1/tables/${table}/flush`, { method: "POST" });
    assert.equal(reply.status, 200, JSON.stringify(reply.body));
  };

  const rowsOf = (day: number): object[] =>
    Array.from({ length: rowsPerDay }, (_value, index) => ({
      timestamp: new Date(firstDayMs + day * dayMs + index * 1000).toISOString(),
      id: `${day}-${index}`,
      host: `höst ${index % 7}`,
      v: day * rowsPerDay + index,
    }));
  const rows = days * rowsPerDay;
  const expected = [rows, (rows * (rows - 1)) / 2];

  test("rows are flushed to the bucket, nowhere else, and a node without any state finds their tables", async () => {
    const first = await start("first");
    for (let day = 0; day < days; day++) await first.client.write("cpu", rowsOf(day));
    assert.deepEqual(await total(first.client, "cpu"), expected);
    await flush(first.client, "cpu");
    const keys = await listKeys(s3, bucket);
    assert.equal(
      keys.filter((key) => /^cpu-[\da-f-]{36}\/data\/day=2026-01-0[123]\/.*\.parquet$/.test(key)).length,
      days,
    );
    assert.deepEqual(await first.server.stop(), { code: 0, signal: null });

    node = await start("second");
    assert.match(node.server.output, new RegExp(`"warehouse":"s3://${bucket}`));
    assert.deepEqual(await total(node.client, "cpu"), expected);
    // Its own rows join theirs.
    await node.client.write("cpu", [{ timestamp: new Date(firstDayMs).toISOString(), id: "more", v: 0 }]);
    await flush(node.client, "cpu");
    assert.deepEqual(await total(node.client, "cpu"), [rows + 1, expected[1]]);
  });

  test("PyIceberg reads the table straight from the S3 server, and agrees", async (context) => {
    const python = needPeer(context, findPython("test/peers/pyiceberg-requirements.txt"));
    if (python === undefined) return;
    const [key = ""] = await listKeys(s3, bucket, "cpu-");
    const input = JSON.stringify({
      metadata: `s3://${bucket}/${key.split("/")[0]}`,
      properties: {
        "s3.endpoint": s3.endpoint,
        "s3.region": s3.region,
        "s3.access-key-id": s3.accessKeyId,
        "s3.secret-access-key": s3.secretAccessKey,
      },
      scans: [{ fields: ["id", "v"] }, { filter: "v >= 1000 and v < 1010", fields: ["id", "host", "v"] }],
    });
    const script = join(repositoryRoot, "test", "peers", "pyiceberg-read.py");
    const { status, stdout, stderr } = spawnSync(python, [script], { input, encoding: "utf8", maxBuffer: 2 ** 26 });
    assert.equal(status, 0, stderr);
    const { scans } = JSON.parse(stdout) as {
      readonly scans: readonly {
        readonly rows: readonly Readonly<Record<string, unknown>>[];
        readonly files: string[];
      }[];
    };
    const [all, some] = scans;
    assert.equal(all?.rows.length, rows + 1);
    assert.equal(
      all.rows.reduce((sum, row) => sum + Number(row["v"]), 0),
      expected[1],
    );
    assert.ok(all.files.every((file) => file.startsWith(`s3://${bucket}/cpu-`)));
    assert.deepEqual(
      some?.rows.toSorted((left, right) => Number(left["v"]) - Number(right["v"])),
      Array.from({ length: 10 }, (_value, index) => ({ id: `2-${index}`, host: `höst ${index % 7}`, v: 1000 + index })),
    );
  });

  test(
    "acknowledged rows that are not flushed survive a kill; without the local disk, the stored ones do",
    {
      skip: whyLeftOut(chosen, "kills"),
    },
    async () => {
      await node.client.write("partly", [{ id: "stored", v: 1 }]);
      await flush(node.client, "partly");
      await node.client.write("partly", [{ id: "local", v: 2 }]);
      await node.server.kill();
      await node.server.restart();
      assert.deepEqual(await total(node.client, "partly"), [2, 3]);
      await node.server.kill();

      const other = await start("other");
      assert.match(other.server.output, /this node's log is new to tables that have rows of another log/);
      assert.match(other.server.output, /"tables":\[[^\]]*"partly"/);
      assert.deepEqual(await total(other.client, "partly"), [1, 1]);
      await other.client.write("partly", [{ id: "new", v: 4 }]);
      await flush(other.client, "partly");
      await other.server.stop();

      // The disk was only elsewhere: what it holds joins, once.
      await node.server.restart();
      assert.deepEqual(await total(node.client, "partly"), [3, 7]);
      await flush(node.client, "partly");
      assert.deepEqual(await total(node.client, "partly"), [3, 7]);
    },
  );

  test(
    "what merges and expiry leave behind is removed from the bucket",
    {
      skip: whyLeftOut(chosen, "merges"),
    },
    async () => {
      for (let round = 0; round < 5; round++) {
        await node.client.write("merged", [
          { timestamp: new Date(firstDayMs).toISOString(), id: String(round), v: round },
        ]);
        await flush(node.client, "merged");
      }
      const dataKeys = async () => (await listKeys(s3, bucket, "merged-")).filter((key) => key.endsWith(".parquet"));
      assert.equal((await dataKeys()).length, 5);
      await node.server.stop();
      const flags = [
        ["--compaction-interval-ms", "100", "--compaction-small-files-min", "2"],
        ["--snapshots-keep", "1", "--snapshots-max-age-ms", "0"],
        ["--garbage-interval-ms", "1000", "--garbage-grace-ms", "1500", "--query-cursor-age-ms", "1000"],
      ].flat();
      await node.server.restart(flags);
      const deadline = Date.now() + 240_000;
      while ((await dataKeys()).length > 1) {
        assert.ok(Date.now() < deadline, `one file is left of ${(await dataKeys()).join(", ")}`);
        await delay(200);
      }
      assert.deepEqual(await total(node.client, "merged"), [5, 10]);
      await node.server.stop();
      const last = await start("last");
      assert.deepEqual(await total(last.client, "merged"), [5, 10]);
      assert.deepEqual(await total(last.client, "cpu"), [rows + 1, expected[1]]);
      await last.server.stop();
    },
  );
});
