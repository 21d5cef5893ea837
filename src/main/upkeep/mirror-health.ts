import type { StoreHealth } from "../../shared/store/store-health.js";
import type { MirrorLoop } from "./mirror-loop.js";

/** What GET /v1/health says of the second pool, in short texts. */
export function mirrorHealth(
  mirror: Pick<MirrorLoop, "lag" | "superseded">,
  health: Pick<StoreHealth, "stats">,
): Readonly<Record<string, string>> {
  const { brokenSinceMs } = health.stats;
  const { tables, commits, waitingBytes, sinceMs, secondOnly, error } = mirror.lag();
  const lagSeconds = sinceMs === null ? 0 : Math.max(0, Math.round((Date.now() - sinceMs) / 1000));
  const state = tables === 0 ? "ok" : `${tables} tables and ${commits} commits behind`;
  return {
    mirror: mirror.superseded === null ? state : `superseded: ${mirror.superseded.message}`,
    mirror_store: brokenSinceMs === null ? "ok" : `does not answer since ${new Date(brokenSinceMs).toISOString()}`,
    mirror_tables_behind: String(tables),
    mirror_commits_behind: String(commits),
    mirror_waiting_bytes: waitingBytes === null ? "unknown" : String(waitingBytes),
    mirror_lag_seconds: String(lagSeconds),
    ...(secondOnly > 0 && { mirror_second_only: String(secondOnly) }),
    ...(error !== "" && { mirror_error: error }),
  };
}
