/** A table's metadata as a backup keeps it: with one snapshot, which is what a restore needs of it. Pure. */
import { fromIcebergSchema } from "./schema-json.js";
import { withSchema } from "./schema-change.js";
import { withoutUnusedSchemas } from "./snapshot.js";
import { snapshotsOf, type Snapshot, type TableMetadata } from "./table-metadata.js";
import { stateProperty } from "./table-properties.js";

/**
 * The metadata with the snapshot as its only and current one; null: with none. `asOf` true gives it the schema of that
 * snapshot, too, else it keeps the one that it has.
 */
export function withOnlySnapshot(metadata: TableMetadata, snapshot: Snapshot | null, asOf: boolean): TableMetadata {
  const { [stateProperty]: _state, ...properties } = metadata.properties;
  const id = snapshot?.["snapshot-id"] ?? -1;
  const { "partition-statistics": _statistics, ...rest } = metadata;
  const pruned: TableMetadata = {
    ...rest,
    properties,
    "current-snapshot-id": id,
    snapshots: snapshot === null ? [] : [snapshot],
    "snapshot-log": snapshot === null ? [] : [{ "snapshot-id": id, "timestamp-ms": snapshot["timestamp-ms"] }],
    "metadata-log": [],
    statistics: [],
    refs: snapshot === null ? {} : { main: { "snapshot-id": id, type: "branch" } },
  };
  const then = asOf ? pruned.schemas.find((schema) => schema["schema-id"] === snapshot?.["schema-id"]) : undefined;
  if (then === undefined || then["schema-id"] === pruned["current-schema-id"]) return withoutUnusedSchemas(pruned);
  return withSchema(pruned, fromIcebergSchema(then, pruned["last-column-id"]));
}

/** By its id in decimal text; undefined where it is not there (any more). */
export function snapshotById(metadata: TableMetadata, snapshotId: string): Snapshot | undefined {
  return snapshotsOf(metadata).find((snapshot) => String(snapshot["snapshot-id"]) === snapshotId);
}
