import type { ResultColumnInfo } from "../../shared/query-messages.js";
import type { JsonResult } from "./result-json.js";

/** The columns of a statement's result, and the writer that was made for them: together about 5 KiB. */
export interface KnownResult {
  readonly infos: readonly ResultColumnInfo[];
  readonly json: JsonResult;
}

const resultsMax = 128;
/** A text or a writer larger than this is not worth its memory. */
const sqlLengthMax = 4_096;
const columnsMax = 64;
const rowsMax = 512;

/**
 * What a connection has learnt of small results: by the SQL that runs, as long as the views mean the same. A dashboard
 * asks the same again, and to ask DuckDB for names and types, and to make a writer of them, takes longer than to write
 * ten rows. Bounded; the oldest goes first.
 *
 * Statements are not kept prepared: DuckDB 1.5.6 plans each run of one anew that reads files (its MultiFileBindData takes no
 * part in the statement cache), so that a run took 2.18 ms against 2.28 ms of the text, and each held a file open.
 */
export class KnownResults {
  readonly #results = new Map<string, KnownResult>();

  get(key: string): KnownResult | undefined {
    return this.#results.get(key);
  }

  /** `rows`: of the result that was just written, by which the writer's buffers have grown. */
  add(key: string, known: KnownResult, rows: number): void {
    if (rows > rowsMax || key.length > sqlLengthMax || known.infos.length > columnsMax) return;
    const [oldest] = this.#results.keys();
    if (this.#results.size >= resultsMax && oldest !== undefined) this.#results.delete(oldest);
    this.#results.set(key, known);
  }

  clear(): void {
    if (this.#results.size > 0) this.#results.clear();
  }
}
