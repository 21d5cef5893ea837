import { type BenchContext, type BenchServer, requestsPerSecond, type Suite } from "../harness/bench-context.js";
import { formatCount, formatMicros, formatPercent, verdict } from "../harness/measurement.js";
import type { LoadRun } from "../harness/run-load.js";

const shareMin = 0.6;

/**
 * Full replaces by id, durable before their reply, against one-row inserts of the same bodies on the same server, in turns: the
 * ids are those of a few thousand rows, in the store at the begin, which are replaced over and over.
 */
export const replaces: Suite = {
  name: "replaces",
  run: (context) =>
    context.withServer([], async (server) => {
      const inserts: LoadRun[] = [];
      const runs: LoadRun[] = [];
      const durationMs = context.pick(8000, 2000);
      // The rows that are replaced.
      await context.loadUnchecked(server.process, { payload: "row-json", table: "replaced", durationMs: 500 });
      await server.client.send("/v1/tables/replaced/flush", { method: "POST", body: "" });
      for (let turn = 0; turn < context.pick(3, 2); turn++) {
        inserts.push(await context.load(server, { payload: "row-json", table: `inserted_${turn}`, durationMs }));
        runs.push(
          await context.loadUnchecked(server.process, { payload: "row-replace", table: "replaced", durationMs }),
        );
        await checkIds(context, server);
      }
      const rate = meanRate(runs);
      const insertRate = meanRate(inserts);
      const share = rate / insertRate;
      const { latency } = runs.at(-1) as LoadRun;
      return [
        {
          measure: "full replaces by id, PUT /v1/data, 64 connections",
          target: `≥ ${formatPercent(shareMin)} of one-row inserts`,
          reached: `${formatCount(rate)} rows/s = ${formatPercent(share)}`,
          reference: `inserts ${formatCount(insertRate)} rows/s`,
          verdict: verdict(share >= shareMin),
          note: `p50 ${formatMicros(latency.p50)}, p99 ${formatMicros(latency.p99)}`,
        },
      ];
    }),
};

/** One row per id, whatever was replaced how often. Throws. */
async function checkIds(context: BenchContext, { client }: BenchServer): Promise<void> {
  const [row] = await client.query<{ rows: number; ids: number }>(
    "SELECT count(*) AS rows, count(DISTINCT id) AS ids FROM replaced",
  );
  if (row === undefined || row.rows !== row.ids || row.rows === 0) throw new Error(`ids twice: ${JSON.stringify(row)}`);
  context.progress(`${row.rows} rows, each id once`);
}

function meanRate(runs: readonly LoadRun[]): number {
  return runs.reduce((sum, run) => sum + requestsPerSecond(run), 0) / runs.length;
}
