import { limits } from "../../shared/limits.js";
import type { QueryInstance } from "../../shared/query-messages.js";
import type { SnapshotTable } from "./snapshot-provider.js";

export interface InstanceChoice {
  /** Of all its files; see `scanBytesOf`. */
  readonly scanBytes: number;
  /** Queries in any of the workers, with this one. */
  readonly running: number;
  /** DuckDB's, of all workers. */
  readonly threads: number;
}

/**
 * Which instance of its worker a query runs in (see workers/query/query-engines.ts): on one thread where it reads little and
 * the queries that run are enough to keep every thread busy, else with all threads. So a query that is alone, as a large one
 * in any company, has them all.
 *
 * Small by what it reads, as that is known before it runs. One that reads little and computes for long shares processors with
 * the others fairly on its one thread, and begins anew with all of them when there are processors that have nothing to do.
 */
export function chooseInstance({ scanBytes, running, threads }: InstanceChoice): QueryInstance {
  return scanBytes <= limits.oneThreadScanBytesMax && running >= threads ? "one-thread" : "all-threads";
}

/** For the reply of EXPLAIN, where it is not the instance of a query that is alone. */
export function instanceNotes(instance: QueryInstance, { running }: InstanceChoice): readonly string[] {
  return instance === "one-thread" ? [`on one thread, as it reads little and ${running} queries run at once`] : [];
}

/** Bytes of all files that a query of these tables opens; a small one counts for what it costs to open it. */
export function scanBytesOf(tables: readonly SnapshotTable[]): number {
  let sum = 0;
  const add = (bytes: number): void => {
    sum += Math.max(bytes, limits.oneThreadFileBytesMin);
  };
  for (const { files, hot } of tables) {
    for (const { bytes, deletes } of files) {
      add(bytes);
      for (const file of deletes ?? []) add(file.bytes);
    }
    for (const { bytes, rows, replaced } of hot) {
      if (rows > 0) add(bytes);
      if (replaced !== undefined && replaced !== null) add(replaced.bytes);
    }
  }
  return sum;
}
