/**
 * Every message that crosses a thread border, one discriminated union per hop. Rows do not travel here but in
 * rings (main -> ingest) and shared blocks (ingest -> WAL, persist); see ring/README.md.
 *
 * ```
 * main ──MainToIngest──▶ ingest worker ──IngestToMain──▶ main
 * main ──ToWal────────▶ WAL thread ────WalToMain─────▶ main      ingest ──WalBlock──▶ WAL thread
 * main ──PersistTask──▶ persist pool ──its result────▶ main
 * main ──QueryTask────▶ query pool ────its result────▶ main
 * ```
 */
import type { MessagePort } from "node:worker_threads";
import type { RowError } from "./columns/row-account.js";
import type { ErrorMessage } from "./errors.js";
import type { MainDoorbellHandle } from "./ring/doorbell.js";
import type { TableSchema } from "./schema/table-schema.js";
import type { TableSettings } from "./schema/table-settings.js";

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
  /** By field id; only columns with a known bound. Strings are cut to 16 bytes with Iceberg's rules. */
  readonly bounds: Readonly<Record<number, ColumnBounds>>;
  /** Field ids that have a column in this file. */
  readonly fieldIds: readonly number[];
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
  | { readonly kind: "take-records"; readonly ticket: number; readonly uuid: string; readonly afterSequence: number; /** Where the slice ends at the latest; null: at the last visible row. */ readonly throughSequence: number | null; readonly purpose: "seal" | "flush" }
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
  | { readonly kind: "ready"; readonly replayedRows: number; readonly lastSequences: Readonly<Record<string, number>> }
  /** A request names a table that this worker does not hold: answer open-table (creating it) or refuse-table. */
  | { readonly kind: "need-table"; readonly worker: number; readonly name: string; readonly mayCreate: boolean }
  /** The table belongs to another worker (main could not see the name): main sends the body there. */
  | { readonly kind: "reroute"; readonly requestId: number; readonly table: string; readonly body: Uint8Array }
  /** Sent before the completion of a request that has row errors or failed. */
  | { readonly kind: "request-detail"; readonly requestId: number; readonly errors: readonly RowError[]; readonly error: ErrorMessage | null; readonly id: string | null }
  /** `lastSequence` is the last row of the slice; the sequence asked after when there was nothing to hand over. */
  | { readonly kind: "records"; readonly ticket: number; readonly uuid: string; readonly slice: RecordSlice; readonly lastSequence: number; /** Null when the table is gone. */ readonly schema: TableSchema | null }
  /** Buffer sizes, when a table crosses its flush size and about every second while it holds rows. */
  | { readonly kind: "table-load"; readonly uuid: string; readonly rows: number; readonly bytes: number; readonly oldestMs: number; readonly lastSequence: number }
  | { readonly kind: "stopped" };

// ---- ingest worker -> WAL thread, main <-> WAL thread ----------------------------------------------------------

/** Registers a block before the first record in it is announced; `null` forgets it. */
export interface WalBlock {
  readonly kind: "block";
  readonly worker: number;
  readonly blockId: number;
  readonly buffer: SharedArrayBuffer | null;
}

export type ToWal =
  | WalBlock
  /** Commits of the catalog: records up to these sequences are no longer needed. */
  | { readonly kind: "flushed"; readonly positions: readonly { readonly uuid: string; readonly sequence: number }[] }
  | { readonly kind: "drop-table"; readonly uuid: string }
  | { readonly kind: "stop" };

export type WalToMain =
  | { readonly kind: "opened"; readonly stream: string; readonly segments: number; readonly bytes: number; readonly quarantinedBytes: number }
  | { readonly kind: "stalled"; readonly message: string }
  | { readonly kind: "resumed" }
  | { readonly kind: "wal-load"; readonly segments: number; readonly bytes: number; readonly oldestPinnedBy: string | null }
  | { readonly kind: "stopped" };
