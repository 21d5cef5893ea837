import assert from "node:assert/strict";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { BroadcastChannel } from "node:worker_threads";
import { limits } from "../../../src/shared/limits.js";
import type { QueryResult, QueryTable, SelectStatement } from "../../../src/shared/query-messages.js";
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
  textOf,
} from "./query-fixture.js";

const rowCount = 20_000;
let fixture: QueryFixture;
let events: QueryTable;
before(async () => {
  fixture = await openFixture();
  const select = `SELECT make_timestamptz(1700000000000000 + i * 1000) AS "timestamp", 'id-' || i AS id, i AS n,
    i * 0.5 AS v, 'host_' || (i % 10) AS host FROM range(FROM_ROW, TO_ROW) r(i)`;
  const fieldIds = { timestamp: 1, id: 2, n: 3, v: 4, host: 5 };
  const files: string[] = [];
  for (let file = 0; file < 4; file++) {
    const from = (file * rowCount) / 4;
    const rows = select.replace("FROM_ROW", String(from)).replace("TO_ROW", String(from + rowCount / 4));
    files.push(await fixture.writeParquet(`events-${file}.parquet`, rows, fieldIds));
  }
  events = tableOf("events", schemaOf("timestamp timestamp", "id string", "n long", "v double", "host string"), files);
});
after(async () => fixture.close());

function onEvents(sql: string, options: ExecuteOptions = {}): Promise<QueryResult> {
  return fixture.execute(sql, { tables: [events], ...options });
}

describe("rows and pages", () => {
  test("aggregates, joins, windows, CTEs, in any case of the table's name", async () => {
    const rows = rowsOf(
      await onEvents("SELECT host, count(*) AS n, sum(v) AS s FROM Events GROUP BY host ORDER BY host LIMIT 2"),
    );
    assert.deepEqual(rows, [
      { host: "host_0", n: 2000, s: 9995000 },
      { host: "host_1", n: 2000, s: 9996000 },
    ]);
    const joined = await onEvents(
      `WITH small AS (SELECT * FROM events WHERE n < 3)
       SELECT a.n, row_number() OVER (ORDER BY a.n DESC) AS r FROM small a JOIN EVENTS b USING (id) ORDER BY a.n`,
    );
    assert.equal(textOf(joined), '[{"n":0,"r":3},{"n":1,"r":2},{"n":2,"r":1}]');
    assert.equal(textOf(await onEvents("SELECT * FROM events WHERE false")), "[]");
    assert.equal(textOf(await fixture.execute("VALUES (1, 'a')")), '[{"col0":1,"col1":"a"}]');
  });

  test("DESCRIBE, SUMMARIZE and EXPLAIN", async () => {
    const described = rowsOf(await onEvents("DESCRIBE events;"));
    assert.deepEqual(
      described.map((row) => row["column_name"]),
      ["timestamp", "id", "n", "v", "host"],
    );
    assert.equal(rowsOf(await onEvents("SUMMARIZE events")).length, 5);
    const [plan] = rowsOf(await onEvents("EXPLAIN SELECT count(*) FROM events WHERE n > 5"));
    assert.match(String(plan?.["explain_value"]), /PARQUET/i);
    const [analyzed] = rowsOf(await onEvents("EXPLAIN ANALYZE SELECT count(*) FROM events WHERE n > 5;"));
    assert.match(String(analyzed?.["explain_value"]), /Total Time/);
  });

  test("limit caps every statement and tells whether there is more", async () => {
    const cases: readonly (readonly [string, number, number, boolean])[] = [
      ["SELECT n FROM events ORDER BY n", 5, 5, true],
      ["SELECT n FROM events ORDER BY n LIMIT 3", 5, 3, false],
      ["SELECT n FROM events ORDER BY n LIMIT 5", 5, 5, false],
      ["SELECT n FROM events ORDER BY n LIMIT 6;", 5, 5, true],
      ["SELECT n FROM events ORDER BY n", rowCount, rowCount, false],
      ["SELECT n FROM events", rowCount - 1, rowCount - 1, true],
      ["SELECT n FROM events", limits.directRowsMax, limits.directRowsMax, true],
      ["SELECT n FROM events", limits.directRowsMax + 1, limits.directRowsMax + 1, true],
      [`SELECT n FROM events LIMIT ${limits.directRowsMax}`, rowCount, limits.directRowsMax, false],
      [`SELECT n FROM events LIMIT ${limits.directRowsMax + 1}`, rowCount, limits.directRowsMax + 1, false],
    ];
    for (const [sql, limitRows, rows, hasMore] of cases) {
      const result = await onEvents(sql, { limitRows });
      assert.equal(rowsOf(result).length, rows, sql);
      assert.ok(result.kind === "rows");
      assert.deepEqual([result.rows, result.hasMore], [rows, hasMore], sql);
    }
  });

  test("large results that are written at the same time are each whole", async () => {
    const sql = (tag: string): string => `SELECT n, '"${tag}\\' || repeat(host, 20) AS h FROM events ORDER BY n`;
    const alone: string[] = [];
    for (const tag of ["a", "b", "c"]) alone.push(textOf(await onEvents(sql(tag))));
    const rows = JSON.parse(alone[1] ?? "") as { readonly n: number; readonly h: string }[];
    assert.deepEqual([rows.length, rows[7]], [rowCount, { n: 7, h: `"b\\${"host_7".repeat(20)}` }]);
    for (let turn = 0; turn < 3; turn++) {
      const together = ["a", "b", "c"].map((tag, slot) => onEvents(sql(tag), { slot }));
      const texts = (await Promise.all(together)).map(textOf);
      assert.ok(
        texts.every((text, index) => text === alone[index]),
        `turn ${turn}`,
      );
    }
  });

  test("what is remembered of a statement's columns goes when its tables change", async () => {
    const one = await fixture.writeParquet("shape-1.parquet", "SELECT 7::BIGINT AS a", { a: 1 });
    const two = await fixture.writeParquet("shape-2.parquet", "SELECT 'x \"y\"' AS a, 2.5 AS b", { a: 7, b: 8 });
    const older = [tableOf("shape", schemaOf("a long"), [one])];
    const newer = [tableOf("shape", schemaOf("a string 7", "b double 8"), [two])];
    const ask = async (tables: readonly QueryTable[]): Promise<unknown[]> => {
      const texts = ["original", "json", "ndjson"] as const;
      const results = await Promise.all(
        texts.map((format) => fixture.execute("SELECT * FROM shape", { tables, format })),
      );
      const columns = results.map((result) => (result.kind === "rows" ? result.columns.map(({ name }) => name) : []));
      return [...results.map((result) => bytesOf(result).toString()), ...columns];
    };
    for (let turn = 0; turn < 4; turn++) {
      for (let again = 0; again < 3; again++) {
        const names = [["a"], ["a"], ["a"]];
        assert.deepEqual(await ask(older), ['"[{\\"a\\":7}]"', "[[7]]", '{"a":7}\n', ...names]);
      }
      for (let again = 0; again < 3; again++) {
        const row = { a: 'x "y"', b: 2.5 };
        const names = Array.from({ length: 3 }, () => ["a", "b"]);
        assert.deepEqual(await ask(newer), [
          JSON.stringify(JSON.stringify([row])),
          JSON.stringify([Object.values(row)]),
          `${JSON.stringify(row)}\n`,
          ...names,
        ]);
      }
    }
    // One statement many times at once: the rows of each are its own.
    const texts = await Promise.all(
      Array.from({ length: 12 }, async () => bytesOf(await onEvents("SELECT n, host FROM events ORDER BY n LIMIT 40"))),
    );
    for (const text of texts) assert.ok(text.equals(texts[0] as Buffer));
    assert.equal((JSON.parse(JSON.parse(String(texts[0])) as string) as unknown[]).length, 40);
  });

  test("pages by offset make up the whole, small and large ones", async () => {
    for (const limitRows of [3001, 4096, 6000]) {
      const found: unknown[] = [];
      let hasMore = true;
      while (hasMore) {
        const page = await onEvents("SELECT n FROM events ORDER BY n DESC", { limitRows, offsetRows: found.length });
        found.push(...rowsOf(page).map((row) => row["n"]));
        hasMore = page.kind === "rows" && page.hasMore;
      }
      assert.deepEqual(
        found,
        Array.from({ length: rowCount }, (_, index) => rowCount - 1 - index),
      );
    }
  });

  test("the order of ORDER BY survives in large results", async () => {
    const rows = rowsOf(await onEvents("SELECT n, host FROM events ORDER BY host DESC, n"));
    assert.equal(rows.length, rowCount);
    for (let row = 1; row < rows.length; row++) {
      const [left, right] = [rows[row - 1] ?? {}, rows[row] ?? {}];
      const isOrdered =
        String(left["host"]) > String(right["host"]) ||
        (left["host"] === right["host"] && Number(left["n"]) < Number(right["n"]));
      assert.ok(isOrdered, JSON.stringify([left, right]));
    }
  });

  test("large results with nested types, of which DuckDB makes JSON", async () => {
    const rows = rowsOf(await onEvents("SELECT n, [n, NULL] AS l, {'t': \"timestamp\"} AS s FROM events"));
    assert.equal(rows.length, rowCount);
    assert.deepEqual(rows[1], { n: 1, l: [1, null], s: { t: "2023-11-14T22:13:20.001Z" } });
  });

  test("grouped results of many chunks", async () => {
    const count = 40_000;
    const rows = rowsOf(
      await fixture.execute(
        `SELECT i % ${count} AS k, count(*) AS n FROM range(${count * 2}) r(i) GROUP BY k ORDER BY k`,
      ),
    );
    assert.equal(rows.length, count);
    assert.deepEqual(rows.at(-1), { k: count - 1, n: 2 });
  });

  test("the original format is the rows as one JSON string", async () => {
    for (const limitRows of [3, rowCount]) {
      const sql = "SELECT id || '\"\\' || chr(10) AS x, v FROM events ORDER BY n";
      const rows = rowsOf(await onEvents(sql, { limitRows }));
      assert.deepEqual(rows[2], { x: 'id-2"\\\n', v: 1 });
    }
    assert.equal(bytesOf(await onEvents("SELECT 1 WHERE false")).toString(), '"[]"');
  });

  test("no file of a large result stays behind", () => {
    assert.deepEqual(readdirSync(join(fixture.temporaryFolder, "results-test")), []);
  });
});

describe("errors", () => {
  test("unknown columns and functions, wrong values: INVALID_SQL with the place in the client's text", async () => {
    const cases: readonly (readonly [string, number, RegExp])[] = [
      ["SELECT nope FROM events", 7, /nope/],
      ["SELECT 'é', nope FROM events", 12, /nope/],
      ["SELECT n,\n  nosuch(n)\nFROM events", 12, /nosuch/],
      ["EXPLAIN SELECT nope FROM events", 15, /nope/],
      ["EXPLAIN ANALYZE SELECT nope FROM events", 23, /nope/],
      ["SELECT 'x'::INT FROM events", 7 + 3, /convert/i],
      ["SELECT host + 1 FROM events ORDER BY n;", 12, /VARCHAR/],
      ["SELECT n FROM events GROUP BY host", 7, /GROUP BY/],
      ["SELECT error('boom') FROM events", -1, /boom/],
      ["SELECT * FROM events WHERE v = (SELECT n FROM events)", -1, /one row|more than one/i],
    ];
    for (const [sql, position, message] of cases) {
      const error = await errorOf(onEvents(sql));
      assert.equal(error.code, "INVALID_SQL", `${sql}: ${error.message}`);
      assert.match(error.message, message);
      if (position >= 0) assert.equal(error.details["position"], position, `${sql}: ${error.message}`);
    }
    const error = await errorOf(onEvents("SELECT hots FROM events"));
    assert.match(error.message, /host/, "a suggestion");
  });

  test("a result beyond its bytes, small rows and large ones", async () => {
    const small = await openFixture({ resultBytesMax: 10_000, resultFileBytesMax: 10_000 });
    try {
      const statements = [
        "SELECT repeat('x', 100) AS x FROM range(1000)",
        "SELECT repeat('x', 100000) AS x",
        "SELECT repeat('x', 100) AS x FROM range(100000)",
        "SELECT [repeat('x', 100)] AS x FROM range(100000)",
      ];
      for (const sql of statements) {
        const error = await errorOf(small.execute(sql));
        assert.equal(error.code, "RESULT_TOO_LARGE", sql);
      }
      assert.equal(rowsOf(await small.execute("SELECT repeat('x', 100) AS x FROM range(50)")).length, 50);
      assert.deepEqual(readdirSync(join(small.temporaryFolder, "results-test")), []);
    } finally {
      await small.close();
    }
  });

  test("few rows are made in memory, up to the bound of memory", async () => {
    const small = await openFixture({ resultBytesMax: 10_000 });
    try {
      for (const sql of ["SELECT repeat('x', 100) AS x FROM range(1000)", "SELECT repeat('x', 100000) AS x"]) {
        const error = await errorOf(small.execute(sql));
        assert.deepEqual([error.code, error.details["limitBytes"]], ["RESULT_TOO_LARGE", 10_000], sql);
      }
    } finally {
      await small.close();
    }
  });

  test("a file that grows beyond the bound is stopped while DuckDB writes", async () => {
    const small = await openFixture({ resultFileBytesMax: 4 * 1024 * 1024 });
    try {
      const startMs = performance.now();
      const error = await errorOf(
        small.execute("SELECT repeat('x', 1000) AS x FROM range(200000000)", { limitRows: 200_000_000 }),
      );
      assert.equal(error.code, "RESULT_TOO_LARGE");
      // No disk here writes that much in that time, and no machine is so busy that it takes as long for a few megabytes.
      assert.ok(performance.now() - startMs < 60_000, "200 GB were not written");
    } finally {
      await small.close();
    }
  });

  test("what is too big for memory spills, as far as it may; beyond that it fails alone", async () => {
    const groups =
      "SELECT count(*) AS n FROM (SELECT md5(i::VARCHAR) AS x, count(*) FROM range(600000) t(i) GROUP BY x)";
    const memoryBytes = 24 * 1024 * 1024;
    const roomy = await openFixture({ memoryBytes });
    const tight = await openFixture({ memoryBytes, spillBytesMax: 2 * 1024 * 1024 });
    try {
      assert.deepEqual(await roomy.query(groups), [{ n: 600_000 }]);
      const tooBig = tight.execute(groups, { slot: 0 });
      const fine = tight.execute("SELECT count(*) AS n FROM range(1000)", { slot: 1 });
      const error = await errorOf(tooBig);
      assert.equal(error.code, "RESULT_TOO_LARGE", error.message);
      assert.match(error.message, /memory/);
      assert.deepEqual(rowsOf(await fine), [{ n: 1000 }]);
      assert.deepEqual(rowsOf(await tight.execute("SELECT 1 AS x")), [{ x: 1 }]);
    } finally {
      await roomy.close();
      await tight.close();
    }
  });

  test("a missing file is told apart, and no message names a folder", async () => {
    const gone = await fixture.writeParquet("gone.parquet", "SELECT 1::BIGINT AS n", { n: 1 });
    const tables = [tableOf("gone", schemaOf("n long"), [gone])];
    assert.deepEqual(await fixture.query("SELECT * FROM gone", { tables }), [{ n: 1 }]);
    rmSync(gone);
    // The view is there from before, and is made anew.
    assert.equal((await fixture.execute("SELECT * FROM gone", { tables })).kind, "stale-files");
    assert.equal((await fixture.execute("SELECT * FROM gone", { tables })).kind, "stale-files");
    const broken = tableOf("events", schemaOf("n timestamp 2"), events.committedFiles);
    const error = await errorOf(fixture.execute("SELECT max(n) FROM events", { tables: [broken] }));
    assert.ok(!error.message.includes(fixture.folder), error.message);
  });
});

describe("stopping", () => {
  test("the time limit", async () => {
    const startMs = performance.now();
    const error = await errorOf(fixture.execute(endless, { timeoutMs: 200 }));
    assert.equal(error.code, "QUERY_TIMEOUT");
    assert.ok(performance.now() - startMs < 5_000);
    assert.equal((await errorOf(onEvents("SELECT * FROM events", { timeoutMs: 0.01 }))).code, "QUERY_TIMEOUT");
    assert.equal(rowsOf(await onEvents("SELECT 1 AS x")).length, 1, "the worker goes on");
  });

  test("cancelling hits the query of that slot only, before or after it starts", async () => {
    const channel = new BroadcastChannel(fixture.cancelChannel);
    const cancel = (slot: number): void => {
      Atomics.store(fixture.cancelWords, slot, 1);
      channel.postMessage(null);
    };
    try {
      const victim = errorOf(fixture.execute(endless, { slot: 3 }));
      const other = fixture.execute("SELECT count(*) AS n FROM range(100000000) r(i) WHERE i % 7 = 1", { slot: 4 });
      await sleep(100);
      cancel(3);
      assert.equal((await victim).code, "QUERY_CANCELLED");
      assert.deepEqual(rowsOf(await other), [{ n: 14285715 }]);
      // The word was set before the query was known here.
      assert.equal((await errorOf(fixture.execute(endless, { slot: 3 }))).code, "QUERY_CANCELLED");
      Atomics.store(fixture.cancelWords, 3, 0);
      assert.equal(rowsOf(await fixture.execute("SELECT 1 AS x", { slot: 3 })).length, 1);
    } finally {
      channel.close();
    }
  });

  test("a small query does not wait for large ones", async () => {
    const large = [0, 1].map(async (slot) => errorOf(fixture.execute(endless, { slot, timeoutMs: 1_500 })));
    await sleep(100);
    const startMs = performance.now();
    assert.deepEqual(rowsOf(await onEvents("SELECT count(*) AS n FROM events", { slot: 2 })), [{ n: rowCount }]);
    assert.ok(performance.now() - startMs < 1_000, `${performance.now() - startMs} ms`);
    for (const error of await Promise.all(large)) assert.equal(error.code, "QUERY_TIMEOUT");
  });
});

describe("behind the parser, DuckDB is shut in", () => {
  /** A statement that the parser would never let through. */
  async function unchecked(sql: string): Promise<QueryResult> {
    const none = { tables: [], parameters: [], limitRows: null, predicates: [] };
    const base = { text: sql, startBytes: 0, fingerprint: "", isVolatile: false, isBlocking: false };
    const statement: SelectStatement = { kind: "explain", sql, ...none, ...base };
    const task = {
      slot: 0,
      statement,
      tables: [],
      values: [],
      limitRows: 10,
      offsetRows: 0,
      timeoutMs: 10_000,
      format: "original",
    } as const;
    return fixture.runner.run({ kind: "execute", ...task });
  }

  test("files outside the folders, extensions and settings are out of reach", async () => {
    const statements = [
      "SELECT * FROM read_text('/etc/passwd')",
      "SELECT * FROM read_csv('/etc/passwd')",
      "SELECT * FROM glob('/etc/*')",
      "COPY (SELECT 1) TO '/tmp/miniodb-query-test.csv'",
      `COPY (SELECT 1) TO '${fixture.folder}/x.csv'`,
      `SELECT * FROM read_text('${fixture.warehouse}/../../passwd')`,
      `SELECT * FROM read_text('${fixture.warehouse}-sibling/x')`,
      "ATTACH '/tmp/miniodb-query-test.db' AS x",
      "INSTALL httpfs",
      "LOAD httpfs",
      "SET threads = 1",
      "SET GLOBAL enable_external_access = true",
      "SET lock_configuration = false",
      "SET allowed_directories = ['/']",
      "RESET allowed_directories",
    ];
    for (const sql of statements) assert.equal((await unchecked(sql)).kind, "failed", sql);
    assert.equal((await unchecked("SELECT 1")).kind, "rows", "the way to ask works");
  });

  test("a file's name never becomes a table, as no view has it", async () => {
    // Main answers TABLE_NOT_FOUND for such names; should it not, DuckDB still opens files of the warehouse only.
    const result = await fixture.execute("SELECT * FROM '/etc/passwd'");
    assert.equal(result.kind, "failed");
  });
});
