import type { TableState } from "../../shared/messages.js";

export interface ForeignLog {
  /** Uuid of the log's folder. */
  readonly stream: string;
  readonly tables: readonly string[];
  /** RFC 3339: no row of this log is in the store that was written after this. */
  readonly lastCommit: string;
}

/**
 * The other logs whose rows are in the tables, where none of ours are: this node is new, or has lost its disk. Rows that
 * such a log had acknowledged but not brought to the store are on its disk and nowhere else. Nobody can tell how many: what
 * can be told is whose they were, in which tables, and up to when they are safe.
 */
export function foreignLogs(states: readonly TableState[], stream: string): ForeignLog[] {
  const isOurs = states.some(({ positions }) => positions[stream] !== undefined);
  if (isOurs) return [];
  const logs = new Map<string, { tables: string[]; lastMs: number }>();
  for (const { identity, positions, updatedMs } of states) {
    for (const other of Object.keys(positions)) {
      const log = logs.get(other) ?? { tables: [], lastMs: 0 };
      log.tables.push(identity.name);
      log.lastMs = Math.max(log.lastMs, updatedMs);
      logs.set(other, log);
    }
  }
  return [...logs].map(([other, { tables, lastMs }]) => {
    return { stream: other, tables: tables.toSorted(), lastCommit: new Date(lastMs).toISOString() };
  });
}
