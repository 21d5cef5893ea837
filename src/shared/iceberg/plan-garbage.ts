/**
 * Which objects of one table nobody can need any more. Pure: collect-garbage.ts reads and removes.
 *
 * A version may be in use while it is the latest, and for the grace time after it was replaced: by queries that began on
 * it, and by commits that build on it. Objects younger than the grace time may belong to a commit that is under way.
 */
import { parseVersionKey, versionHintKey } from "../store/store-paths.js";
import type { ObjectEntry } from "../store/object-store.js";
import type { ListedVersion } from "./version-log.js";

/** The versions that count, ascending: the latest, and those replaced less than the grace time ago. */
export function retainedVersions(versions: readonly ListedVersion[], cutoffMs: number): ListedVersion[] {
  return versions.filter((_version, index) => {
    const successor = versions[index + 1];
    return successor === undefined || successor.entry.modifiedMs > cutoffMs;
  });
}

export interface TableObjects {
  readonly location: string;
  readonly objects: readonly ObjectEntry[];
  readonly retained: readonly ListedVersion[];
  /** Keys that a retained version names, directly or through its snapshots. */
  readonly named: ReadonlySet<string>;
  /** Keys that someone uses whatever the metadata says. */
  readonly keepKeys: ReadonlySet<string>;
  /** Objects last changed later than this stay. */
  readonly cutoffMs: number;
}

/**
 * Keys to remove, in an order that leaves a readable table wherever it stops: versions first, the oldest before the
 * others, so that every version that is there finds what it names, and no number in the middle comes free.
 */
export function planGarbage(table: TableObjects): string[] {
  const retained = new Set(table.retained.map(({ entry }) => entry.key));
  const garbage = table.objects.filter(({ key, modifiedMs }) => {
    if (modifiedMs > table.cutoffMs || table.keepKeys.has(key) || retained.has(key)) return false;
    return !table.named.has(key) && key !== versionHintKey(table.location);
  });
  return versionsFirst(garbage);
}

/**
 * Keys of a table that was dropped before the cutoff, all of them, its latest version last: until then no stale writer
 * can claim a number of it, and the table is known to be dropped.
 */
export function planRemoval(table: Pick<TableObjects, "objects" | "retained" | "keepKeys">): string[] {
  const last = table.retained.at(-1)?.entry.key;
  const others = table.objects.filter(({ key }) => key !== last && !table.keepKeys.has(key));
  const isComplete = table.objects.every(({ key }) => !table.keepKeys.has(key));
  const keys = versionsFirst(others);
  return last === undefined || !isComplete ? keys : [...keys, last];
}

function versionsFirst(objects: readonly ObjectEntry[]): string[] {
  const rank = ({ key }: ObjectEntry) => parseVersionKey(key) ?? Number.POSITIVE_INFINITY;
  return objects
    .toSorted((left, right) => (rank(left) < rank(right) ? -1 : rank(left) > rank(right) ? 1 : 0))
    .map(({ key }) => key);
}
