/** One-row writes while flushes and four queries run: an acknowledgement never waits for a query to end. */
import type { BenchContext, BenchServer, Suite } from "../harness/bench-context.js";
import { formatCount, formatMicros, verdict } from "../harness/measurement.js";

const rowsPerSecond = 1_000;
const queriesAtOnce = 4;
const p99MicrosMax = 30_000;
const factorMax = 3;
/** A scan of the loaded table with a sort that cannot be answered from statistics. */
const query =
  "select device, status, count(*) as n, avg(temperature) as t, approx_quantile(temperature, 0.9) as q from history group by all order by t desc limit 20";

interface Disturbance {
  queries: number;
  queryMsMax: number;
  flushes: number;
  /** Small files that were rewritten into larger ones. */
  compactedFiles: number;
}

const serverFlags = [
  // The files of this suite are small and its time is short.
  ["--compaction-interval-ms", "1000", "--compaction-small-files-min", "4"],
  // Queries are to run, not to be answered from memory.
  ["--query-cache-bytes", "0"],
].flat();

export const interference: Suite = {
  name: "interference",
  async run(context) {
    return context.withServer(serverFlags, async (server) => {
      await loadHistory(context, server);
      const job = {
        payload: "row-json",
        connections: 64,
        requestsPerSecond: rowsPerSecond,
        durationMs: context.pick(20_000, 3000),
      } as const;
      const quiet = await context.load(server, { ...job, table: "quiet_rows" });
      const seen: Disturbance = { queries: 0, queryMsMax: 0, flushes: 0, compactedFiles: 0 };
      const beside = ({ durationMs }: { readonly durationMs: number }) => disturb(server, durationMs, seen);
      const busy = await context.load(server, { ...job, table: "busy_rows" }, { beside });
      seen.compactedFiles = await compactedFiles(server);
      if (seen.compactedFiles === 0) throw new Error("no files were compacted during the load");
      const factor = busy.latency.p99 / quiet.latency.p99;
      return [
        {
          measure: "p99 of one-row writes during flushes, compaction and 4 running queries",
          target: "≤ 3 × without, or ≤ 30 ms",
          reached: `${formatMicros(busy.latency.p99)} = ${factor.toFixed(1)} ×`,
          reference: `${formatMicros(quiet.latency.p99)} without`,
          verdict: verdict(busy.latency.p99 <= p99MicrosMax || factor <= factorMax),
          note: `open loop, ${formatCount(rowsPerSecond)} rows/s; ${seen.queries} queries, the longest ${Math.round(seen.queryMsMax)} ms; ${seen.flushes} flushes; ${seen.compactedFiles} files compacted; slowest write ${formatMicros(busy.latency.max)}; longest silence ${Math.round(busy.longestSilenceMs)} ms`,
        },
      ];
    });
  },
};

async function loadHistory(context: BenchContext, server: BenchServer): Promise<void> {
  const durationMs = context.pick(8000, 1500);
  await context.load(server, {
    payload: "arrow",
    table: "history",
    rowsPerRequest: 10_000,
    connections: 4,
    durationMs,
  });
  await flush(server, "history");
}

async function disturb(server: BenchServer, durationMs: number, seen: Disturbance): Promise<void> {
  const endMs = performance.now() + durationMs;
  const queries = Array.from({ length: queriesAtOnce }, async () => {
    while (performance.now() < endMs) {
      const startMs = performance.now();
      await server.client.query(query);
      seen.queryMsMax = Math.max(seen.queryMsMax, performance.now() - startMs);
      seen.queries++;
    }
  });
  const flushes = async () => {
    while (performance.now() < endMs) {
      await flush(server, "busy_rows");
      seen.flushes++;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  };
  await Promise.all([...queries, flushes()]);
}

async function compactedFiles(server: BenchServer): Promise<number> {
  const text = await (await fetch(`${server.process.url}/metrics`)).text();
  return Number(/^miniodb_compacted_files_total (\d+)/m.exec(text)?.[1] ?? 0);
}

async function flush(server: BenchServer, table: string): Promise<void> {
  const reply = await server.client.sendJson(`/v1/tables/${table}/flush`, {});
  if (reply.status !== 200) throw new Error(`flush of ${table} answered ${reply.status}`);
}
