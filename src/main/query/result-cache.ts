import type { ResultColumnInfo } from "../../shared/query-messages.js";
import type { AskedQuery } from "./asked-query.js";

/** A finished result, small and complete. */
export interface CachedResult {
  readonly bytes: Uint8Array;
  readonly columns: readonly ResultColumnInfo[];
  readonly rows: number;
  readonly hasMore: boolean;
  readonly nextCursor: string;
}

export interface ResultCacheStats {
  readonly hits: number;
  readonly misses: number;
  readonly entries: number;
  readonly bytes: number;
}

/** Of an entry beside its body: the key, twice as JavaScript may hold it, and the objects. */
const overheadBytes = 512;

/**
 * Results by what they depend on, all of it: the key names the statement, its values, the form of the reply, and the
 * exact version of each table. A write makes a new version, so that no entry is ever stale and none has to be found and
 * removed; what nobody asks for any more is the least recently used and goes when room is needed.
 */
export class ResultCache {
  readonly #bytesMax: number;
  readonly #entryBytesMax: number;
  /** The least recently used first. */
  readonly #entries = new Map<string, CachedResult>();
  #bytes = 0;
  #hits = 0;
  #misses = 0;

  /** A result with more than an eighth of `bytesMax`, or than `entryBytesMax`, is not taken; 0 switches the cache off. */
  constructor(bytesMax: number, entryBytesMax: number) {
    this.#bytesMax = bytesMax;
    this.#entryBytesMax = Math.min(entryBytesMax, Math.floor(bytesMax / 8));
  }

  get isOn(): boolean {
    return this.#bytesMax > 0;
  }

  get stats(): ResultCacheStats {
    return { hits: this.#hits, misses: this.#misses, entries: this.#entries.size, bytes: this.#bytes };
  }

  /** Counts a hit or a miss. */
  get(key: string): CachedResult | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) {
      this.#misses++;
      return undefined;
    }
    this.#hits++;
    // A Map keeps the order of insertion: the entry moves to its end.
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry;
  }

  set(key: string, result: CachedResult): void {
    const bytes = bytesOf(key, result);
    if (bytes > this.#entryBytesMax) return;
    this.delete(key);
    this.#entries.set(key, result);
    this.#bytes += bytes;
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes <= this.#bytesMax) break;
      this.delete(oldest);
    }
  }

  delete(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#bytes -= bytesOf(key, entry);
  }
}

/** The whole buffer counts: a view keeps all of it. */
function bytesOf(key: string, { bytes, columns }: CachedResult): number {
  let size = bytes.buffer.byteLength + 2 * key.length + overheadBytes;
  for (const { name, type } of columns) size += 2 * (name.length + type.length) + 64;
  return size;
}

/** All that a result depends on. The parts have no spaces, but the versions, which come last. */
export function resultKey({ identity, page }: AskedQuery, versions: readonly string[]): string {
  return `${identity} ${page.format} ${page.limitRows ?? "all"} ${versions.join(" ")}`;
}
