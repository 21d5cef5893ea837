/** What an operator may set. */
export interface CatalogOptions {
  /** Snapshots younger than the age expire only beyond limits.snapshotsMax; of the older ones this many stay. */
  readonly snapshotsKeep: number;
  readonly snapshotAgeMsMax: number;
  /**
   * Age from which an object that nobody names is garbage. A data file older than half of it can no longer be committed,
   * so that no commit races with its removal; with less than two minutes that protection is gone.
   */
  readonly garbageGraceMs: number;
  /** One commit, its retries included. */
  readonly commitMsMax: number;
}

export const defaultCatalogOptions: CatalogOptions = {
  snapshotsKeep: 20,
  snapshotAgeMsMax: 24 * 60 * 60 * 1000,
  garbageGraceMs: 60 * 60 * 1000,
  commitMsMax: 60_000,
};
