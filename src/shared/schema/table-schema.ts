import type { ColumnEncryption } from "./column-encryption.js";
import type { ColumnType } from "./column-type.js";

/**
 * A table's columns at one version. Immutable: evolution makes a new value with `version + 1`.
 * Field ids follow Iceberg: given once, never reused, and what files are read by.
 */
export interface TableSchema {
  readonly version: number;
  /** The highest field id ever given, dropped columns included. */
  readonly lastFieldId: number;
  readonly columns: readonly TableColumn[];
}

export interface TableColumn {
  readonly fieldId: number;
  /** As first written; identity is `name.toLowerCase()`. */
  readonly name: string;
  readonly type: ColumnType;
  readonly required: boolean;
  /**
   * Set while files of the store still hold this column's earlier rows under another field id: a long column
   * became double (Iceberg allows no such promotion), and the rewrite of those files has not been committed yet.
   */
  readonly replacesFieldId?: number;
  /** What a person says of it. */
  readonly comment?: string;
  /** Its values are, or were once, encrypted at rest. */
  readonly encryption?: ColumnEncryption;
}

export const timestampColumn = "timestamp";
export const idColumn = "id";
/** Every table starts with these two, in this order and with these field ids. */
export const timestampFieldId = 1;
export const idFieldId = 2;

export const initialSchema: TableSchema = {
  version: 0,
  lastFieldId: 2,
  columns: [
    { fieldId: timestampFieldId, name: timestampColumn, type: "timestamp", required: true },
    { fieldId: idFieldId, name: idColumn, type: "string", required: false },
  ],
};

/** Table names, from the original API. */
export const tableNamePattern = /^[a-zA-Z][a-zA-Z0-9_]{0,63}$/;

const columnNameBytesMax = 255;

/** Any text without control characters: SQL quotes it. */
export function isColumnName(name: string): boolean {
  return name.length > 0 && name.length <= columnNameBytesMax && !/[\u0000-\u001f\u007f]/.test(name);
}

/** One name, whatever its case: tables and columns are the same when their keys are. */
export function nameKey(name: string): string {
  return name.toLowerCase();
}

export function columnByFieldId(schema: TableSchema, fieldId: number): TableColumn | undefined {
  return schema.columns.find((column) => column.fieldId === fieldId);
}

export function columnByName(schema: TableSchema, name: string): TableColumn | undefined {
  const key = nameKey(name);
  return schema.columns.find((column) => nameKey(column.name) === key);
}

/** The schema with one more nullable column, of the next field id. */
export function withColumn(schema: TableSchema, name: string, type: ColumnType): TableSchema {
  const fieldId = schema.lastFieldId + 1;
  const column: TableColumn = { fieldId, name, type, required: false };
  return { version: schema.version + 1, lastFieldId: fieldId, columns: [...schema.columns, column] };
}

/**
 * A long column that met a fraction becomes double. While no file of the store holds it (`committed` false)
 * the field id stays; else a new field id takes over and the old files are rewritten (see `replacesFieldId`).
 */
export function withDouble(schema: TableSchema, fieldId: number, committed: boolean): TableSchema {
  const lastFieldId = committed ? schema.lastFieldId + 1 : schema.lastFieldId;
  const columns = schema.columns.map((column): TableColumn => {
    if (column.fieldId !== fieldId) return column;
    if (!committed) return { ...column, type: "double" };
    return { ...column, type: "double", fieldId: lastFieldId, replacesFieldId: fieldId };
  });
  return { version: schema.version + 1, lastFieldId, columns };
}

/**
 * The schema once a commit has rewritten what a widened column left in files: `committed` no longer says
 * `replacesFieldId`, so ours need not either. Our own newer columns stay. Same value when nothing changes.
 */
export function withoutReplaced(schema: TableSchema, committed: TableSchema): TableSchema {
  let changed = false;
  const columns = schema.columns.map((column): TableColumn => {
    if (column.replacesFieldId === undefined) return column;
    const stored = columnByFieldId(committed, column.fieldId);
    if (stored === undefined || stored.replacesFieldId !== undefined) return column;
    changed = true;
    const { replacesFieldId: _, ...settled } = column;
    return settled;
  });
  return changed ? { ...schema, version: schema.version + 1, columns } : schema;
}

/** True for the id of a column that was dropped: ids are given in ascending order, and never again. */
export function isDroppedField(schema: TableSchema, fieldId: number): boolean {
  return fieldId <= schema.lastFieldId && columnByFieldId(schema, fieldId) === undefined;
}

/** True when rows sealed under `older` read right under `newer`: same field ids, same types, maybe more columns. */
export function readsUnchanged(older: TableSchema, newer: TableSchema): boolean {
  return older.columns.every((column) => columnByFieldId(newer, column.fieldId)?.type === column.type);
}
