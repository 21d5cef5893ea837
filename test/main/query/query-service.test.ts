import { DuckDBInstance } from "@duckdb/node-api";
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { FilesInPlace } from "../../../src/main/query/local-files.js";
import { QueryPool, type QueryPoolOptions } from "../../../src/main/query/query-pool.js";
import { KeptResults } from "../../../src/main/query/kept-results.js";
import type { QueryReply, QueryRequest } from "../../../src/main/query/query-request.js";
import { QueryService } from "../../../src/main/query/query-service.js";
import { ResultCache } from "../../../src/main/query/result-cache.js";
import type { SlowQuery } from "../../../src/main/query/slow-queries.js";
import type {
  HotFile,
  Snapshot,
  SnapshotProvider,
  SnapshotRequest,
  SnapshotTable,
} from "../../../src/main/query/snapshot-provider.js";
import { type ErrorCode, MiniodbError } from "../../../src/shared/errors.js";
import type { DataFile } from "../../../src/shared/messages.js";
import type { TableSchema } from "../../../src/shared/schema/table-schema.js";

const rowCount = 10_000;
const schema: TableSchema = {
  version: 1,
  lastFieldId: 3,
  columns: [
    { fieldId: 1, name: "timestamp", type: "timestamp", required: true },
    { fieldId: 2, name: "id", type: "string", required: false },
    { fieldId: 3, name: "n", type: "long", required: false },
  ],
};
/** Runs until it is stopped. */
const endless =
  "SELECT count(*) FROM range(1000000) a, range(1000000) b, range(1000000) c WHERE a.range + b.range = c.range + 7";

let folder: string;
let file: string;
let pool: QueryPool;
let service: QueryService;
let kept: KeptResults | undefined;
const slow: SlowQuery[] = [];
const poolErrors: unknown[] = [];

/** A catalog with one table; counts what is acquired and released, and does as the test says in between. */
class TestCatalog implements SnapshotProvider {
  table: SnapshotTable = { name: "Events", schema, version: "1", files: [], hot: [] };
  acquired = 0;
  released = 0;
  requests: SnapshotRequest[] = [];
  onAcquire: (request: SnapshotRequest) => Promise<void> = () => Promise.resolve();

  hasTable(name: string): boolean {
    return name.toLowerCase() === "events";
  }

  tableNames(): readonly string[] {
    return ["Events"];
  }

  versions(names: readonly string[]): readonly string[] {
    return names.map(() => this.table.version);
  }

  async acquire(request: SnapshotRequest): Promise<Snapshot> {
    this.requests.push(request);
    await this.onAcquire(request);
    this.acquired++;
    return { tables: [this.table], release: () => void this.released++ };
  }
}
let catalog: TestCatalog;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "miniodb-query-service-"));
  mkdirSync(join(folder, "warehouse"));
  file = join(folder, "warehouse", "events.parquet");
  const instance = await DuckDBInstance.create(":memory:");
  const writer = await instance.connect();
  await writer.run(`COPY (SELECT make_timestamptz(1700000000000000 + i * 1000) AS "timestamp", 'id-' || i AS id, i AS n
    FROM range(${rowCount}) r(i)) TO '${file}' (FORMAT parquet, FIELD_IDS {"timestamp": 1, id: 2, n: 3})`);
  writer.closeSync();
  instance.closeSync();
  pool = new QueryPool(poolOptions());
  openService({});
});
after(async () => {
  await service.close(0);
  rmSync(folder, { recursive: true, force: true });
});
afterEach(() => {
  assert.deepEqual(poolErrors, []);
});

function poolOptions(): QueryPoolOptions {
  return {
    workers: 1,
    concurrency: 2,
    memoryBytes: 256 * 1024 * 1024,
    threads: 2,
    spillBytesMax: 256 * 1024 * 1024,
    resultBytesMax: 64 * 1024 * 1024,
    resultFileBytesMax: 64 * 1024 * 1024,
    temporaryFolder: join(folder, "temporary"),
    readableFolders: [join(folder, "warehouse")],
    onError: (error) => poolErrors.push(error),
  };
}

function dataFile(path: string): DataFile {
  return { key: path, bytes: 1, rows: rowCount, day: 0, bounds: {}, fieldIds: [1, 2, 3] };
}

function hotFile(name: string): HotFile {
  return { path: join(folder, "warehouse", name), bytes: 1, rows: 1 };
}

interface ServiceChanges {
  readonly queueMax?: number;
  readonly rowsMax?: number;
  readonly cacheBytes?: number;
  readonly cursorsMax?: number;
  readonly slowMs?: number;
}

function openService({ cacheBytes = 0, cursorsMax = 100, ...options }: ServiceChanges): void {
  kept?.close();
  slow.length = 0;
  kept = new KeptResults({ countMax: cursorsMax, bytesMax: 64 * 1024 * 1024, ageMsMax: 60_000 });
  catalog = new TestCatalog();
  catalog.table = { ...catalog.table, files: [dataFile(file)] };
  service = new QueryService({
    pool,
    snapshots: catalog,
    files: new FilesInPlace(folder, (key) => key),
    queueMax: 10,
    rowsMax: 1_000_000,
    timeoutMs: 30_000,
    cache: new ResultCache(cacheBytes, 1024 * 1024),
    kept,
    slowMs: 0,
    onSlow: (query) => slow.push(query),
    ...options,
  });
}

/** Of a format whose results are not in files at this size. */
function bodyText({ body }: QueryReply): string {
  assert.ok(body.kind === "bytes");
  return Buffer.from(body.bytes).toString();
}

function rowsOf(reply: QueryReply): Record<string, unknown>[] {
  const literal = JSON.parse(bodyText(reply)) as string;
  return JSON.parse(literal) as Record<string, unknown>[];
}

async function refused(request: QueryRequest): Promise<MiniodbError> {
  const error = await service.run(request).then(
    () => assert.fail(`${request.sql} ran`),
    (found: unknown) => found,
  );
  assert.ok(error instanceof MiniodbError, String(error));
  return error;
}

async function fails(code: ErrorCode, request: QueryRequest): Promise<void> {
  const error = await refused(request);
  assert.equal(error.code, code, error.message);
}

/** Until nothing runs; a snapshot that is kept is a leak. */
async function settled(): Promise<void> {
  for (let tries = 0; service.load.admitted > 0 && tries < 500; tries++) await sleep(10);
  assert.deepEqual(service.load, { running: 0, admitted: 0 });
  assert.equal(catalog.released, catalog.acquired);
}

describe("a query", () => {
  test("from text to rows, the text parsed once and the snapshot given back", async () => {
    openService({});
    for (let round = 0; round < 3; round++) {
      const reply = await service.run({ sql: "SELECT count(*) AS c, max(n) AS m FROM events" });
      assert.deepEqual(rowsOf(reply), [{ c: rowCount, m: rowCount - 1 }]);
      assert.deepEqual([reply.rows, reply.hasMore, reply.nextCursor], [1, false, ""]);
    }
    assert.deepEqual(rowsOf(await service.run({ sql: "SELECT 1 AS x" })), [{ x: 1 }]);
    assert.equal(catalog.acquired, 3, "no table, no snapshot");
    assert.deepEqual(catalog.requests[0]?.tables, ["events"]);
    await settled();
  });

  test("the cursor pages through the whole result", async () => {
    const sql = "SELECT n FROM events ORDER BY n";
    const found: unknown[] = [];
    let cursor = "";
    for (let pages = 1; ; pages++) {
      const reply = await service.run({ sql, limit: 3000, cursor });
      found.push(...rowsOf(reply).map((row) => row["n"]));
      assert.equal(reply.hasMore, reply.nextCursor !== "");
      cursor = reply.nextCursor;
      if (cursor === "") break;
      assert.ok(pages < 10);
    }
    assert.deepEqual(
      found,
      Array.from({ length: rowCount }, (_, index) => index),
    );
    await fails("INVALID_REQUEST", { sql: "SELECT 2", cursor: (await service.run({ sql, limit: 1 })).nextCursor });
  });

  test("limits: none is all, more than the bound is the bound, nonsense is refused", async () => {
    openService({ rowsMax: 50 });
    const sql = "SELECT n FROM events";
    for (const limit of [undefined, 0, 50, 51, 1_000_000]) {
      const reply = await service.run({ sql, limit });
      assert.deepEqual([reply.rows, reply.hasMore], [50, true]);
    }
    assert.equal((await service.run({ sql, limit: 7 })).rows, 7);
    for (const limit of [-1, 1.5, Number.NaN]) await fails("INVALID_REQUEST", { sql, limit });
    for (const timeoutMs of [0, -1, Number.NaN]) await fails("INVALID_REQUEST", { sql, timeoutMs });
    openService({});
  });

  test("SHOW TABLES lists the catalog", async () => {
    assert.deepEqual(rowsOf(await service.run({ sql: "show tables;" })), [{ name: "Events" }]);
    const literal = await service.run({ sql: "SHOW TABLES", format: "original" });
    assert.equal(bodyText(literal), '"[{\\"name\\":\\"Events\\"}]"');
  });

  test("errors: unknown table with a suggestion, SQL, what is not allowed, parameters", async () => {
    const error = await refused({ sql: "SELECT * FROM event" });
    assert.equal(error.code, "TABLE_NOT_FOUND");
    assert.deepEqual(error.details, { table: "event", position: 14, suggestion: "Events" });
    assert.match(error.message, /did you mean Events/);
    for (const name of ["/etc/passwd", "x.parquet", "duckdb_settings", file]) {
      await fails("TABLE_NOT_FOUND", { sql: `SELECT * FROM '${name}'` });
    }
    await fails("TABLE_NOT_FOUND", { sql: "SELECT * FROM (WITH x AS (SELECT 1) SELECT 1) a, x" });
    await fails("INVALID_SQL", { sql: "SELECT nope FROM events" });
    await fails("INVALID_SQL", { sql: "SELEC 1" });
    await fails("INVALID_REQUEST", { sql: "SELECT ? FROM events" });
    await fails("SQL_NOT_ALLOWED", { sql: "DROP TABLE events" });
    await settled();
  });

  test("the tokens of min_sequence reach the catalog, and its refusal the client", async () => {
    catalog.onAcquire = () => Promise.reject(new MiniodbError("INVALID_REQUEST", "min_sequence is no token"));
    await fails("INVALID_REQUEST", { sql: "SELECT * FROM events", minSequence: ["x.1"] });
    assert.deepEqual(catalog.requests.at(-1)?.minSequence, ["x.1"]);
    catalog.onAcquire = () => Promise.resolve();
    await settled();
  });

  test("a file that is gone is looked up once more", async () => {
    openService({});
    const good = catalog.table;
    catalog.table = { ...good, hot: [hotFile("gone.parquet")] };
    catalog.onAcquire = (request) => {
      if (catalog.requests.length > 1) catalog.table = good;
      return Promise.resolve(void request);
    };
    assert.deepEqual(rowsOf(await service.run({ sql: "SELECT count(*) AS c FROM events" })), [{ c: rowCount }]);
    assert.equal(catalog.acquired, 2);
    catalog.onAcquire = () => Promise.resolve();
    catalog.table = { ...good, hot: [hotFile("gone.parquet")] };
    await fails("STORE_UNAVAILABLE", { sql: "SELECT count(*) AS c FROM events" });
    assert.equal(catalog.acquired, 4);
    await settled();
  });
});

describe("bounds", () => {
  test("the time limit holds while running, in line, and while the catalog waits", async () => {
    openService({});
    await fails("QUERY_TIMEOUT", { sql: endless, timeoutMs: 150 });
    await settled();
    const long = [0, 1].map(async () => fails("QUERY_TIMEOUT", { sql: endless, timeoutMs: 1_000 }));
    await sleep(50);
    const startMs = performance.now();
    await fails("QUERY_TIMEOUT", { sql: "SELECT 1", timeoutMs: 100 });
    assert.ok(performance.now() - startMs < 800, "it did not wait for a slot");
    await Promise.all(long);
    // The catalog answers after the query has given up: the snapshot must not leak.
    await service.run({ sql: "SELECT * FROM events" });
    catalog.onAcquire = () => sleep(300);
    await fails("QUERY_TIMEOUT", { sql: "SELECT * FROM events", timeoutMs: 50 });
    await settled();
    assert.equal(catalog.acquired, 2);
  });

  test("an abort ends the query at once and frees its slot soon", async () => {
    openService({});
    const control = new AbortController();
    const running = refused({ sql: `SELECT e.* FROM (${endless}) x, events e`, signal: control.signal });
    await sleep(100);
    assert.equal(service.load.running, 1);
    const startMs = performance.now();
    control.abort();
    assert.equal((await running).code, "QUERY_CANCELLED");
    assert.ok(performance.now() - startMs < 500);
    await settled();
    assert.ok(performance.now() - startMs < 3_000);
    await fails("QUERY_CANCELLED", { sql: "SELECT 1", signal: control.signal });
    assert.deepEqual(rowsOf(await service.run({ sql: "SELECT 1 AS x" })), [{ x: 1 }]);
    await settled();
  });

  test("beyond slots and queue: SERVER_BUSY, and the next one is served again", async () => {
    openService({ queueMax: 2 });
    const control = new AbortController();
    const long = Array.from({ length: 4 }, async () =>
      fails("QUERY_CANCELLED", { sql: endless, signal: control.signal }),
    );
    await sleep(50);
    const error = await refused({ sql: "SELECT 1" });
    assert.equal(error.code, "SERVER_BUSY");
    assert.equal(error.retryable, true);
    control.abort();
    await Promise.all(long);
    await settled();
    assert.equal((await service.run({ sql: "SELECT 1" })).rows, 1);
  });

  test("many at once all get their own answer", async () => {
    openService({ queueMax: 100 });
    const replies = await Promise.all(
      Array.from({ length: 60 }, async (_, index) =>
        rowsOf(await service.run({ sql: `SELECT n, ${index} AS i FROM events WHERE n = ${index}` })),
      ),
    );
    for (const [index, rows] of replies.entries()) assert.deepEqual(rows, [{ n: index, i: index }]);
    await settled();
  });
});

describe("a worker that breaks", () => {
  test("fails its queries alone and is replaced, and the process lives", async () => {
    openService({});
    const victim = refused({ sql: endless });
    await sleep(150);
    // piscina's part of the worker cannot read this: an uncaught error, as a mistake in the worker would be.
    const [thread] = pool.threads;
    const exits: number[] = [];
    thread?.once("exit", (code) => exits.push(code));
    thread?.postMessage(null);
    const error = await victim;
    assert.deepEqual([error.code, error.retryable], ["SERVER_BUSY", true]);
    await settled();
    for (let tries = 0; exits.length === 0 && tries < 500; tries++) await sleep(10);
    assert.deepEqual(exits, [1]);
    assert.deepEqual(rowsOf(await service.run({ sql: "SELECT count(*) AS c FROM events" })), [{ c: rowCount }]);
    await settled();
    assert.equal(poolErrors.splice(0).length, 1, "main is told");
  });
});

describe("closing", () => {
  test("a pool may be closed before its worker has opened DuckDB", async () => {
    const short = new QueryPool({ ...poolOptions(), temporaryFolder: join(folder, "short") });
    await short.close();
  });

  test("refuses new queries, lets others finish, cancels what takes too long", async () => {
    openService({});
    const short = service.run({ sql: "SELECT count(*) AS c FROM range(2000000) r(i) WHERE i % 3 = 1" });
    const long = refused({ sql: endless });
    await sleep(50);
    const closed = service.close(1_000);
    await fails("SHUTTING_DOWN", { sql: "SELECT 1" });
    assert.deepEqual(rowsOf(await short), [{ c: 666667 }]);
    assert.equal((await long).code, "SHUTTING_DOWN");
    await closed;
    assert.equal(catalog.released, catalog.acquired);
  });
});
