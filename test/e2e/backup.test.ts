/** Backups of a warehouse in a folder, and what can be made of them again. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { answersOf, BackupClient } from "../harness/backup-client.js";
import { HttpClient } from "../harness/http-client.js";
import { runCommand } from "../harness/run-command.js";
import { ServerProcess } from "../harness/server-process.js";
import { someOf, whyLeftOut } from "../harness/test-size.js";

const quiet = ["--flush-interval-ms", "1h", "--compaction-interval-ms", "1d", "--snapshots-keep", "1"];
const expiry = ["--snapshots-max-age-ms", "0", "--query-cursor-age-ms", "1000", "--garbage-grace-ms", "1100"];
const collecting = [...quiet, ...expiry, "--garbage-interval-ms", "1000"];

/** A small run has one of the two; backup-s3.test.ts has a key as well. */
const chosen = someOf(["second pool", "key"], 1);

function row(id: string, more: object = {}): object {
  return { timestamp: `2026-11-2${id.length % 3}T00:00:00Z`, id, value: id.length * 1.5, ...more };
}

function filesBelow(folder: string, end = ".parquet"): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.includes(end));
}

async function until(what: string, isTrue: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!(await isTrue())) {
    assert.ok(performance.now() < deadline, `not in time: ${what}`);
    await delay(100);
  }
}

describe("pointer backups", () => {
  let server: ServerProcess;
  const client = new HttpClient(() => server.url);
  const backups = new BackupClient(client);

  before(async () => {
    server = await ServerProcess.start({ flags: collecting });
  });
  after(() => server.dispose());

  const post = async (path: string, body: object = {}): Promise<void> => {
    const reply = await client.sendJson(path, body);
    assert.equal(reply.status, 200, JSON.stringify(reply.body));
  };

  test("hold what was acknowledged, and outlive changes, expiry, garbage collection and the drop of their table", async () => {
    await client.write("cpu", [row("a"), row("bb"), row("ccc", { note: "x" })]);
    await client.write("mem", [row("m")]);
    await post("/v1/tables", { table_name: "empty", config: { retention_days: 9 } });
    await post("/v1/tables/cpu/delete", { where: "id = 'bb'" });
    const tables = ["cpu", "mem", "empty"];
    const before = await answersOf(client, tables);
    const made = await backups.create();
    assert.deepEqual([made["kind"], made["tables"], made["rows"], made["copied_objects"]], ["pointers", 3, 3, 0]);
    const { seconds } = made["timestamp"] as { readonly seconds: number };
    assert.ok(Math.abs(seconds - Date.now() / 1000) < 600);

    await client.write("cpu", [row("dddd")]);
    await post("/v1/tables/cpu/flush");
    await post("/v1/tables/cpu/delete", { where: "true" });
    const dropped = await client.send("/v1/tables/mem", { method: "DELETE" });
    assert.equal(dropped.status, 200);
    await delay(4_000);
    assert.deepEqual(await backups.verify(made.backup_id), []);

    const dry = await backups.restore({ from_latest: true, dry_run: true });
    assert.equal(await client.count("mem"), 0);
    assert.deepEqual(dry["details"], {
      cpu: "skipped: table cpu exists",
      mem: "would restore",
      empty: "skipped: table empty exists",
    });
    const rename = { cpu: "cpu_old", empty: "Empty2", mem: "mem" };
    const restored = await backups.restore({
      backup_file: made["object_name"],
      rename,
      validate: true,
      parallel: true,
    });
    assert.deepEqual(
      [restored["success"], restored["entries_total"], restored["entries_ok"], restored["backup_file"]],
      [true, 3, 3, made.backup_id],
    );
    assert.deepEqual(await answersOf(client, tables, rename), before);
    const info = (await client.send("/v1/tables/Empty2")).body as { readonly table_info: { readonly config: object } };
    assert.deepEqual((info.table_info.config as { readonly retention_days: number }).retention_days, 9);

    // They are tables like all others: rows come in, are flushed, merged with deletes, and are there after a restart.
    await client.write("cpu_old", [row("eeeee")]);
    await post("/v1/tables/cpu_old/flush");
    await post("/v1/tables/cpu_old/delete", { where: "id = 'a'" });
    await client.write("mem", [row("n")]);
    await server.kill();
    await server.restart();
    assert.equal(await client.count("cpu_old"), 2);
    assert.equal(await client.count("mem"), 2);
  });

  test("lost to nobody but who removes them: then the files go", async () => {
    const [id] = await backups.ids();
    const tags = (await client.send("/v1/tables/cpu/tags")).body as {
      readonly tags: readonly { readonly tag: string }[];
    };
    const [tag] = tags.tags;
    assert.equal(tag?.tag, `miniodb.backup.${String(id)}`);
    const refused = await client.send(`/v1/tables/cpu/tags/${tag.tag}`, { method: "DELETE" });
    assert.equal(refused.status, 400);
    const warehouse = join(server.folder, "warehouse");
    const folders = (): number => readdirSync(warehouse).filter((name) => name.startsWith("mem-")).length;
    assert.equal(folders(), 2);
    assert.equal((await backups.remove(String(id))).status, 200);
    await until("the dropped table's folder is gone", () => folders() === 1);
    assert.deepEqual([await backups.ids(), (await backups.remove(String(id))).status], [[], 404]);
    assert.deepEqual((await client.send("/v1/tables/cpu/tags")).body, { tags: [], total: 0 });
  });

  test("a full one without a place is refused, and is no failure of backups", async () => {
    const refused = await client.sendJson("/v1/metadata/backup", { kind: "full" });
    assert.deepEqual([refused.status, (refused.body as { code: string }).code], [400, "INVALID_REQUEST"]);
    const { backup_status: status, health_status: health } = (await backups.status()) as {
      readonly backup_status: Readonly<Record<string, string>>;
      readonly health_status: string;
    };
    assert.deepEqual([status["failures"], status["last_error"], health], ["0", undefined, "healthy"]);
    assert.deepEqual((await client.send("/v1/tables/cpu/tags")).body, { tags: [], total: 0 });
  });

  test("a table comes back in the place of the one that is there only where that is asked for", async () => {
    const made = await backups.create({ tables: ["CPU_*"] });
    assert.equal(made["tables"], 1);
    const before = await answersOf(client, ["cpu_old"]);
    await client.write("cpu_old", [row("later")]);
    const from = { backup_file: made.backup_id };
    const skipped = await backups.restore(from);
    assert.deepEqual([skipped["success"], skipped["entries_skipped"]], [true, 1]);
    assert.equal(await client.count("cpu_old"), 3);
    const done = await backups.restore({ ...from, overwrite: true });
    assert.deepEqual(done["details"], { cpu_old: "overwritten" });
    assert.deepEqual(await answersOf(client, ["cpu_old"]), before);
    const missing = await backups.restore({ ...from, tables: ["nobody"] });
    assert.deepEqual([missing["success"], missing["entries_error"]], [false, 1]);
    assert.equal((await client.sendJson("/v1/metadata/restore", { backup_file: "x" })).status, 404);
    assert.equal((await client.sendJson("/v1/metadata/restore", {})).status, 400);
    assert.equal((await client.sendJson("/v1/metadata/backup", { kind: "full" })).status, 400);
  });
});

describe("a second pool", { skip: whyLeftOut(chosen, "second pool") }, () => {
  test("is where full backups go without a place of their own, and follows the drop of a table that a backup holds", async () => {
    const root = mkdtempSync(join(tmpdir(), "miniodb-e2e-backup-pool-"));
    const second = join(root, "second");
    const server = await ServerProcess.start({
      flags: [...collecting, "--mirror-folder", second, "--mirror-interval-ms", "200"],
    });
    const client = new HttpClient(server.url);
    const backups = new BackupClient(client);
    try {
      await client.write("cpu", [row("a"), row("bb")]);
      const before = await answersOf(client, ["cpu"]);
      const full = await backups.create({ kind: "full" });
      assert.deepEqual(await backups.verify(full.backup_id), []);
      assert.equal(filesBelow(second, ".full.json").length, 1);
      const held = await backups.create();
      assert.equal((await client.send("/v1/tables/cpu", { method: "DELETE" })).status, 200);
      await delay(5_000);
      assert.deepEqual(await backups.verify(held.backup_id), []);
      const health = (await client.send("/v1/health")).body as { readonly details: Readonly<Record<string, string>> };
      assert.deepEqual([health.details["mirror"], health.details["mirror_error"]], ["ok", undefined]);
      for (const [index, { backup_id: id }] of [full, held].entries()) {
        const rename = { cpu: `cpu${index}` };
        assert.equal((await backups.restore({ backup_file: id, rename }))["entries_ok"], 1);
        assert.deepEqual(await answersOf(client, ["cpu"], rename), before);
      }
    } finally {
      await server.dispose();
      rmSync(root, { recursive: true, force: true });
    }
  });
});

describe("full backups", () => {
  const root = mkdtempSync(join(tmpdir(), "miniodb-e2e-backup-"));
  const target = join(root, "backups");
  const keyFile = join(root, "key");
  const flags = [...quiet, "--backup-folder", target];
  const sealed = [...flags, "--backup-key-file", keyFile];
  const tables = ["cpu", "mem"];
  let server: ServerProcess;
  let before1: readonly unknown[];
  const client = new HttpClient(() => server.url);
  const backups = new BackupClient(client);

  before(async () => {
    writeFileSync(keyFile, "7".repeat(64));
    server = await ServerProcess.start({ flags });
    for (let batch = 0; batch < 5; batch++) {
      await client.write("cpu", [
        row(`a${batch}`),
        row(`bb${batch}`),
        row(`ccc${batch}`, { extra: { list: [batch] } }),
      ]);
      assert.equal((await client.sendJson("/v1/tables/cpu/flush", {})).status, 200);
    }
    assert.equal((await client.sendJson("/v1/tables/cpu/delete", { where: "id IN ('a1', 'ccc3')" })).status, 200);
    const changes = [{ op: "rename", name: "value", to: "reading" }];
    const renamed = await client.send("/v1/tables/cpu/schema", { method: "PATCH", body: JSON.stringify({ changes }) });
    assert.equal(renamed.status, 200);
    await client.write("mem", [row("m")]);
  });
  after(async () => {
    await server.dispose();
    rmSync(root, { recursive: true, force: true });
  });

  test("copy each file once, and are restored into an empty folder with byte-identical results", async () => {
    const first = await backups.create({ kind: "full" });
    // Without ORDER BY rows come in the order of files, which a start takes from the manifests.
    await server.stop();
    await server.restart();
    before1 = await answersOf(client, tables);
    assert.ok(Number(first["copied_objects"]) >= 15, String(first["copied_objects"]));
    await client.write("mem", [row("nn")]);
    const second = await backups.create({ kind: "full" });
    // The manifest of the new file, the list, and the file.
    assert.equal(second["copied_objects"], 3);
    assert.deepEqual(await backups.verify(second.backup_id), []);
    assert.deepEqual((await client.send("/v1/tables/cpu/tags")).body, { tags: [], total: 0 });

    const empty = join(root, "empty");
    const args = ["--data-folder", empty, "--backup-folder", target];
    const listed = await runCommand(["backups", ...args]);
    assert.deepEqual([listed.code, existsSync(empty)], [1, false], listed.output);
    const done = await runCommand(["restore", "--backup", first.backup_id, "--validate", ...args]);
    assert.equal(done.code, 0, done.output);
    assert.match(done.output, /cpu: restored \(13 rows, of backup/);
    const shown = await runCommand(["backups", ...args]);
    assert.match(shown.output, new RegExp(`^${second.backup_id} {2}full {2}2 tables, 15 rows`));
    const other = await ServerProcess.start({ folder: empty, flags });
    const otherClient = new HttpClient(other.url);
    assert.deepEqual(await answersOf(otherClient, tables), before1);
    // Beside a running server the command asks it.
    const asked = [
      "restore",
      "--latest",
      "--tables",
      "mem",
      "--rename",
      "mem=mem2",
      "--http-port",
      other.url.split(":")[2] ?? "",
    ];
    const online = await runCommand([...asked, ...args]);
    assert.equal(online.code, 0, online.output);
    assert.equal(await otherClient.count("mem2"), 2);
    await other.dispose();
  });

  test("are removed one by one, and what others need stays", async () => {
    const [second, first] = (await backups.ids()) as readonly string[];
    assert.ok(first !== undefined && second !== undefined);
    assert.equal((await backups.remove(first)).status, 200);
    assert.deepEqual(await backups.verify(second), []);
    const copies = filesBelow(target);
    const [victim] = copies;
    assert.ok(victim !== undefined);
    writeFileSync(join(target, victim), "damaged");
    const problems = await backups.verify(second);
    assert.deepEqual([problems.length, /has 7 bytes, not \d+/.test(problems[0] ?? "")], [1, true], problems.join("\n"));
    const refused = await client.sendJson("/v1/metadata/restore", {
      backup_file: second,
      validate: true,
      rename: { cpu: "c", mem: "m" },
    });
    assert.deepEqual([refused.status, (refused.body as { readonly code: string }).code], [409, "BACKUP_UNUSABLE"]);
    const broken = await backups.restore({ backup_file: second, rename: { cpu: "c", mem: "m" } });
    assert.equal(broken["entries_error"], 1);
    assert.equal((await client.send("/v1/tables/m", { method: "DELETE" })).status, 200);
    // The next one copies the file anew.
    const third = await backups.create({ kind: "full" });
    assert.equal(third["copied_objects"], 1);
    assert.deepEqual(await backups.verify(third.backup_id), []);
    for (const id of [second, third.backup_id]) assert.equal((await backups.remove(id)).status, 200);
    assert.deepEqual(filesBelow(target, "cpu-"), []);
  });

  test(
    "are encrypted under a key, without which nothing of them can be read",
    {
      skip: whyLeftOut(chosen, "key"),
    },
    async () => {
      await server.stop();
      server = await ServerProcess.start({ folder: server.folder, flags: sealed });
      const made = await backups.create({ kind: "full" });
      assert.deepEqual(await backups.verify(made.backup_id), []);
      const [listed] = await backups.list();
      assert.deepEqual([listed?.["encrypted"], listed?.["rows"]], [true, 15]);
      const empty = join(root, "empty2");
      const args = ["restore", "--latest", "--data-folder", empty, "--backup-folder", target];
      const refusals: readonly (readonly [readonly string[], RegExp])[] = [
        [[], /there is no key: see backup\.keyFile/],
        [["--backup-key", "8".repeat(64)], /the key at hand is [0-9a-f]{16}/],
      ];
      for (const [key, reason] of someOf(refusals, 1)) {
        const refused = await runCommand([...args, ...key]);
        assert.deepEqual([refused.code, reason.test(refused.output)], [1, true], refused.output);
      }
      const now = await answersOf(client, tables);
      const done = await runCommand([...args, "--backup-key", "7".repeat(64)]);
      assert.equal(done.code, 0, done.output);
      const other = await ServerProcess.start({ folder: empty });
      assert.deepEqual(await answersOf(new HttpClient(other.url), tables), now);
      await other.dispose();
    },
  );

  test("of pointers or not: a point in time is of the table's own history, else of the newest backup before", async () => {
    const both = ["gone", "there"];
    await client.write("gone", [row("g")]);
    await client.write("there", [row("one")]);
    await backups.create();
    await delay(20);
    const time = new Date().toISOString();
    await delay(20);
    await client.write("there", [row("two")]);
    await client.write("gone", [row("h")]);
    await backups.create();
    assert.equal((await client.send("/v1/tables/gone", { method: "DELETE" })).status, 200);
    const rename = { gone: "gone_then", there: "there_then" };
    const restored = await backups.restore({ time, rename, tables: both });
    assert.deepEqual(restored["details"], { gone_then: "restored", there_then: "restored" });
    const ofBackup = (restored["tables"] as readonly Record<string, unknown>[]).map(
      (table) => table["backup_id"] !== "",
    );
    assert.deepEqual(ofBackup, [true, false]);
    assert.deepEqual([await client.count("gone_then"), await client.count("there_then")], [1, 1]);
    const early = await backups.restore({ time: "2001-01-01T00:00:00Z" });
    assert.equal(early["entries_total"], 0);
  });
});
