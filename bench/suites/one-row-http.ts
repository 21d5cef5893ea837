import type { BenchContext, Suite } from "../harness/bench-context.js";
import { requestsPerSecond } from "../harness/bench-context.js";
import { formatCount, formatMicros, formatPercent, type Measurement, verdict } from "../harness/measurement.js";
import type { LoadRun } from "../harness/run-load.js";

const cases = [
  { connections: 64, shareMin: 0.4 },
  { connections: 256, shareMin: 0.55 },
] as const;

/** One row per POST /v1/data, durable before its reply, against the same sockets layer that only reads and replies. */
export const oneRowHttp: Suite = {
  name: "one-row-http",
  async run(context) {
    const measurements: Measurement[] = [];
    for (const { connections, shareMin } of cases) {
      const options = { payload: "row-json", table: `rows_${connections}`, connections } as const;
      const reference = await context.withSocketsOnly((server) => context.loadUnchecked(server, options));
      const run = await context.withServer([], (server) => context.load(server, options));
      const rate = requestsPerSecond(run);
      const share = rate / requestsPerSecond(reference);
      context.rates.set(`one-row-http-${connections}`, rate);
      measurements.push({
        measure: `one-row JSON POST /v1/data, ${connections} connections`,
        target: `≥ ${formatPercent(shareMin)} of R1`,
        reached: `${formatCount(rate)} rows/s = ${formatPercent(share)}`,
        reference: `R1 ${formatCount(requestsPerSecond(reference))} requests/s`,
        verdict: verdict(share >= shareMin),
        note: `p50 ${formatMicros(run.latency.p50)}, p99 ${formatMicros(run.latency.p99)}; ${describeUse(run, reference)}`,
      });
    }
    return measurements;
  },
};

/** Where the generator, not the server, is the limit, the reader must see it. */
function describeUse(run: LoadRun, reference: LoadRun): string {
  const own = (of: LoadRun) =>
    `${of.serverMicrosPerRequest === null ? "?" : of.serverMicrosPerRequest.toFixed(0)} µs of processor per request`;
  const generators = `generator ${formatPercent(run.generatorCores)} and ${formatPercent(reference.generatorCores)} of a core`;
  return `server ${own(run)}, R1 ${own(reference)}; ${generators}`;
}

/** The rate that a suite builds on, measured briefly where the suite runs alone. */
export async function oneRowRate(context: BenchContext): Promise<number> {
  const known = context.rates.get("one-row-http-64");
  if (known !== undefined) return known;
  const options = { payload: "row-json", table: "rate_probe", durationMs: context.pick(5000, 2000) } as const;
  const run = await context.withServer([], (server) => context.load(server, options));
  return requestsPerSecond(run);
}
