/** Hot runs of ClickBench's and TSBS's queries against R on the same files, and the memory that they take. */
import type { BenchContext, BenchServer, Suite } from "../harness/bench-context.js";
import { DuckDBReference } from "../harness/duckdb-reference.js";
import { tableFiles } from "../harness/load-table.js";
import { formatCount, formatMegabytes, type Measurement, verdict } from "../harness/measurement.js";
import { queryMemoryBytes, queryThreads, uncachedFlags } from "../harness/query-flags.js";
import { type Lap, raceQueries, sumLaps } from "../harness/query-race.js";
import { queryTables } from "../harness/query-tables.js";
import { sampleProcess } from "../harness/sample-process.js";
import { clickbenchQueries } from "../queries/clickbench.js";
import { tsbsQueries } from "../queries/tsbs.js";

const ratioMax = 1.1;
const memoryAboveLimitMax = 512 * 1024 ** 2;
const sampleMs = 100;

export const queries: Suite = {
  name: "queries",
  async run(context) {
    const { folder, rows } = await queryTables(context);
    const tables = ["hits", "cpu"].map((name) => tableFiles(folder, name));
    return context.withServerOn(folder, uncachedFlags, async (server) => {
      const reference = await DuckDBReference.open({
        threads: queryThreads,
        memoryBytes: queryMemoryBytes,
        folder: context.makeFolder("spill"),
        tables,
      });
      const memory = watchMemory(server);
      const hits = await raceQueries(context, server, reference, clickbenchQueries("hits", rows));
      const cpu = await raceQueries(context, server, reference, tsbsQueries);
      const highest = memory.stop();
      reference.close();
      const [hitsFiles = 0, cpuFiles = 0] = tables.map(({ files }) => files.length);
      return [
        sumRow(`${hits.length} ClickBench queries, ${formatCount(rows)} rows, sum of hot runs`, hits, hitsFiles),
        sumRow(`${cpu.length} TSBS cpu queries, ${formatCount(rows)} rows, sum of hot runs`, cpu, cpuFiles),
        memoryRow(highest, context),
      ];
    });
  },
};

function sumRow(measure: string, laps: readonly Lap[], files: number): Measurement {
  const { serverMs, referenceMs, ratio, worst } = sumLaps(laps);
  return {
    measure,
    target: `≤ ${ratioMax.toFixed(2)} × R`,
    reached: `${(serverMs / 1000).toFixed(2)} s = ${ratio.toFixed(2)} ×`,
    reference: `R ${(referenceMs / 1000).toFixed(2)} s`,
    verdict: verdict(ratio <= ratioMax),
    note: `best of 3 each, in turns, answers equal; the same ${files} files; worst: ${worst}`,
  };
}

interface MemoryWatch {
  /** The highest resident set that was seen. */
  stop(): number;
}

function watchMemory(server: BenchServer): MemoryWatch {
  let highest = 0;
  const timer = setInterval(() => {
    highest = Math.max(highest, sampleProcess(server.process.pid)?.residentBytes ?? 0);
  }, sampleMs);
  return {
    stop: () => {
      clearInterval(timer);
      return highest;
    },
  };
}

function memoryRow(highest: number, context: BenchContext): Measurement {
  return {
    measure: "memory of the whole process in these runs",
    target: `≤ DuckDB's limit + ${formatMegabytes(memoryAboveLimitMax)}`,
    reached: formatMegabytes(highest),
    reference: `limit ${formatMegabytes(queryMemoryBytes)}`,
    verdict: verdict(highest <= queryMemoryBytes + memoryAboveLimitMax),
    note: `highest resident set, every ${sampleMs} ms${context.isQuick ? "; few rows, says little" : ""}`,
  };
}
