/**
 * Tables of the server's own, made when something is first put into them. They are tables like any other for queries,
 * settings, deletes and other engines; `retention_days` says how long their rows stay.
 */
export const deletedRowsTable = "miniodb_deleted";
/** Rows that were rejected, where that is asked for. */
export const deadLettersTable = "miniodb_rejected";

/** What they are made with; changed by PUT /v1/tables/{table}. */
export const ownTableRetentionDays = 30;
