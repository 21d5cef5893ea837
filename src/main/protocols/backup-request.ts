/**
 * Requests about backups, between the original API's shapes and ours; every protocol and the command line read them here.
 *
 * | field of the original                  | what it means here                                                     |
 * |----------------------------------------|------------------------------------------------------------------------|
 * | backup: force                          | nothing: a backup is always made                                       |
 * | restore: backup_file, from_latest      | a manifest's object name or its id; the newest backup                  |
 * | restore: filters{table}, key_patterns  | names of tables with `*` and `?`, as our `tables`                      |
 * | restore: validate                      | the backup is looked through first                                     |
 * | restore: parallel                      | several tables at once                                                 |
 * | BackupInfo.object_name, size           | of the manifest                                                        |
 *
 * Replies have the original's fields, with times as `{seconds, nanos}`, and ours beside them.
 */
import { MiniodbError } from "../../shared/errors.js";
import { parseBackupManifestKey, type BackupKind } from "../../shared/store/store-paths.js";
import type { BackupCheck, BackupEntry } from "../../shared/backup-messages.js";
import type { BackupStatus, MadeBackup } from "../backup/backup-service.js";
import type { RestoredTable, RestorePoint, RestoreReport, RestoreRequest } from "../backup/restore-service.js";
import { protoTime } from "./table-info.js";

type JsonObject = Readonly<Record<string, unknown>>;

const timePattern = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})$/i;
const restoreFields = [
  "backup_file",
  "backup_id",
  "from_latest",
  "time",
  "tables",
  "key_patterns",
  "filters",
  "rename",
  "dry_run",
  "overwrite",
  "validate",
  "parallel",
];
const backupFields = ["force", "kind", "tables"];
/** With `parallel`. */
const tablesAtOnceMax = 4;

/** `force` of the original is taken and means nothing: a backup is always made. Throws INVALID_REQUEST. */
export function readBackupRequest(body: JsonObject): { readonly kind: BackupKind; readonly tables: readonly string[] } {
  refuseOthers(body, backupFields);
  flag(body, "force");
  const kind = body["kind"] ?? "pointers";
  if (kind !== "pointers" && kind !== "full") throw wrong("kind", "pointers or full");
  return { kind, tables: texts(body, "tables") };
}

/** Throws INVALID_REQUEST. */
export function readRestoreRequest(body: JsonObject): RestoreRequest {
  refuseOthers(body, restoreFields);
  return {
    from: restorePoint(body),
    tables: [...texts(body, "tables"), ...texts(body, "key_patterns"), ...filteredTables(body)],
    rename: textMap(body, "rename"),
    isOverwriting: flag(body, "overwrite"),
    isDryRun: flag(body, "dry_run"),
    isVerified: flag(body, "validate"),
    tablesAtOnce: flag(body, "parallel") ? tablesAtOnceMax : 1,
  };
}

/** `backup_file` is an object's name, or its id. */
function restorePoint(body: JsonObject): RestorePoint {
  const file = optionalText(body, "backup_file") ?? optionalText(body, "backup_id");
  const time = optionalText(body, "time");
  const isLatest = flag(body, "from_latest");
  if ([file !== undefined, time !== undefined, isLatest].filter(Boolean).length !== 1) {
    throw wrong("backup_file", "given, or time, or from_latest: one of the three");
  }
  if (isLatest) return { kind: "latest" };
  if (file !== undefined) return { kind: "backup", id: parseBackupManifestKey(file)?.id ?? file };
  const timeMs = time !== undefined && timePattern.test(time) ? Date.parse(time) : Number.NaN;
  if (Number.isNaN(timeMs)) throw wrong("time", "a time as in RFC 3339: 2026-11-22T10:00:00Z");
  return { kind: "time", timeMs };
}

/** The original's map of filters: `table` is the one that there is. */
function filteredTables(body: JsonObject): string[] {
  const filters = textMap(body, "filters");
  const stranger = Object.keys(filters).find((name) => name !== "table");
  if (stranger !== undefined) {
    throw wrong(`filters.${stranger.slice(0, 100)}`, "left out: table is the filter that there is");
  }
  return filters["table"] === undefined ? [] : [filters["table"]];
}

export function backupReply(made: MadeBackup): JsonObject {
  const { id, kind, objectName, timeMs, tables, rows, bytes, copiedObjects, copiedBytes } = made;
  const message = `Backup ${id} of ${tables} tables was made successfully`;
  return {
    success: true,
    message,
    backup_id: id,
    timestamp: protoTime(timeMs),
    kind,
    object_name: objectName,
    tables,
    rows,
    bytes,
    copied_objects: copiedObjects,
    copied_bytes: copiedBytes,
  };
}

/** `{}` where there is none. */
export function backupsReply(backups: readonly BackupEntry[]): JsonObject {
  return backups.length === 0 ? {} : { backups: backups.map(entryReply), total: backups.length };
}

function entryReply(entry: BackupEntry): JsonObject {
  const { contents, error } = entry;
  return {
    object_name: entry.objectName,
    node_id: contents?.nodeId ?? "",
    timestamp: protoTime(entry.timeMs),
    size: entry.objectBytes,
    last_modified: protoTime(entry.modifiedMs),
    backup_id: entry.id,
    kind: entry.kind,
    encrypted: entry.isSealed,
    ...(contents !== null && { tables: contents.tables, rows: contents.rows, bytes: contents.bytes }),
    ...(error !== null && { error }),
  };
}

export function restoreReply(report: RestoreReport, isDryRun: boolean): JsonObject {
  const { backupId, tables, missing, durationMs } = report;
  const failed = tables.filter(({ outcome }) => outcome === "failed");
  const skipped = tables.filter(({ outcome }) => outcome === "skipped");
  const errors = [
    ...failed.map(({ name, reason }) => `${name}: ${reason ?? ""}`),
    ...missing.map((pattern) => `${pattern}: there is no such table to restore`),
  ];
  const ok = tables.length - failed.length - skipped.length;
  const done = isDryRun ? "would be restored" : "restored";
  const details = tables.map(({ name, outcome, reason }) => [
    name,
    reason === null ? outcome : `${outcome}: ${reason}`,
  ]);
  return {
    success: errors.length === 0,
    message: `${ok} tables ${done}, ${skipped.length} left alone as they exist, ${errors.length} errors`,
    backup_file: backupId ?? "",
    entries_total: tables.length + missing.length,
    entries_ok: ok,
    entries_skipped: skipped.length,
    entries_error: errors.length,
    duration: `${(durationMs / 1000).toFixed(3)}s`,
    errors,
    details: Object.fromEntries(details),
    dry_run: isDryRun,
    tables: tables.map(tableReply),
  };
}

function tableReply({ candidate, name, outcome, reason }: RestoredTable): JsonObject {
  return {
    table: candidate.name,
    restored_as: name,
    outcome,
    ...(reason !== null && { reason }),
    backup_id: candidate.backupId ?? "",
    snapshot_id: candidate.snapshotId,
    timestamp: protoTime(candidate.timeMs),
    rows: candidate.rows,
    files: candidate.files,
    bytes: candidate.bytes,
  };
}

export function checkReply({ id, kind, tables, objects, bytes, problems }: BackupCheck): JsonObject {
  return { success: problems.length === 0, backup_id: id, kind, tables, objects, bytes, problems };
}

export function removalReply(id: string, removed: { readonly objects: number; readonly bytes: number }): JsonObject {
  const { objects, bytes } = removed;
  return { success: true, message: `Backup ${id} was removed`, removed_objects: objects, removed_bytes: bytes };
}

export function statusReply(nodeId: string, status: BackupStatus): JsonObject {
  const { isRunning, lastMs, nextMs, made, failures, copiedBytes, error } = status;
  const last = Math.max(lastMs.full ?? 0, lastMs.pointers ?? 0);
  const time = (timeMs: number | undefined): string => (timeMs === undefined ? "" : new Date(timeMs).toISOString());
  return {
    node_id: nodeId,
    backup_status: {
      running: String(isRunning),
      last_pointers: time(lastMs.pointers),
      last_full: time(lastMs.full),
      made: String(made),
      failures: String(failures),
      copied_bytes: String(copiedBytes),
      ...(error !== null && { last_error: error.message, last_error_at: time(error.atMs) }),
    },
    ...(last > 0 && { last_backup: protoTime(last) }),
    ...(nextMs !== null && { next_backup: protoTime(nextMs) }),
    health_status: error === null ? "healthy" : "unhealthy",
  };
}

// ---- fields

function refuseOthers(body: JsonObject, known: readonly string[]): void {
  const stranger = Object.keys(body).find((name) => !known.includes(name));
  if (stranger !== undefined) throw wrong(stranger.slice(0, 100), `left out: it is not one of ${known.join(", ")}`);
}

function flag(body: JsonObject, field: string): boolean {
  const value = body[field] ?? false;
  if (typeof value === "boolean") return value;
  throw wrong(field, "true or false");
}

/** An empty text is none, as proto has it. */
function optionalText(body: JsonObject, field: string): string | undefined {
  const value = body[field] ?? "";
  if (typeof value !== "string") throw wrong(field, "a text");
  return value === "" ? undefined : value;
}

function texts(body: JsonObject, field: string): readonly string[] {
  const value = body[field] ?? [];
  if (Array.isArray(value) && value.every((item) => typeof item === "string" && item !== "")) return value;
  throw wrong(field, "a list of names, in which * and ? stand for others");
}

function textMap(body: JsonObject, field: string): Readonly<Record<string, string>> {
  const value = body[field] ?? {};
  const isMap = typeof value === "object" && !Array.isArray(value);
  if (isMap && Object.values(value).every((item) => typeof item === "string")) return value as Record<string, string>;
  throw wrong(field, "an object of texts");
}

function wrong(field: string, what: string): MiniodbError {
  return new MiniodbError("INVALID_REQUEST", `${field} must be ${what}`, { field });
}
