import type { BackupStatus } from "./backup-service.js";

/** What GET /v1/health says of backups, in one short text. */
export function backupHealth({ isRunning, lastMs, error }: BackupStatus): string {
  if (error !== null) return `failed at ${new Date(error.atMs).toISOString()}: ${error.message}`;
  if (isRunning) return "under way";
  const last = Math.max(lastMs.full ?? 0, lastMs.pointers ?? 0);
  return last === 0 ? "none yet" : `ok, the last at ${new Date(last).toISOString()}`;
}
