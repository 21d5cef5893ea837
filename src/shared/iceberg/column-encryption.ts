/**
 * Which columns are encrypted, by field id, in the table property `miniodb.encrypted-columns`: it outlives changes of names and
 * comments, is in every version, and travels with a backup.
 *
 * ```
 * {"5": {"scope": "9f0c...", "isOn": true, "mayBePlain": false}}
 * ```
 * The scope of a field never changes, so that today's property is right for the schemas of snapshots, too.
 */
import { MiniodbError } from "../errors.js";
import type { ColumnEncryption } from "../schema/column-encryption.js";
import type { TableSchema } from "../schema/table-schema.js";
import type { Properties } from "./table-properties.js";

const encryptedColumnsProperty = "miniodb.encrypted-columns";

/** The schema with what the properties say of its columns. */
export function withEncryptionOf(properties: Properties, schema: TableSchema): TableSchema {
  const text = properties[encryptedColumnsProperty];
  if (text === undefined) return schema;
  const encryptions = parse(text);
  const columns = schema.columns.map((column) => {
    const encryption = encryptions[String(column.fieldId)];
    return encryption === undefined ? column : { ...column, encryption };
  });
  return { ...schema, columns };
}

/** The properties with what the schema's columns say; fields that it does not have stay, as snapshots may have them. */
export function withEncryptedColumns(properties: Properties, schema: TableSchema): Properties {
  const text = properties[encryptedColumnsProperty];
  const entries = schema.columns.flatMap(({ fieldId, encryption }) =>
    encryption === undefined ? [] : [[String(fieldId), encryption] as const],
  );
  if (entries.length === 0) return properties;
  const encryptions = { ...(text !== undefined && parse(text)), ...Object.fromEntries(entries) };
  return { ...properties, [encryptedColumnsProperty]: JSON.stringify(encryptions) };
}

/** Not taken as unset where somebody broke it by hand: new values would then be plain. */
function parse(text: string): Readonly<Record<string, ColumnEncryption>> {
  try {
    return JSON.parse(text) as Readonly<Record<string, ColumnEncryption>>;
  } catch (error) {
    throw new MiniodbError("INTERNAL", `The table property ${encryptedColumnsProperty} is not JSON.`, {}, error);
  }
}
