import type { QueryTable } from "../../shared/query-messages.js";

/** What queries ask of the catalog. */
export interface SnapshotProvider {
  hasTable(name: string): boolean;
  /** Names as first written, for SHOW TABLES and for suggestions. */
  tableNames(): readonly string[];
  /**
   * One snapshot of these tables (each once, in any case of letters), with every row that was acknowledged before the
   * call: seals what is not in a file yet, waits for `minSequence` where it must, and keeps the files until `release`.
   * Rejects with TABLE_NOT_FOUND when a table was dropped meanwhile, INVALID_REQUEST for a token that is none, and with
   * the signal's reason when it aborts.
   */
  acquire(request: SnapshotRequest): Promise<Snapshot>;
}

export interface SnapshotRequest {
  readonly tables: readonly string[];
  /** Tokens of writes that must be visible; see shared/sequence-token.ts. */
  readonly minSequence: readonly string[];
  readonly signal: AbortSignal;
}

export interface Snapshot {
  readonly tables: readonly QueryTable[];
  /** The files may go. Called once, when no query reads them any more. */
  release(): void;
}
