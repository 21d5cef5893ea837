/** Messages between main and the persist pool that are about two pools; beside messages.ts, which names them. */
import type { Diverged, MirrorReport } from "./iceberg/mirror-table.js";
import type { StoreOptions } from "./messages.js";
import type { PoolRecord } from "./store/pool-record.js";

/** What a persist worker needs of the second pool. */
export interface MirrorWorkerOptions {
  readonly store: StoreOptions;
  /** Memory of a StoreHealth, of the calls to the second pool. */
  readonly storeHealth: SharedArrayBuffer;
  /** For records and messages: no secrets. */
  readonly firstPlace: string;
  readonly secondPlace: string;
  /** Who writes records, for people. */
  readonly by: string;
  readonly copiesMax: number;
  /** In a second; 0: no bound. */
  readonly rateBytesMax: number;
}

/** All of these fail with POOL_SUPERSEDED where another pool was promoted, COMMIT_CONFLICT where the pools do not fit. */
export type MirrorTask =
  /** Sees who is first; answered by `done`. */
  | { readonly kind: "check-pools" }
  /**
   * Brings a table of the second pool to where the first is; answered by `mirrored`. In a failover the first pool is fenced
   * already, and its last commits are still fetched.
   */
  | { readonly kind: "mirror-table"; readonly location: string; readonly isFailover: boolean }
  /** Answered by `surveyed`. `isComplete`: since this epoch began every table was mirrored once. */
  | { readonly kind: "survey-mirror"; readonly isComplete: boolean }
  /** Removes garbage of the second pool, in tables that are not behind; answered by `collected`. */
  | { readonly kind: "collect-mirror"; readonly graceMs: number }
  /** For an operator's decision; answered by `inspected`. */
  | { readonly kind: "inspect-pools" }
  /** The first pool takes no commits any more; answered by `done`. */
  | { readonly kind: "fence-first" }
  /** The second pool is the first one from now on; answered by `done`. */
  | { readonly kind: "promote-second" };

export type MirrorResult =
  | { readonly kind: "mirrored"; readonly report: MirrorReport }
  | {
      readonly kind: "surveyed";
      /** Folders of tables in the first pool. */ readonly locations: readonly string[];
      /** Folders of tables that only the second pool has. */ readonly secondOnly: readonly string[];
      /** Tables that it had as first pool, and the first pool of now has not. */
      readonly setAside: readonly (Diverged & { readonly location: string })[];
    }
  | { readonly kind: "inspected"; readonly first: InspectedPool; readonly second: InspectedPool };

/** A table of a pool as its latest version says. */
export interface InspectedTable {
  readonly location: string;
  readonly name: string;
  readonly version: number;
  readonly commitId: string;
  readonly updatedMs: number;
  readonly rows: number;
  readonly files: number;
  readonly bytes: number;
}

export type InspectedPool =
  | {
      readonly place: string;
      readonly isReachable: true;
      readonly record: PoolRecord | null;
      /** The live ones. */ readonly tables: readonly InspectedTable[];
    }
  | { readonly place: string; readonly isReachable: false; readonly error: string };
