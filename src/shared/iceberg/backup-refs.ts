/** The tags by which backups keep snapshots: refs of the table as any other, under names that users cannot give. */
import { backupOfTag } from "../store/store-paths.js";
import type { TableMetadata } from "./table-metadata.js";

/** Ids of the backups that name a snapshot of this table. */
export function backupsOf({ refs = {} }: Pick<TableMetadata, "refs">): string[] {
  return Object.entries(refs).flatMap(([name, { type }]) => (type === "tag" ? (backupOfTag(name) ?? []) : []));
}

/**
 * True where a backup names a snapshot of the table: then its files stay when it is dropped, as a drop by mistake is what
 * the backup is for.
 */
export function isHeldByBackup(metadata: Pick<TableMetadata, "refs">): boolean {
  return backupsOf(metadata).length > 0;
}
