import type { BackupName } from "../../shared/store/store-paths.js";

const dayMs = 86_400_000;

/** Ids of the backups that are older than so many days, but for the newest of each kind: there is always one. 0 days: none. */
export function planExpiry(
  backups: readonly (BackupName & { readonly timeMs: number })[],
  keepDays: number,
  nowMs: number,
): string[] {
  if (keepDays === 0) return [];
  const newest = new Map<string, string>();
  for (const { kind, id } of backups) {
    const known = newest.get(kind);
    if (known === undefined || known < id) newest.set(kind, id);
  }
  const isOver = (timeMs: number): boolean => nowMs - timeMs > keepDays * dayMs;
  return backups.filter(({ id, kind, timeMs }) => isOver(timeMs) && newest.get(kind) !== id).map(({ id }) => id);
}
