/**
 * Table metadata, format version 2 (Iceberg specification, "Table Metadata Fields"), as the JSON tree that it is: a
 * change makes a new tree by spreading the old one, so fields that this code does not know survive every rewrite.
 */
import { MiniodbError } from "../errors.js";
import { withEncryptionOf } from "./column-encryption.js";
import { parseExactJson, stringifyExactJson, type LongValue } from "./exact-json.js";
import type { PartitionSpec, SortOrder } from "./partition-spec.js";
import { fromIcebergSchema, type IcebergSchema } from "./schema-json.js";
import type { TableSchema } from "../schema/table-schema.js";

export interface TableMetadata {
  readonly "format-version": number;
  readonly "table-uuid": string;
  /** URI of the table's folder at the time of writing. */
  readonly location: string;
  /** Of the newest snapshot; 0 before the first. */
  readonly "last-sequence-number": number;
  readonly "last-updated-ms": number;
  /** The highest field id ever given: TableSchema.lastFieldId. */
  readonly "last-column-id": number;
  readonly "current-schema-id": number;
  /** The current one, and those of retained snapshots. */
  readonly schemas: readonly IcebergSchema[];
  readonly "default-spec-id": number;
  readonly "partition-specs": readonly PartitionSpec[];
  readonly "last-partition-id": number;
  /** Only the current one is kept: see schema-change.ts. */
  readonly "default-sort-order-id": number;
  readonly "sort-orders": readonly SortOrder[];
  readonly properties: Readonly<Record<string, string>>;
  /** -1, as Java writes it, while there is none; other writers leave it out or write null. */
  readonly "current-snapshot-id"?: LongValue | null;
  /** `main`, and the branches and tags of other writers, whose snapshots do not expire. */
  readonly refs?: Readonly<Record<string, SnapshotReference>>;
  /** Oldest first. */
  readonly snapshots?: readonly Snapshot[];
  /** Which snapshot was current since when; ends with the current one. */
  readonly "snapshot-log"?: readonly SnapshotLogEntry[];
  /** The versions before this one, bounded; for people and other readers, nothing here relies on it. */
  readonly "metadata-log"?: readonly MetadataLogEntry[];
  /** Puffin files of other writers: carried along, and kept from garbage collection. */
  readonly statistics?: readonly StatisticsFile[];
  readonly "partition-statistics"?: readonly StatisticsFile[];
}

export interface Snapshot {
  readonly "snapshot-id": LongValue;
  readonly "parent-snapshot-id"?: LongValue | null;
  readonly "sequence-number": number;
  readonly "timestamp-ms": number;
  /** URI of the manifest list. */
  readonly "manifest-list": string;
  /** `operation`, counts as decimal text, and ours: `miniodb.commit-id`. */
  readonly summary: Readonly<Record<string, string>>;
  readonly "schema-id"?: number;
}

interface SnapshotReference {
  readonly "snapshot-id": LongValue;
  readonly type: string;
}

interface SnapshotLogEntry {
  readonly "snapshot-id": LongValue;
  readonly "timestamp-ms": number;
}

interface MetadataLogEntry {
  readonly "metadata-file": string;
  readonly "timestamp-ms": number;
}

interface StatisticsFile {
  readonly "snapshot-id": LongValue;
  readonly "statistics-path": string;
}

const textFields = ["table-uuid", "location"] as const;
const numberFields = [
  "last-sequence-number",
  "last-updated-ms",
  "last-column-id",
  "current-schema-id",
  "default-spec-id",
  "last-partition-id",
  "default-sort-order-id",
] as const;
const listFields = ["schemas", "partition-specs", "sort-orders"] as const;

/** `name` is for the message. Throws INTERNAL where the text is not metadata of format version 2. */
export function parseTableMetadata(body: Uint8Array, name: string): TableMetadata {
  const metadata = parseObject(body, name) as Partial<Record<keyof TableMetadata, unknown>>;
  const missing: string[] = [
    ...textFields.filter((field) => typeof metadata[field] !== "string"),
    ...numberFields.filter((field) => !Number.isSafeInteger(metadata[field])),
    ...listFields.filter((field) => !Array.isArray(metadata[field])),
  ];
  if (metadata["format-version"] !== 2) missing.unshift("format-version 2");
  if (missing.length > 0) throw unreadable(name, `it lacks ${missing.join(", ")}`);
  return { ...metadata, properties: metadata.properties ?? {} } as TableMetadata;
}

export function encodeTableMetadata(metadata: TableMetadata): Uint8Array {
  return Buffer.from(stringifyExactJson(metadata), "utf8");
}

/** The current schema. */
export function currentSchema(metadata: TableMetadata): TableSchema {
  const id = metadata["current-schema-id"];
  const schema = metadata.schemas.find((schema) => schema["schema-id"] === id);
  if (schema === undefined) throw unreadable(metadata.location, `schema ${id} is not in its list`);
  return withEncryptionOf(metadata.properties, fromIcebergSchema(schema, metadata["last-column-id"]));
}

export function currentSnapshot(metadata: TableMetadata): Snapshot | undefined {
  const id = metadata["current-snapshot-id"];
  if (id === undefined || id === null || id === -1) return undefined;
  const snapshot = snapshotsOf(metadata).find((snapshot) => snapshot["snapshot-id"] === id);
  if (snapshot === undefined) throw unreadable(metadata.location, `snapshot ${id} is not in its list`);
  return snapshot;
}

export function snapshotsOf(metadata: TableMetadata): readonly Snapshot[] {
  return metadata.snapshots ?? [];
}

function parseObject(body: Uint8Array, name: string): object {
  let value: unknown;
  try {
    value = parseExactJson(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString("utf8"));
  } catch (error) {
    throw unreadable(name, "it is not JSON", error);
  }
  if (typeof value !== "object" || value === null) throw unreadable(name, "it is not a JSON object");
  return value;
}

function unreadable(name: string, reason: string, cause?: unknown): MiniodbError {
  return new MiniodbError("INTERNAL", `Table metadata ${name} cannot be read: ${reason}.`, {}, cause);
}
