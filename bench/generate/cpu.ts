/**
 * The table of the Time Series Benchmark Suite's `cpu-only` case (https://github.com/timescale/tsbs): 1,000 hosts that
 * report ten values each at regular times, over a day and some hours. With fewer rows the times lie further apart.
 */
import { type GeneratedTable, pickSql } from "./generated-table.js";

/** 2016-01-01, as in TSBS. */
export const cpuFirstMs = Date.UTC(2016, 0, 1);
const hosts = 1000;
const spanSeconds = 100_000;

export const cpuFields = [
  "usage_user",
  "usage_system",
  "usage_idle",
  "usage_nice",
  "usage_iowait",
  "usage_irq",
  "usage_softirq",
  "usage_steal",
  "usage_guest",
  "usage_guest_nice",
] as const;

const regions = ["us-east-1", "us-west-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-1", "sa-east-1"];
const systems = ["Ubuntu15.10", "Ubuntu16.10", "Ubuntu16.04LTS"];
const teams = ["SF", "NYC", "LON", "CHI"];

export function cpuTable(rows: number): GeneratedTable {
  const usages = cpuFields.map(
    // One value in a hundred is above 90.
    (field, index) => `round(100 * (1 - sqrt(1 - chance(i, ${index + 1}))), 2) AS ${field}`,
  );
  return {
    name: "cpu",
    rows,
    select: (from, to) => `
      SELECT
        to_timestamp(${cpuFirstMs / 1000} + (i // ${hosts}) * ${spanSeconds} // ${Math.ceil(rows / hosts)}) AS "timestamp",
        concat('host_', i % ${hosts}) AS hostname,
        ${pickSql(regions, `i % ${hosts}`)} AS region,
        concat(${pickSql(regions, `i % ${hosts}`)}, ${pickSql(["a", "b", "c"], `i % ${hosts} // 7`)}) AS datacenter,
        (hash(i % ${hosts}) % 100)::VARCHAR AS rack,
        ${pickSql(systems, `hash(i % ${hosts})`)} AS os,
        ${pickSql(teams, `hash(i % ${hosts} + 5000)`)} AS team,
        ${usages.join(",\n        ")}
      FROM range(${from}, ${to}) AS numbers(i)`,
  };
}
