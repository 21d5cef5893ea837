/** New snapshots, and which old ones expire. Pure: metadata in, metadata out. */
import type { LongValue } from "./exact-json.js";
import { currentSnapshot, snapshotsOf, type Snapshot, type TableMetadata } from "./table-metadata.js";
import { commitIdProperty } from "./table-properties.js";

export interface FileCounts {
  readonly files: number;
  readonly rows: number;
  readonly bytes: number;
}

/** What a snapshot says of one kind of files. */
interface ChangeCounts {
  readonly added: FileCounts;
  readonly removed: FileCounts;
  /** Of the whole table, afterwards: counted, not derived from the totals before. */
  readonly total: FileCounts;
}

export interface NewSnapshot extends ChangeCounts {
  readonly snapshotId: number;
  readonly operation: "append" | "replace" | "overwrite" | "delete";
  readonly commitId: string;
  readonly manifestListUri: string;
  /** Of delete files, whose rows are positions; the counts beside it are of data files. */
  readonly deletes: ChangeCounts;
  readonly changedPartitions: number;
  readonly nowMs: number;
}

/** Ids below this are exact as doubles, and have no more digits than exact-json.ts passes by. */
const snapshotIdMax = 10 ** 15;

/** A new id, positive, that no retained snapshot has. */
export function newSnapshotId(metadata: TableMetadata, random: () => number): number {
  const used = new Set<LongValue>(snapshotsOf(metadata).map((snapshot) => snapshot["snapshot-id"]));
  for (;;) {
    const id = 1 + Math.floor(random() * (snapshotIdMax - 1));
    if (!used.has(id)) return id;
  }
}

/** The metadata with the snapshot as its current one. */
export function withSnapshot(metadata: TableMetadata, change: NewSnapshot): TableMetadata {
  const parent = currentSnapshot(metadata);
  const id = change.snapshotId;
  const snapshot: Snapshot = {
    "snapshot-id": id,
    ...(parent === undefined ? {} : { "parent-snapshot-id": parent["snapshot-id"] }),
    "sequence-number": metadata["last-sequence-number"] + 1,
    "timestamp-ms": change.nowMs,
    "manifest-list": change.manifestListUri,
    summary: summaryOf(change),
    // Time travel reads the snapshot under the schema of its day.
    "schema-id": metadata["current-schema-id"],
  };
  return {
    ...metadata,
    "last-sequence-number": snapshot["sequence-number"],
    "current-snapshot-id": id,
    snapshots: [...snapshotsOf(metadata), snapshot],
    "snapshot-log": [...(metadata["snapshot-log"] ?? []), { "snapshot-id": id, "timestamp-ms": change.nowMs }],
    refs: { ...metadata.refs, main: { "snapshot-id": id, type: "branch" } },
  };
}

export interface ExpiryRule {
  /** The newest that stay however old they are. */
  readonly keep: number;
  /** Of the others, those older than this go. */
  readonly ageMsMax: number;
  /** The newest beyond which all go. */
  readonly max: number;
  readonly nowMs: number;
}

/** The metadata without expired snapshots and what only they needed. Same value when none expires. */
export function withoutExpired(metadata: TableMetadata, rule: ExpiryRule): TableMetadata {
  const named = new Set<LongValue>(Object.values(metadata.refs ?? {}).map((reference) => reference["snapshot-id"]));
  const current = currentSnapshot(metadata);
  if (current !== undefined) named.add(current["snapshot-id"]);
  const snapshots = snapshotsOf(metadata);
  const retained = snapshots.filter((snapshot, index) => {
    const rank = snapshots.length - 1 - index;
    const isYoung = rule.nowMs - snapshot["timestamp-ms"] <= rule.ageMsMax;
    return named.has(snapshot["snapshot-id"]) || (rank < rule.max && (rank < rule.keep || isYoung));
  });
  if (retained.length === snapshots.length) return metadata;
  const ids = new Set<LongValue>(retained.map((snapshot) => snapshot["snapshot-id"]));
  const statistics = metadata.statistics?.filter((file) => ids.has(file["snapshot-id"]));
  const partitionStatistics = metadata["partition-statistics"]?.filter((file) => ids.has(file["snapshot-id"]));
  return {
    ...metadata,
    snapshots: retained,
    "snapshot-log": logAfterLastExpired(metadata, ids),
    ...(statistics === undefined ? {} : { statistics }),
    ...(partitionStatistics === undefined ? {} : { "partition-statistics": partitionStatistics }),
  };
}

/** The metadata without schemas that neither a retained snapshot nor the table uses. */
export function withoutUnusedSchemas(metadata: TableMetadata): TableMetadata {
  const used = new Set(snapshotsOf(metadata).map((snapshot) => snapshot["schema-id"]));
  used.add(metadata["current-schema-id"]);
  const schemas = metadata.schemas.filter((schema) => used.has(schema["schema-id"]));
  return schemas.length === metadata.schemas.length ? metadata : { ...metadata, schemas };
}

/** "When snapshots are expired, all entries before a snapshot that has expired should be removed." */
function logAfterLastExpired(metadata: TableMetadata, retained: ReadonlySet<LongValue>) {
  const log = metadata["snapshot-log"] ?? [];
  const lastExpired = log.findLastIndex((entry) => !retained.has(entry["snapshot-id"]));
  return log.slice(lastExpired + 1);
}

/** The names that Java writes and other engines show (specification, appendix F, "Optional Snapshot Summary Fields"). */
function summaryOf(change: NewSnapshot): Record<string, string> {
  const { added, removed, total, deletes } = change;
  const summary: Record<string, string> = { operation: change.operation, [commitIdProperty]: change.commitId };
  const put = (key: string, value: number) => {
    summary[key] = String(value);
  };
  if (added.files > 0) {
    put("added-data-files", added.files);
    put("added-records", added.rows);
  }
  if (deletes.added.files > 0) {
    put("added-delete-files", deletes.added.files);
    put("added-position-delete-files", deletes.added.files);
    put("added-position-deletes", deletes.added.rows);
  }
  // Sizes are of files of both kinds.
  const addedBytes = added.bytes + deletes.added.bytes;
  if (addedBytes > 0) put("added-files-size", addedBytes);
  if (removed.files > 0) {
    put("deleted-data-files", removed.files);
    put("deleted-records", removed.rows);
  }
  if (deletes.removed.files > 0) {
    put("removed-delete-files", deletes.removed.files);
    put("removed-position-delete-files", deletes.removed.files);
    put("removed-position-deletes", deletes.removed.rows);
  }
  const removedBytes = removed.bytes + deletes.removed.bytes;
  if (removedBytes > 0) put("removed-files-size", removedBytes);
  put("changed-partition-count", change.changedPartitions);
  put("total-data-files", total.files);
  put("total-records", total.rows);
  put("total-files-size", total.bytes + deletes.total.bytes);
  put("total-delete-files", deletes.total.files);
  put("total-position-deletes", deletes.total.rows);
  put("total-equality-deletes", 0);
  return summary;
}
