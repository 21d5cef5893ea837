import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { collect } from "../../../src/main/commands/garbage.js";
import type { GarbageInfo } from "../../../src/main/commands/garbage-report.js";
import { loadConfig } from "../../../src/shared/config.js";
import { RealDisk } from "../../../src/shared/disk/real-disk.js";
import { TableCatalog } from "../../../src/shared/iceberg/table-catalog.js";
import type { TableIdentity } from "../../../src/shared/messages.js";
import { initialSchema } from "../../../src/shared/schema/table-schema.js";
import { FaultyStore } from "../../../src/shared/store/faulty-store.js";
import { LocalStore } from "../../../src/shared/store/local-store.js";
import type { ObjectStore } from "../../../src/shared/store/object-store.js";
import { openS3Client } from "../../../src/shared/store/s3-client.js";
import { S3Store } from "../../../src/shared/store/s3-store.js";
import { HttpClient } from "../../harness/http-client.js";
import { type S3TestServer, startS3Server, storeEnvironment, whyNoS3Server } from "../../harness/s3-server.js";
import { ServerProcess } from "../../harness/server-process.js";
import { writeDataFile } from "../../peers/sample-table.js";
import { s3OptionsOf } from "../../shared/store/s3-fixture.js";

const skip = await whyNoS3Server();
const mainFile = fileURLToPath(new URL("../../../src/main/main.cjs", import.meta.url));
const hourMs = 3_600_000;
const stream = "3f9b2c1e-0000-4000-8000-000000000001";

interface Leftovers {
  readonly live: TableIdentity;
  readonly gone: TableIdentity;
  /** Of the live table, uploaded for a commit that never came. */
  readonly orphan: string;
}

/** A live table with two commits, the remains of a crashed commit and of a crashed upload, and a dropped table. */
async function makeLeftovers(store: ObjectStore): Promise<Leftovers> {
  const catalog = new TableCatalog(store);
  const create = async (name: string) =>
    (await catalog.createTable({ name, schema: initialSchema, settings: {} })).identity;
  const live = await create("live");
  for (const position of [0, 3]) await append(catalog, store, { identity: live, position });
  // It dies at the put of the version: manifest and list are there, and nobody names them.
  const dying = new FaultyStore(store, (operation) => (operation === "putIfAbsent" ? { kind: "before" } : undefined));
  const sleep = (): Promise<void> => Promise.resolve();
  await assert.rejects(append(new TableCatalog(dying, { sleep }), store, { identity: live, position: 6 }));
  const gone = await create("gone");
  await append(catalog, store, { identity: gone, position: 0 });
  await catalog.dropTable(gone, randomUUID());
  return { live, gone, orphan: await uploadOrphan(store, live) };
}

async function uploadOrphan(store: ObjectStore, identity: TableIdentity): Promise<string> {
  return (await writeDataFile(store, identity, { schema: initialSchema, rows: rowsFrom(90) })).key;
}

function rowsFrom(position: number) {
  return [1n, 2n, 3n].map((row) => ({ timestamp: 1_769_000_000_000_000n + row, id: `r${position + Number(row)}` }));
}

async function append(
  catalog: TableCatalog,
  store: ObjectStore,
  { identity, position }: { readonly identity: TableIdentity; readonly position: number },
): Promise<void> {
  const file = await writeDataFile(store, identity, { schema: initialSchema, rows: rowsFrom(position) });
  const range = { stream, afterSequence: position, lastSequence: position + 3 };
  await catalog.commitAppend(identity, { ...range, schema: initialSchema, files: [file], commitId: randomUUID() });
}

async function keysIn(store: ObjectStore): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list("")) keys.push(key);
  return keys;
}

function keysOf(info: GarbageInfo, part: "garbage" | "insideGrace"): string[] {
  return info.tables.flatMap((table) => table[part].keys ?? []).toSorted();
}

describe("miniodb garbage on a folder", () => {
  const root = mkdtempSync(join(tmpdir(), "miniodb-garbage-"));
  const dataFolder = join(root, "data");
  const warehouse = join(dataFolder, "warehouse");
  let store: LocalStore;
  let leftovers: Leftovers;

  const run = (...flags: string[]) => {
    const args = [mainFile, "garbage", "--data-folder", dataFolder, ...flags];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
    return { status, stdout, stderr };
  };
  const report = (...flags: string[]): GarbageInfo => {
    const { status, stdout, stderr } = run("--json", "--files", ...flags);
    assert.equal(status, 0, stderr);
    return JSON.parse(stdout) as GarbageInfo;
  };

  before(async () => {
    mkdirSync(warehouse, { recursive: true });
    store = new LocalStore({ root: warehouse, disk: new RealDisk(), sweepTemporary: false });
    leftovers = await makeLeftovers(store);
    const past = new Date(Date.now() - 3 * hourMs);
    for (const entry of readdirSync(warehouse, { recursive: true, withFileTypes: true })) {
      if (entry.isFile()) utimesSync(join(entry.parentPath, entry.name), past, past);
    }
  });
  after(() => rmSync(root, { recursive: true, force: true }));

  test("says what is garbage, how much and how old, and changes nothing", async () => {
    const { live, gone, orphan } = leftovers;
    const young = await uploadOrphan(store, live);
    const before = await keysIn(store);
    const info = report();
    assert.deepEqual(await keysIn(store), before);
    assert.deepEqual(keysOf(info, "insideGrace"), [young]);
    const garbage = keysOf(info, "garbage");
    assert.ok(garbage.includes(orphan));
    // The crashed commit left a data file, a manifest and a manifest list; the live table's first three versions are old.
    const ofLive = info.tables.find(({ table }) => table === "live");
    assert.deepEqual(
      [ofLive?.state, ofLive?.garbage.dataFiles, ofLive?.garbage.versions, ofLive?.garbage.others],
      ["live", 2, 3, 2],
    );
    const ages = [ofLive?.garbage.oldestAgeMs ?? 0, ofLive?.garbage.newestAgeMs ?? 0];
    assert.ok(
      ages.every((age) => age > 2.9 * hourMs && age < 4 * hourMs),
      String(ages),
    );
    const ofGone = info.tables.find(({ table }) => table === "gone");
    assert.equal(ofGone?.state, "dropped");
    assert.deepEqual(
      ofGone?.garbage.keys?.toSorted(),
      before.filter((key) => key.startsWith(gone.location)).toSorted(),
    );
    assert.equal(info.total.garbage.objects, garbage.length);
    // The server's own collector, asked the same, says the same.
    const { removed } = await new TableCatalog(store).collectGarbage({ graceMs: hourMs, dryRun: true });
    assert.deepEqual(removed.toSorted(), garbage);
    const text = run().stdout;
    assert.match(text, /live \(live\): garbage 7 objects/);
    assert.match(text, /Nothing was removed/);
    await store.delete(young);
  });

  test("nothing of a grace time that everything is younger than", () => {
    const info = report("--garbage-grace-ms", String(24 * hourMs));
    assert.equal(info.total.garbage.objects, 0);
    assert.ok(info.total.insideGrace.objects > 10);
  });

  test("--delete beside a running server removes that and nothing else: the table and its older snapshot stay", async () => {
    const { live } = leftovers;
    const server = await ServerProcess.start({ folder: dataFolder });
    try {
      const client = new HttpClient(server.url);
      const writing = client.sendJson("/v1/data", { table: "live", id: "new", payload: {} });
      const expected = keysOf(report(), "garbage");
      const before = await keysIn(store);
      const info = report("--delete");
      assert.equal(info.isDeleted, true);
      assert.deepEqual(keysOf(info, "garbage"), expected);
      const left = new Set(await keysIn(store));
      assert.deepEqual(
        before.filter((key) => !left.has(key)),
        before.filter((key) => expected.includes(key)),
      );
      assert.equal((await writing).status, 200);
      assert.equal(await client.count("live"), 7);
      const [, older] = await new TableCatalog(store).listSnapshots(live);
      const sql = `select count(*) as n from live`;
      const reply = await client.sendJson("/v1/query", { sql, snapshot_id: older?.snapshotId });
      assert.equal(reply.status, 200, JSON.stringify(reply.body));
      assert.match(JSON.stringify(reply.body), /"3"|\b3\b/);
      assert.equal(report().total.garbage.objects, 0);
    } finally {
      await server.dispose();
    }
  });

  test("refuses a grace time that protects no commit, flags that it does not know, and a folder that is not there", () => {
    const short = run("--delete", "--garbage-grace-ms", "400000", "--query-timeout-ms", "1");
    assert.equal(short.status, 2);
    assert.match(short.stderr, /--delete wants/);
    const unknown = run("--remove");
    assert.equal(unknown.status, 2);
    assert.match(unknown.stderr, /--remove is not an option/);
    const missing = spawnSync(process.execPath, [mainFile, "garbage", "--data-folder", join(root, "none")], {
      encoding: "utf8",
    });
    assert.equal(missing.status, 1);
    assert.match(missing.stderr, /no warehouse/);
  });
});

describe("miniodb garbage on S3", { skip }, () => {
  let s3: S3TestServer;
  before(async () => {
    s3 = await startS3Server();
  });
  after(() => s3.stop());

  test("reports and removes there what it does in a folder", async () => {
    const bucket = await s3.createBucket();
    const options = s3OptionsOf(s3, bucket, { prefix: "" });
    const client = openS3Client(options);
    const store = new S3Store(client, options);
    const { live, gone, orphan } = await makeLeftovers(store);
    const config = loadConfig({ argv: [], env: storeEnvironment(s3, bucket) });
    const at = (ageMs: number, isDeleting: boolean) =>
      collect({ config, isDeleting, withKeys: true, nowMs: () => Date.now() + ageMs });
    const young = await at(0, false);
    assert.equal(young.total.garbage.objects, 0);
    assert.ok(keysOf(young, "insideGrace").includes(orphan));
    const before = await keysIn(store);
    const old = await at(2 * hourMs, true);
    const left = await keysIn(store);
    assert.deepEqual(
      before.filter((key) => !left.includes(key)),
      keysOf(old, "garbage"),
    );
    assert.deepEqual(
      left.filter((key) => key.startsWith(gone.location) || key === orphan),
      [],
    );
    assert.equal((await new TableCatalog(store).loadTable(live)).files.length, 2);
    assert.equal((await at(2 * hourMs, false)).total.garbage.objects, 0);
    client.destroy();
  });
});
