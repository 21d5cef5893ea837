/** Which manifests of one kind a new snapshot keeps and which it writes anew. Pure: file-change.ts acts. */
import { limits } from "../limits.js";
import { entryStatus, type ManifestEntry } from "./manifest.js";
import type { ManifestFile } from "./manifest-list.js";

export interface LiveManifest {
  readonly file: ManifestFile;
  /** Deleted ones too. */
  readonly entries: readonly ManifestEntry[];
}

export interface ManifestPlan {
  /** Manifests that go into the new list as they are. */
  readonly kept: readonly ManifestFile[];
  /** Entries of the manifests to write, in order; none of them empty. */
  readonly written: readonly (readonly ManifestEntry[])[];
  /** Entries that were live before and are not any more. */
  readonly removed: readonly ManifestEntry[];
}

/**
 * Added files go into a new manifest. A manifest that loses a file is written again: what stays as "existing", what goes
 * as "deleted", for one snapshot. Once there are enough small manifests they are merged into the new one, so a table of
 * many small commits has few of them. A manifest without live files is left out.
 */
export function planManifests(
  live: readonly LiveManifest[],
  change: {
    readonly added: readonly ManifestEntry[];
    readonly removedKeys: ReadonlySet<string>;
    readonly snapshotId: number;
  },
): ManifestPlan {
  const touched = live.filter(({ entries }) =>
    entries.some((entry) => isLive(entry) && change.removedKeys.has(entry.key)),
  );
  const untouched = live.filter((manifest) => !touched.includes(manifest) && manifest.entries.some(isLive));
  const small = untouched.filter(({ file }) => file.manifest_length < limits.manifestMergeBytes);
  const isMerging = small.length >= limits.manifestsMergeMin;
  const rewritten = isMerging ? [...touched, ...small] : touched;
  const removed: ManifestEntry[] = [];
  const entries: ManifestEntry[] = [];
  for (const entry of rewritten.flatMap((manifest) => manifest.entries).filter(isLive)) {
    if (change.removedKeys.has(entry.key)) {
      removed.push(entry);
      entries.push({ ...entry, status: entryStatus.deleted, snapshotId: change.snapshotId });
    } else {
      entries.push({ ...entry, status: entryStatus.existing });
    }
  }
  entries.push(...change.added);
  return {
    kept: untouched.filter((manifest) => !rewritten.includes(manifest)).map((manifest) => manifest.file),
    written: slices(entries, limits.manifestEntriesMax),
    removed,
  };
}

export function isLive(entry: ManifestEntry): boolean {
  return entry.status !== entryStatus.deleted;
}

function slices<T>(items: readonly T[], length: number): T[][] {
  const result: T[][] = [];
  for (let start = 0; start < items.length; start += length) result.push(items.slice(start, start + length));
  return result;
}
