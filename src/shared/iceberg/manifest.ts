/**
 * Manifests: which data files, or delete files, a part of a table has (Iceberg specification, "Manifests"). An entry keeps
 * the writer's record as it was, so merging manifests of another writer loses nothing that version 2 defines.
 */
import { assert } from "../assert.js";
import { MiniodbError } from "../errors.js";
import type { ColumnBounds, DataFile, DeleteFile } from "../messages.js";
import type { ColumnType } from "../schema/column-type.js";
import type { TableSchema } from "../schema/table-schema.js";
import { keyOfUri } from "../store/store-paths.js";
import { decodeAvroFile, encodeAvroFile } from "./avro-file.js";
import type { LongValue } from "./exact-json.js";
import { manifestEntrySchema } from "./manifest-schema.js";
import type { PartitionSpec } from "./partition-spec.js";
import { toIcebergSchema } from "./schema-json.js";
import { decodeBound, encodeLowerBound, encodeUpperBound } from "./single-value.js";

export const entryStatus = { existing: 0, added: 1, deleted: 2 } as const;
export type EntryStatus = (typeof entryStatus)[keyof typeof entryStatus];

/** A data file as its writer hands it to a commit. */
export interface NewDataFile extends DataFile {
  /** Bytes in the file by field id, where the writer knows them. */
  readonly columnBytes?: Readonly<Record<number, number>>;
  /** True when the rows are in the table's sort order (ascending, nulls last). */
  readonly isSorted?: boolean;
  /**
   * Keys of files that the same commit removes, whose rows it holds and no others: its data sequence number is then the
   * greatest of theirs, so that it says of its rows in which snapshot they came at the latest.
   */
  readonly rowsOf?: readonly string[];
}

export interface ManifestEntry {
  /** `existing` and `added` are live; `deleted` says which snapshot took the file out, and is dropped by the next. */
  readonly status: EntryStatus;
  /** The snapshot that added the file, or deleted it; null in a new entry: that of its manifest. */
  readonly snapshotId: LongValue | null;
  /** Null in a new entry: that of its manifest. */
  readonly sequenceNumber: number | null;
  readonly fileSequenceNumber: number | null;
  /** The file's key, from `file_path`. */
  readonly key: string;
  /** The partition: days since 1970-01-01. */
  readonly day: number;
  readonly file: DataFileRecord;
}

interface Pair<Value> {
  readonly key: number;
  readonly value: Value;
}

/** `data_file` of the specification, without the partition. */
interface DataFileRecord {
  /** See `fileContent` of delete-entry.ts. */
  readonly content: number;
  readonly file_path: string;
  readonly file_format: string;
  readonly record_count: number;
  readonly file_size_in_bytes: number;
  readonly column_sizes: readonly Pair<number>[] | null;
  /** Nulls included. Its keys are the columns that the file has: DataFile.fieldIds. */
  readonly value_counts: readonly Pair<number>[] | null;
  readonly null_value_counts: readonly Pair<number>[] | null;
  /** We write none: "unknown", which readers take as "may have some". */
  readonly nan_value_counts: readonly Pair<number>[] | null;
  readonly lower_bounds: readonly Pair<Buffer>[] | null;
  readonly upper_bounds: readonly Pair<Buffer>[] | null;
  readonly key_metadata: Buffer | null;
  readonly split_offsets: readonly number[] | null;
  readonly equality_ids: readonly number[] | null;
  /** 0, null or an id that is not in the metadata: not sorted. */
  readonly sort_order_id: number | null;
}

interface EntryRecord {
  readonly status: EntryStatus;
  readonly snapshot_id: LongValue | null;
  readonly sequence_number: number | null;
  readonly file_sequence_number: number | null;
  readonly data_file: DataFileRecord & { readonly partition: Readonly<Record<string, unknown>> };
}

/** What all manifests of one commit have in common. */
export interface ManifestContext {
  readonly schema: TableSchema;
  readonly spec: PartitionSpec;
  /** Absent: data files. */
  readonly content?: "data" | "deletes";
}

export interface NewEntryContext {
  readonly schema: TableSchema;
  readonly sortOrderId: number;
  readonly uriOf: (key: string) => string;
}

/** The entry of a file that is added; every field id of the file must be in the schema. */
export function newEntry(file: NewDataFile, context: NewEntryContext): ManifestEntry {
  const typeOf = new Map(context.schema.columns.map((column) => [column.fieldId, column.type]));
  const nulls: Pair<number>[] = [];
  const lower: Pair<Buffer>[] = [];
  const upper: Pair<Buffer>[] = [];
  for (const [id, bounds] of Object.entries(file.bounds)) {
    const key = Number(id);
    const type = typeOf.get(key);
    assert(type !== undefined, `bounds of field ${id}, which the schema does not have`);
    nulls.push({ key, value: bounds.nulls });
    const lowerBytes = bounds.lower === null ? null : encodeLowerBound(type, bounds.lower);
    const upperBytes = bounds.upper === null ? null : encodeUpperBound(type, bounds.upper);
    if (lowerBytes !== null) lower.push({ key, value: lowerBytes });
    if (upperBytes !== null) upper.push({ key, value: upperBytes });
  }
  const sizes = Object.entries(file.columnBytes ?? {}).map(([id, value]) => ({ key: Number(id), value }));
  return {
    status: entryStatus.added,
    snapshotId: null,
    sequenceNumber: null,
    fileSequenceNumber: null,
    key: file.key,
    day: file.day,
    file: {
      content: 0,
      file_path: context.uriOf(file.key),
      file_format: "PARQUET",
      record_count: file.rows,
      file_size_in_bytes: file.bytes,
      column_sizes: sizes.length === 0 ? null : sizes,
      value_counts: file.fieldIds.map((key) => ({ key, value: file.rows })),
      null_value_counts: nulls,
      nan_value_counts: null,
      lower_bounds: lower,
      upper_bounds: upper,
      key_metadata: null,
      split_offsets: null,
      equality_ids: null,
      sort_order_id: file.isSorted === true ? context.sortOrderId : 0,
    },
  };
}

/**
 * The entry as the rest of the server knows a file, with the delete files that apply to it. Bounds of field ids without a
 * known type are left out.
 */
export function toDataFile(
  entry: ManifestEntry,
  types: ReadonlyMap<number, ColumnType>,
  deletes: readonly DeleteFile[] = [],
): DataFile {
  const { file } = entry;
  const lower = byFieldId(file.lower_bounds);
  const upper = byFieldId(file.upper_bounds);
  const bounds: Record<number, ColumnBounds> = {};
  for (const { key, value: nulls } of file.null_value_counts ?? []) {
    const type = types.get(key);
    if (type === undefined) continue;
    bounds[key] = { lower: decodeOptional(type, lower.get(key)), upper: decodeOptional(type, upper.get(key)), nulls };
  }
  return {
    key: entry.key,
    bytes: file.file_size_in_bytes,
    rows: file.record_count,
    day: entry.day,
    bounds,
    fieldIds: (file.value_counts ?? []).map((pair) => pair.key),
    ...(deletes.length > 0 && { deletes }),
  };
}

/** The bytes of a manifest; `sync` is 16 random bytes. */
export function encodeManifest(
  entries: readonly ManifestEntry[],
  context: ManifestContext,
  sync: Uint8Array,
): Uint8Array {
  const { schema, spec, content = "data" } = context;
  // Readers go by the partition field's id; its name only has to be that of the spec in the metadata beside it.
  const partitionName = spec.fields[0]?.name ?? "timestamp_day";
  const records = entries.map((entry): EntryRecord => ({
    status: entry.status,
    snapshot_id: entry.snapshotId,
    sequence_number: entry.sequenceNumber,
    file_sequence_number: entry.fileSequenceNumber,
    data_file: { ...entry.file, partition: { [partitionName]: entry.day } },
  }));
  const metadata = {
    schema: JSON.stringify(toIcebergSchema(schema)),
    "schema-id": String(schema.version),
    "partition-spec": JSON.stringify(spec.fields),
    "partition-spec-id": String(spec["spec-id"]),
    "format-version": "2",
    content,
  };
  return encodeAvroFile({ schema: manifestEntrySchema(partitionName), metadata, records }, sync);
}

export interface InheritedValues {
  readonly snapshotId: LongValue;
  readonly sequenceNumber: number;
}

/** All entries, what they inherit from the manifest list filled in (specification, "Sequence Number Inheritance"). */
export function decodeManifest(bytes: Uint8Array, name: string, inherited: InheritedValues): ManifestEntry[] {
  return decodeAvroFile(bytes, name).records.map((value) => {
    const { status, snapshot_id, sequence_number, file_sequence_number, data_file } = value as EntryRecord;
    const { partition, ...file } = data_file;
    const key = keyOfUri(file.file_path);
    const [day] = Object.values(partition);
    if (key === undefined || typeof day !== "number") {
      throw new MiniodbError(
        "INTERNAL",
        `Manifest ${name} lists ${file.file_path}, which is no file of a day of this warehouse.`,
      );
    }
    const stated = {
      snapshotId: snapshot_id,
      sequenceNumber: sequence_number,
      fileSequenceNumber: file_sequence_number,
    };
    return withInherited({ status, ...stated, key, day, file }, inherited);
  });
}

/** The entry as a reader of its manifest sees it. */
export function withInherited(entry: ManifestEntry, inherited: InheritedValues): ManifestEntry {
  const sequenceNumber = entry.status === entryStatus.added ? inherited.sequenceNumber : null;
  return {
    ...entry,
    snapshotId: entry.snapshotId ?? inherited.snapshotId,
    sequenceNumber: entry.sequenceNumber ?? sequenceNumber,
    fileSequenceNumber: entry.fileSequenceNumber ?? sequenceNumber,
  };
}

function byFieldId(pairs: readonly Pair<Buffer>[] | null): Map<number, Buffer> {
  return new Map((pairs ?? []).map(({ key, value }) => [key, value]));
}

function decodeOptional(type: ColumnType, bytes: Buffer | undefined): string | number | boolean | null {
  return bytes === undefined ? null : decodeBound(type, bytes);
}
