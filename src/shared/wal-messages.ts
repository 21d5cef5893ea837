/** What ingest workers and main say to the WAL thread, and it to main. The other messages are in messages.ts. */
import type { MessagePort } from "node:worker_threads";
import type { MainDoorbellHandle } from "./ring/doorbell.js";

/**
 * Registers a block before the first record in it is announced; `null` forgets it, after the last descriptor that
 * names it was published.
 */
export interface WalBlock {
  readonly kind: "block";
  readonly worker: number;
  readonly blockId: number;
  readonly buffer: SharedArrayBuffer | null;
}

/** All that the WAL thread is started with; `ring/README.md` draws who shares what. */
export interface WalOptions {
  readonly folder: string;
  readonly workers: readonly WalWorkerLink[];
  /** The WAL thread's own, rung by the ingest workers. */
  readonly doorbell: SharedArrayBuffer;
  readonly mainDoorbell: MainDoorbellHandle;
  /** ToWal and WalToMain. */
  readonly mainPort: MessagePort;
  readonly segmentBytes: number;
  /** Log size from which records that pin a segment are copied forward. */
  readonly walBytesMax: number;
  readonly batchIdWindowMs: number;
  readonly batchIdsMax: number;
}

/** What the WAL thread shares with one ingest worker. */
export interface WalWorkerLink {
  /** Descriptors; an entry is given back to the worker when its record is durable, not before. */
  readonly walRing: SharedArrayBuffer;
  /** The completions that the WAL thread lets out. */
  readonly gatedRing: SharedArrayBuffer;
  readonly doorbell: SharedArrayBuffer;
  /** The other end of IngestOptions.walPort. */
  readonly port: MessagePort;
}

export type ToWal =
  | WalBlock
  /** A new ingest worker takes a dead one's place; answered when the dead one's records are durable. */
  | { readonly kind: "replace-worker"; readonly worker: number; readonly link: WalWorkerLink }
  /** All ingest workers of the start are ready, or the one that replaces another: no segment is deleted or rewritten before. */
  | { readonly kind: "replayed" }
  /** Commits of the catalog: records up to these sequences are no longer needed. */
  | { readonly kind: "flushed"; readonly positions: readonly { readonly uuid: string; readonly sequence: number }[] }
  | { readonly kind: "drop-table"; readonly uuid: string }
  | { readonly kind: "stop" };

export type WalToMain =
  | {
      readonly kind: "opened";
      readonly stream: string;
      readonly segments: number;
      readonly bytes: number;
      /** What was damaged, and copied to `quarantine/`. */ readonly quarantinedBytes: number;
      /** Files of batch ids that cannot be read, and lie in `quarantine/` now. */ readonly damagedDigests: number;
      /** Uuids of the tables that have records in the log, but for those that were dropped. */ readonly tables: readonly string[];
    }
  | { readonly kind: "worker-replaced"; readonly worker: number }
  | { readonly kind: "stalled"; readonly message: string }
  | { readonly kind: "resumed" }
  /** When the segments change, and about every second while something is written. */
  | {
      readonly kind: "wal-load";
      readonly segments: number;
      readonly bytes: number;
      readonly oldestPinnedBy: string | null;
      readonly totals: WalTotals;
    }
  | { readonly kind: "stopped" };

/** Since the WAL thread began; for /metrics, where the bench reads how large a group is. */
export interface WalTotals {
  /** Bytes of records. */
  readonly writtenBytes: number;
  /** Groups, which is fdatasync calls. */
  readonly syncs: number;
}
