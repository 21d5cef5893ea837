import type { DataFile, ReplacedIds } from "../../shared/messages.js";
import type { TableSchema } from "../../shared/schema/table-schema.js";
import type { CancelSignal } from "./cancel-signal.js";

/** What queries ask of the catalog. */
export interface SnapshotProvider {
  hasTable(name: string): boolean;
  /** Names as first written, for SHOW TABLES and for suggestions. */
  tableNames(): readonly string[];
  /**
   * The versions that `acquire` would give now, in the order of the names; null where one of the tables has rows that
   * are in no file yet, or is not there. Does no work and waits for nothing: the key of cached results.
   */
  versions(names: readonly string[]): readonly string[] | null;
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
  readonly signal: CancelSignal;
  /** Null or absent: the tables as they are now. */
  readonly at?: SnapshotTime | null;
}

/**
 * An earlier state of the tables. Only what was committed to the store then: rows that were still in hot segments are in
 * the snapshots after it. With several tables a snapshot id can be of one only, so that `as-of` is the way.
 */
export type SnapshotTime =
  | { readonly kind: "snapshot-id"; readonly snapshotId: string }
  /** The newest snapshot that is not younger. */
  | { readonly kind: "as-of"; readonly timeMs: number }
  /** What the table's tag of this name stands for. */
  | { readonly kind: "tag"; readonly name: string };

export interface Snapshot {
  readonly tables: readonly SnapshotTable[];
  /** The files may go. Called once, when no query reads them any more. */
  release(): void;
}

/** One table at one moment: an immutable value, whose files stay until the snapshot's `release`. */
export interface SnapshotTable {
  /** As first written. */
  readonly name: string;
  readonly schema: TableSchema;
  /** Names exactly these rows: equal versions of a table have equal rows and columns. */
  readonly version: string;
  /** Of the store. */
  readonly files: readonly DataFile[];
  /** Rows that are not in the store yet, in the order in which they came; local paths. */
  readonly hot: readonly HotFile[];
}

export interface HotFile {
  readonly path: string;
  readonly bytes: number;
  /** 0: there is no file. */
  readonly rows: number;
  /** Ids whose rows in the store and in the hot files before this one are gone; null or absent: none. */
  readonly replaced?: ReplacedIds | null;
}
