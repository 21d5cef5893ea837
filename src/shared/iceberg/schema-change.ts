/** What a commit does to the stored schema, and to the settings. Pure. */
import { MiniodbError } from "../errors.js";
import { columnByFieldId, isDroppedField, type TableColumn, type TableSchema } from "../schema/table-schema.js";
import { withPatch, type SettingsPatch } from "../schema/table-settings.js";
import { withEncryptedColumns } from "./column-encryption.js";
import { daySpec, sortOrder } from "./partition-spec.js";
import { nameMapping, toIcebergSchema } from "./schema-json.js";
import { withoutUnusedSchemas } from "./snapshot.js";
import { currentSchema, type TableMetadata } from "./table-metadata.js";
import { settingsOf, withSettings } from "./table-properties.js";

export const nameMappingProperty = "schema.name-mapping.default";

export interface SchemaChange {
  /** Same value as the base where the stored schema stays. */
  readonly metadata: TableMetadata;
  /** Field ids that no live file may hold from now on: their column changed its type or its id. */
  readonly retiredFieldIds: ReadonlySet<number>;
}

/**
 * Takes the writer's schema into the metadata when it is newer than the stored one. An older or equal one must lie
 * within the stored one, but for columns that were dropped since: then the stored one stays. Throws COMMIT_CONFLICT where
 * the two cannot be brought together. A stored column that a newer schema lacks was dropped: only one writer, the table's
 * owner, makes newer schemas, each out of the one before.
 *
 * A long column that became double comes with a new field id (`replacesFieldId`), or, while no file held it, with the
 * same one; either way the old values must be out of the live files with this very commit (`retiredFieldIds`).
 */
export function changeSchema(base: TableMetadata, schema: TableSchema): SchemaChange {
  const stored = currentSchema(base);
  if (schema.version <= stored.version) {
    const stranger = schema.columns.find(({ fieldId, type }) => {
      return columnByFieldId(stored, fieldId)?.type !== type && !isDroppedField(stored, fieldId);
    });
    if (stranger !== undefined) {
      throw conflict(`the table has another column than "${stranger.name}" (field ${stranger.fieldId})`, stored);
    }
    return { metadata: base, retiredFieldIds: new Set() };
  }
  const retiredFieldIds = new Set<number>();
  for (const column of stored.columns) {
    const after = columnByFieldId(schema, column.fieldId);
    if (after?.type === column.type) continue;
    if (schema.columns.some((candidate) => isHeir(candidate, column))) retiredFieldIds.add(column.fieldId);
    else if (!isDroppedField(schema, column.fieldId)) {
      throw conflict(`the writer has no column "${column.name}" of type ${column.type}`, stored);
    }
  }
  return { metadata: withSchema(base, schema), retiredFieldIds };
}

/** The metadata with this current schema and all that is derived from it. */
export function withSchema(base: TableMetadata, schema: TableSchema): TableMetadata {
  // The writer's version number is the schema id: it only grows, so an id means one schema for good.
  const others = base.schemas.filter((known) => known["schema-id"] !== schema.version);
  const next: TableMetadata = {
    ...base,
    "last-column-id": Math.max(base["last-column-id"], schema.lastFieldId),
    "current-schema-id": schema.version,
    schemas: [...others, toIcebergSchema(schema)],
    "partition-specs": [daySpec(schema)],
    properties: withEncryptedColumns({ ...base.properties, [nameMappingProperty]: nameMapping(schema) }, schema),
  };
  return withoutUnusedSchemas(withSortOrder(next));
}

/**
 * The metadata with the sort order of its settings, under a new id when it changed. Only the current one is kept: an
 * order that names a column of the past could not be read, and files of an unknown order count as unsorted.
 */
function withSortOrder(metadata: TableMetadata): TableMetadata {
  const current = metadata["sort-orders"].find((order) => order["order-id"] === metadata["default-sort-order-id"]);
  const schema = currentSchema(metadata);
  const wanted = sortOrder(metadata["default-sort-order-id"], schema, settingsOf(metadata.properties).sortOrder);
  if (JSON.stringify(current) === JSON.stringify(wanted)) return metadata;
  const next = { ...wanted, "order-id": metadata["default-sort-order-id"] + 1 };
  return { ...metadata, "default-sort-order-id": next["order-id"], "sort-orders": [next] };
}

/** The metadata with changed settings and the sort order that follows from them. What the patch does not name stays. */
export function withChangedSettings(metadata: TableMetadata, patch: SettingsPatch): TableMetadata {
  if (Object.keys(patch).length === 0) return metadata;
  const settings = withPatch(settingsOf(metadata.properties), patch);
  return withSortOrder({ ...metadata, properties: withSettings(metadata.properties, settings) });
}

/** The one change of type there is. */
function isHeir(candidate: TableColumn, column: TableColumn): boolean {
  if (column.type !== "long" || candidate.type !== "double") return false;
  return candidate.replacesFieldId === column.fieldId || candidate.fieldId === column.fieldId;
}

function conflict(reason: string, stored: TableSchema): MiniodbError {
  const details = { storedSchemaVersion: stored.version };
  return new MiniodbError(
    "COMMIT_CONFLICT",
    `The schema of the commit does not continue the table's: ${reason}.`,
    details,
  );
}
