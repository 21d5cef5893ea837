/** One-row writes while flushes and four queries run: an acknowledgement never waits for a query to end. */
import type { BenchContext, BenchServer, Suite } from "../harness/bench-context.js";
import { formatCount, formatMicros, median, verdict } from "../harness/measurement.js";
import type { LoadRun } from "../harness/run-load.js";
import { takeTurns } from "../harness/take-turns.js";

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

interface Turn {
  readonly quiet: LoadRun;
  readonly busy: LoadRun;
}

/** Both loads take turns, and the middle one of the calm turns counts: what else runs on the machine comes and goes. */
export const interference: Suite = {
  name: "interference",
  async run(context) {
    return context.withServer(serverFlags, async (server) => {
      await loadHistory(context, server);
      const seen: Disturbance = { queries: 0, queryMsMax: 0, flushes: 0, compactedFiles: 0 };
      const { all, counted, note } = await takeTurns(
        context.pick({ wanted: 3, max: 9 }, { wanted: 1, max: 1 }),
        (turn) => takeTurn(context, { server, turn, seen }),
        ({ busy }) => busy.stolenCores,
      );
      seen.compactedFiles = await compactedFiles(server);
      if (seen.compactedFiles === 0) throw new Error("no files were compacted during the load");
      const p99 = median(counted.map(({ busy }) => busy.latency.p99));
      const factor = median(counted.map(({ busy, quiet }) => busy.latency.p99 / quiet.latency.p99));
      const busiest = all.map(({ busy }) => busy);
      return [
        {
          measure: "p99 of one-row writes during flushes, compaction and 4 running queries",
          target: "≤ 3 × without, or ≤ 30 ms",
          reached: `${formatMicros(p99)} = ${factor.toFixed(1)} ×`,
          reference: `${all.map(({ quiet }) => formatMicros(quiet.latency.p99)).join("; ")} without`,
          verdict: verdict(p99 <= p99MicrosMax || factor <= factorMax),
          note: `p99 of the turns: ${busiest.map(({ latency }) => formatMicros(latency.p99)).join("; ")}; open loop, ${formatCount(rowsPerSecond)} rows/s; ${seen.queries} queries, the longest ${Math.round(seen.queryMsMax)} ms; ${seen.flushes} flushes; ${seen.compactedFiles} files compacted; slowest write ${formatMicros(Math.max(...busiest.map(({ latency }) => latency.max)))}; longest silence ${Math.round(Math.max(...busiest.map(({ longestSilenceMs }) => longestSilenceMs)))} ms${note === "" ? "" : `; ${note}`}`,
        },
      ];
    });
  },
};

interface TurnOptions {
  readonly server: BenchServer;
  readonly turn: number;
  readonly seen: Disturbance;
}

async function takeTurn(context: BenchContext, { server, turn, seen }: TurnOptions): Promise<Turn> {
  const job = { payload: "row-json", connections: 64, requestsPerSecond: rowsPerSecond } as const;
  const quiet = await context.load(server, {
    ...job,
    table: `quiet_rows_${turn}`,
    durationMs: context.pick(10_000, 1500),
  });
  const table = `busy_rows_${turn}`;
  const beside = ({ durationMs }: { readonly durationMs: number }) => disturb(server, { table, durationMs, seen });
  const busy = await context.load(server, { ...job, table, durationMs: context.pick(20_000, 2500) }, { beside });
  return { quiet, busy };
}

async function loadHistory(context: BenchContext, server: BenchServer): Promise<void> {
  const durationMs = context.pick(8000, 1000);
  await context.load(server, {
    payload: "arrow",
    table: "history",
    rowsPerRequest: 10_000,
    connections: 4,
    durationMs,
  });
  await flush(server, "history");
}

interface DisturbOptions {
  readonly table: string;
  readonly durationMs: number;
  readonly seen: Disturbance;
}

async function disturb(server: BenchServer, { table, durationMs, seen }: DisturbOptions): Promise<void> {
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
      await flush(server, table);
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
