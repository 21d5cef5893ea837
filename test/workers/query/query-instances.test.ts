/** The two DuckDB instances of a query worker: alike in all that a client meets, and what one thread does not do for moves. */
import assert from "node:assert/strict";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { BroadcastChannel } from "node:worker_threads";
import { ColumnBuilder } from "../../../src/shared/columns/column-builder.js";
import { ColumnKeys } from "../../../src/shared/encryption/column-keys.js";
import { MiniodbError } from "../../../src/shared/errors.js";
import { sealColumn } from "../../../src/shared/formats/sealed-value-v1.js";
import { limits } from "../../../src/shared/limits.js";
import { plainStatement } from "../../../src/shared/plain-statement.js";
import type { QueryInstance, QueryResult, QueryTable, SelectStatement } from "../../../src/shared/query-messages.js";
import type { ResultFormat } from "../../../src/shared/result-format.js";
import {
  bytesOf,
  endless,
  errorOf,
  type ExecuteOptions,
  openFixture,
  type QueryFixture,
  rowsOf,
  schemaOf,
  tableOf,
} from "./query-fixture.js";

const mib = 1024 * 1024;
const instances: readonly QueryInstance[] = ["all-threads", "one-thread"];
const secret = Buffer.alloc(32, 3);
const scope = "00000000000000aa";
let fixture: QueryFixture;
let events: QueryTable;
before(async () => {
  fixture = await openFixture({ columnKeys: [secret] });
  const select = `SELECT make_timestamptz(1700000000000000 + i * 1000) AS "timestamp", 'id-' || i AS id, i AS n,
    i * 0.5 AS v, 'host_' || (i % 10) AS host FROM range(20000) r(i)`;
  const fieldIds = { timestamp: 1, id: 2, n: 3, v: 4, host: 5 };
  const file = await fixture.writeParquet("events.parquet", select, fieldIds);
  events = tableOf("events", schemaOf("timestamp timestamp", "id string", "n long", "v double", "host string"), [file]);
});
after(async () => fixture.close());

function onEvents(sql: string, options: ExecuteOptions = {}): Promise<QueryResult> {
  return fixture.execute(sql, { tables: [events], ...options });
}

type UncheckedOptions = Pick<ExecuteOptions, "instance" | "slot" | "timeoutMs">;

/** A statement that the parser would never let through, such as one that asks how many threads there are. */
function unchecked(sql: string, given: UncheckedOptions = {}, of = fixture): Promise<QueryResult> {
  const none = { tables: [], parameters: [], limitRows: null, predicates: [] };
  const base = { text: sql, startBytes: 0, fingerprint: "", isVolatile: false, isBlocking: false };
  const statement: SelectStatement = { kind: "explain", sql, ...none, ...base };
  const range = { tables: [], values: [], limitRows: 10, offsetRows: 0 };
  const task = { slot: 0, timeoutMs: 60_000, format: "original", ...given, ...range } as const;
  return of.runner.run({ kind: "execute", statement, ...task });
}

const threads = "current_setting('threads') AS threads";

async function threadsOf(given: UncheckedOptions, of = fixture): Promise<unknown> {
  return rowsOf(await unchecked(`SELECT ${threads}`, given, of))[0]?.["threads"];
}

describe("an instance", () => {
  test("has the threads that it is called after; without one of one thread there are all", async () => {
    assert.deepEqual([await threadsOf({}), await threadsOf({ instance: "one-thread" })], [2, 1]);
    const tight = await openFixture({ memoryBytes: 8 * limits.oneThreadMemoryBytesMin - 8 });
    const alone = await openFixture({ threads: 1 });
    try {
      assert.equal(await threadsOf({ instance: "one-thread" }, tight), 2);
      assert.equal(await threadsOf({ instance: "all-threads" }, alone), 1);
    } finally {
      await tight.close();
      await alone.close();
    }
  });

  test("has its part of the memory, and spills in a folder of its own or not at all", async () => {
    const memory = "SELECT current_setting('memory_limit') AS memory, current_setting('temp_directory') AS temp";
    const [all, one] = await Promise.all(
      instances.map(async (instance) => rowsOf(await unchecked(memory, { instance }))[0] ?? {}),
    );
    // DuckDB rounds: 512 MiB in all.
    assert.match(String(all?.["memory"]), /^448(\.0)? MiB$/);
    assert.match(String(one?.["memory"]), /^64(\.0)? MiB$/);
    assert.equal(all?.["temp"], join(fixture.temporaryFolder, "spill-test"));
    assert.equal(one?.["temp"], "");
  });

  test("gives the answers of the other one, small and large, in every format", async () => {
    const statements = [
      "SELECT host, count(*) AS n, sum(n) AS s FROM events GROUP BY host ORDER BY host",
      `SELECT n, host, v FROM events ORDER BY n LIMIT ${limits.directRowsMax + 5_000}`,
      "SELECT * FROM events WHERE n < 3",
      "SELECT n, [n, NULL] AS l FROM events WHERE n < 6000",
      "SELECT * FROM events WHERE false",
      "DESCRIBE events",
    ];
    const formats = ["original", "json", "ndjson", "csv", "arrow", "msgpack", "parquet"] satisfies ResultFormat[];
    for (const sql of statements) {
      for (const format of formats) {
        // Twice: what a connection remembers is its own.
        for (let round = 0; round < 2; round++) {
          const [all, one] = [
            await onEvents(sql, { format }),
            await onEvents(sql, { format, instance: "one-thread" }),
          ].map((result) => bytesOf(result));
          assert.ok(all !== undefined && one?.equals(all), `${format}: ${sql}`);
        }
      }
    }
  });

  test("pages through a result that it keeps", async () => {
    const statement = (await fixture.parse("SELECT host, n FROM events ORDER BY host, n")) as SelectStatement;
    const path = join(fixture.temporaryFolder, "kept", "one.parquet");
    const keep = { path, rowsMax: 1_000, bytesMax: mib };
    const task = { kind: "execute", slot: 0, statement, tables: [events], values: [], offsetRows: 0 } as const;
    const options = { limitRows: 10, timeoutMs: 60_000, format: "original", keep, instance: "one-thread" } as const;
    const first = await fixture.runner.run({ ...task, ...options });
    assert.ok(first.kind === "rows" && first.kept !== undefined && first.hasMore);
    const page = { limitRows: 2, offsetRows: 10 };
    const read = { ...task, statement: plainStatement(first.kept.sql), tables: [] };
    for (const instance of instances) {
      const rows = rowsOf(await fixture.runner.run({ ...read, ...options, keep: null, ...page, instance }));
      assert.deepEqual(rows, [
        { host: "host_0", n: 100 },
        { host: "host_0", n: 110 },
      ]);
    }
    rmSync(path);
  });

  test("opens encrypted columns", async () => {
    const builder = new ColumnBuilder(3, "string");
    for (let row = 0; row < 5_000; row++) builder.setString(row, `user.${row}@example.com`);
    const cipher = new ColumnKeys([secret]).newest(scope);
    assert.ok(cipher !== undefined);
    const { values, offsets } = sealColumn(builder.finish(5_000), cipher);
    const texts = Array.from({ length: 5_000 }, (_, row) => {
      return `'${Buffer.from(values.subarray(offsets?.[row], offsets?.[row + 1])).toString()}'`;
    });
    const select = `SELECT row_number() OVER () - 1 AS n, email FROM (SELECT unnest([${texts.join(", ")}]) AS email)`;
    const file = await fixture.writeParquet("people.parquet", select, { n: 4, email: 3 });
    const plain = schemaOf("timestamp timestamp", "id string", "email string", "n long 4");
    const columns = plain.columns.map((column) =>
      column.name === "email" ? { ...column, encryption: { scope, isOn: true, mayBePlain: false } } : column,
    );
    const tables = [tableOf("people", { ...plain, columns }, [file])];
    for (const instance of instances) {
      const sql = "SELECT n FROM people WHERE email IN ('user.17@example.com', 'user.4999@example.com') ORDER BY n";
      assert.deepEqual(await fixture.query(sql, { tables, instance }), [{ n: 17 }, { n: 4999 }]);
      // Stopped with rows under way, it must not wait for this thread.
      const stopped = "SELECT count(*) FROM people a, people b, people c WHERE a.email < b.email AND c.email > b.email";
      const error = await errorOf(fixture.execute(stopped, { tables, instance, timeoutMs: 100 }));
      assert.equal(error.code, "QUERY_TIMEOUT", instance);
    }
  });

  test("tells a missing file apart, and names no folder", async () => {
    const gone = await fixture.writeParquet("gone.parquet", "SELECT 1::BIGINT AS n", { n: 1 });
    const options = { tables: [tableOf("gone", schemaOf("n long"), [gone])], instance: "one-thread" } as const;
    assert.deepEqual(await fixture.query("SELECT * FROM gone", options), [{ n: 1 }]);
    rmSync(gone);
    assert.equal((await fixture.execute("SELECT * FROM gone", options)).kind, "stale-files");
    const broken = tableOf("events", schemaOf("n timestamp 2"), events.committedFiles);
    const failing = fixture.execute("SELECT max(n) FROM events", { tables: [broken], instance: "one-thread" });
    assert.ok(!(await errorOf(failing)).message.includes(fixture.folder));
    const error = await errorOf(onEvents("SELECT n,\n  nosuch(n)\nFROM events", { instance: "one-thread" }));
    assert.deepEqual([error.code, error.details["position"]], ["INVALID_SQL", 12]);
  });

  test("is shut in, whatever comes past the parser", async () => {
    const statements = [
      "SELECT * FROM read_text('/etc/passwd')",
      "SELECT * FROM glob('/etc/*')",
      "COPY (SELECT 1) TO '/tmp/miniodb-query-test.csv'",
      `COPY (SELECT 1) TO '${fixture.folder}/x.csv'`,
      `SELECT * FROM read_text('${fixture.warehouse}/../../passwd')`,
      "ATTACH '/tmp/miniodb-query-test.db' AS x",
      "INSTALL httpfs",
      "LOAD httpfs",
      "SET threads = 4",
      "SET memory_limit = '8GiB'",
      "SET GLOBAL enable_external_access = true",
      "SET lock_configuration = false",
      "SET allowed_directories = ['/']",
      "RESET allowed_directories",
      "SET temp_directory = '/tmp/x'",
    ];
    for (const instance of instances) {
      for (const sql of statements) {
        assert.equal((await unchecked(sql, { instance })).kind, "failed", `${instance}: ${sql}`);
      }
      assert.equal((await unchecked("SELECT 1", { instance })).kind, "rows", "the way to ask works");
      const grown = await errorOf(onEvents("SELECT repeat(host, 1000000000) FROM events", { instance }));
      assert.match(grown.message, /repeat makes a value of at most/, instance);
    }
  });

  test("is stopped by time, by main, and with the worker", async () => {
    const channel = new BroadcastChannel(fixture.cancelChannel);
    try {
      // A second one beside it, so that neither moves.
      const both = [3, 4].map(async (slot) => errorOf(fixture.execute(endless, { slot, instance: "one-thread" })));
      await sleep(100);
      for (const slot of [3, 4]) Atomics.store(fixture.cancelWords, slot, 1);
      channel.postMessage(null);
      for (const error of await Promise.all(both)) assert.equal(error.code, "QUERY_CANCELLED");
      for (const slot of [3, 4]) Atomics.store(fixture.cancelWords, slot, 0);
    } finally {
      channel.close();
    }
    const late = await errorOf(fixture.execute(endless, { instance: "one-thread", timeoutMs: 100 }));
    assert.equal(late.code, "QUERY_TIMEOUT");
    const ending = await openFixture();
    try {
      const victim = errorOf(ending.execute(endless, { instance: "one-thread" }));
      await sleep(100);
      ending.runner.interruptAll(new MiniodbError("SERVER_BUSY", "the worker ends"));
      assert.equal((await victim).code, "SERVER_BUSY");
      const next = errorOf(ending.execute(endless, { instance: "one-thread" }));
      assert.equal((await next).code, "SERVER_BUSY", "one that begins anew does not go on either");
    } finally {
      await ending.close();
    }
  });
});

describe("a query that one thread does not do for", () => {
  const groups = (rows: number): string =>
    `SELECT ${threads}, count(*) AS n FROM (SELECT md5(i::VARCHAR) AS x, count(*) FROM range(${rows}) t(i) GROUP BY x)`;

  test("has the memory of the other instance, and where that does not do either it fails alone", async () => {
    // 16 MiB on one thread.
    const small = await openFixture({ memoryBytes: 128 * mib, spillBytesMax: 8 * mib });
    try {
      assert.deepEqual(rowsOf(await unchecked(groups(1_000), { instance: "one-thread" }, small)), [
        { threads: 1, n: 1_000 },
      ]);
      assert.deepEqual(rowsOf(await unchecked(groups(300_000), { instance: "one-thread" }, small)), [
        { threads: 2, n: 300_000 },
      ]);
      const tooBig = errorOf(unchecked(groups(20_000_000), { instance: "one-thread", slot: 1 }, small));
      const beside = await unchecked(`SELECT ${threads}, count(*) AS n FROM range(1000)`, { slot: 2 }, small);
      assert.deepEqual(rowsOf(beside), [{ threads: 2, n: 1_000 }]);
      const error = await tooBig;
      assert.deepEqual([error.code, error.details["limit"]], ["RESULT_TOO_LARGE", "memory"]);
      assert.equal(await threadsOf({ instance: "one-thread" }, small), 1, "the instance goes on");
    } finally {
      await small.close();
    }
  });

  test("begins anew with all threads when it runs for long beside nobody", async () => {
    const long = `SELECT ${threads}, count(*) AS n FROM range(RANGE) r(i) WHERE (i * i) % 7 = 1`;
    // Longer than the bound and two ticks, however fast the machine is.
    let rows = 100_000_000;
    for (let tookMs = 0; tookMs < 4 * limits.oneThreadMsMax + 400; rows *= 2) {
      const startMs = performance.now();
      const found = rowsOf(await unchecked(long.replace("RANGE", String(rows)), { instance: "one-thread" }));
      tookMs = performance.now() - startMs;
      assert.equal(found[0]?.["n"], Math.floor((rows - 1 + 6) / 7) + Math.floor((rows - 1 + 1) / 7));
      if (tookMs > 4 * limits.oneThreadMsMax + 400) assert.equal(found[0]?.["threads"], 2);
    }
    // A large result too: nothing of the first try is left of it.
    const sorted = "SELECT i, hash(i) AS h FROM range(6000000) r(i) ORDER BY h LIMIT 5000";
    const all = bytesOf(await fixture.execute(sorted));
    assert.ok(bytesOf(await fixture.execute(sorted, { instance: "one-thread" })).equals(all));
    assert.deepEqual(readdirSync(join(fixture.temporaryFolder, "results-test")), []);
  });

  test("stays where it is while others run, as they need the processors", async () => {
    const channel = new BroadcastChannel(fixture.cancelChannel);
    try {
      const other = errorOf(fixture.execute(endless, { slot: 5, instance: "one-thread" }));
      const sql = `SELECT ${threads}, count(*) AS n FROM range(50000000) r(i) WHERE (i * i) % 7 = 1`;
      const [found] = rowsOf(await unchecked(sql, { instance: "one-thread", slot: 6 }));
      assert.equal(found?.["threads"], 1);
      // Alone now: it moves, and can be cancelled there.
      await sleep(limits.oneThreadMsMax + 300);
      Atomics.store(fixture.cancelWords, 5, 1);
      channel.postMessage(null);
      assert.equal((await other).code, "QUERY_CANCELLED");
      Atomics.store(fixture.cancelWords, 5, 0);
    } finally {
      channel.close();
    }
  });

  test("has its time limit as a whole", async () => {
    const startMs = performance.now();
    const error = await errorOf(
      fixture.execute(endless, { instance: "one-thread", timeoutMs: 2 * limits.oneThreadMsMax + 600 }),
    );
    assert.equal(error.code, "QUERY_TIMEOUT");
    assert.ok(performance.now() - startMs < 10_000);
  });
});
