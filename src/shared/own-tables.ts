import type { ColumnType } from "./schema/column-type.js";
import { applyOperations, type SchemaOperation } from "./schema/schema-operations.js";
import { initialSchema } from "./schema/table-schema.js";

/**
 * Tables of the server's own, made when something is first put into them. They are tables like any other for queries,
 * settings, deletes and other engines; `retention_days` says how long their rows stay.
 */
export const deletedRowsTable = "miniodb_deleted";
/** Rows that were rejected, where that is asked for. */
export const deadLettersTable = "miniodb_rejected";

/** What the tables are made with; changed by PUT /v1/tables/{table}. */
export const newDeletedRowsTable = ownTable({
  table_name: "string",
  table_uuid: "string",
  row_id: "string",
  deletion: "string",
  content: "string",
});
export const newDeadLettersTable = ownTable({
  table_name: "string",
  batch_id: "string",
  row_number: "long",
  column_name: "string",
  code: "string",
  message: "string",
  format: "string",
  raw: "string",
});

/** All columns are there from the start, as a query may name one that no row has a value in yet. */
function ownTable(columns: Readonly<Record<string, ColumnType>>) {
  const operations = Object.entries(columns).map(([name, type]): SchemaOperation => ({
    kind: "add",
    name,
    type,
    comment: null,
    after: { kind: "last" },
  }));
  const facts = { hasValues: () => false, isCommitted: () => false, sortOrder: [] };
  return { settings: { retentionDays: 30 }, schema: applyOperations(initialSchema, operations, facts) };
}
