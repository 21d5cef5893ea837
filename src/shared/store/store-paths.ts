/**
 * Every object key is built and parsed here.
 *
 * ```
 * <lower-case table>-<uuid>/                                      one table; the name has no dash, so the cut is clear
 *   metadata/v<N>.metadata.json                                   version N: the commit itself
 *   metadata/version-hint.text                                    N in text, best effort
 *   metadata/<attempt uuid>-m<n>.avro                             manifest
 *   metadata/snap-<snapshot id>-<attempt uuid>.avro               manifest list
 *   data/day=YYYY-MM-DD/<created ms, 13 digits>-<uuid>.parquet    data file
 *   data/day=YYYY-MM-DD/<...>-<uuid>-deletes.parquet              positions of deleted rows of one data file
 * .miniodb-pool/<revision, 8 digits>.json                         which pool of two this is; see pool-record.ts
 * .miniodb-diverged/epoch-<N>/<key>                               what a mirror took out of a table; see mirror-table.ts
 * .miniodb-backup/manifests/<id>.<kind>.json                      a backup (formats/backup-manifest-v1.ts); `.sealed` for `.json`
 *                                                                 where it is encrypted (formats/sealed-object-v1.ts)
 * .miniodb-backup/files/<plain or key id>/<key>.<sha256>          an object of full backups: its key in its table, and the digest
 *                                                                 of its bytes before encryption. Shared by all that name it
 * ```
 * The uuid keeps a dropped table's stragglers away from its successor. No name in `metadata/` but that of a version
 * starts with `v` and a digit, so `list(versionPrefix)` finds the versions alone.
 */
import { assert } from "../assert.js";

const dayMs = 86_400_000;
const uuidPattern = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
const locationPattern = new RegExp(`^([a-z][a-z0-9_]{0,63})-(${uuidPattern})$`);
const uriPattern = new RegExp(`(?:^|/)([a-z][a-z0-9_]{0,63}-${uuidPattern}/(?:metadata|data)/.+)$`);
const dataFilePattern = new RegExp(`/data/day=(\\d{4}-\\d{2}-\\d{2})/(\\d{13})-${uuidPattern}\\.parquet$`);
const deleteFilePattern = new RegExp(`/data/day=\\d{4}-\\d{2}-\\d{2}/(\\d{13})-${uuidPattern}-deletes\\.parquet$`);
const versionPattern = /\/metadata\/v(\d{1,15})\.metadata\.json$/;

/** Folder of a table in the warehouse. */
export function tableLocation(name: string, uuid: string): string {
  return `${name.toLowerCase()}-${uuid}`;
}

/** What every location of a table of this name starts with, and none of another. */
export function locationPrefix(name: string): string {
  return `${name.toLowerCase()}-`;
}

/** The parts of a table's folder, or undefined where the folder is not one of a table. */
export function parseLocation(location: string): { readonly nameKey: string; readonly uuid: string } | undefined {
  const [, nameKey, uuid] = locationPattern.exec(location) ?? [];
  return nameKey === undefined || uuid === undefined ? undefined : { nameKey, uuid };
}

/** What every key of a table starts with. */
export function tablePrefix(location: string): string {
  return `${location}/`;
}

export function versionPrefix(location: string): string {
  return `${location}/metadata/v`;
}

export function versionKey(location: string, version: number): string {
  assert(Number.isSafeInteger(version) && version >= 1, `${version} is no metadata version`);
  return `${location}/metadata/v${version}.metadata.json`;
}

/** N of a `v<N>.metadata.json`, or undefined for any other key. */
export function parseVersionKey(key: string): number | undefined {
  const digits = versionPattern.exec(key)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

export function versionHintKey(location: string): string {
  return `${location}/metadata/version-hint.text`;
}

/** One attempt of one commit, which owns the manifests written for it. No two have the same name, so that none is ever written twice. */
export interface AttemptName {
  readonly location: string;
  readonly commitId: string;
  readonly attemptUuid: string;
}

export function manifestKey(name: AttemptName, index: number): string {
  return `${name.location}/metadata/${name.attemptUuid}-m${index}.avro`;
}

export function manifestListKey(name: AttemptName, snapshotId: number): string {
  return `${name.location}/metadata/snap-${snapshotId}-${name.attemptUuid}.avro`;
}

/** Key of a new data file: `day` in days since 1970-01-01, `createdMs` when its writing begins, a fresh uuid. */
export function dataFileKey(
  location: string,
  file: { readonly day: number; readonly createdMs: number; readonly uuid: string },
): string {
  const created = String(Math.floor(file.createdMs)).padStart(13, "0");
  const key = `${location}/data/day=${formatDay(file.day)}/${created}-${file.uuid}.parquet`;
  assert(dataFilePattern.test(key), `${key} is not the form of a data file's key`);
  return key;
}

/** Key of a new delete file: as dataFileKey; `day` is that of its data file. */
export function deleteFileKey(
  location: string,
  file: { readonly day: number; readonly createdMs: number; readonly uuid: string },
): string {
  const key = dataFileKey(location, file).replace(/\.parquet$/, "-deletes.parquet");
  assert(deleteFilePattern.test(key), `${key} is not the form of a delete file's key`);
  return key;
}

/** When the writing of a delete file began, or undefined for a key of another form. */
export function deleteFileCreatedMs(key: string): number | undefined {
  const created = deleteFilePattern.exec(key)?.[1];
  return created === undefined ? undefined : Number(created);
}

/** Day and time of creation from a data file's key, or undefined for a key of another form. */
export function parseDataFileKey(key: string): { readonly day: number; readonly createdMs: number } | undefined {
  const [, day, created] = dataFilePattern.exec(key) ?? [];
  return day === undefined ? undefined : { day: Date.parse(`${day}T00:00:00Z`) / dayMs, createdMs: Number(created) };
}

const poolRecordPattern = /^\.miniodb-pool\/(\d{8})\.json$/;

export const poolRecordPrefix = ".miniodb-pool/";

/** Each change of a pool's record is an object of its own, and the highest revision counts. */
export function poolRecordKey(revision: number): string {
  const key = `${poolRecordPrefix}${String(revision).padStart(8, "0")}.json`;
  assert(poolRecordPattern.test(key), `${revision} is no revision of a pool's record`);
  return key;
}

export function parsePoolRecordKey(key: string): number | undefined {
  const digits = poolRecordPattern.exec(key)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** Where an object goes that is not part of its table any more since the pool became the second one of this epoch. */
export function divergedKey(epoch: number, key: string): string {
  return `.miniodb-diverged/epoch-${epoch}/${key}`;
}

/** `<UTC time>-<8 random hex digits>`: ids sort by the time of their backup. */
const backupIdPattern = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(\d{3})Z-[0-9a-f]{8}$/;
const backupManifestPattern = /^\.miniodb-backup\/manifests\/([^/.]+)\.(pointers|full)\.(json|sealed)$/;
const backupFilePattern = /^\.miniodb-backup\/files\/(plain|[0-9a-f]{16})\/(.+)\.([0-9a-f]{64})$/;
const backupTagPrefix = "miniodb.backup.";

/** `pointers` names snapshots of the warehouse; `full` has copies of their files. */
export type BackupKind = "pointers" | "full";

export const backupManifestPrefix = ".miniodb-backup/manifests/";
export const backupFilesPrefix = ".miniodb-backup/files/";

/** `random` is 8 hex digits. */
export function backupId(timeMs: number, random: string): string {
  const id = `${new Date(timeMs).toISOString().replace(/[-:.]/g, "")}-${random}`;
  assert(backupIdPattern.test(id), `${id} is not the form of a backup's id`);
  return id;
}

/** Time in ms since 1970 of an id, or undefined for a text of another form. */
export function backupTimeMs(id: string): number | undefined {
  const match = backupIdPattern.exec(id);
  if (match === null) return undefined;
  const [, year, month, day, hour, minute, second, ms] = match;
  return Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}.${ms}Z`);
}

export interface BackupName {
  readonly id: string;
  readonly kind: BackupKind;
  readonly isSealed: boolean;
}

export function backupManifestKey({ id, kind, isSealed }: BackupName): string {
  return `${backupManifestPrefix}${id}.${kind}.${isSealed ? "sealed" : "json"}`;
}

export function parseBackupManifestKey(key: string): BackupName | undefined {
  const [, id, kind, form] = backupManifestPattern.exec(key) ?? [];
  if (id === undefined || backupTimeMs(id) === undefined) return undefined;
  return { id, kind: kind === "full" ? "full" : "pointers", isSealed: form === "sealed" };
}

/** What the objects of one table start with in full backups under one key id; null: not encrypted. */
export function backupFilesOf(keyId: string | null, location: string): string {
  return `${backupFilesPrefix}${keyId ?? "plain"}/${location}/`;
}

export function backupFileKey(keyId: string | null, key: string, sha256: string): string {
  const name = `${backupFilesPrefix}${keyId ?? "plain"}/${key}.${sha256}`;
  assert(backupFilePattern.test(name), `${name} is not the form of a backup's object`);
  return name;
}

/** The object's key in its table, and the digest of its bytes; undefined for a key of another form. */
export function parseBackupFileKey(name: string): { readonly key: string; readonly sha256: string } | undefined {
  const [, , key, sha256] = backupFilePattern.exec(name) ?? [];
  return key === undefined || sha256 === undefined ? undefined : { key, sha256 };
}

/** The tag by which a backup keeps its snapshot of a table. */
export function backupTag(id: string): string {
  return backupTagPrefix + id;
}

/** The backup of a tag, or undefined for a tag of a user. */
export function backupOfTag(tag: string): string | undefined {
  if (!tag.startsWith(backupTagPrefix)) return undefined;
  const id = tag.slice(backupTagPrefix.length);
  return backupTimeMs(id) === undefined ? undefined : id;
}

/** True for data files, delete files, manifests and manifest lists: under one key there is never but one content, in all pools. */
export function isImmutableKey(key: string): boolean {
  return dataFilePattern.test(key) || deleteFilePattern.test(key) || /\/metadata\/[^/]+\.avro$/.test(key);
}

/**
 * The key of an object that metadata names by URI. Only the part from the table's folder on counts, so a warehouse that
 * was moved or is mounted elsewhere reads the same. Undefined for a URI outside of any table.
 */
export function keyOfUri(uri: string): string | undefined {
  return uriPattern.exec(uri)?.[1];
}

/** YYYY-MM-DD of a day number; years 0000 to 9999, which is the range that the decoders accept. */
function formatDay(day: number): string {
  const text = new Date(day * dayMs).toISOString();
  assert(text.length === 24, `day ${day} is out of range`);
  return text.slice(0, 10);
}
