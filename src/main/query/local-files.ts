import type { DataFile } from "../../shared/messages.js";
import type { CancelSignal } from "./cancel-signal.js";

/** A data file as the catalog knows it: its key is never written twice, and its size is exact. */
export type StoredFile = Pick<DataFile, "key" | "bytes">;

/**
 * Makes the data files of the store readable on this machine: DuckDB opens local paths only. With the embedded
 * warehouse that is nothing to do (`FilesInPlace`), else objects are fetched into the file cache (`FileCache`).
 */
export interface LocalFiles {
  /** Absolute; every path lies below it. */
  readonly folder: string;
  /** Nothing is ever fetched: a file that is not needed costs its opening only. */
  readonly isInPlace: boolean;
  /**
   * Local paths of these files, in their order. They stay readable until `release`, which the caller owes.
   *
   * One query calls it once, with what pruning left of all its tables: two calls of one query could wait for each other's
   * room. Rejects with the signal's reason; RESULT_TOO_LARGE where the files are larger than the whole cache;
   * STORE_UNAVAILABLE where one cannot be fetched.
   */
  open(files: readonly StoredFile[], signal: CancelSignal): Promise<OpenFiles>;
  /** Since the start; for /metrics. */
  readonly stats: FileStats;
}

export interface OpenFiles {
  readonly paths: readonly string[];
  /** Of the files, those that were here before; and what was fetched for the others. */
  readonly cachedFiles: number;
  readonly fetchedBytes: number;
  /** To be called once, when nothing reads the paths any more. */
  release(): void;
}

export interface FileStats {
  /** Files that a query found here, and those that it had to wait for. */
  readonly hits: number;
  readonly misses: number;
  readonly fetchedBytes: number;
  readonly fetchFailures: number;
  readonly evictions: number;
  /** On disk, half-written files and what is on its way included. */
  readonly usedBytes: number;
  readonly files: number;
  /** Bytes of files that running queries hold. */
  readonly pinnedBytes: number;
  /** Queries that wait until others let go of their files. */
  readonly waiting: number;
}

/** The files of a store that is a folder of this machine: they are read where they lie. */
export class FilesInPlace implements LocalFiles {
  readonly folder: string;
  readonly isInPlace = true;
  readonly stats: FileStats = {
    hits: 0,
    misses: 0,
    fetchedBytes: 0,
    fetchFailures: 0,
    evictions: 0,
    usedBytes: 0,
    files: 0,
    pinnedBytes: 0,
    waiting: 0,
  };
  readonly #pathOf: (key: string) => string;

  constructor(folder: string, pathOf: (key: string) => string) {
    this.folder = folder;
    this.#pathOf = pathOf;
  }

  open(files: readonly StoredFile[]): Promise<OpenFiles> {
    const paths = files.map(({ key }) => this.#pathOf(key));
    return Promise.resolve({ paths, cachedFiles: files.length, fetchedBytes: 0, release: () => {} });
  }
}
