/**
 * Avro schemas of manifests and manifest lists, version 2, with the field ids of the Iceberg specification ("Manifests",
 * "Manifest Lists"). Names and order are those that Java writes; readers go by field id.
 */
import type { AvroSchema } from "./avro-file.js";
import { dayFieldId } from "./partition-spec.js";

function field(id: number, name: string, type: AvroSchema) {
  return { name, type, "field-id": id };
}

/** The specification wants null as the default, and so null first in the union. */
function optional(id: number, name: string, type: AvroSchema) {
  return { name, type: ["null", type], default: null, "field-id": id };
}

/** Avro maps have text keys only, so Iceberg writes a map as a list of pairs. */
function intMap(keyId: number, valueId: number, valueType: string): AvroSchema {
  const pair = {
    type: "record",
    name: `k${keyId}_v${valueId}`,
    fields: [field(keyId, "key", "int"), field(valueId, "value", valueType)],
  };
  return { type: "array", items: pair, logicalType: "map" };
}

/** `element-id` stands where a record's fields have `field-id`. */
function list(elementId: number, items: AvroSchema): AvroSchema {
  return { type: "array", items, "element-id": elementId };
}

/** `partitionName` is the name of the spec's one field. */
export function manifestEntrySchema(partitionName: string): AvroSchema {
  const partition = {
    type: "record",
    name: "r102",
    // The result of the day transform is written as a date: an int of days since 1970-01-01.
    fields: [optional(dayFieldId, partitionName, { type: "int", logicalType: "date" })],
  };
  const dataFile = {
    type: "record",
    name: "r2",
    fields: [
      field(134, "content", "int"),
      field(100, "file_path", "string"),
      field(101, "file_format", "string"),
      field(102, "partition", partition),
      field(103, "record_count", "long"),
      field(104, "file_size_in_bytes", "long"),
      optional(108, "column_sizes", intMap(117, 118, "long")),
      optional(109, "value_counts", intMap(119, 120, "long")),
      optional(110, "null_value_counts", intMap(121, 122, "long")),
      optional(137, "nan_value_counts", intMap(138, 139, "long")),
      optional(125, "lower_bounds", intMap(126, 127, "bytes")),
      optional(128, "upper_bounds", intMap(129, 130, "bytes")),
      optional(131, "key_metadata", "bytes"),
      optional(132, "split_offsets", list(133, "long")),
      optional(135, "equality_ids", list(136, "int")),
      optional(140, "sort_order_id", "int"),
    ],
  };
  return {
    type: "record",
    name: "manifest_entry",
    fields: [
      field(0, "status", "int"),
      optional(1, "snapshot_id", "long"),
      optional(3, "sequence_number", "long"),
      optional(4, "file_sequence_number", "long"),
      field(2, "data_file", dataFile),
    ],
  };
}

/** Bounds are single values of the partition's type, for a day 4 bytes. */
const partitionSummary = {
  type: "record",
  name: "r508",
  fields: [
    field(509, "contains_null", "boolean"),
    optional(518, "contains_nan", "boolean"),
    optional(510, "lower_bound", "bytes"),
    optional(511, "upper_bound", "bytes"),
  ],
};

/** A row of a manifest list; see ManifestFile for the meaning of its fields. */
export const manifestFileSchema: AvroSchema = {
  type: "record",
  name: "manifest_file",
  fields: [
    field(500, "manifest_path", "string"),
    field(501, "manifest_length", "long"),
    field(502, "partition_spec_id", "int"),
    field(517, "content", "int"),
    field(515, "sequence_number", "long"),
    field(516, "min_sequence_number", "long"),
    field(503, "added_snapshot_id", "long"),
    field(504, "added_files_count", "int"),
    field(505, "existing_files_count", "int"),
    field(506, "deleted_files_count", "int"),
    field(512, "added_rows_count", "long"),
    field(513, "existing_rows_count", "long"),
    field(514, "deleted_rows_count", "long"),
    optional(507, "partitions", list(508, partitionSummary)),
    optional(519, "key_metadata", "bytes"),
  ],
};
