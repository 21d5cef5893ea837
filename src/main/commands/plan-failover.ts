/** What a failover would do, from what both pools say; pure. */
import type { InspectedPool, InspectedTable } from "../../shared/mirror-messages.js";

export interface FailoverPlan {
  /** For the operator: where the pools are, and what the second lacks. */
  readonly report: readonly string[];
  /** Why it cannot be done; null where it can. */
  readonly refusal: string | null;
  readonly isFirstReachable: boolean;
  /** The first pool may be fenced, and what the second lacks be copied from it. */
  readonly isCopied: boolean;
  /** Locations of tables whose last commits the second pool lacks, as far as is known. */
  readonly behind: string[];
}

/** Lines per table, beyond which only their number is said. */
const tablesListedMax = 20;

export function planFailover(first: InspectedPool, second: InspectedPool): FailoverPlan {
  const nothing = { isFirstReachable: first.isReachable, isCopied: false, behind: [] };
  const places = [`First pool:  ${first.place}${stateOf(first)}`, `Second pool: ${second.place}${stateOf(second)}`];
  if (!second.isReachable) {
    return { report: places, refusal: "The second pool cannot be reached: it cannot be promoted.", ...nothing };
  }
  const { record } = second;
  if (record === null) {
    return { report: places, refusal: "Nothing was ever mirrored to the second pool.", ...nothing };
  }
  if (record.role === "first") {
    const since = `The second pool is first already: since ${record.time} (epoch ${record.epoch}, by ${record.by}).`;
    return { report: places, refusal: `${since} Swap store.* and mirror.* in the configuration.`, ...nothing };
  }
  if (!record.isReconciled) {
    places.push(
      "The second pool has not followed the first one yet since that became first: it may hold what diverged.",
    );
  }
  if (!first.isReachable) return planBlind(second, places);
  const warehouse = first.record?.warehouse;
  if (warehouse !== record.warehouse) {
    return { report: places, refusal: "The pools are not of one warehouse.", ...nothing };
  }
  return planSeeing(first, second, places);
}

/** The first pool is away: what it has beyond the second is unknown. */
function planBlind({ tables }: Extract<InspectedPool, { isReachable: true }>, places: string[]): FailoverPlan {
  const newestMs = tables.reduce((newest, { updatedMs }) => Math.max(newest, updatedMs), 0);
  const lag =
    newestMs === 0
      ? "Lag: unknown. The second pool holds no tables."
      : `Lag: unknown since ${new Date(newestMs).toISOString()}, the time of the last commit that the second pool has.`;
  const holdings = `The second pool holds ${tables.length} tables with ${sum(tables, "rows")} rows.`;
  const hint = "Rows that are still in the logs of servers are committed when these start with the pools swapped.";
  const report = [...places, lag, holdings, hint];
  return { report, refusal: null, isFirstReachable: false, isCopied: false, behind: [] };
}

type Reachable = Extract<InspectedPool, { isReachable: true }>;

function planSeeing(first: Reachable, second: Reachable, places: string[]): FailoverPlan {
  const theirs = new Map(second.tables.map((table) => [table.location, table]));
  const behind = first.tables.flatMap((table) => {
    const copy = theirs.get(table.location);
    return copy !== undefined && copy.version >= table.version && copy.commitId === table.commitId
      ? []
      : [{ table, copy }];
  });
  const commits = behind.reduce(
    (total, { table, copy }) => total + Math.max(1, table.version - (copy?.version ?? 0)),
    0,
  );
  const bytes = behind.reduce((total, { table, copy }) => total + Math.max(0, table.bytes - (copy?.bytes ?? 0)), 0);
  const rows = behind.reduce((total, { table, copy }) => total + Math.max(0, table.rows - (copy?.rows ?? 0)), 0);
  // A failover that was broken off leaves two second pools. The one that was fenced last is the newer one: nothing is ever
  // copied over it from the other.
  const isCopied = first.record?.role === "first" || (first.record?.epoch ?? 0) > (second.record?.epoch ?? 0);
  const what = isCopied
    ? "They are copied after the first pool is fenced."
    : "They are not copied: neither pool is first.";
  const lag =
    behind.length === 0
      ? "Lag: none. The second pool has the last commit of every table."
      : `Lag: ${behind.length} tables, ${commits} commits, about ${rows} rows and ${bytes} bytes. ${what}`;
  const lines = behind.slice(0, tablesListedMax).map(({ table, copy }) => {
    return `  ${table.name}: version ${copy?.version ?? "none"} of ${table.version}, last commit at ${new Date(table.updatedMs).toISOString()}`;
  });
  if (behind.length > tablesListedMax) lines.push(`  and ${behind.length - tablesListedMax} tables more`);
  const ours = new Set(first.tables.map(({ location }) => location));
  const extra = second.tables.filter(({ location }) => !ours.has(location)).map(({ name }) => name);
  if (extra.length > 0) {
    lines.push(`Tables that only the second pool has: ${extra.slice(0, tablesListedMax).join(", ")}`);
  }
  const report = [...places, lag, ...lines];
  return { report, refusal: null, isFirstReachable: true, isCopied, behind: behind.map(({ table }) => table.location) };
}

function stateOf(pool: InspectedPool): string {
  if (!pool.isReachable) return ` (cannot be reached: ${pool.error})`;
  const { record } = pool;
  return record === null ? " (without a record)" : ` (${record.role} since ${record.time}, epoch ${record.epoch})`;
}

function sum(tables: readonly InspectedTable[], field: "rows" | "bytes"): number {
  return tables.reduce((total, table) => total + table[field], 0);
}
