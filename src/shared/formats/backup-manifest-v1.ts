/**
 * The one object that is a backup: until it is there, there is none. JSON in UTF-8, longs of Iceberg metadata exact
 * (iceberg/exact-json.ts), golden file test/golden/backup-manifest-v1.json.
 *
 * ```
 * format     "miniodb-backup"
 * version    1; a reader refuses any other
 * id         as in the object's key: time and chance
 * kind       "pointers": tags in the warehouse keep the snapshots; "full": `objects` have copies of everything
 * timeMs     the one moment, in ms since 1970, up to which it holds the rows of all its tables
 * nodeId     who made it
 * warehouse  where its tables were, for people
 * keyId      16 hex digits: the key that the objects are encrypted under; null: they are not
 * tables[]   name, uuid, location    who the table was
 *            snapshotId              decimal text; null while the table had no rows
 *            rows, files, bytes      of the snapshot: live rows, data files, their size with that of delete files
 *            metadata                Iceberg table metadata with this one snapshot: schemas, settings, manifest list
 *            objects[]               [key in its table, bytes, sha256 in hex, bytes as stored], sorted by key; empty for pointers
 * ```
 */
import { MiniodbError } from "../errors.js";
import { parseExactJson, stringifyExactJson } from "../iceberg/exact-json.js";
import { parseTableMetadata, type TableMetadata } from "../iceberg/table-metadata.js";
import { backupTimeMs, parseLocation, type BackupKind } from "../store/store-paths.js";

const format = "miniodb-backup";
const version = 1;

/** A copy of one object of a table. */
export interface BackupObject {
  readonly key: string;
  readonly bytes: number;
  /** Of these bytes, in hex. */
  readonly sha256: string;
  /** More than `bytes` where it is encrypted. */
  readonly storedBytes: number;
}

export interface BackupTable {
  readonly name: string;
  readonly uuid: string;
  readonly location: string;
  readonly snapshotId: string | null;
  readonly rows: number;
  readonly files: number;
  readonly bytes: number;
  readonly metadata: TableMetadata;
  readonly objects: readonly BackupObject[];
}

export interface BackupManifest {
  readonly id: string;
  readonly kind: BackupKind;
  readonly timeMs: number;
  readonly nodeId: string;
  readonly warehouse: string;
  readonly keyId: string | null;
  readonly tables: readonly BackupTable[];
}

export function encodeBackupManifest(manifest: BackupManifest): Uint8Array {
  const tables = manifest.tables.map(({ objects, ...table }) => {
    const sorted = objects.toSorted((left, right) => (left.key < right.key ? -1 : 1));
    return {
      ...table,
      objects: sorted.map(({ key, bytes, sha256, storedBytes }) => [key, bytes, sha256, storedBytes]),
    };
  });
  return Buffer.from(stringifyExactJson({ format, version, ...manifest, tables }), "utf8");
}

/** `name` is for the message. Throws BACKUP_UNUSABLE where the bytes are not a manifest of this version. */
export function parseBackupManifest(body: Uint8Array, name: string): BackupManifest {
  const value = parseObject(body, name);
  if (value["format"] !== format) throw unusable(name, "it is no backup's manifest");
  if (value["version"] !== version) throw unusable(name, `its version is ${String(value["version"])}, not ${version}`);
  const { id, kind, timeMs, nodeId, warehouse, keyId, tables } = value;
  const isFine =
    typeof id === "string" &&
    backupTimeMs(id) !== undefined &&
    (kind === "full" || kind === "pointers") &&
    typeof timeMs === "number" &&
    Array.isArray(tables);
  if (!isFine) throw unusable(name, "it lacks id, kind, time or tables");
  return {
    id,
    kind,
    timeMs,
    nodeId: String(nodeId),
    warehouse: String(warehouse),
    keyId: typeof keyId === "string" ? keyId : null,
    tables: tables.map((table: unknown) => parseTable(table, name)),
  };
}

function parseTable(value: unknown, name: string): BackupTable {
  const table = value as Omit<BackupTable, "objects"> & { readonly objects: readonly (readonly unknown[])[] };
  const texts = [table?.name, table?.uuid, table?.location];
  const counts = [table?.rows, table?.files, table?.bytes];
  const isFine =
    texts.every((text) => typeof text === "string") &&
    counts.every((count) => Number.isSafeInteger(count)) &&
    parseLocation(table.location) !== undefined &&
    Array.isArray(table.objects);
  if (!isFine) throw unusable(name, "one of its tables is not whole");
  // The same checks as for metadata in the warehouse.
  const metadata = parseTableMetadata(Buffer.from(stringifyExactJson(table.metadata)), name);
  return { ...table, metadata, objects: table.objects.map((object) => parseEntry(object, name)) };
}

function parseEntry(object: readonly unknown[], name: string): BackupObject {
  const [key, bytes, sha256, storedBytes] = object;
  const isFine = typeof key === "string" && typeof bytes === "number" && typeof storedBytes === "number";
  if (!isFine || typeof sha256 !== "string") throw unusable(name, "one of its objects is not whole");
  return { key, bytes, sha256, storedBytes };
}

function parseObject(body: Uint8Array, name: string): Readonly<Record<string, unknown>> {
  try {
    const value = parseExactJson(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString("utf8"));
    if (typeof value === "object" && value !== null) return value as Readonly<Record<string, unknown>>;
  } catch (error) {
    throw unusable(name, "it is not JSON", error);
  }
  throw unusable(name, "it is not a JSON object");
}

function unusable(name: string, reason: string, cause?: unknown): MiniodbError {
  return new MiniodbError("BACKUP_UNUSABLE", `The backup ${name} cannot be used: ${reason}.`, { backup: name }, cause);
}
