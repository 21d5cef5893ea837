import { join } from "node:path";
import type { ColumnKeys } from "../../shared/encryption/column-keys.js";
import { limits } from "../../shared/limits.js";
import type { QueryInstance, QueryWorkerOptions } from "../../shared/query-messages.js";
import { DuckDBEngine } from "./duckdb-engine.js";

export interface QueryEnginesOptions extends Pick<
  QueryWorkerOptions,
  "memoryBytes" | "threads" | "spillBytesMax" | "readableFolders" | "temporaryFolder"
> {
  /** Tells the worker's folders from those of others. */
  readonly name: string;
  /** Folders of results, which DuckDB may write to besides. */
  readonly resultFolders: readonly string[];
  readonly columnKeys: ColumnKeys;
}

/** How the instances share the worker's memory. */
interface MemoryShares {
  readonly allThreadsBytes: number;
  /** 0: there is no such instance. */
  readonly oneThreadBytes: number;
}

/**
 * The DuckDB instances of a query worker, alike in what they may open and what they know:
 *
 * ```
 *               threads    memory                  what does not fit it     opened
 * all-threads   all        the rest                spills to disk           at the start
 * one-thread    1          1/8, at most 128 MiB    begins anew over there   by the first query that goes there
 * ```
 * DuckDB cuts every query into tasks for all threads of its instance, and hands them over and takes them back by locks and
 * wake-ups: that pays when there is much to read and nobody else. In an instance of one thread a query runs on the thread
 * that called, from its beginning to its end: an aggregate of 50,000 rows in two files takes 3.5 to 3.9 ms of a processor there,
 * 5.5 to 6.3 ms with two threads. See choose-instance.ts in src/main/query, which decides.
 *
 * The memory is split for good, as no setting of an instance changes once clients' statements run in it. A query that the
 * smaller part does not do for is begun anew in the larger one, so that the part is small.
 */
export class QueryEngines {
  readonly #options: QueryEnginesOptions;
  readonly #shares: MemoryShares;
  #allThreads: Promise<DuckDBEngine>;
  #oneThread: Promise<DuckDBEngine> | null = null;

  constructor(options: QueryEnginesOptions) {
    this.#options = options;
    this.#shares = memoryShares(options);
    this.#allThreads = this.#openAllThreads();
  }

  /** Where a query that is meant for this instance runs: without one of one thread, all run with all threads. */
  instanceFor(wanted: QueryInstance): QueryInstance {
    return this.#shares.oneThreadBytes === 0 ? "all-threads" : wanted;
  }

  /** Rejects when DuckDB cannot be opened. */
  engine(instance: QueryInstance): Promise<DuckDBEngine> {
    if (this.instanceFor(instance) === "all-threads") return this.#allThreads;
    const engine = (this.#oneThread ??= this.#openOneThread());
    // The next one may find what was missing.
    engine.catch(() => (this.#oneThread = null));
    return engine;
  }

  /**
   * The engine answers nothing any more: a new one takes its place, unless that was done before. Its other queries end with
   * the same error.
   */
  async replace(instance: QueryInstance, broken: DuckDBEngine): Promise<void> {
    if ((await this.engine(instance)) !== broken) return;
    if (instance === "one-thread") this.#oneThread = this.#openOneThread();
    else this.#allThreads = this.#openAllThreads();
  }

  async close(): Promise<void> {
    (await this.#allThreads).close();
    (await this.#oneThread)?.close();
  }

  #openAllThreads(): Promise<DuckDBEngine> {
    const { threads, spillBytesMax, temporaryFolder, name } = this.#options;
    const spill = { folder: join(temporaryFolder, `spill-${name}`), bytesMax: spillBytesMax };
    return this.#open({ memoryBytes: this.#shares.allThreadsBytes, threads, spill });
  }

  #openOneThread(): Promise<DuckDBEngine> {
    return this.#open({ memoryBytes: this.#shares.oneThreadBytes, threads: 1, spill: null });
  }

  #open(share: Pick<Parameters<typeof DuckDBEngine.open>[0], "memoryBytes" | "threads" | "spill">) {
    const { readableFolders, resultFolders, columnKeys } = this.#options;
    const allowedFolders = [...readableFolders, ...resultFolders];
    const engine = DuckDBEngine.open({ ...share, allowedFolders, columnKeys });
    // Whoever runs a task sees the error; until then it is nobody's.
    engine.catch(() => {});
    return engine;
  }
}

function memoryShares({ memoryBytes, threads }: Pick<QueryWorkerOptions, "memoryBytes" | "threads">): MemoryShares {
  const wanted = Math.min(limits.oneThreadMemoryBytesMax, Math.floor(memoryBytes / 8));
  const isWorthIt = threads > 1 && wanted >= limits.oneThreadMemoryBytesMin;
  const oneThreadBytes = isWorthIt ? wanted : 0;
  return { oneThreadBytes, allThreadsBytes: memoryBytes - oneThreadBytes };
}
