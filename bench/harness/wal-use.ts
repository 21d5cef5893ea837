/** What the log did during a load, from the server's /metrics: how large its groups were, and how many bytes it took. */
import type { BenchServer } from "./bench-context.js";

export interface WalCounters {
  readonly bytes: number;
  readonly syncs: number;
}

/** Names of the Prometheus series that the WAL thread counts. */
const bytesSeries = "miniodb_wal_written_bytes_total";
const syncsSeries = "miniodb_wal_syncs_total";

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

export async function readWalCounters(server: BenchServer): Promise<WalCounters> {
  const series = await readSeries(server);
  const bytes = series.get(bytesSeries);
  const syncs = series.get(syncsSeries);
  if (bytes === undefined || syncs === undefined) throw new Error(`/metrics has no ${bytesSeries} or ${syncsSeries}`);
  return { bytes, syncs };
}

/** The mean group between two readings. */
export function groupBytes(before: WalCounters, after: WalCounters): number {
  return (after.bytes - before.bytes) / Math.max(1, after.syncs - before.syncs);
}
