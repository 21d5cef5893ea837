import { randomBytes } from "node:crypto";
import { MiniodbError } from "../../shared/errors.js";
import type { Lease } from "./lease.js";
import type { SnapshotTable } from "./snapshot-provider.js";

/**
 * What the pages after the first are read from.
 *
 * `snapshot`: what the first page needed of its tables; the files stay in the store, and are opened again for each page.
 * Where DuckDB fixes the order of a result (a scan that filters and computes), the rows after the first n are the same
 * each time.
 *
 * `file`: the rows themselves, in a Parquet file, where they would come in another order or with other values each time:
 * sorts leave equal keys in any order, groups and joins all rows, and sums of doubles differ in their last digits.
 */
export type KeptSource =
  | { readonly kind: "snapshot"; readonly tables: readonly SnapshotTable[] }
  | {
      readonly kind: "file";
      /** A SELECT of all its rows, in their order, as the statement named and typed them. */
      readonly sql: string;
      readonly bytes: number;
      /** False where the result has more rows than were kept. */
      readonly isWhole: boolean;
    };

export interface KeptResult {
  readonly id: string;
  /** Of the statement and its values. */
  readonly identity: string;
  readonly source: KeptSource;
  /** Whoever reads it retains it meanwhile. */
  readonly lease: Lease;
}

export interface KeptResultsOptions {
  readonly countMax: number;
  /** Of files. */
  readonly bytesMax: number;
  /** Since the last page. */
  readonly ageMsMax: number;
}

interface Entry extends KeptResult {
  /** What a second request for the same first page has in common with the first. */
  readonly key: string;
  usedMs: number;
  isPaged: boolean;
}

const sweepMs = 1_000;

/**
 * Results that a client may go on reading. Most first pages are never followed by a second: when there are too many,
 * those that nobody has paged through go first, the oldest of them, and then the least recently used. The same
 * statement on the same snapshot is kept once.
 */
export class KeptResults {
  readonly #options: KeptResultsOptions;
  /** The least recently used first. */
  readonly #entries = new Map<string, Entry>();
  readonly #idOfKey = new Map<string, string>();
  readonly #timer: NodeJS.Timeout;
  #bytes = 0;

  constructor(options: KeptResultsOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#sweep(performance.now()), sweepMs).unref();
  }

  get size(): number {
    return this.#entries.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Keeps the source, holding the lease; returns its id. An empty key is shared with nobody. */
  keep(kept: { identity: string; key: string; source: KeptSource; lease: Lease }): string {
    const known = kept.key === "" ? undefined : this.#idOfKey.get(kept.key);
    if (known !== undefined && this.touch(known)) return known;
    const id = randomBytes(16).toString("base64url");
    kept.lease.retain();
    this.#entries.set(id, { ...kept, id, usedMs: performance.now(), isPaged: false });
    if (kept.key !== "") this.#idOfKey.set(kept.key, id);
    this.#bytes += bytesOf(kept.source);
    this.#makeRoom(id);
    return id;
  }

  /** True, and it counts as used, when it is still kept. */
  touch(id: string): boolean {
    const entry = this.#entries.get(id);
    if (entry === undefined) return false;
    entry.usedMs = performance.now();
    this.#entries.delete(id);
    this.#entries.set(id, entry);
    return true;
  }

  /** For a page after the first. Throws CURSOR_EXPIRED, and INVALID_REQUEST for a cursor of another statement. */
  get(id: string, identity: string): KeptResult {
    const entry = this.#entries.get(id);
    if (entry === undefined || !this.touch(id)) {
      throw new MiniodbError("CURSOR_EXPIRED", "the pages of this cursor are not kept any more", { field: "cursor" });
    }
    if (entry.identity !== identity) {
      throw new MiniodbError("INVALID_REQUEST", "cursor belongs to another statement", { field: "cursor" });
    }
    entry.isPaged = true;
    return entry;
  }

  close(): void {
    clearInterval(this.#timer);
    for (const entry of this.#entries.values()) this.#drop(entry);
  }

  #sweep(nowMs: number): void {
    for (const entry of this.#entries.values()) {
      if (nowMs - entry.usedMs <= this.#options.ageMsMax) break;
      this.#drop(entry);
    }
  }

  /** The newest stays: its cursor is about to be sent. */
  #makeRoom(newest: string): void {
    const { countMax, bytesMax } = this.#options;
    const all = [...this.#entries.values()].filter((entry) => entry.id !== newest);
    const inOrder = [...all.filter((entry) => !entry.isPaged), ...all.filter((entry) => entry.isPaged)];
    const files = inOrder.filter((entry) => entry.source.kind === "file");
    for (const entry of files) if (this.#bytes > bytesMax) this.#drop(entry);
    for (const entry of inOrder) {
      if (this.#entries.size > countMax && this.#entries.has(entry.id)) this.#drop(entry);
    }
  }

  #drop(entry: Entry): void {
    this.#entries.delete(entry.id);
    if (this.#idOfKey.get(entry.key) === entry.id) this.#idOfKey.delete(entry.key);
    this.#bytes -= bytesOf(entry.source);
    entry.lease.release();
  }
}

function bytesOf(source: KeptSource): number {
  return source.kind === "file" ? source.bytes : 0;
}
