/** A query over a table with 100,000 rows that are in no Parquet file of the catalog yet, while rows come in. */
import { cpuTable } from "../generate/cpu.js";
import { Generator } from "../generate/generator.js";
import type { BenchServer, Suite } from "../harness/bench-context.js";
import { expectRows, flushTable, loadTable, sendBody } from "../harness/load-table.js";
import { formatCount, verdict } from "../harness/measurement.js";
import { percentile } from "../harness/percentiles.js";
import { uncachedFlags } from "../harness/query-flags.js";
import { sendQuery } from "../harness/query-http.js";

const overMsMax = 30;
const unflushedRows = 100_000;
const rowsPerBatch = 1000;
const table = "live";
/** Batches of ten rows, so often a second, while the queries run. */
const writesPerSecond = 50;
const sql = `SELECT region, max(usage_user) AS highest, avg(usage_system) AS mean, count(*) AS n FROM ${table} GROUP BY region ORDER BY region`;
const noFlush = ["--flush-interval-ms", "1d", "--flush-rows", "100000000", "--flush-bytes", "4GiB"];

export const queriesUnflushed: Suite = {
  name: "queries-unflushed",
  async run(context) {
    const flushedRows = context.pick(1_000_000, 200_000);
    const runs = context.pick(60, 20);
    const all = { ...cpuTable(flushedRows + unflushedRows), name: table };
    return context.withServer([...uncachedFlags, ...noFlush], async (server) => {
      const generator = await Generator.open(context.makeFolder("generator"));
      await loadTable(context, server, generator, { ...all, rows: flushedRows });
      const lines = await generator.ndjson(all, flushedRows, all.rows);
      generator.close();
      for (let at = 0; at < lines.length; at += rowsPerBatch) await write(server, lines.slice(at, at + rowsPerBatch));
      await expectRows(server, table, all.rows);
      const writer = startWriting(server, lines.slice(0, 10));
      const unflushed = await timeQueries(server, runs);
      const written = await writer.stop();
      await expectRows(server, table, all.rows + written);
      await flushTable(server, table);
      const flushed = await timeQueries(server, runs);
      const overMs = percentile(unflushed, 0.5) - percentile(flushed, 0.5);
      return [
        {
          measure: `query with ${formatCount(unflushedRows)} unflushed rows, writes going on`,
          target: `p50 ≤ ${overMsMax} ms over the same flushed`,
          reached: `${overMs.toFixed(1)} ms over`,
          reference: `flushed, no writes: p50 ${percentile(flushed, 0.5).toFixed(1)} ms`,
          verdict: verdict(overMs <= overMsMax),
          note: `${formatCount(flushedRows)} flushed rows beside; p50 ${percentile(unflushed, 0.5).toFixed(1)} ms, p90 ${percentile(unflushed, 0.9).toFixed(1)} ms; ${formatCount(written)} rows written meanwhile, each query sees all before it`,
        },
      ];
    });
  },
};

function write(server: BenchServer, lines: readonly string[]): Promise<void> {
  return sendBody(server, `/v1/tables/${table}/rows`, "application/x-ndjson", lines.join("\n"));
}

async function timeQueries(server: BenchServer, runs: number): Promise<number[]> {
  const times: number[] = [];
  for (let run = 0; run < runs; run++) {
    times.push((await sendQuery({ url: server.process.url, sql, isBodyKept: false })).elapsedMs);
  }
  return times;
}

interface Writer {
  /** Rows that were acknowledged in all. */
  stop(): Promise<number>;
}

function startWriting(server: BenchServer, lines: readonly string[]): Writer {
  let isOn = true;
  let rows = 0;
  const writing = (async () => {
    while (isOn) {
      await write(server, lines);
      rows += lines.length;
      await new Promise((resolve) => setTimeout(resolve, 1000 / writesPerSecond));
    }
  })();
  writing.catch(() => {});
  return {
    stop: async () => {
      isOn = false;
      await writing;
      return rows;
    },
  };
}
