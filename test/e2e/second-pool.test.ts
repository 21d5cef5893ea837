/**
 * Two S3 servers, one server that writes to the first and mirrors to the second: outages of either, the way over to the
 * second pool by `miniodb failover`, and back. MINIODB_TEST_SEED replays the writer.
 */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { CrashWriter } from "../crash/crash-writer.js";
import { HttpClient } from "../harness/http-client.js";
import { runCommand } from "../harness/run-command.js";
import { S3FaultProxy } from "../harness/s3-fault-proxy.js";
import { listKeys, type S3TestServer, startS3Server, storeEnvironment, whyNoS3Server } from "../harness/s3-server.js";
import { seededRandom } from "../harness/seeded-random.js";
import { ServerProcess } from "../harness/server-process.js";
import { sized, someOf, whyLeftOut } from "../harness/test-size.js";

const skip = await whyNoS3Server();
const seed = Number(process.env["MINIODB_TEST_SEED"] ?? 20261125);
const waitMsMax = 120_000;
const tables = ["alpha", "beta"];
/** So long rows come in before something happens to a pool, and while it is away. */
const [writeMs, outageMs] = sized([500, 500], [1000, 1500]);
/** The way back to the first pool, and the suites after the first; a small run has one of them. */
const chosen = someOf(["back", "behind", "folder", "copied"], 1);
const whyNot = (name: string): string | false => whyLeftOut(chosen, name);

const flags = [
  ["--flush-rows", "2000", "--flush-interval-ms", sized("800", "300"), "--wal-segment-bytes", "1048576"],
  ["--compaction-interval-ms", "500", "--compaction-small-files-min", "4", "--mirror-interval-ms", "500"],
  ["--store-connect-timeout-ms", "500", "--store-idle-timeout-ms", "2000"],
].flat();

type Env = Readonly<Record<string, string>>;

/** One S3 server behind a proxy that a test may take down, with one bucket. */
interface Pool {
  readonly s3: S3TestServer;
  readonly proxy: S3FaultProxy;
  readonly bucket: string;
}

/** Of the first pools and of the second ones: each suite has buckets of its own. */
let servers: readonly [S3TestServer, S3TestServer];
before(async () => {
  if (skip === false) servers = await Promise.all([startS3Server(), startS3Server()]);
});
after(async () => {
  if (skip === false) await Promise.all(servers.map((s3) => s3.stop()));
});

async function openPool(s3: S3TestServer): Promise<Pool> {
  return { s3, proxy: await S3FaultProxy.start(s3.endpoint), bucket: await s3.createBucket() };
}

/** By the names of the original MinIODB. */
function mirrorEnvironment({ s3, proxy, bucket }: Pool): Env {
  return {
    MINIO_BACKUP_ENDPOINT: proxy.endpoint,
    MINIO_BACKUP_BUCKET: bucket,
    MINIO_BACKUP_ACCESS_KEY: s3.accessKeyId,
    MINIO_BACKUP_SECRET_KEY: s3.secretAccessKey,
  };
}

function environment(first: Pool, second: Pool): Env {
  return { ...storeEnvironment(first.s3, first.bucket, first.proxy.endpoint), ...mirrorEnvironment(second) };
}

async function metric(client: HttpClient, name: string): Promise<number> {
  const { body } = await client.send("/metrics");
  return Number(new RegExp(`^${name} (\\S+)$`, "m").exec(String(body))?.[1]);
}

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + waitMsMax;
  while (!(await isSo())) {
    assert.ok(performance.now() < deadline, `${what} within ${waitMsMax} ms`);
    await delay(100);
  }
}

/** The second pool has every commit, and everything acknowledged is committed. */
async function mirrored(client: HttpClient): Promise<void> {
  await until("the second pool follows", async () => {
    const buffered = await metric(client, "miniodb_buffered_rows");
    const behind = await metric(client, "miniodb_mirror_tables_behind");
    return buffered === 0 && behind === 0 && (await metric(client, "miniodb_mirror_waiting_bytes")) === 0;
  });
}

/** And nothing is left to merge, whose commit would come after all the others. */
async function settled(client: HttpClient): Promise<void> {
  const merged = (): Promise<number> => metric(client, "miniodb_compacted_files_total");
  let before = -1;
  await until("merges and the second pool come to rest", async () => {
    if ((await merged()) !== before) {
      before = await merged();
      // Three rounds of merges; see `flags`.
      await delay(1_500);
      return false;
    }
    await mirrored(client);
    return (await merged()) === before;
  });
}

async function healthDetails(client: HttpClient): Promise<Readonly<Record<string, string>>> {
  const { body } = await client.send("/v1/health");
  return (body as { readonly details: Readonly<Record<string, string>> }).details;
}

function emptyCache(folder: string): void {
  const cache = join(folder, "cache");
  for (const name of readdirSync(cache)) if (name.endsWith(".parquet")) rmSync(join(cache, name));
}

async function createTables(client: HttpClient, names: readonly string[]): Promise<void> {
  for (const table of names) {
    const reply = await client.sendJson("/v1/tables", { table_name: table });
    assert.equal(reply.status, 200, JSON.stringify(reply.body));
  }
}

async function writeRows(client: HttpClient, table: string, from: number, count: number): Promise<void> {
  const body = Array.from({ length: count }, (_value, row) => JSON.stringify({ id: `r${from + row}`, v: from + row }));
  const headers = { "content-type": "application/x-ndjson" };
  const reply = await client.send(`/v1/tables/${table}/rows`, { body: body.join("\n"), headers });
  assert.equal(reply.status, 200, JSON.stringify(reply.body));
}

describe(`two pools (seed ${seed})`, { skip }, () => {
  const root = mkdtempSync(join(tmpdir(), "miniodb-e2e-pools-"));
  const folder = join(root, "data");
  const writer = new CrashWriter({
    random: seededRandom(seed),
    tables,
    connections: sized(2, 4),
    isStoredAvoided: true,
  });
  const client = new HttpClient(() => server.url);
  let a: Pool;
  let b: Pool;
  let server: ServerProcess;

  before(async () => {
    [a, b] = await Promise.all([openPool(servers[0]), openPool(servers[1])]);
    server = await ServerProcess.start({ folder, env: environment(a, b), flags });
    await createTables(client, [...tables, "extra"]);
  });

  afterEach(() => writer.stop());

  after(async () => {
    await server.dispose();
    await Promise.all([a.proxy.stop(), b.proxy.stop()]);
    rmSync(root, { recursive: true, force: true });
  });

  test("what is committed is soon in the second pool too, through an outage of it", async () => {
    writer.start(server.url);
    await delay(writeMs);
    await b.proxy.down();
    await delay(outageMs);
    await until("the lag shows, and why there is one", async () => {
      const details = await healthDetails(client);
      const isBehind = /tables and \d+ commits behind/.test(details["mirror"] ?? "");
      return isBehind && Number(details["mirror_lag_seconds"]) >= 0 && (details["mirror_error"] ?? "") !== "";
    });
    await b.proxy.up();
    await writer.stop();
    await settled(client);
    assert.equal((await healthDetails(client))["mirror"], "ok");
    await writer.verify(server.url);
    // All but the records is there under the same keys, or was, where garbage went from one pool first.
    await until("each file that a commit names is in both", async () => {
      const garbage = await runCommand(["garbage", "--files"], environment(a, b));
      assert.equal(garbage.code, 0, garbage.output);
      const [left, right] = await Promise.all([listKeys(a.s3, a.bucket), listKeys(b.s3, b.bucket)]);
      const data = left.filter((key) => key.endsWith(".parquet") && !garbage.output.includes(key));
      return data.length > 2 && data.every((key) => right.includes(key));
    });
  });

  test("while the first pool is away, queries read from the second, and writes are absorbed", async () => {
    await settled(client);
    await a.proxy.down();
    emptyCache(folder);
    await writer.verify(server.url);
    writer.start(server.url);
    await delay(outageMs);
    await writer.stop();
    await writer.verify(server.url);
  });

  test("a failover is reported first, then done; the server that runs on the old pool stops committing to it", async () => {
    const dry = await runCommand(["failover"], environment(a, b));
    assert.equal(dry.code, 0, dry.output);
    assert.match(dry.output, /cannot be reached[^]*Lag: unknown since \d{4}-[^]*Nothing was changed/);
    const done = await runCommand(["failover", "--yes"], environment(a, b));
    assert.equal(done.code, 0, done.output);
    assert.match(done.output, /is the first pool now/);
    await until("the server hears of it", async () => /superseded/.test((await healthDetails(client))["mirror"] ?? ""));
    await a.proxy.up();
    const keys = await listKeys(a.s3, a.bucket);
    await writeRows(client, "extra", 0, 10);
    await until("the flush says why", async () => {
      const flush = await client.send("/v1/tables/extra/flush", { method: "POST" });
      assert.equal(flush.status, 503, JSON.stringify(flush.body));
      return JSON.stringify(flush.body).includes("POOL_SUPERSEDED");
    });
    const versions = (all: readonly string[]): string[] => all.filter((key) => key.endsWith(".metadata.json"));
    assert.deepEqual(versions(await listKeys(a.s3, a.bucket)), versions(keys), "no commit came to the old pool");
  });

  test("it does not start on the old pool again; with the pools swapped it has every acknowledged row", async () => {
    await server.stop();
    const refused = ServerProcess.start({ folder, env: environment(a, b), flags });
    await assert.rejects(refused, /not the first one[^]*Swap store/);
    server = await ServerProcess.start({ folder, env: environment(b, a), flags });
    assert.equal(await client.count("extra"), 10);
    await writer.verify(server.url);
    writer.start(server.url);
    await delay(writeMs);
    await writer.stop();
    await mirrored(client);
    await writer.verify(server.url);
  });

  test(
    "and back, planned: fenced, copied to the last commit, promoted, while rows come in",
    {
      skip: whyNot("back"),
    },
    async () => {
      writer.start(server.url);
      await delay(500);
      const done = await runCommand(["failover", "--yes"], environment(b, a));
      assert.equal(done.code, 0, done.output);
      assert.match(done.output, /is fenced[^]*commits were copied[^]*is the first pool now/);
      await delay(500);
      await writer.stop();
      const again = await runCommand(["failover", "--yes"], environment(b, a));
      assert.deepEqual([again.code, /is first already/.test(again.output)], [1, true], again.output);
      await server.kill();
      server = await ServerProcess.start({ folder, env: environment(a, b), flags });
      await writer.verify(server.url);
      for (const table of tables) {
        await until(
          "it is flushed",
          async () => (await client.send(`/v1/tables/${table}/flush`, { method: "POST" })).status === 200,
        );
      }
      await mirrored(client);
      const fresh = await ServerProcess.start({ folder: join(root, "fresh"), env: storeEnvironment(a.s3, a.bucket) });
      await writer.verify(fresh.url);
      await fresh.dispose();
    },
  );
});

describe("a second pool that was behind when it was promoted", { skip: skip || whyNot("behind") }, () => {
  const root = mkdtempSync(join(tmpdir(), "miniodb-e2e-lag-"));
  const folder = join(root, "data");
  const noHold = [
    ...flags,
    "--mirror-hold-log",
    "false",
    "--flush-interval-ms",
    "1h",
    "--compaction-interval-ms",
    "1d",
  ];
  const client = new HttpClient(() => server.url);
  let a: Pool;
  let b: Pool;
  let server: ServerProcess;

  const flushed = async (): Promise<void> => {
    await until(
      "it is flushed",
      async () => (await client.send("/v1/tables/t/flush", { method: "POST" })).status === 200,
    );
  };

  before(async () => {
    [a, b] = await Promise.all([openPool(servers[0]), openPool(servers[1])]);
    server = await ServerProcess.start({ folder, env: environment(a, b), flags: noHold });
    await createTables(client, ["t"]);
  });

  after(async () => {
    await server.dispose();
    await Promise.all([a.proxy.stop(), b.proxy.stop()]);
    rmSync(root, { recursive: true, force: true });
  });

  test("goes on with what it has; the other pool's commits are kept aside when that comes back", async () => {
    await writeRows(client, "t", 0, 100);
    await flushed();
    await mirrored(client);
    await b.proxy.down();
    await writeRows(client, "t", 100, 50);
    await flushed();
    await createTables(client, ["late"]);
    await server.stop();
    // The machine's disk is lost too: only the pools have rows.
    rmSync(folder, { recursive: true, force: true });
    await a.proxy.down();
    await b.proxy.up();
    assert.equal((await runCommand(["failover", "--yes"], environment(a, b))).code, 0);
    server = await ServerProcess.start({ folder, env: environment(b, a), flags: noHold });
    assert.equal(await client.count("t"), 100);
    await writeRows(client, "t", 1000, 7);
    await flushed();
    await a.proxy.up();
    await mirrored(client);
    await until("what diverged is aside", async () => (await metric(client, "miniodb_mirror_diverged_total")) >= 3);
    assert.equal(await metric(client, "miniodb_mirror_second_only"), 0);
    assert.match(server.output, /kept aside/);
    const aside = await listKeys(a.s3, a.bucket, ".miniodb-diverged/epoch-2/t-");
    assert.ok(aside.some((key) => key.endsWith(".parquet")) && aside.some((key) => key.endsWith(".metadata.json")));
    assert.equal(await client.count("t"), 107);
    // And the old first pool, first again, has what the new one had.
    assert.equal((await runCommand(["failover", "--yes"], environment(b, a))).code, 0);
    await server.stop();
    server = await ServerProcess.start({ folder, env: environment(a, b), flags: noHold });
    assert.equal(await client.count("t"), 107);
  });
});

describe("a folder with an S3 server as its second pool", { skip: skip || whyNot("folder") }, () => {
  const root = mkdtempSync(join(tmpdir(), "miniodb-e2e-folder-"));
  const folder = join(root, "data");
  const client = new HttpClient(() => server.url);
  let b: Pool;
  let server: ServerProcess;

  before(async () => {
    b = await openPool(servers[1]);
    server = await ServerProcess.start({ folder, env: mirrorEnvironment(b), flags });
    await createTables(client, ["t"]);
  });

  after(async () => {
    await server.dispose();
    await b.proxy.stop();
    rmSync(root, { recursive: true, force: true });
  });

  test("is mirrored, and its second pool promoted; the folder becomes the mirror", async () => {
    await writeRows(client, "t", 0, 100);
    await mirrored(client);
    const done = await runCommand(["failover", "--yes", "--data-folder", folder], mirrorEnvironment(b));
    assert.equal(done.code, 0, done.output);
    await server.stop();
    await assert.rejects(ServerProcess.start({ folder, env: mirrorEnvironment(b), flags }), /not the first one/);
    const env = { ...storeEnvironment(b.s3, b.bucket), MINIODB_MIRROR_FOLDER: join(folder, "warehouse") };
    server = await ServerProcess.start({ folder, env, flags });
    assert.equal(await client.count("t"), 100);
    await writeRows(client, "t", 100, 20);
    await mirrored(client);
    const back = await runCommand(["failover", "--yes", "--data-folder", folder], env);
    assert.equal(back.code, 0, back.output);
    await server.stop();
    server = await ServerProcess.start({ folder, env: mirrorEnvironment(b), flags });
    assert.equal(await client.count("t"), 120);
  });
});

describe("a warehouse that is there before it gets a mirror", { skip: whyNot("copied") }, () => {
  const root = mkdtempSync(join(tmpdir(), "miniodb-e2e-mirror-"));
  const folder = join(root, "data");
  const second = join(root, "second");
  const batches = 30;
  const client = new HttpClient(() => server.url);
  let server: ServerProcess;

  after(async () => {
    await server.dispose();
    rmSync(root, { recursive: true, force: true });
  });

  const filesOf = (place: string): string[] => {
    if (!existsSync(place)) return [];
    return readdirSync(place, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".parquet"));
  };

  test("is copied at the rate that is set; a server killed meanwhile goes on with what is missing", async () => {
    const quiet = ["--flush-interval-ms", "1h", "--compaction-interval-ms", "1d", "--mirror-interval-ms", "500"];
    server = await ServerProcess.start({ folder, flags: quiet });
    for (let batch = 0; batch < batches; batch++) {
      await writeRows(client, "t", batch * 100, 100);
      assert.equal((await client.send("/v1/tables/t/flush", { method: "POST" })).status, 200);
    }
    await server.stop();
    const mirror = ["--mirror-folder", second];
    await server.restart([...mirror, "--mirror-rate-bytes-max", "16384"]);
    await until("some are copied", () => Promise.resolve(filesOf(second).length >= 5));
    await server.kill();
    const before = filesOf(second).length;
    assert.ok(before < batches, `${before} files were copied before the kill`);
    await server.restart(mirror);
    await mirrored(client);
    assert.equal(filesOf(second).length, batches);
    assert.ok((await metric(client, "miniodb_mirror_commits_total")) >= 1);
    await server.stop();
    // What is there is a warehouse of its own.
    const done = await runCommand(["failover", "--yes", "--data-folder", folder, ...mirror]);
    assert.equal(done.code, 0, done.output);
    const other = join(root, "other");
    mkdirSync(other);
    renameSync(second, join(other, "warehouse"));
    const promoted = await ServerProcess.start({ folder: other });
    assert.equal(await new HttpClient(promoted.url).count("t"), batches * 100);
    await promoted.dispose();
  });
});
