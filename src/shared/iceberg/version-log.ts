/**
 * The versions of a table: `v<N>.metadata.json`, each made by put-if-absent and never changed. The highest one is the
 * table. It is found by listing, never by the hint alone, which only helps other readers.
 */
import { limits } from "../limits.js";
import { ObjectNotFound, type ObjectEntry, type ObjectStore } from "../store/object-store.js";
import { parseVersionKey, versionHintKey, versionKey, versionPrefix } from "../store/store-paths.js";
import { isStoreFailure } from "../store/store-failure.js";
import type { CatalogContext } from "./catalog-context.js";
import { parseTableMetadata, type TableMetadata } from "./table-metadata.js";
import { commitIdProperty, parentCommitIdProperty } from "./table-properties.js";

export interface TableVersion {
  readonly version: number;
  readonly metadata: TableMetadata;
}

export interface ListedVersion {
  readonly version: number;
  readonly entry: ObjectEntry;
}

/** Rounds of "the version that was listed is gone": only a very slow reader meets that. */
const readRoundsMax = 5;
const unclearWaitMs = 20;
const unclearWaitMsMax = 2_000;

/** All versions that are there, ascending. */
export async function listVersions(store: ObjectStore, location: string): Promise<ListedVersion[]> {
  const versions: ListedVersion[] = [];
  for await (const entry of store.list(versionPrefix(location))) {
    const version = parseVersionKey(entry.key);
    if (version !== undefined) versions.push({ version, entry });
  }
  return versions.toSorted((left, right) => left.version - right.version);
}

/** The latest version, durable; undefined where there is no table. */
export async function readLatest(store: ObjectStore, location: string): Promise<TableVersion | undefined> {
  for (let round = 1; ; round++) {
    const latest = (await listVersions(store, location)).at(-1);
    if (latest === undefined) return undefined;
    try {
      return await readVersion(store, location, latest.version);
    } catch (error) {
      // Replaced and expired between the two calls.
      if (!(error instanceof ObjectNotFound) || round === readRoundsMax) throw error;
    }
  }
}

/** Throws ObjectNotFound. */
export async function readVersion(store: ObjectStore, location: string, version: number): Promise<TableVersion> {
  const key = versionKey(location, version);
  return { version, metadata: parseTableMetadata(await store.get(key), key) };
}

export interface NewVersion {
  readonly location: string;
  readonly version: number;
  readonly body: Uint8Array;
  /** As in the body's properties: tells our put from another's. */
  readonly commitId: string;
}

/**
 * Claims a version number; true when the version is ours and durable, false when it is another's. A put that fails
 * without a clear answer is repeated with the same bytes: "taken" then means either, and reading back tells which.
 * When it throws, that stayed unclear: the commit may still come to be.
 */
export async function putVersion(context: CatalogContext, next: NewVersion): Promise<boolean> {
  const { store } = context;
  const key = versionKey(next.location, next.version);
  for (let attempt = 1; ; attempt++) {
    try {
      if (await store.putIfAbsent(key, next.body)) return true;
      return await isOurs(store, next);
    } catch (error) {
      if (error instanceof ObjectNotFound) return false;
      if (!isStoreFailure(error)) throw error;
      if (attempt === limits.putAttemptsMax) throw error;
      await context.sleep(context.random() * Math.min(unclearWaitMsMax, unclearWaitMs * 2 ** attempt));
    }
  }
}

/**
 * After a put that won: true when the version is part of the table's one chain. A writer that slept so long that its
 * base was removed can win a number that was used and expired long ago; then a higher version, or none of the versions
 * around it, knows of it.
 */
export async function isInChain(store: ObjectStore, next: NewVersion): Promise<boolean> {
  const numbers = (await listVersions(store, next.location)).map(({ version }) => version);
  const isBaseThere = next.version === 1 || numbers.includes(next.version - 1);
  const highest = numbers.at(-1) ?? 0;
  if (highest === next.version) return isBaseThere;
  if (!numbers.includes(next.version + 1)) return false;
  const { metadata } = await readVersion(store, next.location, next.version + 1);
  const { properties } = metadata;
  // A writer that does not know these properties copies ours as they were.
  return properties[parentCommitIdProperty] === next.commitId || properties[commitIdProperty] === next.commitId;
}

/** For other readers; what fails here is not the commit's failure. */
export async function writeHint(store: ObjectStore, location: string, version: number): Promise<void> {
  try {
    await store.put(versionHintKey(location), Buffer.from(String(version)));
  } catch (error) {
    if (!isStoreFailure(error)) throw error;
  }
}

async function isOurs(store: ObjectStore, next: NewVersion): Promise<boolean> {
  const { metadata } = await readVersion(store, next.location, next.version);
  return metadata.properties[commitIdProperty] === next.commitId;
}
