/**
 * The cpu queries of the Time Series Benchmark Suite (https://github.com/timescale/tsbs, cmd/tsbs_generate_queries,
 * as its TimescaleDB form has them), over the table of generate/cpu.ts: hosts and times are fixed here, drawn there. The
 * numbers of a name are metrics, hosts and hours.
 */
import { cpuFields, cpuFirstMs } from "../generate/cpu.js";
import type { BenchQuery } from "./bench-query.js";

const hourMs = 3_600_000;
const windowStartMs = cpuFirstMs + 7 * hourMs + 1_234_000;

function within(hours: number): string {
  const [from, to] = [windowStartMs, windowStartMs + hours * hourMs].map((ms) => new Date(ms).toISOString());
  return `"timestamp" >= '${from}' AND "timestamp" < '${to}'`;
}

function hostsIn(count: number): string {
  const names = Array.from({ length: count }, (_, index) => `'host_${(249 + index * 97) % 1000}'`);
  return `hostname IN (${names.join(", ")})`;
}

function each(aggregate: "max" | "avg", metrics: number): string {
  return cpuFields
    .slice(0, metrics)
    .map((field) => `${aggregate}(${field}) AS ${aggregate}_${field}`)
    .join(", ");
}

function singleGroupby(metrics: number, hosts: number, hours: number): string {
  return `SELECT date_trunc('minute', "timestamp") AS minute, ${each("max", metrics)} FROM cpu WHERE ${hostsIn(hosts)} AND ${within(hours)} GROUP BY minute ORDER BY minute`;
}

function cpuMaxAll(hosts: number): string {
  return `SELECT date_trunc('hour', "timestamp") AS hour, ${each("max", 10)} FROM cpu WHERE ${hostsIn(hosts)} AND ${within(8)} GROUP BY hour ORDER BY hour`;
}

function doubleGroupby(metrics: number): string {
  return `SELECT date_trunc('hour', "timestamp") AS hour, hostname, ${each("avg", metrics)} FROM cpu WHERE ${within(12)} GROUP BY hour, hostname ORDER BY hour, hostname`;
}

const statements: Readonly<Record<string, string>> = {
  "single-groupby-1-1-1": singleGroupby(1, 1, 1),
  "single-groupby-1-1-12": singleGroupby(1, 1, 12),
  "single-groupby-1-8-1": singleGroupby(1, 8, 1),
  "single-groupby-5-1-1": singleGroupby(5, 1, 1),
  "single-groupby-5-1-12": singleGroupby(5, 1, 12),
  "single-groupby-5-8-1": singleGroupby(5, 8, 1),
  "cpu-max-all-1": cpuMaxAll(1),
  "cpu-max-all-8": cpuMaxAll(8),
  "double-groupby-1": doubleGroupby(1),
  "double-groupby-5": doubleGroupby(5),
  "double-groupby-all": doubleGroupby(10),
  "high-cpu-1": `SELECT * FROM cpu WHERE usage_user > 90.0 AND ${within(12)} AND ${hostsIn(1)}`,
  "high-cpu-all": `SELECT * FROM cpu WHERE usage_user > 90.0 AND ${within(12)}`,
  lastpoint: `SELECT DISTINCT ON (hostname) * FROM cpu ORDER BY hostname, "timestamp" DESC`,
  "groupby-orderby-limit": `SELECT date_trunc('minute', "timestamp") AS minute, max(usage_user) AS highest FROM cpu WHERE "timestamp" < '${new Date(windowStartMs).toISOString()}' GROUP BY minute ORDER BY minute DESC LIMIT 5`,
};

export const tsbsQueries: readonly BenchQuery[] = Object.entries(statements).map(([name, sql]) => ({
  name,
  sql,
  answer: "exact",
}));
