/** Messages between main and the persist pool that are about backups; beside messages.ts, which names them. */
import type { TableIdentity, StoreOptions } from "./messages.js";
import type { SealingKey } from "./formats/sealed-object-v1.js";
import type { BackupKind, BackupName } from "./store/store-paths.js";

/** What a persist worker needs for backups. */
export interface BackupWorkerOptions {
  /** Where full backups go; null: into the second pool. Without one there are none. */
  readonly store: StoreOptions | null;
  /** Full backups are encrypted under it. */
  readonly key: SealingKey | null;
  /** Of the warehouse, for people: no secrets. */
  readonly warehouse: string;
  readonly copiesMax: number;
  /** In a second; 0: no bound. */
  readonly rateBytesMax: number;
}

/** A table as of the backup's moment; a tag keeps the snapshot. */
export interface TablePoint {
  readonly identity: TableIdentity;
  /** Null while it has none. */
  readonly snapshotId: string | null;
}

/** Where a restore takes a table from. */
export type RestoreFrom =
  | { readonly kind: "backup"; readonly id: string }
  /** The newest state at or before the time that a table's own snapshots or a backup still have. */
  | { readonly kind: "time"; readonly timeMs: number };

/** All of these fail with BACKUP_UNUSABLE, NOT_FOUND and STORE_UNAVAILABLE. */
export type BackupTask =
  /** Copies what is to be copied and writes the manifest: then the backup is there. Answered by `backed-up`. */
  | {
      readonly kind: "back-up";
      readonly id: string;
      readonly backup: BackupKind;
      readonly timeMs: number;
      readonly nodeId: string;
      readonly tables: readonly TablePoint[];
    }
  /** Newest first; answered by `backups`. */
  | { readonly kind: "list-backups"; readonly sinceMs: number; readonly withContents: boolean }
  /** `isDeep` reads every byte that the backup has copies of; answered by `backup-verified`. */
  | { readonly kind: "verify-backup"; readonly id: string; readonly isDeep: boolean }
  /** What no other backup names goes with it; answered by `backup-removed`. */
  | { readonly kind: "remove-backup"; readonly id: string }
  /** Removes tags and copies of backups that were broken off, older than this; answered by `backup-removed`. */
  | { readonly kind: "sweep-backups"; readonly beforeMs: number }
  /** Answered by `restore-planned`. */
  | { readonly kind: "plan-restore"; readonly from: RestoreFrom }
  /** Writes the table, all but its last commit, under a folder of its own; answered by `restore-prepared`. */
  | { readonly kind: "restore-table"; readonly candidate: RestoreCandidate; readonly name: string }
  /** Makes it live; answered by `table`, or fails with TABLE_EXISTS, COMMIT_CONFLICT. */
  | { readonly kind: "publish-table"; readonly identity: TableIdentity }
  /** Ends one that will not be published; answered by `done`. */
  | { readonly kind: "discard-table"; readonly identity: TableIdentity };

const kinds: Readonly<Record<BackupTask["kind"], true>> = {
  "back-up": true,
  "list-backups": true,
  "verify-backup": true,
  "remove-backup": true,
  "sweep-backups": true,
  "plan-restore": true,
  "restore-table": true,
  "publish-table": true,
  "discard-table": true,
};

export function isBackupTask(task: { readonly kind: string }): task is BackupTask {
  return Object.hasOwn(kinds, task.kind);
}

export interface BackupReport {
  readonly id: string;
  readonly kind: BackupKind;
  readonly objectName: string;
  readonly tables: number;
  readonly rows: number;
  readonly bytes: number;
  /** Objects that the target did not have. */
  readonly copiedObjects: number;
  readonly copiedBytes: number;
}

/** One of a list. What its manifest says is null where that was not asked for or cannot be read; `error` says why. */
export interface BackupEntry extends BackupName {
  readonly timeMs: number;
  readonly objectName: string;
  /** Of the manifest. */
  readonly objectBytes: number;
  readonly modifiedMs: number;
  readonly contents: BackupContents | null;
  readonly error: string | null;
}

export interface BackupContents {
  readonly nodeId: string;
  readonly tables: readonly string[];
  readonly rows: number;
  readonly bytes: number;
}

export interface BackupCheck {
  readonly id: string;
  readonly kind: BackupKind;
  readonly tables: number;
  readonly objects: number;
  readonly bytes: number;
  readonly problems: readonly string[];
}

/** A table that can be restored, and from where. */
export interface RestoreCandidate {
  readonly name: string;
  readonly uuid: string;
  readonly location: string;
  /** Null: of the table itself, by its history. */
  readonly backupId: string | null;
  readonly snapshotId: string | null;
  /** Of the state. */
  readonly timeMs: number;
  readonly rows: number;
  readonly files: number;
  readonly bytes: number;
}

export type BackupResult =
  | { readonly kind: "backed-up"; readonly report: BackupReport }
  | { readonly kind: "backups"; readonly backups: readonly BackupEntry[] }
  | { readonly kind: "backup-verified"; readonly check: BackupCheck }
  | { readonly kind: "backup-removed"; readonly objects: number; readonly bytes: number; readonly tags: number }
  | { readonly kind: "restore-planned"; readonly id: string | null; readonly candidates: readonly RestoreCandidate[] }
  | { readonly kind: "restore-prepared"; readonly identity: TableIdentity };
