/**
 * ClickBench's queries after a load by one-row writes and small batches, in the files that our flushes and merges made of
 * them, against R on one file in order of time.
 */
import type { GeneratedTable } from "../generate/generated-table.js";
import { Generator } from "../generate/generator.js";
import { hitsTable } from "../generate/hits.js";
import type { BenchContext, BenchServer, Suite } from "../harness/bench-context.js";
import { DuckDBReference } from "../harness/duckdb-reference.js";
import { expectRows, flushTable, sendBody } from "../harness/load-table.js";
import { formatCount, verdict } from "../harness/measurement.js";
import { queryMemoryBytes, queryThreads, uncachedFlags } from "../harness/query-flags.js";
import { raceQueries, sumLaps } from "../harness/query-race.js";
import { readSeries } from "../harness/wal-use.js";
import { clickbenchQueries } from "../queries/clickbench.js";

const ratioMax = 1.2;
const table = "trickle";
const rowsPerBatch = 200;
const oneRowShare = 0.02;
/** Requests under way. */
const senders = 16;
/** Each ends with a flush, as a minute of a slower stream would. */
const slices = 40;
const days = 2;
const typedRows = 100;
/** Merges are looked for this often instead of every 30 s, so that the bench need not wait: the plan is the default's. */
const mergeIntervalMs = 1000;
const mergeQuietMs = 5000;

export const queriesSmallWrites: Suite = {
  name: "queries-small-writes",
  async run(context) {
    const rows = context.pick(1_000_000, 100_000);
    const generated = hitsTable({ name: table, rows, days, hasId: true });
    const folder = context.makeFolder("sorted");
    const generator = await Generator.open(folder);
    const flags = [...uncachedFlags, "--compaction-interval-ms", String(mergeIntervalMs)];
    return context.withServer(flags, async (server) => {
      await trickle(context, server, generator, generated);
      const merged = await waitForMerges(server);
      const sorted = `${folder}/sorted.parquet`;
      await generator.sortedFile(generated, sorted);
      generator.close();
      const tables = [{ name: table, files: [sorted] }];
      const options = { threads: queryThreads, memoryBytes: queryMemoryBytes, folder, tables };
      const reference = await DuckDBReference.open(options);
      const laps = await raceQueries(context, server, reference, clickbenchQueries(table, rows));
      reference.close();
      const { serverMs, referenceMs, ratio, worst } = sumLaps(laps);
      return [
        {
          measure: `the same queries after one-row writes and batches of ${rowsPerBatch}, ${formatCount(rows)} rows`,
          target: `≤ ${ratioMax.toFixed(2)} × R on one sorted file`,
          reached: `${(serverMs / 1000).toFixed(2)} s = ${ratio.toFixed(2)} ×`,
          reference: `R ${(referenceMs / 1000).toFixed(2)} s`,
          verdict: verdict(ratio <= ratioMax),
          note: `${slices} flushes over ${days} days, ${merged} files merged; worst: ${worst}`,
        },
      ];
    });
  },
};

async function trickle(
  context: BenchContext,
  server: BenchServer,
  generator: Generator,
  generated: GeneratedTable,
): Promise<void> {
  const startMs = performance.now();
  const rowsPerSlice = Math.ceil(generated.rows / slices);
  // JSON has no timestamps: columns get their types from a few rows that have.
  const typed = await generator.arrow(generated, 0, typedRows);
  await sendBody(server, `/v1/tables/${table}/rows`, "application/vnd.apache.arrow.stream", typed);
  for (let from = typedRows; from < generated.rows; from += rowsPerSlice) {
    const lines = await generator.ndjson(generated, from, Math.min(generated.rows, from + rowsPerSlice));
    const single = Math.round(lines.length * oneRowShare);
    const requests = lines.slice(0, single).map((line) => () => sendRow(server, line));
    for (let at = single; at < lines.length; at += rowsPerBatch) {
      const body = lines.slice(at, at + rowsPerBatch).join("\n");
      requests.push(() => sendBody(server, `/v1/tables/${table}/rows`, "application/x-ndjson", body));
    }
    await sendAll(requests);
    await flushTable(server, table);
  }
  await expectRows(server, table, generated.rows);
  const rate = Math.round((generated.rows * 1000) / (performance.now() - startMs));
  context.progress(`${generated.rows} rows in small writes, ${rate} rows/s with their making`);
}

function sendRow(server: BenchServer, line: string): Promise<void> {
  const { id, timestamp, ...payload } = JSON.parse(line) as { readonly id: string; readonly timestamp: string };
  return sendBody(server, "/v1/data", "application/json", JSON.stringify({ table, id, timestamp, payload }));
}

async function sendAll(requests: readonly (() => Promise<void>)[]): Promise<void> {
  let next = 0;
  const sender = async (): Promise<void> => {
    for (let request = requests[next++]; request !== undefined; request = requests[next++]) await request();
  };
  await Promise.all(Array.from({ length: senders }, sender));
}

/** Files that were merged, once no merge has ended for a while. */
async function waitForMerges(server: BenchServer): Promise<number> {
  let merged = -1;
  for (;;) {
    const now = (await readSeries(server)).get("miniodb_compacted_files_total") ?? 0;
    if (now === merged) return merged;
    merged = now;
    await new Promise((resolve) => setTimeout(resolve, mergeQuietMs));
  }
}
