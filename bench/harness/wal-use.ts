/** What the log did during a load, from the server's /metrics: how large its groups were, and how many bytes it took. */
import type { BenchServer } from "./bench-context.js";

export interface WalCounters {
  readonly bytes: number;
  readonly syncs: number;
}

/** Names of the Prometheus series that the WAL thread counts. */
const bytesSeries = "miniodb_wal_written_bytes_total";
const syncsSeries = "miniodb_wal_syncs_total";
const settleMs = 1_500;

export async function readSeries(server: BenchServer): Promise<Map<string, number>> {
  const { body } = await server.client.send("/metrics");
  const series = new Map<string, number>();
  for (const line of String(body).split("\n")) {
    const match = /^(\w+)(?:\{[^}]*\})? ([-+\d.eE]+)/.exec(line);
    if (match === null) continue;
    const [, name = "", value = ""] = match;
    series.set(name, (series.get(name) ?? 0) + Number(value));
  }
  return series;
}

/** Totals since the server began; the server renews them about every second. */
export async function readWalCounters(server: BenchServer): Promise<WalCounters> {
  const series = await readSeries(server);
  const bytes = series.get(bytesSeries);
  const syncs = series.get(syncsSeries);
  if (bytes === undefined || syncs === undefined) throw new Error(`/metrics has no ${bytesSeries} or ${syncsSeries}`);
  return { bytes, syncs };
}

/** After the counters have caught up with everything that was acknowledged. */
export async function readSettledWalCounters(server: BenchServer): Promise<WalCounters> {
  await new Promise((resolve) => setTimeout(resolve, settleMs));
  return readWalCounters(server);
}
