/** Tables made anew of what backups, or the tables' own histories, still have; see iceberg/restore-table.ts for the order. */
import { readFileSync, rmSync, statSync } from "node:fs";
import type { BackupResult, RestoreCandidate, RestoreFrom } from "../../shared/backup-messages.js";
import { MiniodbError } from "../../shared/errors.js";
import { failpoint } from "../../shared/failpoints.js";
import type { BackupManifest, BackupTable } from "../../shared/formats/backup-manifest-v1.js";
import { snapshotById, withOnlySnapshot } from "../../shared/iceberg/backup-metadata.js";
import { decodeManifest } from "../../shared/iceberg/manifest.js";
import { decodeManifestList, manifestKeyOf } from "../../shared/iceberg/manifest-list.js";
import type { LiveManifest } from "../../shared/iceberg/manifest-plan.js";
import { announceRestored, planRestore, renewRestored, type RestorePlan } from "../../shared/iceberg/restore-table.js";
import { findSnapshot } from "../../shared/iceberg/table-history.js";
import { listTables } from "../../shared/iceberg/table-life.js";
import { snapshotsOf, type TableMetadata } from "../../shared/iceberg/table-metadata.js";
import { readLatest } from "../../shared/iceberg/version-log.js";
import type { TableIdentity } from "../../shared/messages.js";
import { nameKey } from "../../shared/schema/table-schema.js";
import { ObjectNotFound, type ObjectStore } from "../../shared/store/object-store.js";
import { keyOfUri } from "../../shared/store/store-paths.js";
import { sizesOf, type BackupParts } from "./back-up.js";
import { forEachOf } from "./backup-copier.js";
import { copyPositions } from "./copy-positions.js";
import { putFile, temporaryPath, type PersistContext } from "./persist-context.js";

/** What a table is read from. */
interface Source {
  readonly location: string;
  readonly metadata: TableMetadata;
  /** Runs `work` with a file that holds an object of the table. */
  readonly withObject: <Result>(
    object: { readonly key: string; readonly bytes: number | null },
    work: (path: string) => Promise<Result>,
  ) => Promise<Result>;
  readonly get: (key: string) => Promise<Uint8Array>;
}

type Planned = Extract<BackupResult, { kind: "restore-planned" }>;

/** What could be restored. Throws NOT_FOUND where there is no such backup, or it lacks a table that is asked for. */
export async function findCandidates(parts: BackupParts, from: RestoreFrom): Promise<Planned> {
  if (from.kind === "time") {
    return { kind: "restore-planned", id: null, candidates: await candidatesAt(parts, from.timeMs) };
  }
  const { places } = parts;
  const manifest = await places.read(await places.get(from.id));
  return {
    kind: "restore-planned",
    id: manifest.id,
    candidates: manifest.tables.map((table) => candidateOf(manifest, table)),
  };
}

function candidateOf({ id, timeMs }: BackupManifest, table: BackupTable): RestoreCandidate {
  const { name, uuid, location, snapshotId, rows, files, bytes } = table;
  return { name, uuid, location, backupId: id, snapshotId, timeMs, rows, files, bytes };
}

/**
 * Of each table the state at the time: exactly, where its own history reaches back that far, else that of the newest backup
 * before. A table that was made, or dropped and made again, after the time is looked for in backups only.
 */
async function candidatesAt(parts: BackupParts, timeMs: number): Promise<RestoreCandidate[]> {
  const { context, places } = parts;
  const byName = new Map<string, RestoreCandidate>();
  for (const identity of await listTables(context)) {
    const latest = await readLatest(context.store, identity.location);
    const snapshot = latest === undefined ? undefined : findSnapshot(latest.metadata, { kind: "as-of", timeMs });
    if (latest === undefined || snapshot === undefined) continue;
    const sizes = sizesOf(withOnlySnapshot(latest.metadata, snapshot, true));
    const snapshotId = String(snapshot["snapshot-id"]);
    const candidate = { ...identity, backupId: null, snapshotId, timeMs: snapshot["timestamp-ms"], ...sizes };
    byName.set(nameKey(identity.name), candidate);
  }
  for (const found of await places.find()) {
    if (found.timeMs > timeMs) continue;
    const manifest = await places.read(found);
    for (const table of manifest.tables) {
      const key = nameKey(table.name);
      // Newest first: what is there already is nearer to the time.
      if (!byName.has(key)) byName.set(key, candidateOf(manifest, table));
    }
  }
  return [...byName.values()].toSorted((left, right) => (left.name < right.name ? -1 : 1));
}

/**
 * Writes the table under the name, all but the commit that makes it live. Throws BACKUP_UNUSABLE, NOT_FOUND, STORE_UNAVAILABLE,
 * TABLE_NOT_FOUND where another creation of the name ended it; what was written then goes as garbage.
 */
export async function prepareRestore(
  parts: BackupParts,
  persist: PersistContext,
  request: { readonly candidate: RestoreCandidate; readonly name: string },
): Promise<TableIdentity> {
  const { context, places } = parts;
  const { candidate, name } = request;
  const source = await openSource(parts, candidate);
  const manifests = await readManifests(source);
  const plan = planRestore(context, name, { metadata: source.metadata, manifests, location: source.location });
  const rewrittenBytes = await rewriteDeletes(persist, plan, source);
  await announceRestored(context, plan, { backupId: candidate.backupId ?? "", rewrittenBytes });
  failpoint("restore.announced");
  // The grace time of others is not known here, and is not much shorter than the default.
  const renewMs = context.options.garbageGraceMs / 4;
  let renewedMs = context.nowMs();
  let renewing: Promise<void> = Promise.resolve();
  await forEachOf(plan.copies, places.options.copiesMax, async ({ fromKey, bytes, toKey }) => {
    await source.withObject({ key: fromKey, bytes }, (path) => putFile(persist, toKey, path));
    failpoint("restore.object.copied");
    if (context.nowMs() - renewedMs < renewMs) return;
    renewedMs = context.nowMs();
    renewing = renewRestored(context, plan.identity);
    await renewing;
  });
  return plan.identity;
}

async function openSource(parts: BackupParts, candidate: RestoreCandidate): Promise<Source> {
  const { context, places, copier } = parts;
  const { backupId, snapshotId, location, uuid } = candidate;
  const ofTable = (metadata: TableMetadata): Source => ({
    location,
    metadata,
    withObject: (object, work) => copier.withObject(context.store, object, work),
    get: (key) => getOf(context.store, key),
  });
  if (backupId === null) {
    const latest = await readLatest(context.store, location);
    const snapshot = latest === undefined ? undefined : snapshotById(latest.metadata, snapshotId ?? "");
    if (latest === undefined || snapshot === undefined) throw gone(`snapshot ${snapshotId} of ${candidate.name}`);
    return ofTable(withOnlySnapshot(latest.metadata, snapshot, true));
  }
  const found = await places.get(backupId);
  const manifest = await places.read(found);
  const table = manifest.tables.find((each) => each.uuid === uuid);
  if (table === undefined) throw gone(`table ${candidate.name} in backup ${backupId}`);
  if (manifest.kind === "pointers") return ofTable(table.metadata);
  const objects = new Map(table.objects.map((object) => [object.key, object]));
  const { keyId } = manifest;
  const withObject: Source["withObject"] = ({ key }, work) => {
    const object = objects.get(key);
    if (object === undefined) {
      throw new MiniodbError("BACKUP_UNUSABLE", `Backup ${backupId} does not name ${key}`, { key });
    }
    return copier.withCopy(found.store, { object, keyId }, work);
  };
  return {
    location,
    metadata: table.metadata,
    withObject,
    get: (key) => withObject({ key, bytes: null }, async (path) => readFileSync(path)),
  };
}

async function getOf(store: ObjectStore, key: string): Promise<Uint8Array> {
  try {
    return await store.get(key);
  } catch (error) {
    if (error instanceof ObjectNotFound) throw gone(key);
    throw error;
  }
}

function gone(what: string): MiniodbError {
  return new MiniodbError("NOT_FOUND", `There is no ${what} (any more)`);
}

/** Of the one snapshot, with their entries. */
async function readManifests(source: Source): Promise<LiveManifest[]> {
  const [snapshot] = snapshotsOf(source.metadata);
  if (snapshot === undefined) return [];
  const uri = snapshot["manifest-list"];
  const key = keyOfUri(uri) ?? uri;
  const files = decodeManifestList(await source.get(key), key);
  const manifests: LiveManifest[] = [];
  for (const file of files) {
    const manifestKey = manifestKeyOf(file);
    const inherited = { snapshotId: file.added_snapshot_id, sequenceNumber: file.sequence_number };
    manifests.push({ file, entries: decodeManifest(await source.get(manifestKey), manifestKey, inherited) });
  }
  return manifests;
}

/** Their data files have other addresses now. Answers the new sizes, by the old keys. */
async function rewriteDeletes(
  persist: PersistContext,
  plan: RestorePlan,
  source: Source,
): Promise<ReadonlyMap<string, number>> {
  const sizes = new Map<string, number>();
  for (const { fromKey, bytes, toKey, dataUri } of plan.rewrites) {
    const path = temporaryPath(persist);
    try {
      await source.withObject({ key: fromKey, bytes }, (from) => copyPositions(persist, { from, to: path, dataUri }));
      sizes.set(fromKey, statSync(path).size);
      await putFile(persist, toKey, path);
    } finally {
      rmSync(path, { force: true });
    }
  }
  return sizes;
}
