import { mkdirSync, readdirSync, rmSync, type Stats, statSync } from "node:fs";
import { rm, utimes } from "node:fs/promises";
import { join } from "node:path";
import { assert } from "../../shared/assert.js";
import { MiniodbError } from "../../shared/errors.js";
import type { CachedCopy, CopyPlace, FetchResult, FetchTask } from "../../shared/messages.js";
import { cacheId, parseCachedName, partsFolder } from "../../shared/store/cache-paths.js";
import type { CancelSignal } from "./cancel-signal.js";
import { type CacheEntry, FileCacheIndex } from "./file-cache-index.js";
import type { FileStats, LocalFiles, OpenFiles, StoredFile } from "./local-files.js";

export interface FileCacheOptions {
  /** Absolute, of this process alone. */
  readonly folder: string;
  readonly bytesMax: number;
  /** Objects on their way at once, over all queries. */
  readonly fetchesMax: number;
  /** Brings an object into the folder, in a worker. Rejects with STORE_UNAVAILABLE. */
  readonly fetch: (task: Omit<FetchTask, "kind">) => Promise<FetchResult>;
  /** Files that could not be removed: the folder is larger than it should be. */
  readonly onError: (doing: string, error: unknown) => void;
}

/** Entries by key, each with a pin, and the fetches that bring those of them that are not here. */
interface Pinned {
  readonly entries: ReadonlyMap<string, CacheEntry>;
  readonly flights: readonly Promise<number>[];
}

/** A query that waits for room: it holds nothing meanwhile, so that two of them never wait for each other. */
interface Waiter {
  readonly files: ReadonlyMap<string, StoredFile>;
  readonly grant: (pinned: Pinned) => void;
  readonly fail: (error: unknown) => void;
}

/** The time of last use is noted on disk this often; it orders the files after a restart. */
const noteIntervalMs = 10 * 60_000;

/**
 * Objects of the store as files of this machine: whole, as DuckDB reads no ranges of a store by itself. Bounded, with the
 * least recently used going first.
 *
 * ```
 * open ─▶ all files pinned at once, or none ─▶ those not here are fetched, a few at a time ─▶ paths ─▶ ... ─▶ release
 *            └─ no room: wait until others release
 * ```
 * - An object is fetched once, however many queries want it. A query that leaves while its files are on their way does
 *   not take them from the others; what nobody wants any more is fetched only where it was begun.
 * - A file is pinned from `open` to `release`, and only files without pins go. A query takes all its room at once or waits
 *   for it, in turn, until its own time is up; one that wants nothing new waits for nobody. A query whose files are larger
 *   than the whole cache is refused: to hold more than `bytesMax` would break the bound, and DuckDB needs all of them.
 * - The bytes are those that the catalog says, of one version of the object (its etag). A look at the size comes before
 *   each use. What an earlier process left is read through once, against the digest in its name, before it is used:
 *   nothing here is synced, and a power loss may have taken parts of a file.
 */
export class FileCache implements LocalFiles {
  readonly folder: string;
  readonly isInPlace = false;
  readonly #options: FileCacheOptions;
  readonly #index: FileCacheIndex;
  /** In the order of their coming. Bounded by the queries that are admitted (query.queueMax). */
  readonly #waiters: Waiter[] = [];
  readonly #queue: { readonly entry: CacheEntry; readonly start: () => void }[] = [];
  /** Unlinks under way: a large file takes the disk milliseconds, which main does not wait for. */
  readonly #removals = new Set<Promise<void>>();
  #running = 0;
  #counts = { hits: 0, misses: 0, fetchedBytes: 0, fetchFailures: 0, evictions: 0 };

  /** Finds what is in the folder, which it makes where it is missing. */
  constructor(options: FileCacheOptions) {
    this.#options = options;
    this.folder = options.folder;
    this.#index = new FileCacheIndex(options.bytesMax);
    rmSync(partsFolder(this.folder), { recursive: true, force: true });
    mkdirSync(partsFolder(this.folder), { recursive: true });
    // The last used first: what is over the bound, which may have been lowered, goes before anything is fetched.
    const kept = new Map<string, FoundFile>();
    let bytes = 0;
    for (const file of filesIn(this.folder)) {
      if (kept.has(file.id) || bytes + file.bytes > options.bytesMax) {
        rmSync(file.path, { force: true });
        continue;
      }
      kept.set(file.id, file);
      bytes += file.bytes;
    }
    for (const { path, id, bytes } of [...kept.values()].toReversed()) this.#index.add(id, bytes).path = path;
  }

  get stats(): FileStats {
    const { usedBytes, pinnedBytes, count } = this.#index;
    return { ...this.#counts, usedBytes, pinnedBytes, files: count, waiting: this.#waiters.length };
  }

  async open(files: readonly StoredFile[], signal: CancelSignal): Promise<OpenFiles> {
    signal.throwIfAborted();
    const wanted = new Map(files.map((file) => [file.key, file]));
    const { entries, flights } = this.#pin(wanted, this.#waiters.length === 0) ?? (await this.#wait(wanted, signal));
    // Whoever gets an error owes nothing; the pins are this call's until it returns.
    let isReleased = false;
    const release = (): void => {
      if (isReleased) return;
      isReleased = true;
      for (const entry of entries.values()) entry.pins--;
      this.#admit();
    };
    try {
      const fetched = flights.length === 0 ? [] : await unlessAborted(Promise.all(flights), signal);
      const misses = fetched.filter((bytes) => bytes > 0).length;
      const cachedFiles = entries.size - misses;
      this.#counts.hits += cachedFiles;
      this.#counts.misses += misses;
      const fetchedBytes = fetched.reduce((sum, bytes) => sum + bytes, 0);
      return { paths: files.map(({ key }) => pathOf(entries.get(key))), cachedFiles, fetchedBytes, release };
    } catch (error) {
      release();
      throw error;
    }
  }

  /** Of these files those that are here, by key; they stay until `release`. Fetches nothing and waits for nobody. */
  present(files: readonly StoredFile[]): { readonly paths: Readonly<Record<string, string>>; release(): void } {
    const entries: CacheEntry[] = [];
    const paths: Record<string, string> = {};
    for (const { key, bytes } of files) {
      const entry = this.#usable(cacheId(key), bytes);
      if (entry === undefined || !entry.isProven || entry.path === null || entry.flight !== null) continue;
      entry.pins++;
      entries.push(entry);
      paths[key] = entry.path;
    }
    const release = (): void => {
      for (const entry of entries.splice(0)) entry.pins--;
      this.#admit();
    };
    return { paths, release };
  }

  /** Where a flush puts copies of its files: one takes a quarter of the room at most, as nobody has asked for them yet. */
  get copyPlace(): CopyPlace {
    return { folder: this.folder, bytesMax: Math.floor(this.#options.bytesMax / 4) };
  }

  /**
   * Counts files that a flush put into the folder. They take the room of those that were not used for longest, but none
   * that queries wait for: then they go.
   */
  adopt(copies: readonly CachedCopy[]): void {
    for (const { key, bytes, path } of copies) {
      const id = cacheId(key);
      const known = this.#index.get(id);
      const victims = known === undefined && this.#waiters.length === 0 ? this.#index.victims(bytes, new Set()) : null;
      if (victims === null) {
        // One fetch of it, which only another node could have told of, has the same name.
        if (known === undefined) this.#remove(path);
        continue;
      }
      this.#evict(victims);
      Object.assign(this.#index.add(id, bytes), { path, isProven: true, notedMs: Date.now() });
    }
  }

  // ---- room

  #wait(files: ReadonlyMap<string, StoredFile>, signal: CancelSignal): Promise<Pinned> {
    return new Promise((grant, reject) => {
      const onAbort = (): void => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
        reject(signal.reason);
        // The next in turn may need less.
        this.#admit();
      };
      const settled = <Value>(act: (value: Value) => void) => {
        return (value: Value): void => {
          signal.removeEventListener("abort", onAbort);
          act(value);
        };
      };
      const waiter: Waiter = { files, grant: settled(grant), fail: settled(reject) };
      signal.addEventListener("abort", onAbort, { once: true });
      this.#waiters.push(waiter);
    });
  }

  /** Lets in those who wait, in turn, as far as there is room. */
  #admit(): void {
    for (let first = this.#waiters[0]; first !== undefined; first = this.#waiters[0]) {
      try {
        const pinned = this.#pin(first.files, true);
        if (pinned === null) return;
        this.#waiters.shift();
        first.grant(pinned);
      } catch (error) {
        this.#waiters.shift();
        first.fail(error);
      }
    }
  }

  /**
   * The entries of these files, pinned, with a flight for each that is not here; null, and nothing changed, where
   * there is no room for them, or where some are missing and none may be added.
   */
  #pin(files: ReadonlyMap<string, StoredFile>, mayAdd: boolean): Pinned | null {
    const found = new Map<string, CacheEntry>();
    const missing: { readonly file: StoredFile; readonly id: string }[] = [];
    let missingBytes = 0;
    let bytes = 0;
    for (const file of files.values()) {
      const id = cacheId(file.key);
      const entry = this.#usable(id, file.bytes);
      if (entry !== undefined) found.set(file.key, entry);
      else missing.push({ file, id });
      if (entry === undefined) missingBytes += file.bytes;
      bytes += file.bytes;
    }
    if (bytes > this.#options.bytesMax) throw tooLarge(files.size, bytes, this.#options.bytesMax);
    if (missing.length > 0) {
      const victims = mayAdd ? this.#index.victims(missingBytes, new Set(found.values())) : null;
      if (victims === null) return null;
      this.#evict(victims);
      for (const { file, id } of missing) found.set(file.key, this.#index.add(id, file.bytes));
    }
    // Nothing above has waited, so that all of this is one step for every other query. The flights are taken here: one that
    // fails before the caller comes to look is gone from its entry.
    const flights: Promise<number>[] = [];
    for (const [key, entry] of found) {
      entry.pins++;
      this.#index.touch(entry);
      if (entry.flight === null && !entry.isProven) this.#fetch(key, entry);
      if (entry.flight !== null) flights.push(entry.flight);
    }
    return { entries: found, flights };
  }

  /** The entry of an object of this size. One whose file is gone or has another size is fetched again. */
  #usable(id: string, bytes: number): CacheEntry | undefined {
    const entry = this.#index.get(id);
    if (entry === undefined) return undefined;
    if (entry.bytes !== bytes) {
      // Found at the start, with part of its bytes: an entry with pins has the size that the catalog says.
      assert(entry.pins === 0 && entry.flight === null, "an object has one size");
      this.#evict([entry]);
      return undefined;
    }
    if (entry.isProven && entry.path !== null) {
      // 3 µs, against the 100 that DuckDB takes to open the file: somebody may have emptied the folder.
      const file = statSync(entry.path, { throwIfNoEntry: false });
      if (file?.size === bytes) this.#noteUse(entry, entry.path, file);
      else entry.isProven = false;
    }
    return entry;
  }

  /** Best effort, and without a change of the time of writing, by which DuckDB knows the footers that it has read. */
  #noteUse(entry: CacheEntry, path: string, file: Stats): void {
    const nowMs = Date.now();
    if (nowMs - entry.notedMs < noteIntervalMs) return;
    entry.notedMs = nowMs;
    utimes(path, nowMs / 1000, file.mtimeMs / 1000).catch(() => {});
  }

  #evict(entries: readonly CacheEntry[]): void {
    for (const entry of entries) {
      assert(entry.pins === 0 && entry.flight === null, "a file that somebody reads or waits for stays");
      this.#index.remove(entry);
      this.#unlink(entry);
      this.#counts.evictions++;
    }
  }

  #unlink({ path }: CacheEntry): void {
    if (path !== null) this.#remove(path);
  }

  #remove(path: string): void {
    const removal = rm(path, { force: true })
      .catch((error: unknown) => this.#options.onError(`removing ${path}`, error))
      .finally(() => this.#removals.delete(removal));
    this.#removals.add(removal);
  }

  // ---- fetches

  #fetch(key: string, entry: CacheEntry): void {
    entry.flight = new Promise<void>((start) => {
      this.#queue.push({ entry, start });
    }).then(() => this.#fetchNow(key, entry));
    // Who waits for it sees its error; there may be nobody any more.
    entry.flight.catch(() => {});
    this.#startFetches();
  }

  #startFetches(): void {
    while (this.#running < this.#options.fetchesMax) {
      const next = this.#queue.shift();
      if (next === undefined) return;
      this.#running++;
      next.start();
    }
  }

  async #fetchNow(key: string, entry: CacheEntry): Promise<number> {
    try {
      // Everybody has left while it stood in the queue.
      if (entry.pins === 0) {
        if (entry.path === null) this.#index.remove(entry);
        return 0;
      }
      // What goes makes room for what comes, and may have the same name.
      await Promise.all(this.#removals);
      const { bytes, path: knownPath } = entry;
      const { path, fetchedBytes } = await this.#options.fetch({ key, bytes, folder: this.folder, knownPath });
      entry.path = path;
      entry.isProven = true;
      entry.notedMs = Date.now();
      this.#counts.fetchedBytes += fetchedBytes;
      return fetchedBytes;
    } catch (error) {
      this.#counts.fetchFailures++;
      // Its room is free again; a damaged file that the worker did not come to remove goes too.
      this.#index.remove(entry);
      this.#unlink(entry);
      throw error;
    } finally {
      entry.flight = null;
      this.#running--;
      this.#startFetches();
      this.#admit();
    }
  }
}

interface FoundFile {
  readonly path: string;
  readonly id: string;
  readonly bytes: number;
  readonly usedMs: number;
}

/** The cache's files, the last used first. */
function filesIn(folder: string): FoundFile[] {
  const found: FoundFile[] = [];
  for (const name of readdirSync(folder)) {
    const parsed = parseCachedName(name);
    if (parsed === undefined) continue;
    const path = join(folder, name);
    const file = statSync(path, { throwIfNoEntry: false });
    if (file?.isFile() === true) found.push({ path, id: parsed.id, bytes: file.size, usedMs: file.atimeMs });
  }
  return found.toSorted((left, right) => right.usedMs - left.usedMs);
}

function pathOf(entry: CacheEntry | undefined): string {
  assert(entry !== undefined && entry.path !== null, "a file is here when its flight has ended");
  return entry.path;
}

/** The work's result, or the signal's reason as soon as it aborts. */
async function unlessAborted<Result>(work: Promise<Result>, signal: CancelSignal): Promise<Result> {
  signal.throwIfAborted();
  let onAbort = (): void => {};
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function tooLarge(files: number, bytes: number, bytesMax: number): MiniodbError {
  return new MiniodbError(
    "RESULT_TOO_LARGE",
    `The query reads ${files} files of ${bytes} bytes, more than the file cache may hold (cache.bytesMax = ${bytesMax})`,
    { files, bytes, limit: bytesMax, option: "cache.bytesMax" },
  );
}
