/** Queries over files with deleted rows, against the same queries over what a compaction makes of them. */
import { cpuTable } from "../generate/cpu.js";
import { Generator } from "../generate/generator.js";
import type { BenchContext, BenchServer, Suite } from "../harness/bench-context.js";
import { compactTable, rollBack, tagTable } from "../harness/compact-table.js";
import { expectRows, flushTable, sendBody, tableFiles } from "../harness/load-table.js";
import { formatCount, type Measurement, verdict } from "../harness/measurement.js";
import { percentile } from "../harness/percentiles.js";
import { uncachedFlags } from "../harness/query-flags.js";

const files = 20;
const deletedRows = 10_000;
const rowsPerBody = 100_000;
/** Of the generated table: each time has a row of every one. */
const hosts = 1000;
const table = "cpu";
/** Tags of the table before any delete, and after the compaction. */
const [before, merged] = ["before", "merged"];
const flags = [
  uncachedFlags,
  ["--flush-rows", "100000000", "--flush-bytes", "4GiB", "--flush-interval-ms", "1d"],
  ["--ingest-buffered-bytes-max", "4GiB", "--wal-bytes-max", "16GiB"],
].flat();

const queries: Readonly<Record<string, string>> = {
  groups: `SELECT region, count(*) AS n, avg(usage_user) AS u, max(usage_system) AS s FROM ${table} GROUP BY region ORDER BY region`,
  filter: `SELECT hostname, max(usage_idle) AS i FROM ${table} WHERE usage_user > 95 GROUP BY hostname ORDER BY i DESC, hostname LIMIT 10`,
  count: `SELECT count(*) AS n FROM ${table}`,
};

interface Case {
  readonly measure: string;
  readonly factorMax: number;
  /** Of the state with the deletes. */
  readonly tag: string;
  readonly deleted: number;
  /** The first of the files. */
  readonly filesAffected: number;
}

export const deletes: Suite = {
  name: "deletes",
  async run(context) {
    const rows = Number(process.env["MINIODB_BENCH_QUERY_ROWS"] ?? context.pick(10_000_000, 400_000));
    return context.withServer(flags, async (server) => {
      const lastTimes = await load(context, server, rows);
      await tagTable(server, table, before);
      const cases: Case[] = [];
      for (const [filesAffected, factorMax] of [
        [3, 1.5],
        [files, 2.5],
      ] as const) {
        await rollBack(server, table, before);
        const deleted = await deleteSome(server, { rows, filesAffected, until: lastTimes[filesAffected - 1] ?? "" });
        const where = filesAffected === files ? "all" : String(filesAffected);
        const measure = `query over ${formatCount(rows)} rows in ${files} files, ${formatCount(deletedRows)} deleted in ${where} of them`;
        const tag = `deleted-in-${filesAffected}`;
        await tagTable(server, table, tag);
        cases.push({ measure, factorMax, tag, deleted, filesAffected });
      }
      // Of the last of them.
      await compactTable(server, table);
      await tagTable(server, table, merged);
      return measureCases(context, server, cases);
    });
  },
};

/** In the order of time; the last time of each file, as SQL has it. */
async function load(context: BenchContext, server: BenchServer, rows: number): Promise<string[]> {
  const generator = await Generator.open(context.makeFolder("generator"));
  const generated = cpuTable(rows);
  const lastTimes: string[] = [];
  for (let file = 0; file < files; file++) {
    // Whole times, so that each file begins with one of its own.
    const [first, end] = [file, file + 1].map((n) => Math.floor((rows * n) / files / hosts) * hosts) as [
      number,
      number,
    ];
    for (let from = first; from < end; from += rowsPerBody) {
      const body = await generator.arrow(generated, from, Math.min(end, from + rowsPerBody));
      await sendBody(server, `/v1/tables/${table}/rows`, "application/vnd.apache.arrow.stream", body);
    }
    const [last] = await server.client.query<{ t: string }>(`SELECT max("timestamp") AS t FROM ${table}`);
    lastTimes.push(last?.t ?? "");
    await flushTable(server, table);
  }
  generator.close();
  await expectRows(server, table, Math.floor(rows / hosts) * hosts);
  context.progress(`${tableFiles(server.process.folder, table).files.length} files`);
  return lastTimes;
}

/** About as many rows as wanted, of some hosts, evenly in the first files. */
async function deleteSome(
  server: BenchServer,
  { rows, filesAffected, until }: { readonly rows: number; readonly filesAffected: number; readonly until: string },
): Promise<number> {
  const times = Math.max(1, (rows / hosts / files) * filesAffected);
  const count = Math.min(hosts / 2, Math.max(1, Math.round(deletedRows / times)));
  const params = { hosts: Array.from({ length: count }, (_, host) => `host_${host}`), until };
  const where = `list_contains($hosts, hostname) AND "timestamp" <= $until::TIMESTAMPTZ`;
  const reply = await server.client.sendJson(`/v1/tables/${table}/delete`, { where, params });
  if (reply.status !== 200) throw new Error(`the delete answered ${reply.status} ${JSON.stringify(reply.body)}`);
  return (reply.body as { readonly deleted_count: number }).deleted_count;
}

/** In turns, so that what else the machine does meets all of them. */
async function measureCases(
  context: BenchContext,
  server: BenchServer,
  cases: readonly Case[],
): Promise<Measurement[]> {
  const turns = context.pick(9, 5);
  const tags = [merged, ...cases.map(({ tag }) => tag)];
  /** By query, then by tag. */
  const best = new Map<string, number[]>();
  for (const [name, sql] of Object.entries(queries)) {
    const times: number[][] = tags.map(() => []);
    for (let turn = 0; turn <= turns; turn++) {
      for (const [index, tag] of tags.entries()) {
        const startMs = performance.now();
        await server.client.query(sql, { tag });
        // The first turn warms all of them up.
        if (turn > 0) times[index]?.push(performance.now() - startMs);
      }
    }
    best.set(
      name,
      times.map((each) => percentile(each, 0.5)),
    );
  }
  const timed = [...best].filter(([name]) => name !== "count");
  const sumOf = (index: number): number => timed.reduce((sum, [, times]) => sum + (times[index] ?? 0), 0);
  return cases.map(({ measure, factorMax, deleted, filesAffected }, index) => {
    const factor = sumOf(index + 1) / sumOf(0);
    const single = [...best].map(
      ([name, times]) => `${name} ${(times[index + 1] ?? 0).toFixed(0)} / ${(times[0] ?? 0).toFixed(0)} ms`,
    );
    return {
      measure,
      target: `≤ ${factorMax} × after compaction`,
      reached: `${sumOf(index + 1).toFixed(0)} ms = ${factor.toFixed(2)} ×`,
      reference: `${sumOf(0).toFixed(0)} ms after`,
      verdict: verdict(factor <= factorMax),
      note: `median of ${turns} in turns, two queries that read values; ${formatCount(deleted)} rows in ${filesAffected} files; ${single.join(", ")}: count(*) alone is not in the sum`,
    };
  });
}
