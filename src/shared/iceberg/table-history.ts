/** Earlier states of a table: what its newest metadata still names. Snapshots expire (snapshot.ts), and then are gone. */
import { MiniodbError } from "../errors.js";
import type { DataFile, TableIdentity } from "../messages.js";
import type { TableSchema } from "../schema/table-schema.js";
import { ObjectNotFound } from "../store/object-store.js";
import type { CatalogContext } from "./catalog-context.js";
import { notFound } from "./commit.js";
import { readDataFiles } from "./file-change.js";
import { withEncryptionOf } from "./column-encryption.js";
import { fromIcebergSchema } from "./schema-json.js";
import { currentSchema, snapshotsOf, type Snapshot, type TableMetadata } from "./table-metadata.js";
import { lifeState } from "./table-properties.js";
import { readLatest } from "./version-log.js";

export interface SnapshotInfo {
  /** Decimal text, as ids of other writers have up to 63 bits. */
  readonly snapshotId: string;
  readonly timestampMs: number;
  readonly isCurrent: boolean;
  /** Of the whole table in this snapshot, deleted rows left out; null where its writer did not say. */
  readonly rows: number | null;
  readonly files: number | null;
  readonly bytes: number | null;
  /** `append`, `overwrite`, `replace` or `delete`. */
  readonly operation: string;
  /** Names that keep it from expiry. */
  readonly tags: readonly string[];
}

export interface HistoryRequest {
  readonly at:
    | { readonly kind: "snapshot-id"; readonly snapshotId: string }
    /** What was the table's state at this time, in ms since 1970-01-01. */
    | { readonly kind: "as-of"; readonly timeMs: number }
    | { readonly kind: "tag"; readonly name: string };
  /** Snapshots whose contents the caller has: they are not read again. */
  readonly knownIds: readonly string[];
}

export interface LoadedSnapshot {
  readonly snapshotId: string;
  /** Null where the caller knows them. */
  readonly contents: SnapshotContents | null;
}

/** One state of a table: immutable. */
export interface SnapshotContents {
  readonly schema: TableSchema;
  readonly files: readonly DataFile[];
}

/** Rounds of "its manifests are gone": a snapshot that expires while it is read is not found in the next round. */
const loadRoundsMax = 3;

/** Newest first. Throws TABLE_NOT_FOUND. */
export async function listSnapshots(context: CatalogContext, identity: TableIdentity): Promise<SnapshotInfo[]> {
  const metadata = await latestMetadata(context, identity);
  return snapshotsOf(metadata)
    .map((snapshot) => infoOf(snapshot, metadata))
    .toReversed();
}

/** Throws TABLE_NOT_FOUND, and NOT_FOUND where the table has no such snapshot (any more), with the oldest that it has. */
export async function loadSnapshot(
  context: CatalogContext,
  identity: TableIdentity,
  request: HistoryRequest,
): Promise<LoadedSnapshot> {
  for (let round = 1; ; round++) {
    const metadata = await latestMetadata(context, identity);
    const snapshot = findSnapshot(metadata, request.at);
    if (snapshot === undefined) throw noSnapshot(identity, metadata, request.at);
    const snapshotId = String(snapshot["snapshot-id"]);
    if (request.knownIds.includes(snapshotId)) return { snapshotId, contents: null };
    try {
      const files = await readDataFiles(context, metadata, snapshot);
      return { snapshotId, contents: { schema: schemaOf(snapshot, metadata), files } };
    } catch (error) {
      // Expired and removed while we read it.
      if (!(error instanceof ObjectNotFound) || round === loadRoundsMax) throw error;
    }
  }
}

/** Read anew each time: another node may have committed, and snapshots expire. */
async function latestMetadata(context: CatalogContext, identity: TableIdentity): Promise<TableMetadata> {
  const latest = await readLatest(context.store, identity.location);
  if (latest === undefined || lifeState(latest.metadata.properties) !== "live") throw notFound(identity);
  return latest.metadata;
}

/** Undefined where there is none, and where what was current then is gone. */
export function findSnapshot(metadata: TableMetadata, at: HistoryRequest["at"]): Snapshot | undefined {
  const snapshots = snapshotsOf(metadata);
  if (at.kind === "snapshot-id") {
    return snapshots.find((snapshot) => String(snapshot["snapshot-id"]) === at.snapshotId);
  }
  if (at.kind === "tag") {
    const refs = metadata.refs ?? {};
    const reference = Object.hasOwn(refs, at.name) ? refs[at.name] : undefined;
    if (reference?.type !== "tag") return undefined;
    return snapshots.find((snapshot) => snapshot["snapshot-id"] === reference["snapshot-id"]);
  }
  const current = historyOf(metadata).findLast((entry) => entry["timestamp-ms"] <= at.timeMs);
  return snapshots.find((snapshot) => snapshot["snapshot-id"] === current?.["snapshot-id"]);
}

/**
 * Which snapshot was current since when, without a gap: expiry cuts the log behind the last snapshot that went. Where
 * another writer keeps no log, the snapshots themselves stand for it.
 */
function historyOf(metadata: TableMetadata): readonly Pick<Snapshot, "snapshot-id" | "timestamp-ms">[] {
  const log = metadata["snapshot-log"] ?? [];
  return log.length > 0 ? log : snapshotsOf(metadata);
}

/** The columns as of that snapshot: later ones are not in its files, and would only be NULL. */
export function schemaOf(snapshot: Snapshot, metadata: TableMetadata): TableSchema {
  const id = snapshot["schema-id"];
  const schema = metadata.schemas.find((candidate) => candidate["schema-id"] === id);
  // A writer that names no schema has not changed it since.
  if (schema === undefined) return currentSchema(metadata);
  return withEncryptionOf(metadata.properties, fromIcebergSchema(schema, metadata["last-column-id"]));
}

/** Counts come from the summary, which writers may leave out; ours always has them. */
function infoOf(snapshot: Snapshot, metadata: TableMetadata): SnapshotInfo {
  const summary = snapshot.summary ?? {};
  return {
    snapshotId: String(snapshot["snapshot-id"]),
    timestampMs: snapshot["timestamp-ms"],
    isCurrent: snapshot["snapshot-id"] === metadata["current-snapshot-id"],
    rows: liveRowsOfSummary(summary),
    files: countOf(summary["total-data-files"]),
    bytes: countOf(summary["total-files-size"]),
    operation: summary["operation"] ?? "",
    tags: tagsOf(snapshot, metadata),
  };
}

function tagsOf(snapshot: Snapshot, { refs = {} }: TableMetadata): string[] {
  const names = Object.keys(refs).filter((name) => {
    return refs[name]?.type === "tag" && refs[name]?.["snapshot-id"] === snapshot["snapshot-id"];
  });
  return names.toSorted();
}

/**
 * Rows of a snapshot, by its summary: null where its writer did not say. One that says nothing of position deletes has
 * none.
 */
export function liveRowsOfSummary(summary: Readonly<Record<string, string>>): number | null {
  const rows = countOf(summary["total-records"]);
  return rows === null ? null : rows - (countOf(summary["total-position-deletes"]) ?? 0);
}

function countOf(text: string | undefined): number | null {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : null;
}

/** Says what can be asked for instead: the oldest snapshot, or for a time the start of the gapless history. */
export function noSnapshot(
  identity: TableIdentity,
  metadata: TableMetadata,
  at: HistoryRequest["at"] | { readonly kind: "current" },
): MiniodbError {
  const wanted = wantedText(at);
  const [oldest] = at.kind === "as-of" ? historyOf(metadata) : snapshotsOf(metadata);
  if (oldest === undefined) {
    return new MiniodbError("NOT_FOUND", `Table ${identity.name} has no snapshot yet, so no ${wanted}`, {
      table: identity.name,
    });
  }
  const oldestId = String(oldest["snapshot-id"]);
  const oldestTime = isoTime(oldest["timestamp-ms"]);
  return new MiniodbError(
    "NOT_FOUND",
    `Table ${identity.name} has no ${wanted} (any more): its oldest snapshot is ${oldestId} of ${oldestTime}`,
    { table: identity.name, oldestSnapshotId: oldestId, oldestTimestamp: oldestTime },
  );
}

function wantedText(at: HistoryRequest["at"] | { readonly kind: "current" }): string {
  switch (at.kind) {
    case "snapshot-id":
      return `snapshot ${at.snapshotId}`;
    case "as-of":
      return `state at ${isoTime(at.timeMs)}`;
    case "tag":
      return `tag ${at.name}`;
    case "current":
      return "present snapshot";
  }
}

function isoTime(timeMs: number): string {
  return new Date(timeMs).toISOString();
}
