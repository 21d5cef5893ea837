import { fromErrorMessage, MiniodbError } from "../../shared/errors.js";
import { limits } from "../../shared/limits.js";
import type { DeltaRows, LiveResult, LiveTask } from "../../shared/live-messages.js";
import type { TableSchema } from "../../shared/schema/table-schema.js";
import type { HotSegment } from "../catalog/hot-segment.js";

export interface LiveReaderOptions {
  /** Runs a task in the query pool. */
  readonly run: (task: LiveTask) => Promise<LiveResult>;
  /** A page ends with the row that reaches this. */
  readonly pageBytesMax: number;
}

/** What of a delta is wanted, by whom it is called what. */
export interface PageRequest {
  readonly table: string;
  readonly delta: HotSegment;
  /** The newest schema of the table. */
  readonly schema: TableSchema;
  readonly filter: string | null;
  /** Rows up to here are passed over. */
  readonly afterSequence: number;
}

/** Rows of one delta as they go out. */
export interface LivePage {
  /** A JSON array; `[]` when no row passed. */
  readonly text: string;
  readonly rows: number;
  /** Everything up to here has been looked at. */
  readonly throughSequence: number;
}

/**
 * Asks the query pool for the rows of deltas. Subscribers with equal filters that stand at the same place share one
 * answer; a few answers are kept for those who come a moment later.
 */
export class LiveReader {
  readonly #options: LiveReaderOptions;
  /** In the order of their making. */
  readonly #pages = new Map<string, Promise<LivePage>>();
  readonly #sizes = new Map<string, number>();
  readonly #waiting: (() => void)[] = [];
  #cachedBytes = 0;
  #running = 0;
  #onIdle: () => void = () => {};

  constructor(options: LiveReaderOptions) {
    this.#options = options;
  }

  /** Rejects with INVALID_SQL or SQL_NOT_ALLOWED where the filter is not one expression over the table's columns. */
  async checkFilter(table: string, schema: TableSchema, filter: string): Promise<void> {
    await this.#run({ kind: "check-filter", table, schema, filter });
  }

  /** The caller holds the delta. Rejects with what the filter meets in its rows, or QUERY_TIMEOUT. */
  page(request: PageRequest): Promise<LivePage> {
    const { delta, filter, afterSequence, schema } = request;
    // The path names the delta, and through it the table.
    const key = `${afterSequence} ${schema.version} ${delta.path} ${filter ?? ""}`;
    const known = this.#pages.get(key);
    if (known !== undefined) return known;
    const page = this.#read(request);
    this.#pages.set(key, page);
    page.then(
      ({ text }) => this.#keep(key, text.length + key.length),
      () => this.#pages.delete(key),
    );
    return page;
  }

  /** Resolves when no task runs. */
  async idle(): Promise<void> {
    if (this.#running === 0) return;
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve;
    });
  }

  async #read(request: PageRequest): Promise<LivePage> {
    const { delta, schema, filter, table, afterSequence } = request;
    const { path, schema: fileSchema, firstSequence, lastSequence } = delta;
    const skipRows = Math.max(0, afterSequence + 1 - firstSequence);
    const bytesMax = this.#options.pageBytesMax;
    const timeoutMs = limits.liveReadMsMax;
    const what = { table, path, fileSchema, schema, filter, skipRows, bytesMax, timeoutMs };
    const { text, rows, throughRow } = (await this.#run({ kind: "read-delta", ...what })) as DeltaRows;
    return { text, rows, throughSequence: throughRow === null ? lastSequence : firstSequence + throughRow - 1 };
  }

  #keep(key: string, bytes: number): void {
    this.#sizes.set(key, bytes);
    this.#cachedBytes += bytes;
    for (const [oldest, size] of this.#sizes) {
      if (this.#cachedBytes <= limits.livePageCacheBytes) return;
      this.#sizes.delete(oldest);
      this.#pages.delete(oldest);
      this.#cachedBytes -= size;
    }
  }

  /** Few at once, in the order of their coming. */
  async #run(task: LiveTask): Promise<LiveResult> {
    if (this.#running >= limits.liveReadsMax) {
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    } else this.#running++;
    try {
      const result = await this.#options.run(task);
      if (result.kind === "failed") throw fromErrorMessage(result.error);
      return result;
    } catch (error) {
      if (error instanceof MiniodbError) throw error;
      throw new MiniodbError("WORKER_LOST", `the query worker broke off: ${String(error)}`, {}, error);
    } finally {
      this.#leave();
    }
  }

  #leave(): void {
    const next = this.#waiting.shift();
    if (next !== undefined) next();
    else if (--this.#running === 0) this.#onIdle();
  }
}
