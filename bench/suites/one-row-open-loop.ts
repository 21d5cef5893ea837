import { requestsPerSecond, type Suite } from "../harness/bench-context.js";
import { formatCount, formatMicros, verdict } from "../harness/measurement.js";
import { oneRowRate } from "./one-row-http.js";

const p50MicrosMax = 2_000;
const p99MicrosMax = 10_000;

/** The latency that clients see at half of the maximum rate, from the intended start. */
export const oneRowOpenLoop: Suite = {
  name: "one-row-open-loop",
  async run(context) {
    const rate = Math.round((await oneRowRate(context)) / 2);
    const job = {
      payload: "row-json",
      table: "open_loop",
      // More than are needed, so that the load never waits for a free one while the server is in time.
      connections: 256,
      requestsPerSecond: rate,
      durationMs: context.pick(20_000, 3000),
    } as const;
    // What the machine itself takes from both: processors that two processes and the hypervisor's other guests share.
    const reference = await context.withSocketsOnly((server) => context.loadUnchecked(server, job));
    const run = await context.withServer([], (server) => context.load(server, job));
    const { latency } = run;
    return [
      {
        measure: "one-row JSON at half of its maximum rate, open loop",
        target: "p50 ≤ 2 ms, p99 ≤ 10 ms",
        reached: `p50 ${formatMicros(latency.p50)}, p99 ${formatMicros(latency.p99)}`,
        reference: `R1 at that rate p50 ${formatMicros(reference.latency.p50)}, p99 ${formatMicros(reference.latency.p99)}`,
        verdict: verdict(latency.p50 <= p50MicrosMax && latency.p99 <= p99MicrosMax),
        note: `${formatCount(requestsPerSecond(run))} of ${formatCount(rate)} rows/s; p99.9 ${formatMicros(latency.p999)}, max ${formatMicros(latency.max)}; longest silence ${Math.round(run.longestSilenceMs)} ms`,
      },
    ];
  },
};
