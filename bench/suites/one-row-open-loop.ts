import type { ServerProcess } from "../../test/harness/server-process.js";
import { type BenchContext, type BenchServer, requestsPerSecond, type Suite } from "../harness/bench-context.js";
import { formatCount, formatMicros, median, verdict } from "../harness/measurement.js";
import type { LoadRun } from "../harness/run-load.js";
import { takeTurns } from "../harness/take-turns.js";

const p50MicrosMax = 2_000;
const p99MicrosMax = 10_000;

/** One turn: the maximum of that minute, then half of it for the reference and for the server. */
interface Turn {
  readonly requestsPerSecond: number;
  readonly reference: LoadRun;
  readonly run: LoadRun;
}

/**
 * The latency that clients see at half of the maximum rate, from the intended start. What else runs on the machine comes
 * and goes within minutes, and takes the maximum down as well as the latency up: so the maximum is measured anew in every
 * turn, and the middle one of the calm turns counts.
 */
export const oneRowOpenLoop: Suite = {
  name: "one-row-open-loop",
  async run(context) {
    const { all, counted, note } = await context.withSocketsOnly((reference) =>
      takeTurns(
        context.pick({ wanted: 3, max: 9 }, { wanted: 1, max: 1 }),
        // Each on a server of its own: the flush of an earlier turn's rows would be in a later one's time.
        () => context.withServer([], (server) => takeTurn(context, server, reference)),
        ({ run }) => run.stolenCores,
      ),
    );
    const p50 = median(counted.map(({ run }) => run.latency.p50));
    const p99 = median(counted.map(({ run }) => run.latency.p99));
    return [
      {
        measure: "one-row JSON at half of its maximum rate, open loop",
        target: "p50 ≤ 2 ms, p99 ≤ 10 ms",
        reached: `p50 ${formatMicros(p50)}, p99 ${formatMicros(p99)}`,
        reference: `R1 at that rate: ${all.map(({ reference }) => describe(reference)).join("; ")}`,
        verdict: verdict(p50 <= p50MicrosMax && p99 <= p99MicrosMax),
        note: [
          `p50 / p99 of the turns: ${all.map(({ run }) => describe(run)).join("; ")}`,
          `rows/s: ${all.map(describeRate).join("; ")}`,
          ...(note === "" ? [] : [note]),
        ].join("; "),
      },
    ];
  },
};

async function takeTurn(context: BenchContext, server: BenchServer, reference: ServerProcess): Promise<Turn> {
  const probe = await context.load(server, {
    payload: "row-json",
    table: "open_loop_maximum",
    durationMs: context.pick(4000, 1500),
  });
  const rate = Math.round(requestsPerSecond(probe) / 2);
  const job = {
    payload: "row-json",
    table: "open_loop",
    // More than are needed, so that the load never waits for a free one while the server is in time.
    connections: 256,
    requestsPerSecond: rate,
    durationMs: context.pick(10_000, 3000),
  } as const;
  // What the machine itself takes from both: processors that two processes and the hypervisor's other guests share.
  const ofReference = await context.loadUnchecked(reference, job);
  return { requestsPerSecond: rate, reference: ofReference, run: await context.load(server, job) };
}

function describe({ latency }: LoadRun): string {
  return `${formatMicros(latency.p50)} / ${formatMicros(latency.p99)}`;
}

function describeRate({ requestsPerSecond: intended, run }: Turn): string {
  return `${formatCount(requestsPerSecond(run))} of ${formatCount(intended)}`;
}
