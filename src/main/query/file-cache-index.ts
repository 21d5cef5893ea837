import { assert } from "../../shared/assert.js";

/** One object of the cache: here, or on its way. Changed by FileCache and FileCacheIndex only. */
export interface CacheEntry {
  /** See cacheId in shared/store/cache-paths.ts. */
  readonly id: string;
  /** Counted from the moment that the object is to be fetched. */
  readonly bytes: number;
  /** Queries that read it or wait for it. Only an entry with none may go. */
  pins: number;
  /** Where it is, or was when the process before this one ended; null before its first fetch has ended. */
  path: string | null;
  /** The bytes at `path` are those that were fetched: false for what was found at the start until it was looked through. */
  isProven: boolean;
  /** The fetch under way, which all who want the object share; resolves to the bytes that were fetched. */
  flight: Promise<number> | null;
  /** Milliseconds since 1970 of the last note on disk that it was used. */
  notedMs: number;
}

/**
 * What is in the cache, in the order of last use, and how much room there is. Pure: it decides, FileCache acts.
 *
 * Invariant: the bytes of all entries are at most `bytesMax`, so that the folder never holds more (but for a moment at the
 * start, when `bytesMax` was lowered).
 */
export class FileCacheIndex {
  readonly #bytesMax: number;
  /** A Map keeps the order of insertion: an entry that is used moves to its end. */
  readonly #entries = new Map<string, CacheEntry>();
  #usedBytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  get count(): number {
    return this.#entries.size;
  }

  get pinnedBytes(): number {
    let bytes = 0;
    for (const entry of this.#entries.values()) if (entry.pins > 0) bytes += entry.bytes;
    return bytes;
  }

  get(id: string): CacheEntry | undefined {
    return this.#entries.get(id);
  }

  add(id: string, bytes: number): CacheEntry {
    assert(!this.#entries.has(id), "an object is in the cache once");
    const entry: CacheEntry = { id, bytes, pins: 0, path: null, isProven: false, flight: null, notedMs: 0 };
    this.#entries.set(id, entry);
    this.#usedBytes += bytes;
    return entry;
  }

  /** Fine when it is out already: another fetch of the same object may have failed before. */
  remove(entry: CacheEntry): void {
    if (this.#entries.get(entry.id) !== entry) return;
    this.#entries.delete(entry.id);
    this.#usedBytes -= entry.bytes;
  }

  /** The entry is the last one to be evicted now. */
  touch(entry: CacheEntry): void {
    if (!this.#entries.delete(entry.id)) return;
    this.#entries.set(entry.id, entry);
  }

  /**
   * The entries to evict so that `bytes` more fit, the least recently used first; null where those that are pinned, on
   * their way, or among `kept` leave no room.
   */
  victims(bytes: number, kept: ReadonlySet<CacheEntry>): CacheEntry[] | null {
    const victims: CacheEntry[] = [];
    let excess = this.#usedBytes + bytes - this.#bytesMax;
    if (excess <= 0) return victims;
    for (const entry of this.#entries.values()) {
      if (entry.pins > 0 || entry.flight !== null || kept.has(entry)) continue;
      victims.push(entry);
      excess -= entry.bytes;
      if (excess <= 0) return victims;
    }
    return null;
  }
}
