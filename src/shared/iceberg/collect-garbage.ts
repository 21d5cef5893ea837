import { failpoint } from "../failpoints.js";
import type { ObjectEntry } from "../store/object-store.js";
import { keyOfUri, parseLocation, parseVersionKey, tablePrefix } from "../store/store-paths.js";
import type { CatalogContext } from "./catalog-context.js";
import { readManifestList } from "./file-change.js";
import { isLive } from "./manifest-plan.js";
import { manifestKeyOf } from "./manifest-list.js";
import { planGarbage, planRemoval, retainedVersions } from "./plan-garbage.js";
import { snapshotsOf, type Snapshot, type TableMetadata } from "./table-metadata.js";
import { endLife } from "./table-life.js";
import { lifeState } from "./table-properties.js";
import { identityOf } from "./table-state.js";
import { readVersion, type ListedVersion } from "./version-log.js";

export interface GarbageRequest {
  /** Longer than any query and any commit; the `garbageGraceMs` of the writers' options, or more. */
  readonly graceMs: number;
  /** Keys that are in use whatever the metadata says. */
  readonly keepKeys?: ReadonlySet<string>;
  /** Only say what would go. */
  readonly dryRun?: boolean;
}

export interface GarbageReport {
  /** Keys that went, or would go. */
  readonly removed: readonly string[];
  readonly bytes: number;
  /** Tables that could not be read, and were left alone. */
  readonly failed: readonly { readonly location: string; readonly error: unknown }[];
}

/**
 * Removes what no version of the last `graceMs` names: files of crashed flushes and lost races, old versions, dropped
 * tables, announced tables that never became live. Never what the latest version or a retained snapshot names. A table
 * of which anything cannot be read is left as it is.
 */
export async function collectGarbage(context: CatalogContext, request: GarbageRequest): Promise<GarbageReport> {
  await context.checkFence();
  const removed: string[] = [];
  const failed: { location: string; error: unknown }[] = [];
  let bytes = 0;
  for (const location of await context.store.listFolders("")) {
    // What has not the form of a table's folder is not ours.
    if (parseLocation(location) === undefined) continue;
    try {
      const gone = await collectTable(context, location, request);
      for (const entry of gone) bytes += entry.bytes;
      removed.push(...gone.map((entry) => entry.key));
    } catch (error) {
      failed.push({ location, error });
    }
  }
  return { removed, bytes, failed };
}

/** Of one table; answers what went, or would go. */
export async function collectTable(
  context: CatalogContext,
  location: string,
  request: GarbageRequest,
): Promise<ObjectEntry[]> {
  const cutoffMs = context.nowMs() - request.graceMs;
  const keepKeys = request.keepKeys ?? new Set<string>();
  const objects: ObjectEntry[] = [];
  // Listed before the versions are read: what a commit adds meanwhile is not in the list, or too young to go.
  for await (const entry of context.store.list(tablePrefix(location))) objects.push(entry);
  const retained = retainedVersions(versionsOf(objects), cutoffMs);
  const latest = retained.at(-1);
  // A folder without a version is one whose table was never announced, or is removed but for stragglers.
  if (latest === undefined) {
    const keys = planGarbage({ location, objects, retained, named: new Set(), keepKeys, cutoffMs });
    return remove(context, { location, objects, keys, isWhole: true }, request);
  }
  const { metadata } = await readVersion(context.store, location, latest.version);
  const state = lifeState(metadata.properties);
  const isOld = latest.entry.modifiedMs <= cutoffMs;
  if (state === "dropped" && isOld) {
    const keys = planRemoval({ objects, retained, keepKeys });
    return remove(context, { location, objects, keys, isWhole: true }, request);
  }
  // Its objects go when the drop is older than the grace time.
  if (state === "creating" && isOld && request.dryRun !== true) await endLife(context, identityOf(location, metadata));
  const named = await readNamed(context, location, { retained, latest: metadata });
  const keys = planGarbage({ location, objects, retained, named, keepKeys, cutoffMs });
  return remove(context, { location, objects, keys, isWhole: false }, request);
}

function versionsOf(objects: readonly ObjectEntry[]): ListedVersion[] {
  return objects
    .flatMap((entry) => {
      const version = parseVersionKey(entry.key);
      return version === undefined ? [] : [{ version, entry }];
    })
    .toSorted((left, right) => left.version - right.version);
}

/** Every key that a retained version names. One that cannot be read ends the collection of its table: nothing is guessed. */
async function readNamed(
  context: CatalogContext,
  location: string,
  versions: { readonly retained: readonly ListedVersion[]; readonly latest: TableMetadata },
): Promise<Set<string>> {
  const named = new Set<string>();
  // By manifest list: most versions share most of their snapshots.
  const snapshots = new Map<string, Snapshot>();
  for (const { version } of versions.retained.slice(0, -1)) {
    nameDirect((await readVersion(context.store, location, version)).metadata, snapshots, named);
  }
  nameDirect(versions.latest, snapshots, named);
  const manifests = new Set<string>();
  for (const snapshot of snapshots.values()) {
    for (const file of await readManifestList(context, snapshot)) {
      const key = manifestKeyOf(file);
      if (manifests.has(key)) continue;
      manifests.add(key);
      named.add(key);
      for (const entry of await context.manifests.read(context.store, file)) if (isLive(entry)) named.add(entry.key);
    }
  }
  return named;
}

function nameDirect(metadata: TableMetadata, snapshots: Map<string, Snapshot>, named: Set<string>): void {
  const statistics = [...(metadata.statistics ?? []), ...(metadata["partition-statistics"] ?? [])];
  for (const { "statistics-path": path } of statistics) named.add(keyOfUri(path) ?? path);
  for (const snapshot of snapshotsOf(metadata)) {
    const uri = snapshot["manifest-list"];
    named.add(keyOfUri(uri) ?? uri);
    snapshots.set(uri, snapshot);
  }
}

interface Removal {
  readonly location: string;
  readonly objects: readonly ObjectEntry[];
  readonly keys: readonly string[];
  /** Nothing will be written below the location any more. */
  readonly isWhole: boolean;
}

async function remove(context: CatalogContext, removal: Removal, request: GarbageRequest): Promise<ObjectEntry[]> {
  const byKey = new Map(removal.objects.map((entry) => [entry.key, entry]));
  if (request.dryRun !== true) {
    for (const key of removal.keys) {
      await context.store.delete(key);
      failpoint("garbage.object.removed");
    }
    if (removal.isWhole && removal.keys.length === removal.objects.length) {
      await context.store.removeEmptyFolders(removal.location);
    }
  }
  return removal.keys.flatMap((key) => byKey.get(key) ?? []);
}
