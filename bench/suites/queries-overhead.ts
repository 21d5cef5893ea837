/** What the server adds to a query for which DuckDB needs less than a millisecond. */
import type { Suite } from "../harness/bench-context.js";
import { differenceOf } from "../harness/compare-rows.js";
import { DuckDBReference } from "../harness/duckdb-reference.js";
import { flushTable, tableFiles } from "../harness/load-table.js";
import { verdict } from "../harness/measurement.js";
import { percentile } from "../harness/percentiles.js";
import { queryMemoryBytes, queryThreads, uncachedFlags } from "../harness/query-flags.js";
import { queryCells } from "../harness/query-http.js";
import { HttpConnection, httpRequest } from "../load/http-connection.js";

const overheadMsMax = 1.5;
const rows = 100;
const sql = "SELECT device, max(reading) AS highest FROM small WHERE reading > 10 GROUP BY device ORDER BY device";
/** Turns of both sides, so that what else the machine does meets both. */
const runsPerTurn = 25;

export const queriesOverhead: Suite = {
  name: "queries-overhead",
  async run(context) {
    const turns = context.pick(40, 10);
    return context.withServer(uncachedFlags, async (server) => {
      const values = Array.from({ length: rows }, (_, row) => ({
        timestamp: new Date(Date.UTC(2026, 10, 18) + row * 1000).toISOString(),
        device: `d-${row % 5}`,
        reading: row / 2,
      }));
      await server.client.write("small", values);
      await flushTable(server, "small");
      const tables = [tableFiles(server.process.folder, "small")];
      const folder = context.makeFolder("spill");
      const options = { threads: queryThreads, memoryBytes: queryMemoryBytes, folder, tables };
      const reference = await DuckDBReference.open(options);
      const { url } = server.process;
      const difference = differenceOf(await queryCells(url, sql), await reference.ask("rows", { sql }), true);
      if (difference !== null) throw new Error(`another answer than R: ${difference}`);
      const own = await openRepeated(url);
      const serverTimes: number[] = [];
      const referenceTimes: number[] = [];
      for (let turn = 0; turn <= turns; turn++) {
        const times = await reference.ask("time", { sql, runs: runsPerTurn });
        const ownTimes: number[] = [];
        for (let run = 0; run < runsPerTurn; run++) ownTimes.push(await own.ask());
        // The first turn warms both up.
        if (turn === 0) continue;
        referenceTimes.push(...times);
        serverTimes.push(...ownTimes);
      }
      reference.close();
      own.close();
      const [own50, reference50] = [percentile(serverTimes, 0.5), percentile(referenceTimes, 0.5)];
      const overheadMs = own50 - reference50;
      return [
        {
          measure: "server's part of a query that takes DuckDB less than 1 ms",
          target: `p50 ≤ ${overheadMsMax} ms over R`,
          reached: `${overheadMs.toFixed(2)} ms`,
          reference: `R p50 ${reference50.toFixed(2)} ms`,
          verdict: verdict(overheadMs <= overheadMsMax),
          note: `${serverTimes.length} runs each in turns, one connection; server p50 ${own50.toFixed(2)} ms, p99 ${percentile(serverTimes, 0.99).toFixed(2)} ms, R p99 ${percentile(referenceTimes, 0.99).toFixed(2)} ms; the load generator's client, which reads status and length`,
        },
      ];
    });
  },
};

/** The same query again and again over one connection. */
async function openRepeated(address: string): Promise<{ ask(): Promise<number>; close(): void }> {
  const url = new URL(address);
  const request = httpRequest(url, "POST /v1/query", "application/json", Buffer.from(JSON.stringify({ sql })));
  let refuse: (error: Error) => void = () => {};
  const connection = await HttpConnection.open(url, (reason) => refuse(new Error(reason)));
  /** Milliseconds to the reply's last byte. */
  const ask = (): Promise<number> =>
    new Promise((resolve, reject) => {
      refuse = reject;
      const startMs = performance.now();
      connection.send(request, (status, body) => {
        if (status === 200) resolve(performance.now() - startMs);
        else reject(new Error(`${sql} answered ${status} ${body}`));
      });
    });
  return { ask, close: () => connection.close() };
}
