/**
 * Brings one table of the second pool to where the first one is. What is missing follows from the two pools alone, so that
 * a crash or an outage at any point costs nothing but the object under way:
 *
 * ```
 * first pool    v7  v8  v9                    data files ─▶ manifests, lists ─▶ v8     (all that v8 names, then v8)
 * second pool   v7                            data files ─▶ manifests, lists ─▶ v9     ─▶ version hint
 * ```
 * Invariant: what a version of the second pool names is in the second pool. So it is a whole, older state of each table
 * whenever the copying stops. Versions are copied as they are, byte by byte, by put-if-absent.
 *
 * A pool that was first before and is second now may hold commits that the other one never got. They are copied aside
 * within that pool, then taken out of the table; see `replaceDiverged`.
 */
import { MiniodbError } from "../errors.js";
import { ObjectNotFound, type ObjectStore } from "../store/object-store.js";
import type { PairState } from "../store/pool-pair.js";
import { divergedKey, tablePrefix, versionKey } from "../store/store-paths.js";
import { isHeldByBackup } from "./backup-refs.js";
import type { CatalogContext } from "./catalog-context.js";
import { namedObjects, type NamedObject, type NamedObjects } from "./named-objects.js";
import { currentSnapshot, parseTableMetadata, type TableMetadata } from "./table-metadata.js";
import { commitIdProperty, lifeState, positionsOf, type TableLifeState } from "./table-properties.js";
import { identityOf } from "./table-state.js";
import { listVersions, putVersion, writeHint, type ListedVersion } from "./version-log.js";

/** One object to be made durable in the second pool. */
export interface ObjectCopy {
  readonly from: ObjectStore;
  readonly key: string;
  readonly bytes: number | null;
  readonly toKey: string;
}

export interface MirrorContext {
  readonly source: CatalogContext;
  readonly target: CatalogContext;
  readonly pair: PairState;
  /** Answers the bytes that were copied. Throws ObjectNotFound, and STORE_UNAVAILABLE where they are not as they should be. */
  readonly copy: (object: ObjectCopy) => Promise<number>;
  readonly copiesAtOnce: number;
  /** Throws where the second pool may not be changed by us any more. */
  readonly check: () => Promise<void>;
}

/** Commits of the second pool that the first one never had. */
export interface Diverged {
  /** Version that both have; 0 where they share none. */
  readonly fork: number;
  readonly versions: readonly number[];
  /** Data files that only they named, and the rows in these. */
  readonly files: number;
  readonly rows: number;
  /** Where they are now, in the second pool. */
  readonly keptAt: string;
}

export interface MirrorReport {
  readonly location: string;
  readonly name: string;
  /** `creating` tables are not copied; `absent` has no version in the first pool (any more). */
  readonly state: TableLifeState | "absent";
  /** The version of the second pool now; 0 where it has none. */
  readonly version: number;
  readonly positions: Readonly<Record<string, number>>;
  /** Time of that version. */
  readonly updatedMs: number;
  readonly commits: number;
  readonly objects: number;
  readonly bytes: number;
  readonly diverged: Diverged | null;
}

/** A version as it is in a store. */
interface StoredVersion {
  readonly version: number;
  readonly body: Uint8Array;
  readonly metadata: TableMetadata;
}

interface Tally {
  commits: number;
  objects: number;
  bytes: number;
}

/** Rounds of "what the version names is gone", which a slow copy of a busy table meets. */
const roundsMax = 10;

/** Throws what the stores throw, and what `check` does. May be called again at any time. */
export async function mirrorTable(context: MirrorContext, location: string): Promise<MirrorReport> {
  const tally: Tally = { commits: 0, objects: 0, bytes: 0 };
  for (let round = 1; ; round++) {
    try {
      return await mirrorOnce(context, location, tally);
    } catch (error) {
      if (!(error instanceof ObjectNotFound) || round === roundsMax) throw error;
    }
  }
}

async function mirrorOnce(context: MirrorContext, location: string, tally: Tally): Promise<MirrorReport> {
  const { source, target } = context;
  const ours = await listVersions(source.store, location);
  const theirs = await listVersions(target.store, location);
  const latest = ours.at(-1);
  if (latest === undefined) return reportOf(location, { tally, top: undefined, state: "absent", diverged: null });
  const newest = await readStored(source.store, location, latest.version);
  const state = lifeState(newest.metadata.properties);
  if (state === "creating") return reportOf(location, { tally, top: undefined, state, diverged: null });
  const top = theirs.at(-1);
  // Nobody reads a dropped table: its end is all that the second pool needs, and its objects may be gone already.
  if (state === "dropped" && top === undefined) {
    return reportOf(location, { tally, top: undefined, state, diverged: null });
  }
  const base = top === undefined ? undefined : await readStored(target.store, location, top.version);
  if (base !== undefined && (await isDiverged(context, location, { base, ours, latest: latest.version }))) {
    const diverged = await replaceDiverged(context, location, { ours, theirs, newest, tally });
    return reportOf(location, { tally, top: newest, state, diverged });
  }
  await followVersions(context, location, { ours, newest, base, tally });
  if (tally.commits > 0) await writeHint(target.store, location, latest.version);
  return reportOf(location, { tally, top: newest, state, diverged: null });
}

interface Following {
  readonly ours: readonly ListedVersion[];
  readonly newest: StoredVersion;
  readonly base: StoredVersion | undefined;
  readonly tally: Tally;
}

/** Copies the versions after `base` in their order. One whose objects are gone meanwhile is passed over; the newest has all. */
async function followVersions(context: MirrorContext, location: string, work: Following): Promise<void> {
  const { ours, newest, tally } = work;
  let { base } = work;
  // All of it goes on being of use to a backup, where one names it.
  if (lifeState(newest.metadata.properties) === "dropped" && !isHeldByBackup(newest.metadata)) {
    if (newest.version <= (base?.version ?? 0)) return;
    await context.check();
    await putStored(context, location, newest);
    tally.commits++;
    return;
  }
  for (const { version } of ours) {
    if (version <= (base?.version ?? 0)) continue;
    const isNewest = version === newest.version;
    try {
      const next = isNewest ? newest : await readStored(context.source.store, location, version);
      await copyNamed(context, await namedObjects(context.source, next.metadata, base?.metadata), tally);
      await context.check();
      await putStored(context, location, next);
      tally.commits++;
      base = next;
    } catch (error) {
      if (!(error instanceof ObjectNotFound) || isNewest) throw error;
    }
  }
}

async function putStored(context: MirrorContext, location: string, next: StoredVersion): Promise<void> {
  const { version, body, metadata } = next;
  const commitId = metadata.properties[commitIdProperty] ?? "";
  if (await putVersion(context.target, { location, version, body, commitId })) return;
  throw new MiniodbError("COMMIT_CONFLICT", `The second pool has another ${versionKey(location, version)}.`);
}

/**
 * True where the second pool's latest version is not one of the first pool's. Where the first pool has removed its own of
 * that number, being behind is the only explanation, but for a pool that was first before: what that one may have had in
 * common is in the record of the promotion.
 */
async function isDiverged(
  { source, pair }: MirrorContext,
  location: string,
  versions: { readonly base: StoredVersion; readonly ours: readonly ListedVersion[]; readonly latest: number },
): Promise<boolean> {
  const { base, ours, latest } = versions;
  if (base.version > latest) return true;
  if (ours.some(({ version }) => version === base.version)) {
    try {
      const same = await source.store.get(versionKey(location, base.version));
      return Buffer.compare(same, base.body) !== 0;
    } catch (error) {
      // Expired since it was listed.
      if (!(error instanceof ObjectNotFound)) throw error;
    }
  }
  const promoted = pair.first.record.promoted[location];
  if (pair.second.record.isReconciled || promoted === undefined) return false;
  if (base.version !== promoted.version) return base.version > promoted.version;
  return base.metadata.properties[commitIdProperty] !== promoted.commitId;
}

/**
 * Takes a whole table out of a pool that was first before: it came into being there and the new first pool never heard of
 * it, or it was dropped since. All of its objects are copied aside first. Undefined where it has no version.
 */
export async function setTableAside(context: MirrorContext, location: string): Promise<Diverged | undefined> {
  const { target, pair } = context;
  const versions = (await listVersions(target.store, location)).map(({ version }) => version);
  const latest = versions.at(-1);
  if (latest === undefined) return undefined;
  const { metadata } = await readStored(target.store, location, latest);
  const objects: NamedObject[] = [];
  for await (const { key, bytes } of target.store.list(tablePrefix(location))) objects.push({ key, bytes, rows: 0 });
  const aside = (key: string): string => divergedKey(pair.second.record.epoch, key);
  const tally: Tally = { commits: 0, objects: 0, bytes: 0 };
  await copyAll(context, { from: target.store, objects, toKey: aside, tally });
  await context.check();
  // An older state each time, then none. The rest has no name then, and goes as garbage.
  for (const version of versions.toReversed()) await target.store.delete(versionKey(location, version));
  const summary = currentSnapshot(metadata)?.summary ?? {};
  const files = Number(summary["total-data-files"] ?? 0);
  const rows = Number(summary["total-records"] ?? 0);
  return { fork: 0, versions, files, rows, keptAt: target.store.uri(aside(location)) };
}

interface Replacing {
  readonly ours: readonly ListedVersion[];
  readonly theirs: readonly ListedVersion[];
  readonly newest: StoredVersion;
  readonly tally: Tally;
}

/**
 * Puts the first pool's newest version in the place of versions that it never had. In this order, so that the table of the
 * second pool is whole all the time, in one history or in the other:
 *
 * 1. what only the diverged versions name, and they themselves, are copied aside (divergedKey) within the pool;
 * 2. all that the newest version names is copied from the first pool;
 * 3. diverged versions above it go, the highest first; the newest comes in; those below it go.
 *
 * Their data files become garbage then, and their copies stay until somebody removes them.
 */
async function replaceDiverged(context: MirrorContext, location: string, work: Replacing): Promise<Diverged> {
  const { target, source, pair } = context;
  const { theirs, newest, tally } = work;
  await context.check();
  const fork = await findFork(context, location, work);
  const strangers = theirs.filter(({ version }) => version > fork);
  const isGone = lifeState(newest.metadata.properties) === "dropped";
  const kept = isGone ? new Set<string>() : await keysOf(source, newest.metadata);
  if (fork > 0) {
    for (const key of await keysOf(target, (await readStored(target.store, location, fork)).metadata)) kept.add(key);
  }
  const aside = (key: string): string => divergedKey(pair.second.record.epoch, key);
  let files = 0;
  let rows = 0;
  for (const { version } of strangers) {
    const { metadata } = await readStored(target.store, location, version);
    const named = await namedObjects(target, metadata);
    const only = [...named.data, ...named.manifests].filter(({ key }) => !kept.has(key));
    await copyAll(context, { from: target.store, objects: only, toKey: aside, tally });
    const own = { key: versionKey(location, version), bytes: null, rows: 0 };
    await copyAll(context, { from: target.store, objects: [own], toKey: aside, tally });
    for (const object of only) {
      kept.add(object.key);
      rows += object.rows;
      if (object.rows > 0) files++;
    }
  }
  if (!isGone) await copyNamed(context, await namedObjects(source, newest.metadata), tally);
  await context.check();
  const above = strangers.filter(({ version }) => version > newest.version).toReversed();
  for (const { version } of above) await target.store.delete(versionKey(location, version));
  await target.store.put(versionKey(location, newest.version), newest.body);
  for (const { version } of strangers) {
    if (version < newest.version) await target.store.delete(versionKey(location, version));
  }
  await writeHint(target.store, location, newest.version);
  tally.commits++;
  const versions = strangers.map(({ version }) => version);
  return { fork, versions, files, rows, keptAt: target.store.uri(aside(location)) };
}

/** The highest version that both pools have with the same bytes; else what the promotion recorded; else 0. */
async function findFork(context: MirrorContext, location: string, { ours, theirs }: Replacing): Promise<number> {
  const { source, target, pair } = context;
  const shared = new Set(ours.map(({ version }) => version));
  for (const { version } of theirs.toReversed()) {
    if (!shared.has(version)) continue;
    const key = versionKey(location, version);
    const [left, right] = await Promise.all([source.store.get(key), target.store.get(key)]);
    if (Buffer.compare(left, right) === 0) return version;
  }
  const promoted = pair.first.record.promoted[location];
  const recorded = theirs.find(({ version }) => version === promoted?.version);
  if (promoted === undefined || recorded === undefined) return 0;
  const { metadata } = await readStored(target.store, location, promoted.version);
  return metadata.properties[commitIdProperty] === promoted.commitId ? promoted.version : 0;
}

async function keysOf(context: CatalogContext, metadata: TableMetadata): Promise<Set<string>> {
  const { data, manifests } = await namedObjects(context, metadata);
  return new Set([...data, ...manifests].map(({ key }) => key));
}

// ---- objects

/** Data files before the manifests that name them, so that even a reader of manifests alone finds what it reads of. */
async function copyNamed(context: MirrorContext, named: NamedObjects, tally: Tally): Promise<void> {
  const toKey = (key: string): string => key;
  const from = context.source.store;
  await copyAll(context, { from, objects: named.data, toKey, tally });
  await copyAll(context, { from, objects: named.manifests, toKey, tally });
}

interface Copying {
  readonly from: ObjectStore;
  readonly objects: readonly NamedObject[];
  readonly toKey: (key: string) => string;
  readonly tally: Tally;
}

/** A few at once; all have ended when it returns or throws. Those that are there with their size stay as they are. */
async function copyAll(context: MirrorContext, { from, objects, toKey, tally }: Copying): Promise<void> {
  let next = 0;
  const copySome = async (): Promise<void> => {
    for (let object = objects[next++]; object !== undefined; object = objects[next++]) {
      try {
        const { key, bytes } = object;
        if (await isThere(context.target.store, toKey(key), bytes)) continue;
        tally.bytes += await context.copy({ from, key, bytes, toKey: toKey(key) });
        tally.objects++;
      } catch (error) {
        next = objects.length;
        throw error;
      }
    }
  };
  const copies = Array.from({ length: Math.min(context.copiesAtOnce, objects.length) }, copySome);
  for (const result of await Promise.allSettled(copies)) if (result.status === "rejected") throw result.reason;
}

/** Keys are never used twice and puts are whole: an object of the right size is the right one. */
async function isThere(store: ObjectStore, key: string, bytes: number | null): Promise<boolean> {
  try {
    const { objectBytes } = await store.getPart(key, { start: 0, end: 0 });
    return bytes === null || bytes === objectBytes;
  } catch (error) {
    if (error instanceof ObjectNotFound) return false;
    throw error;
  }
}

async function readStored(store: ObjectStore, location: string, version: number): Promise<StoredVersion> {
  const key = versionKey(location, version);
  const body = await store.get(key);
  return { version, body, metadata: parseTableMetadata(body, key) };
}

interface Facts {
  readonly tally: Tally;
  readonly top: StoredVersion | undefined;
  readonly state: MirrorReport["state"];
  readonly diverged: Diverged | null;
}

function reportOf(location: string, { tally, top, state, diverged }: Facts): MirrorReport {
  const name = top === undefined ? location : identityOf(location, top.metadata).name;
  const positions = positionsOf(top?.metadata.properties ?? {});
  const updatedMs = top?.metadata["last-updated-ms"] ?? 0;
  return { location, name, state, version: top?.version ?? 0, positions, updatedMs, ...tally, diverged };
}
