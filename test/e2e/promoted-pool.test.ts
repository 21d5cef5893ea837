/**
 * A second pool that was promoted, with the first one gone for good: its metadata, manifests and delete files name the
 * objects by the addresses of the first, which nothing may depend on.
 */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { BackupClient } from "../harness/backup-client.js";
import { HttpClient, type Reply } from "../harness/http-client.js";
import { runCommand } from "../harness/run-command.js";
import { ServerProcess } from "../harness/server-process.js";
import { sized } from "../harness/test-size.js";

const quiet = ["--flush-interval-ms", "1h", "--compaction-interval-ms", "1d", "--garbage-interval-ms", "1d"];
const waitMsMax = 60_000;
const firstMs = Date.UTC(2026, 8, 1);
const rowsPerFlush = 100;
/** After the merge; in a small run the server's other start has read the promoted pool. */
const isRestarted = sized(false, true);

describe("a promoted pool whose first pool is gone", () => {
  const root = mkdtempSync(join(tmpdir(), "miniodb-e2e-promoted-"));
  const [folder, second, other] = ["data", "second", "other"].map((name) => join(root, name)) as [
    string,
    string,
    string,
  ];
  const client = new HttpClient(() => server.url);
  const backups = new BackupClient(client);
  let server: ServerProcess;

  after(async () => {
    await server.dispose();
    rmSync(root, { recursive: true, force: true });
  });

  async function ok<Body>(sent: Promise<Reply>): Promise<Body> {
    const reply = await sent;
    assert.equal(reply.status, 200, JSON.stringify(reply.body));
    return reply.body as Body;
  }

  async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
    const deadline = performance.now() + waitMsMax;
    while (!(await isSo())) {
      assert.ok(performance.now() < deadline, `${what} within ${waitMsMax} ms`);
      await delay(30);
    }
  }

  async function metric(name: string): Promise<number> {
    const { body } = await client.send("/metrics");
    return Number(new RegExp(`^${name} (\\S+)$`, "m").exec(String(body))?.[1]);
  }

  async function writeAndFlush(from: number): Promise<void> {
    const rows = Array.from({ length: rowsPerFlush }, (_value, row) => {
      return { timestamp: firstMs + (from + row) * 1000, id: `r${from + row}`, v: from + row };
    });
    await client.write("t", rows);
    await ok(client.sendJson("/v1/tables/t/flush", {}));
  }

  async function remove(where: string): Promise<number> {
    const reply = ok<{ readonly deleted_count: number }>(client.sendJson("/v1/tables/t/delete", { where }));
    return (await reply).deleted_count;
  }

  async function total(at: Readonly<Record<string, string>> = {}): Promise<[number, number]> {
    const [row] = await client.query<{ n: number; sum: number }>("SELECT count(*) AS n, sum(v) AS sum FROM t", at);
    return [Number(row?.n), Number(row?.sum)];
  }

  const sumOf = (from: number, to: number): number => ((from + to - 1) * (to - from)) / 2;

  test("has every row, every delete and every snapshot, and goes on from there", async () => {
    const flags = [...quiet, "--mirror-folder", second, "--mirror-interval-ms", "200"];
    server = await ServerProcess.start({ folder, flags });
    for (const from of [0, 100, 200]) await writeAndFlush(from);
    const { snapshots } = await ok<{ readonly snapshots: readonly { readonly snapshot_id: string }[] }>(
      client.send("/v1/tables/t/snapshots"),
    );
    const whole = snapshots[0]?.snapshot_id ?? "";
    assert.equal(await remove("v < 50"), 50);
    const [gone, kept] = [await backups.create(), await backups.create()];
    assert.equal((await backups.remove(gone.backup_id)).status, 200);
    await until("the second pool follows", async () => {
      return (await metric("miniodb_mirror_tables_behind")) === 0 && (await metric("miniodb_buffered_rows")) === 0;
    });
    await server.stop();
    const done = await runCommand(["failover", "--yes", "--data-folder", folder, "--mirror-folder", second]);
    assert.equal(done.code, 0, done.output);
    rmSync(folder, { recursive: true });
    mkdirSync(other);
    renameSync(second, join(other, "warehouse"));

    server = await ServerProcess.start({ folder: other, flags: quiet });
    const left = [250, sumOf(50, 300)];
    assert.deepEqual(await total(), left);
    assert.deepEqual(await total({ snapshot_id: whole }), [300, sumOf(0, 300)]);
    // The tags have come with their tables, and what says whose they are.
    assert.deepEqual(await backups.ids(), [kept.backup_id]);
    assert.deepEqual(await backups.verify(kept.backup_id), []);
    const restored = await backups.restore({ backup_file: kept.backup_id, rename: { t: "restored" } });
    assert.deepEqual([restored["success"], await client.count("restored")], [true, 250]);
    // Of a file that has deletes already, and of one that has none.
    assert.equal(await remove("v BETWEEN 50 AND 59 OR v >= 290"), 20);
    await writeAndFlush(300);
    const after = [330, sumOf(60, 290) + sumOf(300, 400)];
    assert.deepEqual(await total(), after);
    const { compaction } = await ok<{ readonly compaction: { readonly id: string } }>(
      client.sendJson("/v1/tables/t/compact", { full: true }),
    );
    await until("the merge ends", async () => {
      const job = await ok<{ readonly state: string; readonly ended_at: string | null }>(
        client.send(`/v1/tables/t/compactions/${compaction.id}`),
      );
      assert.ok(job.ended_at === null || job.state === "done", JSON.stringify(job));
      return job.ended_at !== null;
    });
    assert.deepEqual(await total(), after);
    if (isRestarted) {
      await server.stop();
      await server.restart();
    }
    assert.deepEqual(await total(), after);
    assert.deepEqual(await total({ snapshot_id: whole }), [300, sumOf(0, 300)]);
    await ok(client.sendJson("/v1/tables/t/rollback", { snapshot_id: whole }));
    assert.deepEqual(await total(), [300, sumOf(0, 300)]);
    assert.equal(existsSync(folder), false, "nothing was written where the first pool was");
  });
});
