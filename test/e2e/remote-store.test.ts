/** A server whose warehouse lies behind a network that is slow, loses requests, and is counted. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { HttpClient } from "../harness/http-client.js";
import { RemoteFolder } from "../harness/remote-store.js";
import { seededRandom } from "../harness/seeded-random.js";
import { ServerProcess } from "../harness/server-process.js";
import { sized } from "../harness/test-size.js";

const dayMs = 86_400_000;
const firstDayMs = Date.parse("2026-01-01T00:00:00Z");
const rowsPerDay = 2_000;
const days = 12;
/** A stop alone leaves what a kill leaves: in a small run it is seen with the kill. */
const isStoppedFirst = sized(false, true);

describe("a warehouse that is not on this machine", () => {
  const root = mkdtempSync(join(tmpdir(), "miniodb-remote-"));
  const remote = new RemoteFolder(join(root, "control"));
  const cacheFolder = join(root, "data", "cache");
  let server: ServerProcess;
  let client: HttpClient;

  before(async () => {
    const env = {
      MINIODB_TEST_STORE: new URL("../harness/remote-store.js", import.meta.url).href,
      MINIODB_TEST_REMOTE: join(root, "control"),
    };
    server = await ServerProcess.start({ folder: join(root, "data"), env, flags: ["--query-cache-bytes", "0"] });
    client = new HttpClient(() => server.url);
    const { real } = seededRandom(3);
    for (let day = 0; day < days; day++) {
      const rows = Array.from({ length: rowsPerDay }, (_value, index) => ({
        timestamp: new Date(firstDayMs + day * dayMs + index * 1000).toISOString(),
        id: `${day}-${index}`,
        host: `host-${index % 7}`,
        usage: (index * 31 + day) % 1000,
        noise: real(),
      }));
      await client.write("cpu", rows);
    }
    await flush("cpu");
    remote.takeRequests();
  });

  after(async () => {
    await server.dispose();
    rmSync(root, { recursive: true, force: true });
  });

  const flush = async (table: string): Promise<void> => {
    const reply = await client.send(`/v1/tables/${table}/flush`, { method: "POST" });
    assert.equal(reply.status, 200, JSON.stringify(reply.body));
  };

  const total = async (): Promise<readonly number[]> => {
    const [row] = await client.query<{ n: number; sum: number }>("select count(*) as n, sum(usage) as sum from cpu");
    return [Number(row?.n), Number(row?.sum)];
  };
  const expected = (): readonly number[] => {
    let sum = 0;
    for (let day = 0; day < days; day++) {
      for (let index = 0; index < rowsPerDay; index++) sum += (index * 31 + day) % 1000;
    }
    return [days * rowsPerDay, sum];
  };
  const temporaryFiles = (): string[] => readdirSync(join(root, "data", "temp", "persist"));

  const fetches = (): string[] =>
    remote.takeRequests().flatMap(({ operation, key }) => (operation === "getPart" ? [key] : []));
  const cachedNames = (): string[] => readdirSync(cacheFolder).filter((name) => name.endsWith(".parquet"));
  const metric = async (name: string): Promise<number> => {
    const { body } = await client.send("/metrics");
    return Number(new RegExp(`^${name} (\\S+)$`, "m").exec(String(body))?.[1]);
  };

  test("what this machine has just flushed is not fetched again", async () => {
    assert.equal(cachedNames().length, days);
    assert.equal(await metric("miniodb_cache_files"), days);
    assert.deepEqual(await total(), expected());
    assert.deepEqual(fetches(), []);
    assert.deepEqual(readdirSync(join(cacheFolder, "parts")), []);
  });

  test("a query fetches each file once, together; the next one asks the store for nothing", async () => {
    for (const name of cachedNames()) rmSync(join(cacheFolder, name));
    remote.control = { latencyMs: 500 };
    const startMs = performance.now();
    assert.deepEqual(await total(), expected());
    const firstMs = performance.now() - startMs;
    assert.equal(fetches().length, days);
    assert.ok(firstMs < (days * 500) / 2, `${days} fetches of 500 ms overlap: ${firstMs} ms`);
    assert.deepEqual(await total(), expected());
    assert.deepEqual(fetches(), []);
    assert.deepEqual(
      [await metric("miniodb_cache_misses_total"), await metric("miniodb_cache_hits_total")],
      [days, 2 * days],
    );
    assert.equal(await metric("miniodb_cache_files"), days);
    remote.control = {};
  });

  test("after a restart and after a kill the files are still there; damaged ones are fetched again", async () => {
    if (isStoppedFirst) {
      await server.stop();
      await server.restart();
      assert.deepEqual(await total(), expected());
      assert.deepEqual(fetches(), []);
    }
    await server.kill();
    const [cut, changed] = cachedNames().map((name) => join(cacheFolder, name)) as [string, string];
    truncateSync(cut, 100);
    writeFileSync(changed, Buffer.alloc(statSync(changed).size));
    await server.restart();
    assert.deepEqual(await total(), expected());
    assert.equal(fetches().length, 2);
    truncateSync(cut, 0);
    assert.deepEqual(await total(), expected());
    assert.equal(fetches().length, 1);
  });

  test("new rows, hot and flushed, come beside the cached ones", async () => {
    await client.write("cpu", [{ timestamp: new Date(firstDayMs).toISOString(), id: "new", host: "h", usage: 1 }]);
    const [rows, sum] = expected() as [number, number];
    assert.deepEqual(await total(), [rows + 1, sum + 1]);
    assert.deepEqual(fetches(), []);
    await flush("cpu");
    remote.takeRequests();
    assert.deepEqual(await total(), [rows + 1, sum + 1]);
    assert.deepEqual(fetches(), []);
  });

  test("a store that fails now and then is asked again; one that is away is a 503, and only for what is not here", async () => {
    for (const name of cachedNames()) rmSync(join(cacheFolder, name));
    remote.control = { failing: ["getPart"], share: 0.5, seed: 5, timesMax: 3 };
    const [rows] = await total();
    assert.equal(rows, days * rowsPerDay + 1);
    for (const name of cachedNames().slice(0, 3)) rmSync(join(cacheFolder, name));
    remote.control = { failing: ["getPart"] };
    const reply = await client.sendJson("/v1/query", { sql: "select sum(usage) from cpu" });
    assert.equal(reply.status, 503, JSON.stringify(reply.body));
    assert.equal((reply.body as { code?: string }).code, "STORE_UNAVAILABLE");
    remote.control = {};
    assert.equal((await total())[0], days * rowsPerDay + 1);
    remote.control = { failing: ["getPart"] };
    assert.equal((await total())[0], days * rowsPerDay + 1);
    remote.control = {};
  });

  test("a small cache: what queries need comes and goes, what is too much is refused", async () => {
    await server.stop();
    const sizes = cachedNames().map((name) => statSync(join(cacheFolder, name)).size);
    const largest = Math.max(...sizes);
    const bytesMax = Math.max(64 * 1024, Math.ceil(largest * 2.5));
    await server.restart(["--cache-bytes-max", String(bytesMax)]);
    const all = sizes.reduce((sum, size) => sum + size, 0);
    assert.ok(all > bytesMax, `the files (${all} bytes) are more than the cache holds (${bytesMax})`);
    const refused = await client.sendJson("/v1/query", { sql: "select sum(usage) from cpu" });
    assert.equal(refused.status, 413, JSON.stringify(refused.body));
    assert.match(JSON.stringify(refused.body), /cache\.bytesMax/);
    const ofDay = async (day: number): Promise<void> => {
      const from = new Date(firstDayMs + day * dayMs).toISOString();
      const to = new Date(firstDayMs + (day + 1) * dayMs).toISOString();
      const sql = `select count(*) as n from cpu where timestamp >= '${from}' and timestamp < '${to}'`;
      const [row] = await client.query<{ n: number }>(sql);
      assert.equal(Number(row?.n), day === 0 ? rowsPerDay + 1 : rowsPerDay);
    };
    let largestSeen = 0;
    let isDone = false;
    const bytesIn = (folder: string): number => {
      const entries = readdirSync(folder, { withFileTypes: true }).filter(
        (entry) => entry.isFile() && entry.name !== "lock.duckdb",
      );
      const sizes = entries.map(({ name }) => statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0);
      return sizes.reduce((sum, size) => sum + size, 0);
    };
    const watch = (async () => {
      while (!isDone) {
        const namesBefore = cachedNames().join();
        const used = bytesIn(cacheFolder) + bytesIn(join(cacheFolder, "parts"));
        // What went while this looked, and what came into its room, were never there together.
        if (cachedNames().join() === namesBefore) largestSeen = Math.max(largestSeen, used);
        await delay(1);
      }
    })();
    await Promise.all(
      Array.from({ length: 6 }, async (_value, first) => {
        for (let round = 0; round < days; round++) await ofDay((first * 5 + round) % days);
      }),
    );
    isDone = true;
    await watch;
    assert.ok(largestSeen <= bytesMax, `${largestSeen} of ${bytesMax} bytes`);
    assert.ok((await metric("miniodb_cache_evictions_total")) > 0);
    assert.equal(await metric("miniodb_cache_pinned_bytes"), 0);
  });

  test("pages of one result: between them the files take no room", async () => {
    const to = new Date(firstDayMs + dayMs).toISOString();
    const sql = `select id from cpu where timestamp < '${to}'`;
    const seen = new Set<string>();
    let cursor = "";
    do {
      const reply = await client.sendJson("/v1/query", { sql, limit: 700, cursor });
      assert.equal(reply.status, 200, JSON.stringify(reply.body));
      const page = reply.body as { readonly result_json: string; readonly next_cursor: string };
      for (const { id } of JSON.parse(page.result_json) as { readonly id: string }[]) seen.add(id);
      cursor = page.next_cursor;
      assert.equal(await metric("miniodb_cache_pinned_bytes"), 0);
      for (const name of cachedNames()) rmSync(join(cacheFolder, name));
    } while (cursor !== "");
    assert.equal(seen.size, rowsPerDay + 1);
  });

  test("merges read what the cache has, and fetch the rest past it", async () => {
    for (let round = 0; round < 4; round++) {
      await client.write("merged", [{ timestamp: new Date(firstDayMs).toISOString(), id: String(round), v: round }]);
      await flush("merged");
    }
    remote.takeRequests();
    await server.stop();
    const filesBefore = cachedNames().length;
    await server.restart(["--compaction-small-files-min", "2", "--compaction-interval-ms", "100"]);
    const deadline = Date.now() + 20_000;
    while ((await metric("miniodb_compacted_files_total")) < 4) {
      assert.ok(Date.now() < deadline, "the files are merged");
      await delay(50);
    }
    const merged = fetches().filter((key) => key.startsWith("merged-"));
    assert.equal(merged.length, 4);
    assert.equal(cachedNames().length, filesBefore);
    const [row] = await client.query<{ n: number; sum: number }>("select count(*) as n, sum(v) as sum from merged");
    assert.deepEqual([Number(row?.n), Number(row?.sum)], [4, 6]);
    assert.equal(fetches().filter((key) => key.startsWith("merged-")).length, 1);
    // What this process has fetched and flushed is here, and known to be whole.
    remote.takeRequests();
    const mergedBefore = await metric("miniodb_compacted_files_total");
    for (let round = 4; round < 8; round++) {
      await client.write("merged", [{ timestamp: new Date(firstDayMs).toISOString(), id: String(round), v: round }]);
      await flush("merged");
    }
    while ((await metric("miniodb_compacted_files_total")) < mergedBefore + 4) {
      assert.ok(Date.now() < deadline, "those are merged, too");
      await delay(50);
    }
    // What is fetched is the output of earlier merges, which is here only when somebody has asked for it.
    const read = (await metric("miniodb_compacted_files_total")) - mergedBefore;
    const outputs = fetches().filter((key) => key.startsWith("merged-"));
    assert.ok(outputs.length < read, `${outputs.length} fetched of ${read} that were read`);
    // There may be one more merge.
    while (temporaryFiles().length > 0) {
      assert.ok(Date.now() < deadline, `nothing is left behind: ${temporaryFiles().join(", ")}`);
      await delay(50);
    }
  });
});
