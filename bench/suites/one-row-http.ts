import type { ServerProcess } from "../../test/harness/server-process.js";
import { type BenchContext, type BenchServer, requestsPerSecond, type Suite } from "../harness/bench-context.js";
import { formatCount, formatMicros, formatPercent, type Measurement, verdict } from "../harness/measurement.js";
import type { LoadRun } from "../harness/run-load.js";

interface Case {
  readonly connections: number;
  readonly shareMin: number;
}

const cases: readonly Case[] = [
  { connections: 64, shareMin: 0.4 },
  { connections: 256, shareMin: 0.55 },
];

/**
 * One row per POST /v1/data, durable before its reply, against the same sockets layer that only reads and replies. Both
 * servers are up, and take turns: what else the machine does hits both.
 */
export const oneRowHttp: Suite = {
  name: "one-row-http",
  run: (context) =>
    context.withSocketsOnly((reference) =>
      context.withServer([], async (server) => {
        const measurements: Measurement[] = [];
        for (const each of cases) measurements.push(await measure(context, { ...each, server, reference }));
        return measurements;
      }),
    ),
};

interface Pair extends Case {
  readonly server: BenchServer;
  readonly reference: ServerProcess;
}

async function measure(context: BenchContext, pair: Pair): Promise<Measurement> {
  const { connections, shareMin } = pair;
  const referenceRuns: LoadRun[] = [];
  const runs: LoadRun[] = [];
  for (let turn = 0; turn < context.pick(3, 1); turn++) {
    const table = `rows_${connections}_${turn}`;
    const durationMs = context.pick(5000, 1500);
    // The one turn of a quick run must not be one of cold code.
    const warmupMs = context.pick(2000, 1200);
    const options = { payload: "row-json", table, connections, durationMs, warmupMs } as const;
    referenceRuns.push(await context.loadUnchecked(pair.reference, options));
    runs.push(await context.load(pair.server, options));
  }
  const rate = meanRate(runs);
  const referenceRate = meanRate(referenceRuns);
  const share = rate / referenceRate;
  const { latency } = runs.at(-1) as LoadRun;
  return {
    measure: `one-row JSON POST /v1/data, ${connections} connections`,
    target: `≥ ${formatPercent(shareMin)} of R1`,
    reached: `${formatCount(rate)} rows/s = ${formatPercent(share)}`,
    reference: `R1 ${formatCount(referenceRate)} requests/s`,
    verdict: verdict(share >= shareMin),
    note: `p50 ${formatMicros(latency.p50)}, p99 ${formatMicros(latency.p99)}; ${describeUse(runs, referenceRuns)}`,
  };
}

function meanRate(runs: readonly LoadRun[]): number {
  return runs.reduce((sum, run) => sum + requestsPerSecond(run), 0) / runs.length;
}

/** Where the generator, not the server, is the limit, the reader must see it. */
function describeUse(runs: readonly LoadRun[], referenceRuns: readonly LoadRun[]): string {
  const micros = (of: readonly LoadRun[]) => {
    const values = of.map((run) => run.serverMicrosPerRequest ?? Number.NaN);
    return `${Math.round(values.reduce((sum, value) => sum + value, 0) / of.length)} µs of processor per request`;
  };
  const generator = (of: readonly LoadRun[]) => formatPercent(Math.max(...of.map((run) => run.generatorCores)));
  return `server ${micros(runs)}, R1 ${micros(referenceRuns)}; generator up to ${generator(runs)} and ${generator(referenceRuns)} of a core`;
}
