/**
 * Manifest lists: the manifests of one snapshot, with what a planner needs to skip them (Iceberg specification, "Manifest
 * Lists"): counts by status, the range of the partition, and the sequence numbers that new entries inherit.
 */
import { keyOfUri } from "../store/store-paths.js";
import { MiniodbError } from "../errors.js";
import { decodeAvroFile, encodeAvroFile, type AvroSchema } from "./avro-file.js";
import type { LongValue } from "./exact-json.js";
import { entryStatus, type EntryStatus, type ManifestEntry } from "./manifest.js";
import { manifestFileSchema } from "./manifest-schema.js";
import { encodeDay } from "./single-value.js";

/** One manifest, with the names of the specification. */
export interface ManifestFile {
  readonly manifest_path: string;
  readonly manifest_length: number;
  readonly partition_spec_id: number;
  /** 0: data files; 1: delete files. */
  readonly content: number;
  /** Of the commit that wrote the manifest: what its added entries inherit. */
  readonly sequence_number: number;
  /** The least of its live entries. */
  readonly min_sequence_number: number;
  /** The snapshot that wrote the manifest: what its entries inherit. */
  readonly added_snapshot_id: LongValue;
  readonly added_files_count: number;
  readonly existing_files_count: number;
  readonly deleted_files_count: number;
  readonly added_rows_count: number;
  readonly existing_rows_count: number;
  readonly deleted_rows_count: number;
  /** One per field of the spec: ours has one, the day. */
  readonly partitions: readonly PartitionSummary[] | null;
  readonly key_metadata: Buffer | null;
}

interface PartitionSummary {
  readonly contains_null: boolean;
  readonly contains_nan: boolean | null;
  readonly lower_bound: Buffer | null;
  readonly upper_bound: Buffer | null;
}

/** The snapshot that a manifest, or a list, is written for; `sequenceNumber` is its own. */
export interface SnapshotNumbers {
  readonly snapshotId: number;
  readonly parentSnapshotId: LongValue | null;
  readonly sequenceNumber: number;
}

export interface WrittenManifest {
  readonly uri: string;
  readonly bytes: number;
  readonly specId: number;
  /** See `manifestContent`; absent: data. */
  readonly content?: number;
}

/** The list's row for a new manifest of these entries (at least one). */
export function describeManifest(
  entries: readonly ManifestEntry[],
  manifest: WrittenManifest,
  snapshot: SnapshotNumbers,
): ManifestFile {
  const count = (status: EntryStatus) => entries.filter((entry) => entry.status === status).length;
  const rows = (status: EntryStatus) =>
    entries.reduce((sum, entry) => (entry.status === status ? sum + entry.file.record_count : sum), 0);
  const live = entries.filter((entry) => entry.status !== entryStatus.deleted);
  const days = entries.map((entry) => entry.day);
  return {
    manifest_path: manifest.uri,
    manifest_length: manifest.bytes,
    partition_spec_id: manifest.specId,
    content: manifest.content ?? 0,
    sequence_number: snapshot.sequenceNumber,
    min_sequence_number: least(
      live.map((entry) => entry.sequenceNumber ?? snapshot.sequenceNumber),
      snapshot.sequenceNumber,
    ),
    added_snapshot_id: snapshot.snapshotId,
    added_files_count: count(entryStatus.added),
    existing_files_count: count(entryStatus.existing),
    deleted_files_count: count(entryStatus.deleted),
    added_rows_count: rows(entryStatus.added),
    existing_rows_count: rows(entryStatus.existing),
    deleted_rows_count: rows(entryStatus.deleted),
    partitions: [
      {
        contains_null: false,
        contains_nan: false,
        lower_bound: encodeDay(least(days, Number.POSITIVE_INFINITY)),
        upper_bound: encodeDay(
          -least(
            days.map((day) => -day),
            Number.POSITIVE_INFINITY,
          ),
        ),
      },
    ],
    key_metadata: null,
  };
}

export function encodeManifestList(
  manifests: readonly ManifestFile[],
  snapshot: SnapshotNumbers,
  sync: Uint8Array,
): Uint8Array {
  const metadata = {
    "snapshot-id": String(snapshot.snapshotId),
    "parent-snapshot-id": String(snapshot.parentSnapshotId),
    "sequence-number": String(snapshot.sequenceNumber),
    "format-version": "2",
  };
  return encodeAvroFile({ schema: manifestFileSchema, metadata, records: manifests }, sync);
}

/** Reads a list of any writer: fields are known by id, as some have had two names (`added_data_files_count`). */
export function decodeManifestList(bytes: Uint8Array, name: string): ManifestFile[] {
  const { schema, records } = decodeAvroFile(bytes, name);
  const names = new Map(fieldsOf(manifestFileSchema).map((field) => [field["field-id"], field.name]));
  const renamed = fieldsOf(schema).map((field) => [field.name, names.get(field["field-id"]) ?? field.name] as const);
  if (renamed.every(([from, to]) => from === to)) return records as ManifestFile[];
  return (records as Readonly<Record<string, unknown>>[]).map(
    (record) => Object.fromEntries(renamed.map(([from, to]) => [to, record[from]])) as unknown as ManifestFile,
  );
}

function fieldsOf(schema: AvroSchema): readonly { readonly name: string; readonly "field-id"?: number }[] {
  const { fields } = schema as { readonly fields?: readonly { readonly name: string }[] };
  return fields ?? [];
}

/** The manifest's key in this warehouse. Throws INTERNAL for one outside of it. */
export function manifestKeyOf(manifest: ManifestFile): string {
  const key = keyOfUri(manifest.manifest_path);
  if (key !== undefined) return key;
  throw new MiniodbError("INTERNAL", `Manifest ${manifest.manifest_path} is not of this warehouse.`);
}

/** Math.min with arguments has a limit of its own. */
function least(values: readonly number[], start: number): number {
  return values.reduce((left, right) => Math.min(left, right), start);
}
