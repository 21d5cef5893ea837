/** The same text again and again over a table that nobody writes to: answered from the result cache. */
import { requestsPerSecond, type Suite } from "../harness/bench-context.js";
import { formatCount, formatMicros, verdict } from "../harness/measurement.js";
import { queryFlags } from "../harness/query-flags.js";
import { sendQuery } from "../harness/query-http.js";
import { queryTables } from "../harness/query-tables.js";
import { describeCores } from "../harness/bulk-load.js";

const ratePerSecondMin = 10_000;
const p50MicrosMax = 1000;
/** Of the pool: few, so that a request hardly waits behind others. */
const connections = 8;
const sql =
  "SELECT region, avg(usage_user) AS usage, count(*) AS n FROM cpu WHERE usage_system > 50 GROUP BY region ORDER BY region";

export const queriesCache: Suite = {
  name: "queries-cache",
  async run(context) {
    const { folder } = await queryTables(context);
    return context.withServerOn(folder, queryFlags, async (server) => {
      const { url } = server.process;
      const first = await sendQuery({ url, sql, isBodyKept: true });
      const second = await sendQuery({ url, sql, isBodyKept: true });
      if (!first.body.equals(second.body)) throw new Error("the second answer is not the first");
      const status = String(second.headers["cache-status"] ?? "none");
      if (!/\bhit\b/.test(status)) throw new Error(`the second answer was no hit: Cache-Status ${status}`);
      const run = await context.loadUnchecked(server.process, {
        payload: "query",
        table: "cpu",
        statements: [sql],
        connections,
        durationMs: context.pick(6000, 2000),
      });
      const rate = requestsPerSecond(run);
      return [
        {
          measure: `cache hits, the same text, ${connections} connections`,
          target: `p50 < 1 ms, ≥ ${formatCount(ratePerSecondMin)} queries/s`,
          reached: `p50 ${formatMicros(run.latency.p50)}, ${formatCount(rate)} queries/s`,
          reference: `${first.elapsedMs.toFixed(1)} ms when it runs`,
          verdict: verdict(run.latency.p50 < p50MicrosMax && rate >= ratePerSecondMin),
          note: `p99 ${formatMicros(run.latency.p99)}; ${describeCores(run)}`,
        },
      ];
    });
  },
};
