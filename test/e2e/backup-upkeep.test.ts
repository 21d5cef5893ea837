/** Backups beside writers, by the clock, and broken off at any place. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { answersOf, BackupClient } from "../harness/backup-client.js";
import { HttpClient } from "../harness/http-client.js";
import { ServerProcess } from "../harness/server-process.js";
import { someOf } from "../harness/test-size.js";

const quiet = ["--flush-interval-ms", "1h", "--compaction-interval-ms", "1d"];
/** All places where a kill may come, and not some. */
const isLong = process.env["MINIODB_TEST_FAILPOINT_KILLS"] !== undefined;
const backupPlaces = ["backup.tags.made", "backup.object.copied", "backup.manifest.next", "backup.manifest.written"];
const restorePlaces = ["restore.announced", "restore.object.copied", "restore.publish.next", "restore.published"];
const timestamp = "2026-11-20T00:00:00Z";

describe("a backup beside writers", () => {
  let server: ServerProcess;
  const client = new HttpClient(() => server.url);
  const backups = new BackupClient(client);

  before(async () => {
    // Flushes run all the time, and queries seal.
    server = await ServerProcess.start({ flags: ["--flush-interval-ms", "100", "--ingest-workers", "2"] });
  });
  after(() => server.dispose());

  test("is one moment of all tables: no row of a client without those that it wrote before", async (context) => {
    const tables = ["one", "two", "three"];
    for (const table of tables) await client.write(table, [{ timestamp, id: "first" }]);
    let isOver = false;
    const writer = async (name: string): Promise<void> => {
      for (let number = 0; !isOver; number++) {
        for (const table of tables) await client.write(table, [{ timestamp, id: `${name}-${number}`, number, name }]);
        if (number % 7 === 0) await client.count("two");
      }
    };
    const writers = [writer("x"), writer("y"), writer("z")];
    const made: string[] = [];
    for (let count = 0; count < 4; count++) {
      await delay(300);
      made.push((await backups.create()).backup_id);
    }
    isOver = true;
    await Promise.all(writers);
    for (const [index, id] of made.entries()) {
      const rename = Object.fromEntries(tables.map((table) => [table, `${table}_${index}`]));
      assert.equal((await backups.restore({ backup_file: id, rename }))["entries_ok"], 3);
      const last = await Promise.all(
        tables.map((table) => {
          const sql = `SELECT name, count(*) AS n, max(number) AS last FROM ${table}_${index} WHERE name IS NOT NULL GROUP BY name ORDER BY name`;
          return client.query<{ name: string; n: number; last: number }>(sql);
        }),
      );
      for (const [at, { name, n, last: newest }] of (last[0] ?? []).entries()) {
        const counts = last.map((rows) => rows[at]?.n ?? 0);
        context.diagnostic(`backup ${index}, writer ${name}: ${counts.join(" ")}`);
        assert.equal(n, newest + 1, "no row of a writer is missing in between");
        const [one = 0, two = 0, three = 0] = counts;
        assert.ok(one >= two && two >= three && one - three <= 1, counts.join(" "));
      }
    }
    // Nothing of this has cost the tables a row.
    assert.equal(await client.count("one"), await client.count("three"));
  });
});

describe("scheduled backups", () => {
  test("are made by the clock and counted; what their tables say of it is kept to", async () => {
    const folder = mkdtempSync(join(tmpdir(), "miniodb-e2e-schedule-"));
    const schedule = ["--backup-schedule", "* * * * * *", "--backup-full-schedule", "*/2 * * * * *"];
    const flags = [...quiet, ...schedule, "--backup-folder", join(folder, "backups"), "--backup-keep-days", "1"];
    const server = await ServerProcess.start({ flags });
    const client = new HttpClient(() => server.url);
    const backups = new BackupClient(client);
    try {
      await client.write("kept", [{ timestamp, id: "a" }]);
      const config = { backup_enabled: false };
      assert.equal((await client.sendJson("/v1/tables", { table_name: "left_out", config })).status, 200);
      const deadline = performance.now() + 30_000;
      for (;;) {
        const found = await backups.list();
        const isDone = (kind: string): boolean => {
          return found.some((backup) => backup["kind"] === kind && String(backup["tables"]) === "kept");
        };
        // A backup is in the list from its last object on, a moment before the server counts it.
        const metrics = String((await client.send("/metrics")).body);
        const isCounted = /miniodb_backup_last_full_seconds 1\d{9}/.test(metrics);
        if (isCounted && isDone("full") && isDone("pointers")) break;
        assert.ok(performance.now() < deadline, JSON.stringify(found));
        await delay(200);
      }
      const status = await backups.status();
      assert.deepEqual([status["health_status"], typeof status["node_id"]], ["healthy", "string"]);
      assert.ok(status["next_backup"] !== undefined && status["last_backup"] !== undefined);
      const health = (await client.send("/v1/health")).body as { readonly details: Readonly<Record<string, string>> };
      assert.match(health.details["backup"] ?? "", /^(?:ok, the last at 2|under way)/);
    } finally {
      await server.dispose();
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe("a schedule that the configuration has no place for", () => {
  test("is a failure that health tells of, unlike a request that was refused", async () => {
    const server = await ServerProcess.start({ flags: [...quiet, "--backup-full-schedule", "* * * * * *"] });
    const client = new HttpClient(() => server.url);
    try {
      const deadline = performance.now() + 30_000;
      for (let text = ""; !/^failed at .*A full backup needs a place/.test(text); await delay(100)) {
        assert.ok(performance.now() < deadline, text);
        const health = (await client.send("/v1/health")).body as { readonly details: Readonly<Record<string, string>> };
        text = health.details["backup"] ?? "";
      }
    } finally {
      await server.dispose();
    }
  });
});

describe("kill -9", () => {
  const root = mkdtempSync(join(tmpdir(), "miniodb-e2e-backup-kill-"));
  const folder = join(root, "data");
  const flags = [...quiet, "--backup-folder", join(root, "backups")];
  let server: ServerProcess;
  const client = new HttpClient(() => server.url);
  const backups = new BackupClient(client);

  const ofBackup = isLong ? backupPlaces : someOf(["backup.manifest.next", "backup.manifest.written"], 1);
  const ofRestore = isLong ? restorePlaces : someOf(["restore.object.copied", "restore.published"], 1);
  const ofRemoval = "backup.manifest.removed";
  /** Where the life that is lived is to end. */
  let armed = "";

  const startWith = async (failpoint: string): Promise<void> => {
    armed = failpoint;
    const env: Record<string, string> = failpoint === "" ? {} : { MINIODB_FAILPOINT: `${failpoint}:1:kill` };
    server = await ServerProcess.start({ folder, flags, env });
  };

  /** The server dies there in the request; the next life may be armed for the end that comes next, which is a start less. */
  const dieAt = async (failpoint: string, request: () => Promise<unknown>, next = ""): Promise<void> => {
    if (armed !== failpoint) {
      await server.kill();
      await startWith(failpoint);
    }
    await assert.rejects(request(), failpoint);
    assert.equal((await server.exit).signal, "SIGKILL");
    await startWith(next);
  };

  before(async () => {
    await startWith(isLong ? "" : (ofBackup[0] ?? ""));
    await client.write("a", [{ timestamp, id: "a" }]);
    await client.write("b", [
      { timestamp, id: "b" },
      { timestamp, id: "c" },
    ]);
  });
  after(async () => {
    await server.dispose();
    rmSync(root, { recursive: true, force: true });
  });

  test("while a backup is made leaves none, or a whole one; it is made again", async () => {
    for (const kind of isLong ? ["pointers", "full"] : ["full"]) {
      for (const name of ofBackup) {
        if (kind === "pointers" && name === "backup.object.copied") continue;
        const known = await backups.ids();
        await dieAt(name, () => backups.create({ kind }), name === ofBackup.at(-1) ? (ofRestore[0] ?? "") : "");
        const ids = (await backups.ids()) as readonly string[];
        assert.equal(ids.length, known.length + (name === "backup.manifest.written" ? 1 : 0), name);
        for (const id of ids) assert.deepEqual(await backups.verify(id), [], name);
        assert.deepEqual([await client.count("a"), await client.count("b")], [1, 2]);
      }
      const made = await backups.create({ kind });
      assert.deepEqual(await backups.verify(made.backup_id), []);
    }
  });

  test("while a backup is restored leaves no part of a table; it is restored again", async () => {
    const [id] = await backups.ids();
    const before = await answersOf(client, ["a", "b"]);
    const rename = { a: "a2", b: "b2" };
    for (const name of ofRestore) {
      const next = name === ofRestore.at(-1) ? ofRemoval : "";
      await dieAt(name, () => backups.restore({ backup_file: id, rename }), next);
      const counts = [await client.count("a2"), await client.count("b2")];
      assert.deepEqual(counts, name === "restore.published" ? [1, 0] : [0, 0], name);
      const again = await backups.restore({ backup_file: id, rename });
      assert.equal(again["success"], true, JSON.stringify(again));
      assert.deepEqual(await answersOf(client, ["a", "b"], rename), before);
      for (const table of ["a2", "b2"]) {
        assert.equal((await client.send(`/v1/tables/${table}`, { method: "DELETE" })).status, 200);
      }
    }
  });

  test("while a backup is removed takes nothing of another one", async () => {
    const [newest] = await backups.list();
    await backups.create({ kind: newest?.["kind"] });
    const [, id] = (await backups.ids()) as readonly string[];
    assert.ok(id !== undefined);
    await dieAt(ofRemoval, () => backups.remove(id));
    const ids = (await backups.ids()) as readonly string[];
    assert.ok(!ids.includes(id));
    for (const each of ids) assert.deepEqual(await backups.verify(each), []);
  });
});
