/** What was acknowledged is in the answer to the very next query, again and again. */
import type { BenchServer, Suite } from "../harness/bench-context.js";
import { verdict } from "../harness/measurement.js";

export const visibility: Suite = {
  name: "visibility",
  async run(context) {
    const rounds = context.pick(300, 60);
    return context.withServer([], async (server) => {
      let unseen = 0;
      const queryMs: number[] = [];
      for (let round = 0; round < rounds; round++) {
        await writeRow(server, round);
        const startMs = performance.now();
        const [row] = await server.client.query<{ n: number }>("select count(*) as n from visible_rows");
        queryMs.push(performance.now() - startMs);
        if (Number(row?.n) !== round + 1) unseen++;
      }
      const sorted = queryMs.toSorted((left, right) => left - right);
      return [
        {
          measure: "acknowledged → visible to a query",
          target: "the next request, always",
          reached: `${rounds - unseen} of ${rounds}`,
          reference: "",
          verdict: verdict(unseen === 0),
          note: `the query that seals the new row: p50 ${(sorted[rounds >> 1] as number).toFixed(1)} ms, max ${(sorted[rounds - 1] as number).toFixed(1)} ms`,
        },
      ];
    });
  },
};

async function writeRow(server: BenchServer, round: number): Promise<void> {
  const timestamp = new Date(Date.UTC(2026, 10, 18) + round).toISOString();
  const row = { table: "visible_rows", id: `v-${round}`, timestamp, payload: { round } };
  const reply = await server.client.sendJson("/v1/data", row);
  if (reply.status !== 200) throw new Error(`a write answered ${reply.status} ${JSON.stringify(reply.body)}`);
}
