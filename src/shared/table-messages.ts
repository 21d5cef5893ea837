import type { RollbackRequest, TagRequest } from "./iceberg/commit-refs.js";
import type { TableIdentity } from "./messages.js";
import type { TableSchema } from "./schema/table-schema.js";
import type { SettingsPatch } from "./schema/table-settings.js";

/** What threads say to each other about a table as a whole. The other messages are in messages.ts. */

/** What an owner made of a request to change its table's columns. */
export type OwnerSchema =
  /** Rows after `lastSequence` have this schema; the log and the catalog do not know it yet. */
  | { readonly kind: "changed"; readonly schema: TableSchema; readonly lastSequence: number }
  /** A column has become double, and no commit has replaced its old values yet: nothing changed, ask again after a flush. */
  | { readonly kind: "pending" };

/** The visible rows that no commit covers. */
export interface BufferedRows {
  /** They are the rows after this sequence. */
  readonly flushedSequence: number;
  readonly rows: number;
  /** Of their records. */
  readonly bytes: number;
  /** Smallest and largest `timestamp`, µs since 1970 as decimal text; null where there are no rows. */
  readonly oldestMicros: string | null;
  readonly newestMicros: string | null;
  /** Some of them replace or delete rows: how many rows a query sees, only a query can tell. */
  readonly isReplacing: boolean;
}

/**
 * Makes a schema the table's without rows, and rewrites the files that hold a field which it replaces; answered by
 * `committed`. An older schema than the table's changes nothing. Fails with COMMIT_CONFLICT when such a file is gone.
 */
export interface CommitSchemaTask {
  readonly kind: "commit-schema";
  readonly identity: TableIdentity;
  readonly schema: TableSchema;
  /** Changed in the same commit. */
  readonly settings?: SettingsPatch;
}

/** Commits about the days and the snapshots of a table, answered by `committed`. */
export type HistoryTask =
  /** All files of days (since 1970-01-01) before this one leave the table. */
  | { readonly kind: "drop-days"; readonly identity: TableIdentity; readonly beforeDay: number }
  /** These three fail with NOT_FOUND where there is no such snapshot or tag. */
  | { readonly kind: "rollback"; readonly identity: TableIdentity; readonly request: RollbackRequest }
  | { readonly kind: "tag"; readonly identity: TableIdentity; readonly request: TagRequest }
  | { readonly kind: "untag"; readonly identity: TableIdentity; readonly name: string };
