import type { ErrorMessage } from "./errors.js";
import type { TableSchema } from "./schema/table-schema.js";

/** What main and the query pool say to each other about live queries. The other query messages are in query-messages.ts. */

export type LiveTask =
  /** Is the filter one expression over the table's columns? Answered by `filter-checked`. */
  | { readonly kind: "check-filter"; readonly table: string; readonly schema: TableSchema; readonly filter: string }
  | ReadDeltaTask;

/** Rows of one delta that pass the filter, in the order of their sequences; answered by `delta-rows`. */
export interface ReadDeltaTask {
  readonly kind: "read-delta";
  /** By this name the filter may call the table. */
  readonly table: string;
  /** The delta's Parquet file, and the schema that it was written under. */
  readonly path: string;
  readonly fileSchema: TableSchema;
  /** The columns that the rows have: the file's schema or a newer one. */
  readonly schema: TableSchema;
  /** Checked; null: every row. */
  readonly filter: string | null;
  /** Rows of the file that are passed over. */
  readonly skipRows: number;
  /** The text ends with the row that reaches this. */
  readonly bytesMax: number;
  readonly timeoutMs: number;
}

/** Never rejects for operating errors: they come as `failed`. */
export type LiveResult =
  | { readonly kind: "filter-checked" }
  | DeltaRows
  | { readonly kind: "failed"; readonly error: ErrorMessage };

export interface DeltaRows {
  readonly kind: "delta-rows";
  /** A JSON array of row objects, values as in the results of queries. */
  readonly text: string;
  readonly rows: number;
  /** Rows of the file up to the last one in the text; null: the whole file has been read. */
  readonly throughRow: number | null;
}
