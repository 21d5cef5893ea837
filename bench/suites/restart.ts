/** kill -9 with a full log, then the time from spawn to listening, and every row counted. */
import type { BenchContext, BenchServer, Suite } from "../harness/bench-context.js";
import { formatMegabytes, verdict } from "../harness/measurement.js";
import { readSettledWalCounters, readWalCounters } from "../harness/wal-use.js";

const gib = 1024 ** 3;
const readyMsMax = 15_000;
const rowsPerRequest = 10_000;
/** Nothing is flushed, so that all of it is replayed. */
const flags = [
  ["--ingest-buffered-bytes-max", "8GiB"],
  ["--wal-bytes-max", "8GiB"],
  ["--flush-bytes", "4GiB"],
  ["--flush-rows", "100000000"],
  ["--flush-interval-ms", "1d"],
].flat();

export const restart: Suite = {
  name: "restart",
  async run(context) {
    const walBytesMin = context.pick(gib, gib / 8);
    return context.withServer(flags, async (server) => {
      const { rows, walBytes } = await fillLog(context, server, walBytesMin);
      await server.process.kill();
      await server.process.restart();
      const { readyMs } = server.process;
      const counted = await server.client.count("replayed");
      if (counted !== rows) throw new Error(`${rows} rows were acknowledged, SQL counts ${counted} after the restart`);
      const scaledMsMax = readyMsMax * Math.min(1, walBytes / gib);
      return [
        {
          measure: `restart after kill -9 with a log of ${formatMegabytes(walBytes)}`,
          target: "ready in ≤ 15 s with 1 GiB",
          reached: `${(readyMs / 1000).toFixed(1)} s, all ${rows} rows there`,
          reference: "",
          verdict: verdict(readyMs <= scaledMsMax),
          note: `${formatMegabytes((walBytes * 1000) / readyMs)}/s; nothing had been flushed${context.isQuick ? "; limit in proportion to the log" : ""}`,
        },
      ];
    });
  },
};

async function fillLog(context: BenchContext, server: BenchServer, walBytesMin: number) {
  let rows = 0;
  let walBytes = 0;
  const startBytes = (await readWalCounters(server)).bytes;
  for (let round = 0; walBytes < walBytesMin; round++) {
    const job = { payload: "arrow", table: "replayed", rowsPerRequest, connections: 4, seed: round + 1 } as const;
    const run = await context.loadUnchecked(server.process, { ...job, warmupMs: 0, durationMs: 1000 });
    rows += run.acknowledgedRows;
    walBytes = (await readSettledWalCounters(server)).bytes - startBytes;
    if (run.acknowledgedRows === 0) throw new Error("the server accepts nothing more");
  }
  return { rows, walBytes };
}
