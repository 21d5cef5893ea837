/**
 * A load that goes on while flushes keep up: few rows may wait for their flush, so the server holds the client back and
 * the rate is what reaches the object store. Memory of the process is read all the while.
 */
import type { LoadJob } from "../load/job.js";
import { type BenchContext, type BenchServer } from "./bench-context.js";
import { describeCores, rowsPerSecond } from "./bulk-load.js";
import { formatCount, formatMegabytes, type Measurement, verdict } from "./measurement.js";
import { sampleProcess } from "./sample-process.js";

export interface SustainedCase {
  readonly measure: string;
  readonly job: Pick<LoadJob, "payload" | "table" | "rowsPerRequest" | "connections"> & Partial<LoadJob>;
  readonly rowsPerSecondMin: number;
  /** Adds a row on the memory of the process. */
  readonly isMemoryMeasured: boolean;
}

/**
 * DuckDB may have 256 MiB: 192 for queries, 64 for compaction, which comes often enough to be part of every half of
 * the run.
 */
const sustainedFlags = [
  ["--ingest-buffered-bytes-max", "128MiB"],
  ["--query-memory-bytes", "192MiB"],
  ["--compaction-memory-bytes", "64MiB"],
  ["--compaction-interval-ms", "3000"],
  ["--compaction-small-files-min", "8"],
].flat();
const residentBytesMax = 1024 ** 3;
/** "Flat": the second half's mean may exceed the first half's by this share. */
const growthMax = 0.1;

export async function measureSustained(context: BenchContext, sustained: SustainedCase): Promise<Measurement[]> {
  return context.withServer(sustainedFlags, async (server) => {
    const resident: number[] = [];
    const beside = ({ durationMs }: { readonly durationMs: number }) => watchMemory(server, durationMs, resident);
    const durationMs = context.pick(60_000, 4000);
    const run = await context.load(server, { ...sustained.job, durationMs }, { beside });
    const rate = rowsPerSecond(run, sustained.job.rowsPerRequest);
    const backlogMs = await flushBacklog(server, sustained.job.table);
    const counted = await server.client.count(sustained.job.table);
    if (counted !== run.acknowledgedRows) {
      throw new Error(`after the flush SQL counts ${counted} of ${run.acknowledgedRows}`);
    }
    const rows: Measurement[] = [
      {
        measure: sustained.measure,
        target: `≥ ${formatCount(sustained.rowsPerSecondMin)} rows/s`,
        reached: `${formatCount(rate)} rows/s for ${durationMs / 1000} s`,
        reference: "",
        verdict: verdict(rate >= sustained.rowsPerSecondMin),
        note: `backlog at the end flushed in ${(backlogMs / 1000).toFixed(1)} s; ${run.busyReplies} replies asked to wait; ${describeCores(run)}`,
      },
    ];
    if (sustained.isMemoryMeasured && resident.length > 1) rows.push(memoryRow(resident, durationMs, context.isQuick));
    return rows;
  });
}

async function watchMemory(server: BenchServer, durationMs: number, resident: number[]): Promise<void> {
  const endMs = performance.now() + durationMs;
  while (performance.now() < endMs) {
    const sample = sampleProcess(server.process.pid);
    if (sample !== null) resident.push(sample.residentBytes);
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

/** Milliseconds until everything that was acknowledged is in the object store. */
async function flushBacklog(server: BenchServer, table: string): Promise<number> {
  const startMs = performance.now();
  const reply = await server.client.sendJson(`/v1/tables/${table}/flush`, {});
  if (reply.status !== 200) throw new Error(`flush answered ${reply.status} ${JSON.stringify(reply.body)}`);
  return performance.now() - startMs;
}

function memoryRow(resident: readonly number[], durationMs: number, isQuick: boolean): Measurement {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  // The first third fills buffers and pools: flat is what comes after.
  const settled = resident.slice(Math.floor(resident.length / 3));
  const half = Math.floor(settled.length / 2);
  const growth = mean(settled.slice(half)) / mean(settled.slice(0, half)) - 1;
  const highest = Math.max(...resident);
  return {
    measure: `memory of the whole process in that run (DuckDB limit 192 + 64 MiB)`,
    target: "≤ 1 GiB, flat",
    reached: `highest ${formatMegabytes(highest)}, second half ${growth >= 0 ? "+" : ""}${(growth * 100).toFixed(1)} %`,
    reference: "",
    // A few seconds only show how buffers and pools fill.
    verdict: verdict(highest <= residentBytesMax && (isQuick || growth <= growthMax)),
    note: `resident set, every 250 ms for ${durationMs / 1000} s${isQuick ? "; too short to judge flatness" : ""}`,
  };
}
