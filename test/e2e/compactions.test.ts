/** Compactions that are asked for, as clients meet them. */
import assert from "node:assert/strict";
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { HttpClient, type Reply } from "../harness/http-client.js";
import { ServerProcess } from "../harness/server-process.js";
import { sized } from "../harness/test-size.js";

const dayMs = 86_400_000;
const firstMs = Date.UTC(2026, 8, 1);
const quiet = ["--flush-interval-ms", "1h", "--compaction-interval-ms", "1d", "--garbage-interval-ms", "1d"];

interface Job {
  readonly id: string;
  readonly trigger: string;
  readonly state: string;
  readonly progress: number;
  readonly started_at: string | null;
  readonly ended_at: string | null;
  readonly merges: number;
  readonly files_in: number;
  readonly files_out: number;
  readonly bytes_in: number;
  readonly bytes_out: number;
  readonly rows: number;
  readonly deleted_rows: number;
  readonly conflicts: number;
  readonly error: { readonly code: string } | null;
}

let server: ServerProcess;
const client = new HttpClient(() => server.url);

/** Runs `use` on a server of its own. */
async function withServer(flags: readonly string[], use: () => Promise<void>): Promise<void> {
  server = await ServerProcess.start({ flags: [...quiet, ...flags] });
  try {
    await use();
  } finally {
    await server.dispose();
  }
}

async function ok(sent: Promise<Reply>): Promise<unknown> {
  const reply = await sent;
  assert.equal(reply.status, 200, JSON.stringify(reply.body));
  return reply.body;
}

/** Flushes of so many rows each, in every one of the days. */
async function fill(
  table: string,
  { flushes, rows = 20, days = 1 }: { flushes: number; rows?: number; days?: number },
) {
  for (let flush = 0; flush < flushes; flush++) {
    const batch = Array.from({ length: rows * days }, (_, index) => {
      const n = flush * rows * days + index;
      return { timestamp: firstMs + (n % days) * dayMs + n * 10, id: `row-${n}`, n, host: `h${n % 3}` };
    });
    await client.write(table, batch);
    await ok(client.sendJson(`/v1/tables/${table}/flush`, {}));
  }
}

async function ask(table: string, body: object = {}): Promise<Job> {
  const reply = (await ok(client.sendJson(`/v1/tables/${table}/compact`, body))) as { readonly compaction: Job };
  return reply.compaction;
}

async function ended(table: string, { id }: Pick<Job, "id">): Promise<Job> {
  for (;;) {
    const job = (await ok(client.send(`/v1/tables/${table}/compactions/${id}`))) as Job;
    if (job.ended_at !== null) return job;
    await delay(20);
  }
}

async function list(table: string): Promise<readonly Job[]> {
  const reply = await ok(client.send(`/v1/tables/${table}/compactions`));
  return (reply as { readonly compactions: readonly Job[] }).compactions;
}

async function fileCount(table: string): Promise<number> {
  const reply = await ok(client.send(`/v1/tables/${table}`));
  return (reply as { readonly table_info: { readonly stats: { readonly file_count: number } } }).table_info.stats
    .file_count;
}

async function numbersOf(table: string): Promise<string> {
  const rows = await client.query<{ n: number }>(`SELECT n, id, timestamp FROM ${table} ORDER BY n`);
  return JSON.stringify(rows);
}

/** Of all snapshots, and what a failure has left. */
function dataFiles(): string[] {
  const names = readdirSync(join(server.folder, "warehouse"), { recursive: true, encoding: "utf8" });
  return names.filter((name) => name.endsWith(".parquet")).toSorted();
}

function temporaryFiles(): string[] {
  return readdirSync(join(server.folder, "temp", "persist"));
}

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  return Number(
    text
      .split("\n")
      .find((line) => line.startsWith(`${name} `))
      ?.slice(name.length) ?? 0,
  );
}

describe("compaction on request", () => {
  describe("of a server whose upkeep is quiet", () => {
    before(async () => {
      // The first merge waits, so that it can be cancelled.
      const env = { MINIODB_FAILPOINT: "compact.file.written:1:sleep:1500" };
      server = await ServerProcess.start({ flags: quiet, env });
    });
    after(() => server.dispose());

    test("one that is cancelled leaves nothing behind, and can be asked for again", async () => {
      await fill("t", { flushes: 3 });
      const before = await numbersOf("t");
      const files = dataFiles();
      const job = await ask("t");
      const waiting = await ask("t", { full: true });
      const cancel = (id: string) => ok(client.send(`/v1/tables/t/compactions/${id}`, { method: "DELETE" }));
      await cancel(waiting.id);
      assert.equal((await ended("t", waiting)).state, "cancelled");
      while ((await list("t")).find(({ id }) => id === job.id)?.state !== "running") await delay(10);
      await cancel(job.id);
      const over = await ended("t", job);
      assert.deepEqual([over.state, over.error, over.merges], ["cancelled", null, 0]);
      assert.deepEqual(dataFiles(), files);
      assert.deepEqual(temporaryFiles(), []);
      await cancel(job.id);
      const again = await ended("t", await ask("t"));
      assert.deepEqual([again.state, again.merges, await fileCount("t")], ["done", 1, 1]);
      assert.equal(await numbersOf("t"), before);
    });

    test("says what it would do, does it once, and keeps every row", async () => {
      const jobsBefore = await metric('miniodb_compactions_total{outcome="done"}');
      const filesBefore = await metric("miniodb_compacted_files_total");
      await fill("plain", { flushes: 5 });
      const before = await numbersOf("plain");
      const planned = (await ok(client.sendJson("/v1/tables/plain/compact", { dry_run: true }))) as {
        readonly merges: readonly object[];
      };
      assert.equal(await fileCount("plain"), 5);
      const job = await ask("plain");
      const done = await ended("plain", job);
      assert.deepEqual(
        [done.state, done.error, done.trigger, done.progress, done.conflicts],
        ["done", null, "request", 1, 0],
      );
      assert.deepEqual(
        [done.merges, done.files_in, done.files_out, done.rows, done.deleted_rows],
        [1, 5, 1, 100, 0],
        JSON.stringify(done),
      );
      const bytes = done.bytes_in;
      assert.ok(bytes > 0 && done.bytes_out > 0);
      assert.deepEqual(planned.merges, [{ day: "2026-09-01", files: 5, bytes, rows: 100, deleted_rows: 0 }]);
      assert.equal(await fileCount("plain"), 1);
      assert.equal(await numbersOf("plain"), before);
      const again = await ended("plain", await ask("plain", { full: true }));
      assert.deepEqual([again.state, again.merges], ["done", 0]);
      assert.deepEqual(
        (await list("plain")).map(({ id }) => id),
        [again.id, done.id],
        "the newest first",
      );
      assert.equal(await metric('miniodb_compactions_total{outcome="done"}'), jobsBefore + 2);
      assert.equal(await metric("miniodb_compacted_files_total"), filesBefore + 5);
    });

    test("a range of days, and deletes that a full one applies", async () => {
      await fill("days", { flushes: 2, days: 3 });
      const part = await ended("days", await ask("days", { from_day: "2026-09-02", to_day: "2026-09-02" }));
      assert.deepEqual([part.merges, part.files_in, await fileCount("days")], [1, 2, 5]);
      await ok(client.sendJson("/v1/tables/days/delete", { where: "n = 1" }));
      const before = await numbersOf("days");
      // One of 40 rows is not due.
      assert.equal((await ended("days", await ask("days", { to_day: "2026-09-02" }))).merges, 1);
      const full = await ended("days", await ask("days", { full: true }));
      assert.deepEqual([full.state, full.deleted_rows, full.merges, full.rows], ["done", 1, 2, 39 + 40]);
      assert.equal(await numbersOf("days"), before);
      assert.equal(await fileCount("days"), 3);
    });

    test("where a file does not hold what the catalog says, nothing is committed, loudly", async () => {
      await fill("damaged", { flushes: 1, rows: 20 });
      const [larger = ""] = dataFiles().filter((name) => name.startsWith("damaged-"));
      await fill("damaged", { flushes: 1, rows: 10 });
      const files = dataFiles();
      const smaller = files.find((name) => name.startsWith("damaged-") && name !== larger) ?? "";
      const warehouse = join(server.folder, "warehouse");
      const kept = readFileSync(join(warehouse, larger));
      const failures = await metric('miniodb_compactions_total{outcome="unverified"}');
      copyFileSync(join(warehouse, smaller), join(warehouse, larger));
      const failed = await ended("damaged", await ask("damaged"));
      assert.deepEqual([failed.state, failed.error?.code, failed.merges], ["failed", "INTERNAL", 0]);
      assert.equal(await metric('miniodb_compactions_total{outcome="unverified"}'), failures + 1);
      assert.ok(server.output.includes("did not keep its rows"), "in the log");
      assert.deepEqual(dataFiles(), files);
      // The bytes are back: so are the rows.
      writeFileSync(join(warehouse, larger), kept);
      assert.equal((await ended("damaged", await ask("damaged"))).state, "done");
      assert.equal(await client.count("damaged"), 30);
    });

    test("clear errors", async () => {
      await fill("errors", { flushes: 1, rows: 1 });
      const refused = async (path: string, body: object, status: number, field?: string) => {
        const reply = await client.sendJson(path, body);
        assert.equal(reply.status, status, JSON.stringify(reply.body));
        const { details } = reply.body as { readonly details: { readonly field?: string } };
        if (field !== undefined) assert.equal(details.field, field);
      };
      await refused("/v1/tables/errors/compact", { from_day: "yesterday" }, 400, "from_day");
      await refused("/v1/tables/errors/compact", { to_day: "2026-02-30" }, 400, "to_day");
      await refused("/v1/tables/errors/compact", { from_day: "2026-03-02", to_day: "2026-03-01" }, 400, "from_day");
      await refused("/v1/tables/errors/compact", { fully: true }, 400, "fully");
      await refused("/v1/tables/errors/compact", { full: "yes" }, 400, "full");
      await refused("/v1/tables/unknown/compact", {}, 404);
      assert.equal((await client.send("/v1/tables/unknown/compactions")).status, 404);
      assert.equal((await client.send("/v1/tables/errors/compactions/unknown")).status, 404);
      assert.equal((await client.send("/v1/tables/errors/compactions/unknown", { method: "DELETE" })).status, 404);
      assert.equal((await client.send("/v1/tables/errors/compact")).status, 405);
    });
  });

  describe("of a server with small targets, whose disk fails at the first merge", () => {
    before(async () => {
      const small = ["--compaction-target-bytes", "8192", "--compaction-input-bytes-max", "10485760"];
      const env = { MINIODB_FAILPOINT: "compact.file.stored:1:error" };
      server = await ServerProcess.start({ flags: [...quiet, ...small], env });
    });
    after(() => server.dispose());

    test("an error of the disk is in the history, and the rows stay as they were", async () => {
      await fill("failing", { flushes: 3 });
      const before = await numbersOf("failing");
      const files = dataFiles();
      const failed = await ended("failing", await ask("failing"));
      assert.deepEqual([failed.state, failed.error?.code], ["failed", "STORE_UNAVAILABLE"]);
      assert.deepEqual(dataFiles(), files);
      assert.equal(await metric('miniodb_compactions_total{outcome="failed"}'), 1);
      assert.equal((await ended("failing", await ask("failing"))).state, "done");
      assert.equal(await numbersOf("failing"), before);
    });

    test("rows outgrow a target: files one behind the other, none overlaps, and a second request finds nothing to do", async () => {
      const words = ["lorem", "ipsum", "dolor"];
      for (let flush = 0; flush < 8; flush++) {
        const rows = Array.from({ length: 800 }, (_, index) => {
          const n = index * 8 + flush;
          return {
            timestamp: firstMs + n * 1000,
            id: `row-${(n * 7919) % 6400}`,
            n,
            word: `${words[n % 3]}-${n % 50}`,
          };
        });
        await client.write("t", rows);
        await ok(client.sendJson("/v1/tables/t/flush", {}));
      }
      const before = await numbersOf("t");
      const full = await ended("t", await ask("t", { full: true }));
      assert.equal(full.state, "done", JSON.stringify(full));
      assert.ok(full.files_out > 1, JSON.stringify(full));
      assert.equal(await numbersOf("t"), before);
      const again = await ended("t", await ask("t", { full: true }));
      assert.deepEqual([again.state, again.merges], ["done", 0], JSON.stringify(again));
      // One value of the sort order lies in one file.
      const plan = await client.query(`EXPLAIN SELECT * FROM t WHERE timestamp = '${new Date(firstMs).toISOString()}'`);
      assert.ok(JSON.stringify(plan).includes("t:"), JSON.stringify(plan));
    });
  });

  test("writers, deletes and queries go on beside it, and the upkeep's own merges are listed", async () => {
    await withServer(["--compaction-interval-ms", "100", "--compaction-small-files-min", "3"], async () => {
      let isOver = false;
      let full = 0;
      let flushes = 0;
      const written = (async () => {
        for (let flush = 0; flush < sized(4, 12) || (full === 0 && flush < 1000); flush++) {
          flushes = flush + 1;
          await client.write("t", [{ timestamp: firstMs + flush, id: `w${flush}`, n: 1000 + flush, host: "w" }]);
          await ok(client.sendJson("/v1/tables/t/flush", {}));
        }
        isOver = true;
      })();
      while ((await client.count("t")) === 0) await delay(10);
      for (let n = 0; !isOver; n++) {
        const job = await ended("t", await ask("t", { full: n % 2 === 0 }));
        assert.ok(job.state === "done" || job.error?.code === "COMMIT_CONFLICT", JSON.stringify(job));
        await ok(client.sendJson("/v1/tables/t/delete", { where: `n = ${1000 + n}` }));
        const counted = await client.count("t");
        assert.ok(counted <= flushes);
        full++;
      }
      await written;
      assert.ok(full > 0);
      await fill("other", { flushes: 3 });
      while (!(await list("other")).some(({ trigger, state }) => trigger === "upkeep" && state === "done")) {
        await delay(50);
      }
      assert.equal(await client.count("other"), 60);
      const ids = await client.query<{ id: string }>("SELECT id FROM t");
      assert.equal(new Set(ids.map(({ id }) => id)).size, ids.length, "no row twice");
    });
  });
});
