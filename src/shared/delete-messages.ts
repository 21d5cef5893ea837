import type { CommitResult } from "./iceberg/commit-result.js";
import type { PastRows } from "./iceberg/table-state.js";
import type { DataFile, TableIdentity } from "./messages.js";
import type { ResultBody } from "./query-messages.js";

/** What main and the persist pool say to each other to delete rows. The other messages are in messages.ts. */

export type DeleteTask =
  | DeleteRowsTask
  /** The files whose rows had all come by this data sequence number; answered by `past-rows`, or TABLE_NOT_FOUND. */
  | { readonly kind: "load-past-rows"; readonly identity: TableIdentity; readonly through: number | null };

export type DeleteResult = DeleteRowsResult | { readonly kind: "past-rows"; readonly past: PastRows };

/**
 * Commits the deletion of found rows, answered by `rows-deleted`. Fails with COMMIT_CONFLICT where one of the files is gone or
 * has other deletes than the task says: the rows are to be found anew.
 */
export interface DeleteRowsTask {
  readonly kind: "delete-rows";
  readonly identity: TableIdentity;
  /** What was searched. */
  readonly files: readonly SearchedFile[];
  /** Parquet of two columns: the number of the file in the list, and that of the row in it. No row that is deleted already. */
  readonly found: ResultBody;
}

export type SearchedFile = Pick<DataFile, "key" | "rows" | "day" | "deletes" | "uri">;

export interface DeleteRowsResult {
  readonly kind: "rows-deleted";
  readonly rows: number;
  readonly filesDropped: number;
  /** Null where no row was found. */
  readonly commit: CommitResult | null;
}
