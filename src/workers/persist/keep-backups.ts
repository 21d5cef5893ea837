/** What becomes of backups: they are listed, checked and removed. */
import type { BackupCheck, BackupContents, BackupEntry, BackupResult } from "../../shared/backup-messages.js";
import { MiniodbError } from "../../shared/errors.js";
import { failpoint } from "../../shared/failpoints.js";
import type { BackupManifest, BackupTable } from "../../shared/formats/backup-manifest-v1.js";
import { backupsOf } from "../../shared/iceberg/backup-refs.js";
import { commitUntag } from "../../shared/iceberg/commit-refs.js";
import { namedObjects } from "../../shared/iceberg/named-objects.js";
import { identityOf } from "../../shared/iceberg/table-state.js";
import { readLatest } from "../../shared/iceberg/version-log.js";
import { limits } from "../../shared/limits.js";
import { ObjectNotFound, type ObjectStore } from "../../shared/store/object-store.js";
import { isStoreFailure } from "../../shared/store/store-failure.js";
import {
  backupFileKey,
  backupFilesOf,
  backupFilesPrefix,
  backupTag,
  backupTimeMs,
  parseLocation,
  tablePrefix,
} from "../../shared/store/store-paths.js";
import type { BackupParts } from "./back-up.js";
import { forEachOf } from "./backup-copier.js";
import type { FoundManifest } from "./backup-places.js";

const readsAtOnce = 8;

/** Newest first, those of `sinceMs` and later. One whose manifest cannot be read says so, and is listed all the same. */
export async function listBackups(
  { places }: BackupParts,
  request: { readonly sinceMs: number; readonly withContents: boolean },
): Promise<BackupEntry[]> {
  const found = (await places.find()).filter(({ timeMs }) => timeMs >= request.sinceMs);
  const entries: BackupEntry[] = [];
  await forEachOf(found.slice(0, limits.backupsListedMax), readsAtOnce, async (each) => {
    const { id, kind, isSealed, entry, timeMs } = each;
    const { key: objectName, bytes: objectBytes, modifiedMs } = entry;
    const base = { id, kind, isSealed, timeMs, objectName, objectBytes, modifiedMs };
    if (!request.withContents) {
      entries.push({ ...base, contents: null, error: null });
      return;
    }
    try {
      entries.push({ ...base, contents: contentsOf(await places.read(each)), error: null });
    } catch (error) {
      if (!(error instanceof MiniodbError)) throw error;
      if (error.code !== "NOT_FOUND") entries.push({ ...base, contents: null, error: error.message });
    }
  });
  return entries.toSorted((left, right) => (left.id < right.id ? 1 : -1));
}

function contentsOf({ nodeId, tables }: BackupManifest): BackupContents {
  const sum = (value: (table: BackupTable) => number): number =>
    tables.reduce((total, table) => total + value(table), 0);
  return {
    nodeId,
    tables: tables.map(({ name }) => name),
    rows: sum(({ rows }) => rows),
    bytes: sum(({ bytes }) => bytes),
  };
}

/** What a restore of it would miss. */
export async function verifyBackup(
  parts: BackupParts,
  request: { readonly id: string; readonly isDeep: boolean },
): Promise<BackupCheck> {
  const found = await parts.places.get(request.id);
  const manifest = await parts.places.read(found);
  const { id, kind, tables } = manifest;
  const tally = { objects: 0, bytes: 0, problems: [] as string[] };
  for (const table of tables) {
    if (kind === "full") await verifyCopies(parts, { found, manifest, table, isDeep: request.isDeep, tally });
    else await verifyPointers(parts, id, table, tally);
  }
  return { id, kind, tables: tables.length, ...tally };
}

interface CheckTally {
  objects: number;
  bytes: number;
  readonly problems: string[];
}

interface CopiesCheck {
  readonly found: FoundManifest;
  readonly manifest: BackupManifest;
  readonly table: BackupTable;
  readonly isDeep: boolean;
  readonly tally: CheckTally;
}

async function verifyCopies({ places, copier }: BackupParts, check: CopiesCheck): Promise<void> {
  const { found, manifest, table, isDeep, tally } = check;
  const { keyId } = manifest;
  const sizes = await sizesBelow(found.store, backupFilesOf(keyId, table.location));
  await forEachOf(table.objects, places.options.copiesMax, async (object) => {
    const name = backupFileKey(keyId, object.key, object.sha256);
    const bytes = sizes.get(name);
    tally.objects++;
    tally.bytes += object.bytes;
    if (bytes === undefined) tally.problems.push(`${name} is not there`);
    else if (bytes !== object.storedBytes) tally.problems.push(`${name} has ${bytes} bytes, not ${object.storedBytes}`);
    else if (isDeep) {
      try {
        await copier.withCopy(found.store, { object, keyId }, () => Promise.resolve());
      } catch (error) {
        if (!(error instanceof MiniodbError) || error.code !== "BACKUP_UNUSABLE") throw error;
        tally.problems.push(error.message);
      }
    }
  });
}

/** The tag is what keeps the snapshot; the objects are looked at all the same. */
async function verifyPointers(
  { context }: BackupParts,
  id: string,
  table: BackupTable,
  tally: CheckTally,
): Promise<void> {
  const latest = await readLatest(context.store, table.location);
  if (latest === undefined) {
    tally.problems.push(`${table.location} is gone`);
    return;
  }
  if (table.snapshotId === null) return;
  if (latest.metadata.refs?.[backupTag(id)] === undefined) tally.problems.push(`${table.name} has lost its tag`);
  try {
    const { data, manifests } = await namedObjects(context, table.metadata);
    const sizes = await sizesBelow(context.store, tablePrefix(table.location));
    for (const { key, bytes } of [...data, ...manifests]) {
      const there = sizes.get(key);
      tally.objects++;
      tally.bytes += there ?? 0;
      if (there === undefined) tally.problems.push(`${key} is not there`);
      else if (bytes !== null && bytes !== there) tally.problems.push(`${key} has ${there} bytes, not ${bytes}`);
    }
  } catch (error) {
    if (!(error instanceof ObjectNotFound)) throw error;
    tally.problems.push(`${error.message} is not there`);
  }
}

async function sizesBelow(store: ObjectStore, prefix: string): Promise<Map<string, number>> {
  const sizes = new Map<string, number>();
  for await (const { key, bytes } of store.list(prefix)) sizes.set(key, bytes);
  return sizes;
}

type Removed = Extract<BackupResult, { kind: "backup-removed" }>;

/**
 * The manifest goes first: from then on there is no backup, whatever stays of it goes with a later sweep. Then its tags, or
 * the copies that no other backup names. Throws NOT_FOUND; BACKUP_UNUSABLE where the manifest of another backup in the same
 * place cannot be read, as nobody knows then what that one needs (nothing has changed).
 */
export async function removeBackup(parts: BackupParts, id: string): Promise<Removed> {
  const { places } = parts;
  const found = await places.get(id);
  const needed = found.kind === "full" ? await neededCopies(parts, found) : new Set<string>();
  const manifest = await readIfUsable(parts, found);
  await found.store.delete(found.entry.key);
  failpoint("backup.manifest.removed");
  if (found.kind === "pointers") {
    return { kind: "backup-removed", objects: 0, bytes: 0, tags: await untag(parts, [id]) };
  }
  // Of one that cannot be read the copies are left to the sweep.
  const names = (manifest?.tables ?? []).flatMap((table) =>
    table.objects.map((object) => {
      return { name: backupFileKey(manifest?.keyId ?? null, object.key, object.sha256), bytes: object.storedBytes };
    }),
  );
  let [objects, bytes] = [0, 0];
  for (const object of names) {
    if (needed.has(object.name)) continue;
    await found.store.delete(object.name);
    objects++;
    bytes += object.bytes;
  }
  await found.store.removeEmptyFolders(backupFilesPrefix);
  return { kind: "backup-removed", objects, bytes, tags: 0 };
}

async function readIfUsable({ places }: BackupParts, found: FoundManifest): Promise<BackupManifest | null> {
  try {
    return await places.read(found);
  } catch (error) {
    if (error instanceof MiniodbError && error.code === "BACKUP_UNUSABLE") return null;
    throw error;
  }
}

/** Names of the copies that other backups in the same store have. */
async function neededCopies({ places }: BackupParts, except: FoundManifest | null): Promise<Set<string>> {
  const needed = new Set<string>();
  for (const found of await places.find()) {
    if (found.kind !== "full" || found.id === except?.id) continue;
    const { keyId, tables } = await places.read(found);
    for (const { objects } of tables) {
      for (const { key, sha256 } of objects) needed.add(backupFileKey(keyId, key, sha256));
    }
  }
  return needed;
}

/** What backups that were broken off have left: tags in the warehouse, copies in the target. */
export async function sweepBackups(parts: BackupParts, beforeMs: number): Promise<Removed> {
  const { places } = parts;
  const known = new Set((await places.find()).map(({ id }) => id));
  const tags = await untag(parts, null, (id) => !known.has(id) && (backupTimeMs(id) ?? 0) < beforeMs);
  let [objects, bytes] = [0, 0];
  let needed: Set<string> | undefined;
  for (const store of places.stores) {
    for await (const entry of store.list(backupFilesPrefix)) {
      if (entry.modifiedMs >= beforeMs) continue;
      needed ??= await neededCopies(parts, null);
      if (needed.has(entry.key)) continue;
      await store.delete(entry.key);
      objects++;
      bytes += entry.bytes;
    }
  }
  return { kind: "backup-removed", objects, bytes, tags };
}

/** Takes the tags of these backups off all tables, dropped ones too; answers how many there were. */
async function untag(
  { context }: BackupParts,
  ids: readonly string[] | null,
  isWanted: (id: string) => boolean = (id) => ids?.includes(id) === true,
): Promise<number> {
  let count = 0;
  for (const location of await context.store.listFolders("")) {
    if (parseLocation(location) === undefined) continue;
    const latest = await readLatest(context.store, location);
    if (latest === undefined) continue;
    for (const id of backupsOf(latest.metadata).filter(isWanted)) {
      try {
        await commitUntag(context, identityOf(location, latest.metadata), { name: backupTag(id) });
        count++;
      } catch (error) {
        // Somebody else did, or the table is gone by now.
        const isGone = error instanceof MiniodbError && ["NOT_FOUND", "TABLE_NOT_FOUND"].includes(error.code);
        if (!isGone || isStoreFailure(error)) throw error;
      }
    }
  }
  return count;
}
