import type { QueryTable } from "../../shared/query-messages.js";
import type { AskedQuery } from "./asked-query.js";
import { explainNotes, pruneRequestOf } from "./explain-files.js";
import { Lease } from "./lease.js";
import type { LocalFiles } from "./local-files.js";
import { type OpenTables, openTables } from "./open-tables.js";
import { pruneFiles } from "./prune-files.js";
import type { QueryRun } from "./query-run.js";
import type { Snapshot, SnapshotTable } from "./snapshot-provider.js";

/** Tables as paths that DuckDB can open, which stay as long as somebody holds the lease. */
export interface HeldTables {
  readonly tables: readonly QueryTable[];
  /** What EXPLAIN says besides DuckDB's plan. */
  readonly notes: readonly string[];
  /** Of the files on this machine and of the snapshot. */
  readonly lease: Lease;
  /** What pruning left of the snapshot, and the snapshot's own lease: it keeps the files in the store. */
  readonly needed: readonly SnapshotTable[];
  readonly snapshotLease: Lease;
}

interface Request {
  readonly asked: AskedQuery;
  readonly snapshot: Snapshot;
  readonly run: QueryRun;
}

/**
 * Makes the files that the query needs of the snapshot readable here. Takes the snapshot over: it is released with the
 * lease, or when this fails. The two leases are apart, as the pages after the first need the snapshot and not, between
 * them, the files on this machine.
 */
export async function holdTables(files: LocalFiles, { asked, snapshot, run }: Request): Promise<HeldTables> {
  try {
    const { tables: needed, reports } = pruneFiles(pruneRequestOf(asked, snapshot, run, files));
    const opened = await openFiles(files, needed, run);
    const snapshotLease = new Lease(() => snapshot.release());
    const lease = new Lease(() => {
      opened.release();
      snapshotLease.release();
    });
    const notes = explainNotes(asked.statement, reports, opened);
    return { tables: opened.tables, notes, lease, needed, snapshotLease };
  } catch (error) {
    snapshot.release();
    throw error;
  }
}

/** As `openTables`; nobody owes a release of what comes after the run was aborted. */
export function openFiles(files: LocalFiles, needed: readonly SnapshotTable[], run: QueryRun): Promise<OpenTables> {
  const opening = openTables(files, needed, run.signal);
  return run.track(opening, (opened) => {
    if (run.signal.aborted) opened?.release();
  });
}
