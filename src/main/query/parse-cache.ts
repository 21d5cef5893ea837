import { limits } from "../../shared/limits.js";
import type { ParsedStatement } from "../../shared/query-messages.js";

/**
 * What the parser said of the texts that were sent last. The answer depends on the text alone, so that entries never
 * become stale; the least recently used goes first.
 */
export class ParseCache {
  readonly #entries = new Map<string, ParsedStatement>();

  get(sql: string): ParsedStatement | undefined {
    const entry = this.#entries.get(sql);
    if (entry === undefined) return undefined;
    // A Map keeps the order of insertion: the entry moves to its end.
    this.#entries.delete(sql);
    this.#entries.set(sql, entry);
    return entry;
  }

  set(sql: string, statement: ParsedStatement): void {
    if (sql.length > limits.parsedStatementBytesMax) return;
    this.#entries.delete(sql);
    this.#entries.set(sql, statement);
    if (this.#entries.size <= limits.parsedStatementsMax) return;
    const oldest = this.#entries.keys().next();
    if (oldest.done !== true) this.#entries.delete(oldest.value);
  }

  get size(): number {
    return this.#entries.size;
  }
}
