/**
 * Makes a backup of tables whose snapshots are kept by tags already. What is copied has its own name in the target, made of
 * its key and its digest, so that a copy that was broken off is a start for the next one. The manifest comes last.
 */
import type { BackupReport, BackupTask, TablePoint } from "../../shared/backup-messages.js";
import { MiniodbError } from "../../shared/errors.js";
import { failpoint } from "../../shared/failpoints.js";
import type { BackupObject, BackupTable } from "../../shared/formats/backup-manifest-v1.js";
import { plainBytesOf, sealedBytes } from "../../shared/formats/sealed-object-v1.js";
import { snapshotById, withOnlySnapshot } from "../../shared/iceberg/backup-metadata.js";
import type { CatalogContext } from "../../shared/iceberg/catalog-context.js";
import { namedObjects, type NamedObject } from "../../shared/iceberg/named-objects.js";
import { liveRowsOfSummary } from "../../shared/iceberg/table-history.js";
import { snapshotsOf, type TableMetadata } from "../../shared/iceberg/table-metadata.js";
import { readLatest } from "../../shared/iceberg/version-log.js";
import { backupFilesOf, parseBackupFileKey } from "../../shared/store/store-paths.js";
import { forEachOf, type BackupCopier } from "./backup-copier.js";
import type { BackupPlaces } from "./backup-places.js";

export interface BackupParts {
  readonly context: CatalogContext;
  readonly places: BackupPlaces;
  readonly copier: BackupCopier;
}

/** Tables whose metadata is read at once. */
const readsAtOnce = 8;

type BackUp = Extract<BackupTask, { kind: "back-up" }>;

/** When it resolves the backup is there, durably. On an error there is none, and what was copied waits for the next one. */
export async function backUp(parts: BackupParts, task: BackUp): Promise<BackupReport> {
  const { places } = parts;
  const { id, backup: kind, timeMs, nodeId } = task;
  const { key, warehouse } = places.options;
  const tally = { objects: 0, bytes: 0 };
  const described: Omit<BackupTable, "objects">[] = [];
  // All of them before the copies, which take long: settings and columns are those of now.
  await forEachOf(task.tables, readsAtOnce, async (point) => {
    described.push(await describeTable(parts, point));
  });
  const tables: BackupTable[] = [];
  for (const table of described.toSorted((left, right) => (left.name < right.name ? -1 : 1))) {
    const objects = kind === "full" ? await copyTable(parts, table, tally) : [];
    tables.push({ ...table, objects });
  }
  failpoint("backup.manifest.next");
  const keyId = kind === "full" ? (key?.id ?? null) : null;
  const objectName = await places.write({ id, kind, timeMs, nodeId, warehouse, keyId, tables });
  failpoint("backup.manifest.written");
  const sum = (value: (table: BackupTable) => number): number =>
    tables.reduce((total, table) => total + value(table), 0);
  return {
    id,
    kind,
    objectName,
    tables: tables.length,
    rows: sum(({ rows }) => rows),
    bytes: sum(({ bytes }) => bytes),
    copiedObjects: tally.objects,
    copiedBytes: tally.bytes,
  };
}

/** A table that was dropped since is there as it was: the tag keeps it. */
async function describeTable({ context }: BackupParts, point: TablePoint): Promise<Omit<BackupTable, "objects">> {
  const { identity, snapshotId } = point;
  const latest = await readLatest(context.store, identity.location);
  const snapshot = latest === undefined || snapshotId === null ? null : snapshotById(latest.metadata, snapshotId);
  if (latest === undefined || snapshot === undefined) {
    const message = `Snapshot ${snapshotId ?? "-"} of table ${identity.name} is gone: its tag was deleted`;
    throw new MiniodbError("COMMIT_CONFLICT", message, { table: identity.name });
  }
  const metadata = withOnlySnapshot(latest.metadata, snapshot, false);
  return { ...identity, snapshotId, ...sizesOf(metadata), metadata };
}

/** Of the one snapshot, by what it says itself. */
export function sizesOf(metadata: TableMetadata): Pick<BackupTable, "rows" | "files" | "bytes"> {
  const summary = snapshotsOf(metadata)[0]?.summary ?? {};
  const files = Number(summary["total-data-files"] ?? 0);
  return { rows: liveRowsOfSummary(summary) ?? 0, files, bytes: Number(summary["total-files-size"] ?? 0) };
}

interface Tally {
  objects: number;
  bytes: number;
}

async function copyTable(
  { context, places, copier }: BackupParts,
  { location, metadata }: Pick<BackupTable, "location" | "metadata">,
  tally: Tally,
): Promise<BackupObject[]> {
  const { target, options } = places;
  const known = await copiesOf(places, location);
  const { data, manifests } = await namedObjects(context, metadata);
  const objects: BackupObject[] = [];
  await forEachOf([...data, ...manifests], options.copiesMax, async (object) => {
    const copy = known.get(object.key);
    if (copy !== undefined && isWhole(copy, object, options.key !== null)) {
      objects.push(copy);
      return;
    }
    const made = await copier.keep(context.store, object, target);
    failpoint("backup.object.copied");
    tally.objects++;
    tally.bytes += made.bytes;
    objects.push(made);
  });
  return objects;
}

/** What the target has of the table, by key. */
async function copiesOf({ target, options }: BackupPlaces, location: string): Promise<Map<string, BackupObject>> {
  const { key } = options;
  const copies = new Map<string, BackupObject>();
  for await (const entry of target.list(backupFilesOf(key?.id ?? null, location))) {
    const name = parseBackupFileKey(entry.key);
    if (name === undefined) continue;
    const bytes = key === null ? entry.bytes : plainBytesOf(entry.bytes);
    copies.set(name.key, { ...name, bytes, storedBytes: entry.bytes });
  }
  return copies;
}

/** Stores give objects their names when they are whole; a size that is not what it should be is a stranger's work. */
function isWhole(copy: BackupObject, { bytes }: NamedObject, isSealed: boolean): boolean {
  return bytes === null || copy.storedBytes === (isSealed ? sealedBytes(bytes) : bytes);
}
