import { failpoint } from "../failpoints.js";
import type { TableIdentity } from "../messages.js";
import { ObjectNotFound, type ObjectEntry } from "../store/object-store.js";
import { keyOfUri, parseLocation, parseVersionKey, tablePrefix } from "../store/store-paths.js";
import { isHeldByBackup } from "./backup-refs.js";
import type { CatalogContext } from "./catalog-context.js";
import { readManifestList } from "./file-change.js";
import { isLive } from "./manifest-plan.js";
import { manifestKeyOf } from "./manifest-list.js";
import { planGarbage, planRemoval, retainedVersions } from "./plan-garbage.js";
import { snapshotsOf, type Snapshot, type TableMetadata } from "./table-metadata.js";
import { endLife } from "./table-life.js";
import { lifeState, type TableLifeState } from "./table-properties.js";
import { identityOf } from "./table-state.js";
import { readLatest, readVersion, type ListedVersion } from "./version-log.js";

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

/** What lies in one table's folder without being of use. */
export interface TableGarbage {
  readonly location: string;
  /** `unannounced`: a folder without a version, whose table never was or is gone but for stragglers. */
  readonly state: TableLifeState | "unannounced";
  /** Everything in the folder. */
  readonly objects: number;
  readonly bytes: number;
  /** What may go now, in the order in which it has to. */
  readonly removable: readonly ObjectEntry[];
  /** What the newest version does not name either, but someone may still use: it goes once the grace time is over. */
  readonly waiting: readonly ObjectEntry[];
  /** Announced longer ago than the grace time and never live: to be ended, and removed a grace time later. */
  readonly isAbandoned: boolean;
  /** Nothing will be written below the location any more. */
  readonly isWhole: boolean;
}

/**
 * Looks through all tables, one after the other: what no version of the last `graceMs` names is garbage: files of crashed
 * flushes and lost races, old versions, dropped tables, announced tables that never became live. Never what the latest
 * version or a retained snapshot names. Changes nothing. A table of which anything cannot be read comes as its error.
 */
export async function* surveyGarbage(
  context: CatalogContext,
  request: Omit<GarbageRequest, "dryRun">,
): AsyncIterable<TableGarbage | { readonly location: string; readonly error: unknown }> {
  for (const location of await context.store.listFolders("")) {
    // What has not the form of a table's folder is not ours.
    if (parseLocation(location) === undefined) continue;
    try {
      yield await surveyTable(context, location, request);
    } catch (error) {
      yield { location, error };
    }
  }
}

/** Removes what the survey called garbage: once garbage, always garbage, so the survey may be of a while ago. */
export async function removeGarbage(context: CatalogContext, garbage: TableGarbage): Promise<void> {
  const { location, removable, objects, isWhole, isAbandoned } = garbage;
  await context.checkFence();
  // Its objects go when the drop is older than the grace time.
  if (isAbandoned) await endLife(context, await identityAt(context, location));
  for (const { key } of removable) {
    await context.store.delete(key);
    failpoint("garbage.object.removed");
  }
  if (isWhole && removable.length === objects) await context.store.removeEmptyFolders(location);
}

/** Both of the above, for all tables. A table of which anything cannot be read is left as it is. */
export async function collectGarbage(context: CatalogContext, request: GarbageRequest): Promise<GarbageReport> {
  // Each table asks again; this one fails the round as a whole, and not table by table.
  await context.checkFence();
  const removed: string[] = [];
  const failed: { location: string; error: unknown }[] = [];
  let bytes = 0;
  for await (const found of surveyGarbage(context, request)) {
    if ("error" in found) {
      failed.push(found);
      continue;
    }
    try {
      if (request.dryRun !== true) await removeGarbage(context, found);
      for (const entry of found.removable) bytes += entry.bytes;
      removed.push(...found.removable.map((entry) => entry.key));
    } catch (error) {
      failed.push({ location: found.location, error });
    }
  }
  return { removed, bytes, failed };
}

/** Of one table, and removed; answers what went. */
export async function collectTable(
  context: CatalogContext,
  location: string,
  request: Omit<GarbageRequest, "dryRun">,
): Promise<readonly ObjectEntry[]> {
  const garbage = await surveyTable(context, location, request);
  await removeGarbage(context, garbage);
  return garbage.removable;
}

async function surveyTable(
  context: CatalogContext,
  location: string,
  request: Omit<GarbageRequest, "dryRun">,
): Promise<TableGarbage> {
  const nowMs = context.nowMs();
  const cutoffMs = nowMs - request.graceMs;
  const keepKeys = request.keepKeys ?? new Set<string>();
  const objects: ObjectEntry[] = [];
  // Listed before the versions are read: what a commit adds meanwhile is not in the list, or too young to go.
  for await (const entry of context.store.list(tablePrefix(location))) objects.push(entry);
  const retained = retainedVersions(versionsOf(objects), cutoffMs);
  const latest = retained.at(-1);
  const all = objects.map(({ key }) => key);
  const plan = { location, objects, retained, keepKeys, cutoffMs };
  if (latest === undefined) {
    const keys = planGarbage({ ...plan, named: new Set() });
    return garbageOf(plan, { state: "unannounced", keys, unneeded: all, isWhole: true });
  }
  const { metadata } = await readVersion(context.store, location, latest.version);
  const state = lifeState(metadata.properties);
  const isOld = latest.entry.modifiedMs <= cutoffMs;
  // A dropped table that a backup names is kept as it was dropped: below, by the rules of one that is live.
  if (state === "dropped" && isOld && !isHeldByBackup(metadata)) {
    return garbageOf(plan, { state, keys: planRemoval(plan), unneeded: all, isWhole: true });
  }
  const { byLatest, byRetained } = await readNamed(context, location, { retained, latest: metadata });
  const keys = planGarbage({ ...plan, named: byRetained });
  const isAbandoned = state === "creating" && isOld;
  if (state === "dropped" || isAbandoned) {
    return garbageOf(plan, { state, keys, unneeded: all, isWhole: false, isAbandoned });
  }
  const unneeded = planGarbage({ ...plan, retained: [latest], named: byLatest, cutoffMs: Number.POSITIVE_INFINITY });
  return garbageOf(plan, { state, keys, unneeded, isWhole: false });
}

interface Survey {
  readonly state: TableGarbage["state"];
  readonly keys: readonly string[];
  /** Keys of no use, those inside of the grace time too. */
  readonly unneeded: readonly string[];
  readonly isWhole: boolean;
  readonly isAbandoned?: boolean;
}

function garbageOf(
  table: { readonly location: string; readonly objects: readonly ObjectEntry[] },
  { state, keys, unneeded, isWhole, isAbandoned = false }: Survey,
): TableGarbage {
  const byKey = new Map(table.objects.map((entry) => [entry.key, entry]));
  const removable = new Set(keys);
  return {
    location: table.location,
    state,
    objects: table.objects.length,
    bytes: table.objects.reduce((sum, entry) => sum + entry.bytes, 0),
    removable: keys.flatMap((key) => byKey.get(key) ?? []),
    waiting: unneeded.filter((key) => !removable.has(key)).flatMap((key) => byKey.get(key) ?? []),
    isWhole,
    isAbandoned,
  };
}

async function identityAt(context: CatalogContext, location: string): Promise<TableIdentity> {
  const latest = await readLatest(context.store, location);
  if (latest === undefined) throw new ObjectNotFound(location);
  return identityOf(location, latest.metadata);
}

function versionsOf(objects: readonly ObjectEntry[]): ListedVersion[] {
  return objects
    .flatMap((entry) => {
      const version = parseVersionKey(entry.key);
      return version === undefined ? [] : [{ version, entry }];
    })
    .toSorted((left, right) => left.version - right.version);
}

/**
 * Every key that the latest version names, and every key that a retained one names. One that cannot be read ends the
 * collection of its table: nothing is guessed.
 */
async function readNamed(
  context: CatalogContext,
  location: string,
  versions: { readonly retained: readonly ListedVersion[]; readonly latest: TableMetadata },
): Promise<{ readonly byLatest: ReadonlySet<string>; readonly byRetained: ReadonlySet<string> }> {
  // By manifest list: most versions share most of their snapshots.
  const snapshots = new Map<string, Snapshot>();
  const named = new Set<string>();
  nameDirect(versions.latest, snapshots, named);
  for (const snapshot of snapshots.values()) await nameFiles(context, snapshot, named);
  const byLatest = new Set(named);
  const known = new Set(snapshots.keys());
  for (const { version } of versions.retained.slice(0, -1)) {
    nameDirect((await readVersion(context.store, location, version)).metadata, snapshots, named);
  }
  for (const [uri, snapshot] of snapshots) if (!known.has(uri)) await nameFiles(context, snapshot, named);
  return { byLatest, byRetained: named };
}

/** Adds the manifests of a snapshot and their files; a manifest that is named already has its files there too. */
async function nameFiles(context: CatalogContext, snapshot: Snapshot, named: Set<string>): Promise<void> {
  for (const file of await readManifestList(context, snapshot)) {
    const key = manifestKeyOf(file);
    if (named.has(key)) continue;
    named.add(key);
    for (const entry of await context.manifests.read(context.store, file)) if (isLive(entry)) named.add(entry.key);
  }
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
