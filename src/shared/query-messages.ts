import type { ErrorMessage } from "./errors.js";
import type { TablePredicate } from "./predicate.js";
import type { ResultFormat } from "./result-format.js";
import type { TableSchema } from "./schema/table-schema.js";

/** What main and the query pool say to each other. The other messages are in messages.ts. */

/**
 * What the query pool's workers are started with (their workerData). The bytes and threads are the worker's share of the
 * pool's, for its DuckDB instances together: see workers/query/query-engines.ts.
 */
export interface QueryWorkerOptions {
  readonly memoryBytes: number;
  readonly threads: number;
  /** Absolute. The worker makes its own folders in it, for what DuckDB spills and for large results on their way. */
  readonly temporaryFolder: string;
  readonly spillBytesMax: number;
  /** Absolute. DuckDB opens files below these folders only. */
  readonly readableFolders: readonly string[];
  /** Secrets of encrypted columns: see encryption/column-keys.ts. Absent: none. */
  readonly columnKeys?: readonly Uint8Array[];
  /** Of results that are in memory, and of those in files. */
  readonly resultBytesMax: number;
  readonly resultFileBytesMax: number;
  /**
   * One Int32 per running query of the pool, at the query's slot. Main stores 1 there, then says something on the
   * BroadcastChannel `cancelChannel`: each worker interrupts its queries whose word is set.
   */
  readonly cancelWords: SharedArrayBuffer;
  readonly cancelChannel: string;
  /** One Int32 per slot likewise: how far its query is in hundredths of a percent, or `progressUnknown`. */
  readonly progressWords: SharedArrayBuffer;
}

export const progressUnknown = -1;

/** The DuckDB instances of a query worker: one has all threads of the worker, the other runs each query on its caller's alone. */
export type QueryInstance = "all-threads" | "one-thread";

/** One table of one snapshot, as a statement sees it. */
export interface QueryTable {
  readonly name: string;
  /** The columns in their order; each file was written under this schema or an earlier one of the same table. */
  readonly schema: TableSchema;
  /** Local paths (or URLs) of immutable Parquet files with field ids; the caller keeps them until the result is there. */
  readonly committedFiles: readonly string[];
  readonly hotFiles: readonly string[];
  /** Of the committed files those that have deleted rows; absent: none has. */
  readonly deletes?: readonly FileDeletes[];
  /** Files with rows that later ones, of files after them, replace or delete; each file once. Absent: none has. */
  readonly replaced?: readonly ReplacedIn[];
  /** Names of two more columns, for a statement of ours that asks where rows are. */
  readonly places?: PlaceColumns;
}

/** The same rows are gone of all these files. */
export interface ReplacedIn {
  /** Of the committed and hot files. */
  readonly files: readonly string[];
  /** Local paths of ReplacedIds (messages.ts): rows with one of these ids do not count. */
  readonly idFiles: readonly string[];
}

/** Deleted rows of one file. */
export interface FileDeletes {
  readonly file: string;
  /** Local paths of its delete files, as iceberg/delete-entry.ts describes them. */
  readonly deleteFiles: readonly string[];
}

/** Columns that say where a row is: the number of its file, where those with deleted rows come last, and its number therein. */
export interface PlaceColumns {
  readonly file: string;
  readonly row: string;
}

export type QueryTask =
  | { readonly kind: "parse"; readonly sql: string }
  | ParseFilterTask
  | {
      readonly kind: "execute";
      /** Index into the cancel words, of no other running query. */
      readonly slot: number;
      /** Where it begins; absent: `all-threads`. The worker moves it there when `one-thread` turns out not to do. */
      readonly instance?: QueryInstance;
      readonly statement: SelectStatement;
      /** All that the statement names. */
      readonly tables: readonly QueryTable[];
      /** One for each of the statement's parameters, in their order. */
      readonly values: readonly ParameterValue[];
      /** Null: all rows. */
      readonly limitRows: number | null;
      readonly offsetRows: number;
      readonly timeoutMs: number;
      readonly format: ResultFormat;
      /** Of an EXPLAIN: one more row of the key `files` for each. */
      readonly notes?: readonly string[];
      /** Null or absent: nothing. */
      readonly keep?: KeepRequest | null;
      /** A query that takes longer comes back with its plan; 0 or absent: none does. */
      readonly slowMs?: number;
    };

/**
 * Checks a condition on one row of a table and answers `parsed`: the SELECT of the places of the rows that meet it. Errors
 * are about places in the filter.
 */
export interface ParseFilterTask {
  readonly kind: "parse-filter";
  readonly table: string;
  readonly filter: string;
  readonly places: PlaceColumns;
}

/**
 * Where the result has more rows than the page, its first `rowsMax` rows are written to a file, from which this page
 * and the later ones are read. Not done where the file becomes larger than `bytesMax`.
 */
export interface KeepRequest {
  /** Absolute, in the folder `kept` of the pool's temporary folder. */
  readonly path: string;
  readonly rowsMax: number;
  readonly bytesMax: number;
}

export interface KeptFile {
  readonly path: string;
  readonly bytes: number;
  /** A SELECT of all its rows in their order, with the names and types of the statement's result. */
  readonly sql: string;
  /** False where the result has more rows. */
  readonly isWhole: boolean;
}

/** What a request gives for a parameter. A whole number is one that JavaScript holds exactly. */
export type ParameterValue = ParameterItem | readonly ParameterItem[];

/** The items of a list that are not null are all numbers, all texts or all booleans. */
export type ParameterItem = string | number | boolean | null;

/** A statement that clients may run, as DuckDB's parser sees it. */
export interface SelectStatement {
  /** `explain` runs as it is; `select` stands in parentheses without change of meaning. */
  readonly kind: "select" | "explain";
  /** Without the semicolon at its end. */
  readonly sql: string;
  /** All that the client sent: what error positions are about. */
  readonly text: string;
  /** Bytes of `text` before `sql`. */
  readonly startBytes: number;
  readonly tables: readonly TableReference[];
  /** What the statement needs of a table at most; none for a table of which all may be needed. */
  readonly predicates: readonly TablePredicate[];
  /** What LIMIT says when it is a plain number. */
  readonly limitRows: number | null;
  /** Without `$`, each once: "1", "2", ... without gaps, or names as first written, whose case does not matter. */
  readonly parameters: readonly string[];
  /** Equal for statements that differ in spacing, comments and the case of keywords only; with equal values they mean the same. */
  readonly fingerprint: string;
  /** Its result depends on more than tables and values: now(), random(), a sample, ... */
  readonly isVolatile: boolean;
  /** Its first rows cost as much as all of them: it sorts, groups, joins or numbers rows. */
  readonly isBlocking: boolean;
}

/** A table name that a statement reads, as first written in it; names that its CTEs define are none. */
export interface TableReference {
  readonly name: string;
  /** Characters before it in the client's text; null where the parser does not say. */
  readonly position: number | null;
}

export type ParsedStatement = SelectStatement | { readonly kind: "show-tables" };

/** One column of a result: its name, and its type as DuckDB writes it. */
export interface ResultColumnInfo {
  readonly name: string;
  readonly type: string;
}

/**
 * A whole result in the format that was asked for. `bytes`: its buffer is transferred. `pieces`: a larger one, in
 * shared memory but for its first piece. `file`: a finished file in the result folder of the worker, absolute, with its size.
 * Whoever gets the message calls `discardBody` of result-body.ts in the end, which gives the memory back or removes the file.
 */
export type ResultBody =
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  | {
      readonly kind: "pieces";
      readonly pieces: readonly Uint8Array[];
      /** Of all pieces together. */
      readonly bytes: number;
      /** The slabs that they lie in, by their numbers in the worker's room: see result-room.ts. */
      readonly slabs: readonly number[];
      readonly room: SharedArrayBuffer;
    }
  | { readonly kind: "file"; readonly path: string; readonly bytes: number };

export type QueryResult =
  | { readonly kind: "parsed"; readonly statement: ParsedStatement }
  | {
      readonly kind: "rows";
      readonly body: ResultBody;
      /** What the result has, in the order of its columns. */
      readonly columns: readonly ResultColumnInfo[];
      readonly rows: number;
      /** There is at least one row after these. */
      readonly hasMore: boolean;
      /** The receiver unlinks it in the end. */
      readonly kept?: KeptFile;
      /** DuckDB's EXPLAIN of a slow statement. */
      readonly plan?: string;
    }
  /** A file of the snapshot is gone: a newer snapshot may do. */
  | { readonly kind: "stale-files"; readonly message: string }
  | { readonly kind: "failed"; readonly error: ErrorMessage; readonly plan?: string };

/** Posted once, past any task: an uncaught error. The worker refuses what comes, and ends when its queries have. */
export interface QueryWorkerBroken {
  readonly kind: "query-worker-broken";
  readonly error: ErrorMessage;
}
