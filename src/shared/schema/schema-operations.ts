import { MiniodbError } from "../errors.js";
import { limits } from "../limits.js";
import { canBeEncrypted } from "./column-encryption.js";
import type { ColumnType } from "./column-type.js";
import {
  columnByName,
  idFieldId,
  isColumnName,
  nameKey,
  timestampFieldId,
  withDouble,
  type TableColumn,
  type TableSchema,
} from "./table-schema.js";

/** One change that a client asks for; columns are named as they are after the changes before it. */
export type SchemaOperation =
  | {
      readonly kind: "add";
      readonly name: string;
      readonly type: ColumnType;
      readonly comment: string | null;
      readonly after: ColumnPlace;
    }
  | { readonly kind: "rename"; readonly name: string; readonly to: string }
  | { readonly kind: "drop"; readonly name: string }
  | { readonly kind: "move"; readonly name: string; readonly after: ColumnPlace }
  | { readonly kind: "type"; readonly name: string; readonly type: ColumnType }
  | { readonly kind: "comment"; readonly name: string; readonly comment: string | null }
  /** New values of these columns are encrypted at rest, and of no others; a name that is no column's becomes one. */
  | { readonly kind: "encrypt"; readonly columns: readonly EncryptedName[] };

export interface EncryptedName {
  readonly name: string;
  /** For a column that never was encrypted: see ColumnEncryption. */
  readonly scope: string;
}

/** `first` is behind `timestamp` and `id`, which are always in front. */
export type ColumnPlace =
  | { readonly kind: "first" }
  | { readonly kind: "last" }
  | { readonly kind: "behind"; readonly name: string };

/** What the schema alone does not know. */
export interface SchemaFacts {
  /** True when some row, flushed or not, has a value under this field id. */
  readonly hasValues: (fieldId: number) => boolean;
  /** True when a file of the store may hold values under it. */
  readonly isCommitted: (fieldId: number) => boolean;
  /** Columns that files are sorted by. */
  readonly sortOrder: readonly string[];
}

/**
 * The schema after all the operations, one version on; the same value when they change nothing. Throws INVALID_REQUEST for
 * the first that cannot be done (`change` is its number, from 0): then none is.
 *
 * A column that is dropped takes its field id along: one of its name that is added later is another column, in which the
 * rows from before have NULL. A column without values takes any type, under a new field id; with values, only a long
 * column changes, to double, as in withDouble.
 */
export function applyOperations(
  schema: TableSchema,
  operations: readonly SchemaOperation[],
  facts: SchemaFacts,
): TableSchema {
  let next = schema;
  for (const [index, operation] of operations.entries()) {
    try {
      next = applyOperation(next, operation, facts);
    } catch (error) {
      if (!(error instanceof MiniodbError)) throw error;
      throw new MiniodbError(error.code, error.message, { ...error.details, change: index });
    }
  }
  if (JSON.stringify(next.columns) === JSON.stringify(schema.columns)) return schema;
  return { ...next, version: schema.version + 1 };
}

function applyOperation(schema: TableSchema, operation: SchemaOperation, facts: SchemaFacts): TableSchema {
  switch (operation.kind) {
    case "add":
      return addColumn(schema, operation);
    case "rename": {
      const column = changeable(schema, operation.name);
      if (nameKey(operation.to) !== nameKey(column.name)) {
        refuseSorted(column, facts);
        refuseName(schema, operation.to);
      }
      return withColumn(schema, { ...column, name: operation.to });
    }
    case "drop": {
      const column = changeable(schema, operation.name);
      refuseSorted(column, facts);
      // Rows that still come with it would add it again, as plain text.
      if (column.encryption?.isOn === true) {
        throw refused(`column ${column.name} is encrypted: take it out of encrypted_columns first`, column.name);
      }
      return { ...schema, columns: schema.columns.filter((other) => other !== column) };
    }
    case "move": {
      const column = changeable(schema, operation.name);
      const others = schema.columns.filter((other) => other !== column);
      return { ...schema, columns: placed(others, column, operation.after) };
    }
    case "type":
      return changeType(schema, operation, facts);
    case "comment": {
      const { comment: _, ...column } = existing(schema, operation.name);
      return withColumn(schema, withComment(column, operation.comment));
    }
    case "encrypt":
      return encryptOnly(schema, operation.columns, facts);
  }
}

function encryptOnly(schema: TableSchema, names: readonly EncryptedName[], facts: SchemaFacts): TableSchema {
  const wanted = new Set(names.map(({ name }) => nameKey(name)));
  const columns = schema.columns.map((column): TableColumn => {
    if (column.encryption?.isOn !== true || wanted.has(nameKey(column.name))) return column;
    // What is there stays as it is.
    return { ...column, encryption: { ...column.encryption, isOn: false, mayBePlain: true } };
  });
  let next: TableSchema = { ...schema, columns };
  for (const name of names) next = encrypt(next, name, facts);
  return next;
}

function encrypt(schema: TableSchema, { name, scope }: EncryptedName, facts: SchemaFacts): TableSchema {
  const column = columnByName(schema, name);
  if (column === undefined) {
    const added = addColumn(schema, { kind: "add", name, type: "string", comment: null, after: { kind: "last" } });
    return encrypt(added, { name, scope }, facts);
  }
  const { fieldId, type, encryption } = column;
  if (fieldId === timestampFieldId || fieldId === idFieldId) {
    throw refused(`column ${column.name} cannot be encrypted: rows are found by it`, name);
  }
  if (!canBeEncrypted(type)) {
    throw refused(`column ${column.name} cannot be encrypted: its values are ${type}, not string or json`, name);
  }
  refuseSorted(column, facts);
  if (encryption !== undefined) return withColumn(schema, { ...column, encryption: { ...encryption, isOn: true } });
  // A snapshot of before may have values where no file of today has.
  const mayBePlain = facts.isCommitted(fieldId) || facts.hasValues(fieldId);
  return withColumn(schema, { ...column, encryption: { scope, isOn: true, mayBePlain } });
}

function addColumn(schema: TableSchema, operation: Extract<SchemaOperation, { kind: "add" }>): TableSchema {
  const { name, type, comment, after } = operation;
  refuseName(schema, name);
  const { columnsMax } = limits;
  if (schema.columns.length >= columnsMax) throw refused(`a table has at most ${columnsMax} columns`, name);
  const fieldId = schema.lastFieldId + 1;
  const column = withComment({ fieldId, name, type, required: false }, comment);
  return { ...schema, lastFieldId: fieldId, columns: placed(schema.columns, column, after) };
}

function changeType(
  schema: TableSchema,
  { name, type }: { readonly name: string; readonly type: ColumnType },
  facts: SchemaFacts,
): TableSchema {
  const column = changeable(schema, name);
  if (column.type === type) return schema;
  if (column.encryption !== undefined && !canBeEncrypted(type)) {
    throw refused(`column ${column.name} has encrypted values, which are string or json`, name);
  }
  if (!facts.hasValues(column.fieldId)) {
    // Under the old id, a commit that holds the old type could come later than this one.
    const fieldId = schema.lastFieldId + 1;
    const columns = schema.columns.map((other) => (other === column ? { ...column, fieldId, type } : other));
    return { ...schema, lastFieldId: fieldId, columns };
  }
  if (column.type === "long" && type === "double") {
    return withDouble(schema, column.fieldId, facts.isCommitted(column.fieldId));
  }
  throw refused(`column ${column.name} has ${column.type} values: only long becomes double, or a new column`, name);
}

/** With `column` in place of the one that has its field id. */
function withColumn(schema: TableSchema, column: TableColumn): TableSchema {
  return { ...schema, columns: schema.columns.map((other) => (other.fieldId === column.fieldId ? column : other)) };
}

function withComment(column: TableColumn, comment: string | null): TableColumn {
  // See schema-json.ts: the document of a string column says whether it is json.
  if (comment !== null && column.type === "string" && /^json(?:$|: )/.test(comment)) {
    throw refused('the comment of a string column does not begin with "json: "', column.name);
  }
  return comment === null ? column : { ...column, comment };
}

function placed(columns: readonly TableColumn[], column: TableColumn, place: ColumnPlace): TableColumn[] {
  if (place.kind === "last") return [...columns, column];
  const key = place.kind === "first" ? null : nameKey(place.name);
  const at = key === null ? 1 : columns.findIndex((other) => nameKey(other.name) === key);
  if (at < 0) throw refused("after names no column of the table", column.name);
  if (at === 0) throw refused("id stands behind timestamp", column.name);
  return columns.toSpliced(at + 1, 0, column);
}

function existing(schema: TableSchema, name: string): TableColumn {
  const column = columnByName(schema, name);
  if (column === undefined) throw refused(`there is no column ${name}`, name);
  return column;
}

function changeable(schema: TableSchema, name: string): TableColumn {
  const column = existing(schema, name);
  if (column.fieldId !== timestampFieldId && column.fieldId !== idFieldId) return column;
  throw refused(`column ${column.name} is every table's, and stays as it is`, name);
}

function refuseSorted({ name }: TableColumn, facts: SchemaFacts): void {
  if (!facts.sortOrder.some((sorted) => nameKey(sorted) === nameKey(name))) return;
  throw refused(`the table is sorted by ${name}: change its sort_order first`, name);
}

function refuseName(schema: TableSchema, name: string): void {
  if (!isColumnName(name)) throw refused("a column name has 1 to 255 bytes, no control characters among them", name);
  const other = columnByName(schema, name);
  if (other !== undefined) throw refused(`there is a column ${other.name} already`, name);
}

function refused(message: string, column: string): MiniodbError {
  return new MiniodbError("INVALID_REQUEST", message, { column });
}
