/** 64 clients that ask for small aggregates, none of them from the result cache. */
import { cpuTable } from "../generate/cpu.js";
import { Generator } from "../generate/generator.js";
import type { Suite } from "../harness/bench-context.js";
import { requestsPerSecond } from "../harness/bench-context.js";
import { describeCores } from "../harness/bulk-load.js";
import { differenceOf } from "../harness/compare-rows.js";
import { DuckDBReference } from "../harness/duckdb-reference.js";
import { loadTable, tableFiles } from "../harness/load-table.js";
import { formatCount, formatMicros, formatPercent, verdict } from "../harness/measurement.js";
import { queryMemoryBytes, queryThreads, uncachedFlags } from "../harness/query-flags.js";
import { percentile } from "../harness/percentiles.js";
import { queryCells } from "../harness/query-http.js";
import { readSeries } from "../harness/wal-use.js";

const clients = 64;
const smallRows = 50_000;
const shareMin = 0.7;
const p99MicrosMax = 250_000;
const loopDelayMsMax = 5;
/** prom-client's histogram counts from one tick of its timer to the next: the timer's own period is no delay. */
const loopTimerMs = 10;

const usages = ["usage_user", "usage_system", "usage_idle", "usage_nice"];
/** As the panels of a dashboard: different texts, each asked again. */
const statements = Array.from(
  { length: 256 },
  (_, index) =>
    `SELECT hostname, avg(${usages[index % 4]}) AS mean, max(usage_irq) AS highest FROM small_cpu WHERE hostname IN ('host_${index % 50}', 'host_${(index * 7) % 50}') GROUP BY hostname ORDER BY hostname`,
);

export const queriesClients: Suite = {
  name: "queries-clients",
  async run(context) {
    const durationMs = context.pick(8000, 3000);
    return context.withServer(uncachedFlags, async (server) => {
      const generator = await Generator.open(context.makeFolder("generator"));
      await loadTable(context, server, generator, { ...cpuTable(smallRows), name: "small_cpu" });
      generator.close();
      const tables = [tableFiles(server.process.folder, "small_cpu")];
      const folder = context.makeFolder("spill");
      const options = { threads: queryThreads, memoryBytes: queryMemoryBytes, folder, tables };
      const reference = await DuckDBReference.open(options);
      for (const sql of statements.slice(0, 8)) {
        const difference = differenceOf(
          await queryCells(server.process.url, sql),
          await reference.ask("rows", { sql }),
          true,
        );
        if (difference !== null) throw new Error(`another answer than R: ${difference}`);
      }
      await reference.ask("clients", { statements, clients, durationMs: 1000 });
      const bare = await reference.ask("clients", { statements, clients, durationMs });
      reference.close();
      let loopDelayMs = Number.NaN;
      const run = await context.loadUnchecked(
        server.process,
        { payload: "query", table: "small_cpu", statements, connections: clients, durationMs },
        {
          beside: async (window) => {
            // Reading the series begins a new histogram.
            await readSeries(server);
            await new Promise((resolve) => setTimeout(resolve, window.durationMs - 200));
            const lag = (await readSeries(server)).get("nodejs_eventloop_lag_p99_seconds") ?? Number.NaN;
            loopDelayMs = Math.max(0, lag * 1000 - loopTimerMs);
          },
        },
      );
      const rate = requestsPerSecond(run);
      const bareRate = (bare.times.length * 1000) / bare.elapsedMs;
      const bareMicros = (share: number): string => formatMicros(percentile(bare.times, share) * 1000);
      const isMet = rate >= shareMin * bareRate && run.latency.p99 <= p99MicrosMax && loopDelayMs <= loopDelayMsMax;
      return [
        {
          measure: `${clients} clients of small aggregates, uncached`,
          target: `≥ ${shareMin} × R, p99 ≤ 250 ms, event loop p99 ≤ ${loopDelayMsMax} ms`,
          reached: `${formatCount(rate)} queries/s = ${formatPercent(rate / bareRate)}, p99 ${formatMicros(run.latency.p99)}, event loop ${loopDelayMs.toFixed(1)} ms`,
          reference: `R ${formatCount(bareRate)} queries/s, p50 ${bareMicros(0.5)}, p99 ${bareMicros(0.99)}`,
          verdict: verdict(isMet),
          note: `${statements.length} texts over ${formatCount(smallRows)} rows; p50 ${formatMicros(run.latency.p50)}; ${run.busyReplies} asked to come again; ${describeCores(run)}`,
        },
      ];
    });
  },
};
