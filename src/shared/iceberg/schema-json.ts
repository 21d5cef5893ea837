/**
 * TableSchema as Iceberg schema JSON and back. `schema-id` is TableSchema.version. A column's comment is its doc. A
 * `json` column is a string column whose doc is "json", or "json: " and its comment.
 */
import { MiniodbError } from "../errors.js";
import { columnTypeTable, type ColumnType } from "../schema/column-type.js";
import type { TableColumn, TableSchema } from "../schema/table-schema.js";

export interface IcebergSchema {
  readonly type: "struct";
  readonly "schema-id": number;
  readonly fields: readonly IcebergField[];
}

export interface IcebergField {
  readonly id: number;
  readonly name: string;
  readonly required: boolean;
  /** Primitive types are text; nested ones, which only other writers make, are objects. */
  readonly type: unknown;
  readonly doc?: string;
}

const jsonDoc = "json";
const jsonDocPrefix = "json: ";
const typeByIceberg: Readonly<Record<string, ColumnType>> = {
  boolean: "boolean",
  long: "long",
  double: "double",
  string: "string",
  timestamptz: "timestamp",
};

export function toIcebergSchema(schema: TableSchema): IcebergSchema {
  return {
    type: "struct",
    "schema-id": schema.version,
    fields: schema.columns.map((column) => {
      const { fieldId, name, type, required } = column;
      const doc = docOf(column);
      return {
        id: fieldId,
        name,
        required,
        type: columnTypeTable[type].iceberg,
        ...(doc === undefined ? {} : { doc }),
      };
    }),
  };
}

function docOf({ type, comment }: TableColumn): string | undefined {
  if (type !== "json") return comment;
  return comment === undefined ? jsonDoc : jsonDocPrefix + comment;
}

/** `lastColumnId` is the table's `last-column-id`. Throws INTERNAL for a type that no column of ours has. */
export function fromIcebergSchema(schema: IcebergSchema, lastColumnId: number): TableSchema {
  return { version: schema["schema-id"], lastFieldId: lastColumnId, columns: schema.fields.map(toColumn) };
}

function toColumn(field: IcebergField): TableColumn {
  const type = typeof field.type === "string" ? typeByIceberg[field.type] : undefined;
  if (type === undefined) {
    throw new MiniodbError(
      "INTERNAL",
      `Column "${field.name}" has the type ${JSON.stringify(field.type)}, which this version cannot read.`,
    );
  }
  const { id: fieldId, name, required, doc } = field;
  if (type === "string" && doc === jsonDoc) return { fieldId, name, type: "json", required };
  if (type === "string" && doc?.startsWith(jsonDocPrefix) === true) {
    return { fieldId, name, type: "json", required, comment: doc.slice(jsonDocPrefix.length) };
  }
  return { fieldId, name, type, required, ...(doc === undefined ? {} : { comment: doc }) };
}

/** The property `schema.name-mapping.default`: field ids by name, for data files that carry none. */
export function nameMapping(schema: TableSchema): string {
  return JSON.stringify(schema.columns.map(({ fieldId, name }) => ({ "field-id": fieldId, names: [name] })));
}
