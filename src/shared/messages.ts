/**
 * Every message that crosses a thread border, one discriminated union per hop. Rows do not travel here but in
 * rings (main -> ingest) and shared blocks (ingest -> WAL, persist); see ring/README.md.
 *
 * ```
 * main ──MainToIngest──▶ ingest worker ──IngestToMain──▶ main
 * main ──ToWal────────▶ WAL thread ────WalToMain─────▶ main      ingest ──WalBlock──▶ WAL thread   (wal-messages.ts)
 * main ──PersistTask──▶ persist pool ──its result────▶ main
 * main ──QueryTask────▶ query pool ────its result────▶ main                                        (query-messages.ts)
 * ```
 */
import type { MessagePort } from "node:worker_threads";
import type { BackupResult, BackupTask, BackupWorkerOptions } from "./backup-messages.js";
import type { RowError } from "./columns/row-account.js";
import type { DeleteResult, DeleteTask } from "./delete-messages.js";
import type { ErrorMessage } from "./errors.js";
import type { CatalogOptions } from "./iceberg/catalog-options.js";
import type { CommitResult } from "./iceberg/commit-result.js";
import type { HistoryRequest, LoadedSnapshot, SnapshotInfo } from "./iceberg/table-history.js";
import type { MirrorResult, MirrorTask, MirrorWorkerOptions } from "./mirror-messages.js";
import type { MainDoorbellHandle } from "./ring/doorbell.js";
import type { SchemaOperation } from "./schema/schema-operations.js";
import type { TableSchema } from "./schema/table-schema.js";
import type { SettingsPatch, TableSettings } from "./schema/table-settings.js";
import type { S3Options } from "./store/s3-options.js";
import type { ExclusionOptions } from "./store/store-exclusion.js";
import type { BufferedRows, CommitSchemaTask, HistoryTask, OwnerSchema } from "./table-messages.js";

// ---- tables as all threads know them ---------------------------------------------------------------------------

/** Who a table is, for its whole life. A dropped and re-created name gets another uuid. */
export interface TableIdentity {
  /** As first written; identity is case-insensitive. */
  readonly name: string;
  /** Lower case, with dashes. */
  readonly uuid: string;
  /** `<table>-<uuid>`, the table's folder in the warehouse. */
  readonly location: string;
}

/** One data file of a committed snapshot. */
export interface DataFile {
  readonly key: string;
  readonly bytes: number;
  readonly rows: number;
  /** Days since 1970-01-01 of `timestamp`: the partition. */
  readonly day: number;
  /** By field id; only columns with a known bound. Strings are cut to 16 code points with Iceberg's rules, and ordered by their UTF-8 bytes. */
  readonly bounds: Readonly<Record<number, ColumnBounds>>;
  /** Field ids that have a column in this file. */
  readonly fieldIds: readonly number[];
  /** What the catalog calls it, where that is not what the store would: the warehouse was mounted elsewhere then. */
  readonly uri?: string;
  /** What says which of its rows are deleted; absent: none is. One, but for files that other writers deleted from. */
  readonly deletes?: readonly DeleteFile[];
}

/** Positions of deleted rows of one data file: a Parquet file of Iceberg's position deletes. */
export interface DeleteFile {
  readonly key: string;
  readonly bytes: number;
  /** Positions, each once. */
  readonly rows: number;
}

/** JSON-safe bounds: longs and timestamps as decimal text, doubles as numbers, booleans, strings. */
export interface ColumnBounds {
  readonly lower: string | number | boolean | null;
  readonly upper: string | number | boolean | null;
  readonly nulls: number;
}

/** A table at one committed metadata version: an immutable value. */
export interface TableState {
  readonly identity: TableIdentity;
  /** N of `v<N>.metadata.json`. */
  readonly version: number;
  readonly snapshotId: string | null;
  readonly schema: TableSchema;
  readonly settings: TableSettings;
  readonly files: readonly DataFile[];
  /** Last committed sequence of each WAL stream, from the properties `miniodb.wal.<stream>`. */
  readonly positions: Readonly<Record<string, number>>;
  readonly createdMs: number;
  readonly updatedMs: number;
}

/**
 * WAL records of one table in sequence order, where they lie: spans are [block index, byte offset, byte length]
 * triples into `blocks`. Records are whole; see formats/wal-record-v1.ts.
 */
export interface RecordSlice {
  readonly blocks: readonly SharedArrayBuffer[];
  readonly spans: Int32Array;
}

// ---- main <-> ingest worker ------------------------------------------------------------------------------------

export type MainToIngest =
  | { readonly kind: "open-table"; readonly table: OpenTable }
  /** The table that a worker asked for cannot be had: its parked requests fail with this. */
  | { readonly kind: "refuse-table"; readonly name: string; readonly error: ErrorMessage }
  | { readonly kind: "drop-table"; readonly uuid: string }
  | { readonly kind: "change-settings"; readonly uuid: string; readonly settings: TableSettings }
  /** Hand over the visible records after `afterSequence`; answered by `records` with the same ticket. */
  | {
      readonly kind: "take-records";
      readonly ticket: number;
      readonly uuid: string;
      readonly afterSequence: number;
      /** Where the slice ends at the latest; null: at the last visible row. */ readonly throughSequence: number | null;
      /** `seal`: what a query sees; `flush`: durable rows, for files of the store; `live`: durable rows, to be sent. */
      readonly purpose: "seal" | "flush" | "live";
    }
  /** Nobody reads the slice of this ticket any more: its blocks may be overwritten once their rows are in the store. */
  | { readonly kind: "release-records"; readonly ticket: number }
  /** Change the columns between two batches; answered by `schema-changed` with the same ticket. */
  | {
      readonly kind: "change-schema";
      readonly ticket: number;
      readonly uuid: string;
      readonly operations: readonly SchemaOperation[];
      /** Of the committed files that main knows: columns that have values there. */ readonly fieldIdsInFiles: readonly number[];
    }
  /** How much is in the buffer? Answered by `measured` with the same ticket. */
  | { readonly kind: "measure-rows"; readonly ticket: number; readonly uuid: string }
  /** A commit covers everything up to here: forget it. `committedFieldIds` may be in files from now on. */
  | { readonly kind: "flushed"; readonly uuid: string; readonly sequence: number; readonly schema: TableSchema }
  | { readonly kind: "stop" };

/** All that one ingest worker is started with; ring/README.md draws who shares what. */
export interface IngestOptions {
  readonly worker: number;
  readonly workers: number;
  readonly requestRing: SharedArrayBuffer;
  readonly gatedRing: SharedArrayBuffer;
  readonly immediateRing: SharedArrayBuffer;
  readonly walRing: SharedArrayBuffer;
  readonly doorbell: SharedArrayBuffer;
  readonly walDoorbell: SharedArrayBuffer;
  readonly mainDoorbell: MainDoorbellHandle;
  readonly slab: SharedArrayBuffer;
  /** MainToIngest and IngestToMain. */
  readonly mainPort: MessagePort;
  /** WalBlock messages to the WAL thread. */
  readonly walPort: MessagePort;
  readonly walFolder: string;
  readonly tables: readonly OpenTable[];
  readonly batchIdWindowMs: number;
  readonly batchIdsMax: number;
  readonly inflatedBytesMax: number;
  readonly walPendingBytesMax: number;
  readonly flushBytes: number;
  readonly flushRows: number;
  /** Secrets of encrypted columns: see encryption/column-keys.ts. */
  readonly columnKeys: readonly Uint8Array[];
}

export interface ReplayGap {
  readonly tableUuid: string;
  readonly firstSequence: number;
  readonly lastSequence: number;
}

export interface OpenTable {
  readonly identity: TableIdentity;
  readonly schema: TableSchema;
  readonly settings: TableSettings;
  /** Everything up to this sequence of this node's stream is in the store. */
  readonly flushedSequence: number;
  /** False while no commit of any node has brought files: its column types may then still change freely. */
  readonly hasFiles: boolean;
  /** The table's small number on this node, which completions carry. */
  readonly slot: number;
}

export type IngestToMain =
  /** All replayed rows are in the buffers. */
  | {
      readonly kind: "ready";
      readonly replayedRows: number;
      /** By table uuid. */ readonly lastSequences: Readonly<Record<string, number>>;
      /** Runs of sequences that damage took from the log. */ readonly gaps: readonly ReplayGap[];
    }
  /** A request names a table that this worker does not hold: answer open-table (creating it) or refuse-table. */
  | { readonly kind: "need-table"; readonly worker: number; readonly name: string; readonly mayCreate: boolean }
  /** The table belongs to another worker (main could not see the name): main sends the body there. */
  | { readonly kind: "reroute"; readonly requestId: number; readonly table: string; readonly body: Uint8Array }
  /** Sent before the completion of a request that has row errors or failed. */
  | {
      readonly kind: "request-detail";
      readonly requestId: number;
      readonly errors: readonly RowError[];
      readonly error: ErrorMessage | null;
      readonly id: string | null;
      /** Of a request with frameFlags.readsIds, which sends this whatever came of it. */
      readonly ids: readonly string[] | null;
      /** Rejected rows as NDJSON for the table of dead letters. */
      readonly letters: string | null;
    }
  /** `lastSequence` is the last row of the slice; the sequence asked after when there was nothing to hand over. */
  | {
      readonly kind: "records";
      readonly ticket: number;
      readonly uuid: string;
      readonly slice: RecordSlice;
      readonly lastSequence: number;
      /** Null when the table is gone. */ readonly schema: TableSchema | null;
      /** Some of the records replace or delete rows. */ readonly isReplacing: boolean;
    }
  | {
      readonly kind: "measured";
      readonly ticket: number;
      /** Null when the table is gone. */ readonly buffered: BufferedRows | null;
    }
  | {
      readonly kind: "schema-changed";
      readonly ticket: number;
      readonly answer: OwnerSchema | { readonly kind: "refused"; readonly error: ErrorMessage };
    }
  /** Blocks were dropped that main has seen: they go when main collects its garbage. */
  | { readonly kind: "blocks-dropped"; readonly bytes: number }
  /** Buffer sizes, when a table crosses its flush size and about every second while it holds rows. */
  | {
      readonly kind: "table-load";
      readonly uuid: string;
      readonly rows: number;
      readonly bytes: number;
      readonly oldestMs: number;
      readonly lastSequence: number;
    }
  | { readonly kind: "stopped" };

// ---- main <-> persist pool -------------------------------------------------------------------------------------

/**
 * All that a persist worker is started with (piscina's workerData), in the pool of seals and in that of flushes; the
 * task's name is `runPersistTask`.
 */
export interface PersistWorkerOptions {
  readonly store: StoreOptions;
  /** Memory of a StoreHealth (store/store-health.ts), which all persist workers write. */
  readonly storeHealth: SharedArrayBuffer;
  /** Absolute, for files that are not objects yet; on the local store's device, where there is one. */
  readonly temporaryFolder: string;
  /** Files that lie in the temporary folder before they are put into the store: more days than that take more rounds. */
  readonly partitionsPerRound: number;
  /** DuckDB's limit in a worker that compacts. */
  readonly compactionMemoryBytes: number;
  readonly catalog: CatalogOptions;
  /** Word 0 becomes 1 when the server stops: flushes and compactions then end with SHUTTING_DOWN before their next file. */
  readonly stopWord: SharedArrayBuffer;
  /** Nobody waits for its tasks: the path of writes and seals goes first where processors are short. */
  readonly lowPriority: boolean;
  /** The second pool, where there is one. */
  readonly mirror?: MirrorWorkerOptions;
  /** Only of the pool that has the tasks of backups: it holds their key. */
  readonly backup?: BackupWorkerOptions;
  /**
   * Two words of all persist workers: [0] becomes 1 when another pool was promoted, and nothing may be committed any more;
   * [1] is 1 where that can be, so that commits look at the pool's record.
   */
  readonly fence?: SharedArrayBuffer;
}

/** The warehouse. */
export type StoreOptions =
  | { readonly kind: "local"; readonly folder: string }
  | {
      readonly kind: "s3";
      readonly s3: S3Options;
      readonly startTimeoutMs: number;
      /** What to do about a store without conditional puts; without it, such a store is refused. */
      readonly exclusion?: ExclusionOptions;
    }
  /** A store that the module at this URL makes of the folder; see store/open-store.ts. */
  | { readonly kind: "module"; readonly url: string; readonly folder: string };

export type PersistTask =
  | SealTask
  | FlushTask
  | CompactTask
  | CommitSchemaTask
  | DeleteTask
  /** Loads and compiles the encoder, so that the first seal need not wait for it; answered by `done`. */
  | { readonly kind: "warm-up" }
  /**
   * All live tables, answered by `tables`. As the first task of a process, before any other writes, it also removes what
   * a crashed process left in the temporary folders.
   */
  | { readonly kind: "load-warehouse"; readonly isFirst: boolean }
  /** Answered by `done` when the store answers, whatever it says; fails with STORE_UNAVAILABLE. */
  | { readonly kind: "check-store" }
  /** Renews the claim on a store without conditional puts, or gives it back; `done`, or SERVER_BUSY once another has it. */
  | { readonly kind: "claim"; readonly act: "renew" | "release" }
  /** Answered by `table`, or fails with TABLE_NOT_FOUND. */
  | { readonly kind: "load-table"; readonly identity: TableIdentity }
  /** Answered by `snapshots`, or fails with TABLE_NOT_FOUND. */
  | { readonly kind: "list-snapshots"; readonly identity: TableIdentity }
  /** Answered by `snapshot`, or fails with TABLE_NOT_FOUND, or NOT_FOUND where the snapshot is not there (any more). */
  | { readonly kind: "load-snapshot"; readonly identity: TableIdentity; readonly request: HistoryRequest }
  /** Answered by `table`; fails with TABLE_EXISTS. */
  | {
      readonly kind: "create-table";
      readonly name: string;
      readonly settings: TableSettings;
      /** Absent: `initialSchema`. */
      readonly schema?: TableSchema;
    }
  /** Answered by `committed`. */
  | { readonly kind: "change-settings"; readonly identity: TableIdentity; readonly patch: SettingsPatch }
  | HistoryTask
  /** Answered by `done`. */
  | { readonly kind: "drop-table"; readonly identity: TableIdentity }
  /** Keeps the newest snapshots and the young ones; answered by `committed`. */
  | {
      readonly kind: "expire-snapshots";
      readonly identity: TableIdentity;
      readonly keep: number;
      readonly olderThanMs: number;
    }
  /** Answered by `collected`. */
  | {
      readonly kind: "collect-garbage";
      readonly graceMs: number;
      /** In use whatever the metadata says. */ readonly keepKeys: readonly string[];
    }
  | MirrorTask
  | BackupTask
  | FetchTask;

/** Never rejects: errors come as `failed`. */
export type PersistResult =
  | SealResult
  /** applyCommit (iceberg/commit-result.ts) makes the new TableState of it; where that answers null, load the table. */
  | { readonly kind: "committed"; readonly commit: CommitResult; readonly copies?: readonly CachedCopy[] }
  | DeleteResult
  | { readonly kind: "table"; readonly state: TableState }
  | { readonly kind: "tables"; readonly states: readonly TableState[] }
  /** Newest first. */
  | { readonly kind: "snapshots"; readonly snapshots: readonly SnapshotInfo[] }
  | { readonly kind: "snapshot"; readonly snapshot: LoadedSnapshot }
  | {
      readonly kind: "collected";
      readonly files: number;
      readonly bytes: number;
      readonly failed: readonly { readonly location: string; readonly error: ErrorMessage }[];
    }
  | MirrorResult
  | BackupResult
  | FetchResult
  | { readonly kind: "done" }
  | { readonly kind: "failed"; readonly error: ErrorMessage };

/**
 * Brings an object into the folder of the file cache, answered by `fetched`: the file is whole then. Not synced, as the
 * name says what its bytes must be. Fails with STORE_UNAVAILABLE.
 */
export interface FetchTask {
  readonly kind: "fetch-object";
  readonly key: string;
  /** What the catalog says of the object's size: an object of another one is refused. */
  readonly bytes: number;
  /** Of the file cache, with its folder of parts. */
  readonly folder: string;
  /** A file that an earlier process left for this object: taken when its bytes are what its name says. */
  readonly knownPath: string | null;
}

export interface FetchResult {
  readonly kind: "fetched";
  readonly path: string;
  /** 0 where the known file did. */
  readonly fetchedBytes: number;
}

/** Encodes rows of a table's buffer as a hot segment. Touches neither store nor temporary folder. */
export interface SealTask {
  readonly kind: "seal";
  readonly slice: RecordSlice;
  /** The table's newest schema: columns that became double are written as double. */
  readonly schema: TableSchema;
  /** Rows with sequences (afterSequence, lastSequence] are taken; records that straddle an end are cut. */
  readonly afterSequence: number;
  readonly lastSequence: number;
  /** Local file to write; its folder is there. The name appears when the file is whole. */
  readonly path: string;
  /** Every row as it was accepted: those that later rows of the range replace, or that are deleted, too. */
  readonly withReplaced?: boolean;
}

/**
 * Ids of which rows of a range replace or delete all rows before the range: a Parquet file of one column, `id`, each id
 * once.
 */
export interface ReplacedIds {
  readonly path: string;
  readonly bytes: number;
  readonly count: number;
  /** Smallest and largest by their UTF-8 bytes. */
  readonly lower: string;
  readonly upper: string;
}

export interface SealResult {
  readonly kind: "sealed";
  /** 0: no file was written, as all rows of the range are gone by its end. */
  readonly rows: number;
  readonly bytes: number;
  /** What the file covers: afterSequence + 1 to lastSequence, though the log may have lost some between. */
  readonly firstSequence: number;
  readonly lastSequence: number;
  /** Null: no row before the range is touched. */
  readonly replaced: ReplacedIds | null;
}

/**
 * Writes rows of a table's buffer as data files and commits them with the stream's new position, answered by
 * `committed`: then they are durable in the store. On any error, STORE_UNAVAILABLE above all, the commit may or may not
 * have been made; the same task again finds out, and writes no row twice.
 */
export interface FlushTask {
  readonly kind: "flush";
  readonly identity: TableIdentity;
  /** Uuid of the log that the rows come from. */
  readonly stream: string;
  /** The stream's position in the table; rows (afterSequence, lastSequence] are taken. */
  readonly afterSequence: number;
  readonly lastSequence: number;
  /** As of the last row. A column with `replacesFieldId` makes the flush rewrite the files that hold the old field. */
  readonly schema: TableSchema;
  readonly settings: TableSettings;
  readonly slice: RecordSlice;
  /** Where the new files stay on this machine, too; the answer names them. */
  readonly copies?: CopyPlace;
  /** By key: objects of the store that are on this machine until the answer. */
  readonly localPaths?: Readonly<Record<string, string>>;
}

/** The folder of the file cache, and how many bytes one task may put into it. */
export interface CopyPlace {
  readonly folder: string;
  readonly bytesMax: number;
}

/** An object of the store that is whole in the folder of the file cache, which does not count it yet. */
export interface CachedCopy {
  readonly key: string;
  readonly bytes: number;
  readonly path: string;
}

/** Merges files of one day into one, sorted; answered by `committed`. Fails with COMMIT_CONFLICT when one is gone. */
export interface CompactTask {
  readonly kind: "compact";
  readonly identity: TableIdentity;
  /** The committed schema. */
  readonly schema: TableSchema;
  readonly settings: TableSettings;
  readonly files: readonly DataFile[];
  /** Size of the files to write, about, where the sort order can be cut; absent: one file. */
  readonly targetBytes?: number;
  /** Of DuckDB; absent: one. */
  readonly threads?: number;
  /** Memory of a MergeControl. */
  readonly control?: SharedArrayBuffer;
  /** By key: where objects of the store were on this machine a moment ago. */
  readonly localPaths?: Readonly<Record<string, string>>;
}
