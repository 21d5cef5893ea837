/** A time range of one day in a table of 365: only that day's files are opened. */
import type { GeneratedTable } from "../generate/generated-table.js";
import { Generator } from "../generate/generator.js";
import type { Suite } from "../harness/bench-context.js";
import { differenceOf } from "../harness/compare-rows.js";
import { DuckDBReference } from "../harness/duckdb-reference.js";
import { loadTable, tableFiles } from "../harness/load-table.js";
import { verdict } from "../harness/measurement.js";
import { queryMemoryBytes, queryThreads, uncachedFlags } from "../harness/query-flags.js";
import { queryCells, sendQuery } from "../harness/query-http.js";

const days = 365;
const rows = days * 1000;
const day = "2025-03-17";
const sql = `SELECT device, count(*) AS n, sum(number) AS s FROM days WHERE "timestamp" >= '${day}' AND "timestamp" < '2025-03-18' GROUP BY device ORDER BY device`;
const runs = 15;

const daysTable: GeneratedTable = {
  name: "days",
  rows,
  select: (from, to) => `
    SELECT to_timestamp(${Date.UTC(2025, 0, 1) / 1000} + i * 86400 // 1000) AS "timestamp",
      concat('sensor-', evenly(i, 1, 50)) AS device, evenly(i, 2, 1000000) AS number
    FROM range(${from}, ${to}) AS numbers(i)`,
};

export const queriesDays: Suite = {
  name: "queries-days",
  async run(context) {
    // A body holds rows of a hundred days; each flush writes a file for each.
    return context.withServer(uncachedFlags, async (server) => {
      const generator = await Generator.open(context.makeFolder("generator"));
      await loadTable(context, server, generator, daysTable);
      generator.close();
      const { url } = server.process;
      const { files } = tableFiles(server.process.folder, "days");
      const ofDay = files.filter((path) => path.includes(day));
      const tables = [{ name: "days", files: ofDay }];
      const folder = context.makeFolder("spill");
      const options = { threads: queryThreads, memoryBytes: queryMemoryBytes, folder, tables };
      const reference = await DuckDBReference.open(options);
      const difference = differenceOf(await queryCells(url, sql), await reference.ask("rows", { sql }), true);
      if (difference !== null) throw new Error(`another answer than R on the files of ${day}: ${difference}`);
      const referenceMs = Math.min(...(await reference.ask("time", { sql, runs })));
      reference.close();
      let serverMs = Infinity;
      for (let run = 0; run < runs; run++) {
        serverMs = Math.min(serverMs, (await sendQuery({ url, sql, isBodyKept: false })).elapsedMs);
      }
      const opened = await openedFiles(url);
      return [
        {
          measure: `one day of ${days} by its time range`,
          target: "opens only that day's files",
          reached: `${opened ?? "no report of"} of ${files.length} files opened`,
          reference: `${ofDay.length} files of that day`,
          verdict: verdict(opened === ofDay.length),
          note: `from EXPLAIN; ${serverMs.toFixed(1)} ms, R on that day's files alone ${referenceMs.toFixed(1)} ms`,
        },
      ];
    });
  },
};

/** What EXPLAIN's row on the files says: `days: 1 of 365 files, 364 pruned ...`; null where there is none. */
async function openedFiles(url: string): Promise<number | null> {
  const rows = await queryCells(url, `EXPLAIN ${sql}`);
  const row = rows.find(([key]) => key === "files");
  const match = /(\d+) of \d+ files/.exec(String(row?.[1] ?? ""));
  return match === null ? null : Number(match[1]);
}
