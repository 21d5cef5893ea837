/** A burst of batches, and what a plain append loop reaches with the same bytes in the same groups. */
import type { LoadJob } from "../load/job.js";
import type { BenchContext, BenchServer } from "./bench-context.js";
import { formatCount, formatMegabytes, formatMicros, formatPercent, type Measurement, verdict } from "./measurement.js";
import type { LoadRun } from "./run-load.js";
import { middleOf, takeTurns } from "./take-turns.js";
import { readSettledWalCounters, readWalCounters } from "./wal-use.js";

export interface BulkCase {
  readonly measure: string;
  readonly job: Pick<LoadJob, "payload" | "table" | "rowsPerRequest" | "connections"> & Partial<LoadJob>;
  readonly rowsPerSecondMin: number;
  /** Enough, too, is this share of R2 in bytes; null where only the rate counts. */
  readonly referenceShareMin: number | null;
}

interface Burst {
  readonly run: LoadRun;
  readonly walBytesPerSecond: number;
  readonly groupBytes: number;
}

/** Rows that wait for their flush must not end the burst: it measures the way to the log. */
const burstFlags = ["--ingest-buffered-bytes-max", "4GiB", "--wal-bytes-max", "8GiB"];

export async function measureBulk(context: BenchContext, bulk: BulkCase): Promise<Measurement> {
  const { counted, note } = await takeTurns(
    context.pick({ wanted: 1, max: 3 }, { wanted: 1, max: 1 }),
    () => context.withServer(burstFlags, (server) => measureBurst(context, server, bulk)),
    ({ run }) => run.stolenCores,
  );
  const burst = middleOf(counted, ({ run }) => rowsPerSecond(run, bulk.job.rowsPerRequest));
  const reference = await context.appendAndSync(burst.groupBytes, context.pick(4000, 1000));
  const rate = rowsPerSecond(burst.run, bulk.job.rowsPerRequest);
  const share = burst.walBytesPerSecond / reference.bytesPerSecond;
  const isShareEnough = bulk.referenceShareMin !== null && share >= bulk.referenceShareMin;
  const or = bulk.referenceShareMin === null ? "" : ` or ${formatPercent(bulk.referenceShareMin)} of R2`;
  const bodies = formatMegabytes((burst.run.bodyBytes * 1000) / burst.run.elapsedMs);
  return {
    measure: bulk.measure,
    target: `≥ ${formatCount(bulk.rowsPerSecondMin)} rows/s${or}`,
    reached: `${formatCount(rate)} rows/s; log ${formatMegabytes(burst.walBytesPerSecond)}/s = ${formatPercent(share)} of R2`,
    reference: `R2 ${formatMegabytes(reference.bytesPerSecond)}/s in groups of ${Math.round(burst.groupBytes / 1024)} KiB`,
    verdict: verdict(rate >= bulk.rowsPerSecondMin || isShareEnough),
    note: `bodies ${bodies}/s; p50 ${formatMicros(burst.run.latency.p50)}, p99 ${formatMicros(burst.run.latency.p99)} per batch; ${describeCores(burst.run)}${note === "" ? "" : `; ${note}`}`,
  };
}

/** Bytes per row and per group are means over the whole run; they do not depend on when the counters are read. */
async function measureBurst(context: BenchContext, server: BenchServer, { job }: BulkCase): Promise<Burst> {
  const before = await readWalCounters(server);
  const run = await context.load(server, job);
  const after = await readSettledWalCounters(server);
  const bytes = after.bytes - before.bytes;
  const bytesPerRow = bytes / Math.max(1, run.acknowledgedRows);
  return {
    run,
    walBytesPerSecond: bytesPerRow * rowsPerSecond(run, job.rowsPerRequest),
    groupBytes: bytes / Math.max(1, after.syncs - before.syncs),
  };
}

export function rowsPerSecond(run: LoadRun, rowsPerRequest: number): number {
  return (run.requests * rowsPerRequest * 1000) / run.elapsedMs;
}

export function describeCores(run: LoadRun): string {
  const server = run.serverCores === null ? "?" : run.serverCores.toFixed(2);
  return `${server} cores of the server, ${run.generatorCores.toFixed(2)} of the generator`;
}
