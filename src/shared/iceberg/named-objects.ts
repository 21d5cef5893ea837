/** Which objects a version of a table names, for those who copy tables from pool to pool. */
import { ObjectNotFound } from "../store/object-store.js";
import { keyOfUri } from "../store/store-paths.js";
import type { CatalogContext } from "./catalog-context.js";
import { fileContent } from "./delete-entry.js";
import { readManifestList } from "./file-change.js";
import { manifestKeyOf, type ManifestFile } from "./manifest-list.js";
import { isLive } from "./manifest-plan.js";
import { currentSnapshot, snapshotsOf, type Snapshot, type TableMetadata } from "./table-metadata.js";

export interface NamedObject {
  readonly key: string;
  /** Null where only the object itself tells. */
  readonly bytes: number | null;
  /** Of a data file, deleted ones among them; else 0. */
  readonly rows: number;
}

export interface NamedObjects {
  /** Data files, delete files, and other writers' statistics. */
  readonly data: readonly NamedObject[];
  /** Manifests, then manifest lists. */
  readonly manifests: readonly NamedObject[];
}

/**
 * What the version names and `before`, a version of the same table, does not; of `before` only what its current snapshot
 * shows is looked at, so that some of it may be among the answer. Throws ObjectNotFound where the version's own manifests
 * are gone, which garbage collection takes of old versions.
 */
export async function namedObjects(
  context: CatalogContext,
  metadata: TableMetadata,
  before?: TableMetadata,
): Promise<NamedObjects> {
  const known = await knownOf(context, before);
  const data: NamedObject[] = [];
  const manifests: NamedObject[] = [];
  const lists: NamedObject[] = [];
  const add = (to: NamedObject[], object: NamedObject): boolean => {
    if (known.has(object.key)) return false;
    known.add(object.key);
    to.push(object);
    return true;
  };
  for (const { "statistics-path": path } of [
    ...(metadata.statistics ?? []),
    ...(metadata["partition-statistics"] ?? []),
  ]) {
    const key = keyOfUri(path);
    if (key !== undefined) add(data, { key, bytes: null, rows: 0 });
  }
  for (const snapshot of snapshotsOf(metadata)) {
    const key = listKeyOf(snapshot);
    if (!add(lists, { key, bytes: null, rows: 0 })) continue;
    for (const manifest of await readManifestList(context, snapshot)) {
      const bytes = manifest.manifest_length;
      if (!add(manifests, { key: manifestKeyOf(manifest), bytes, rows: 0 })) continue;
      for (const file of await filesOf(context, manifest)) add(data, file);
    }
  }
  return { data, manifests: [...manifests, ...lists] };
}

async function filesOf(context: CatalogContext, manifest: ManifestFile): Promise<NamedObject[]> {
  const entries = await context.manifests.read(context.store, manifest);
  return entries.filter(isLive).map(({ key, file }) => {
    const rows = file.content === fileContent.data ? file.record_count : 0;
    return { key, bytes: file.file_size_in_bytes, rows };
  });
}

/** Keys that the version certainly names: its lists, and all of its current snapshot. */
async function knownOf(context: CatalogContext, before: TableMetadata | undefined): Promise<Set<string>> {
  const known = new Set<string>();
  if (before === undefined) return known;
  for (const snapshot of snapshotsOf(before)) known.add(listKeyOf(snapshot));
  const current = currentSnapshot(before);
  if (current === undefined) return known;
  try {
    for (const manifest of await readManifestList(context, current)) {
      known.add(manifestKeyOf(manifest));
      for (const { key } of await filesOf(context, manifest)) known.add(key);
    }
  } catch (error) {
    // So old that its manifests were removed here: what is missing is found out object by object.
    if (!(error instanceof ObjectNotFound)) throw error;
  }
  return known;
}

function listKeyOf(snapshot: Snapshot): string {
  const uri = snapshot["manifest-list"];
  return keyOfUri(uri) ?? uri;
}
