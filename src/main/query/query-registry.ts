import { randomBytes } from "node:crypto";
import { MiniodbError } from "../../shared/errors.js";
import type { QueryRun } from "./query-run.js";

/** What a client may call its query, so that it can ask for it and cancel it while the reply is awaited. */
const idPattern = /^[A-Za-z0-9_.:-]{1,64}$/;

/**
 * The queries that were admitted and are not over, by id. Without an id of the client's a query gets
 *
 * ```
 *   8 random characters of this process   "-"   a number that counts up, base 36
 * ```
 * which is unique over restarts and nodes, and costs next to nothing.
 */
export class QueryRegistry {
  readonly #prefix = randomBytes(6).toString("base64url").replace(/[-_]/g, "0");
  readonly #runs = new Map<string, QueryRun>();
  #count = 0;
  #onIdle: () => void = () => {};

  get size(): number {
    return this.#runs.size;
  }

  /** The asked-for id (absent or empty: a new one). Throws INVALID_REQUEST for one that is malformed or in use. */
  id(wanted: string | undefined): string {
    if (wanted === undefined || wanted === "") return `${this.#prefix}-${(++this.#count).toString(36)}`;
    if (!idPattern.test(wanted)) {
      throw new MiniodbError("INVALID_REQUEST", "query_id has 1 to 64 letters, digits, or any of _ . : -", {
        field: "query_id",
      });
    }
    if (this.#runs.has(wanted)) {
      throw new MiniodbError("INVALID_REQUEST", `query_id ${wanted} is that of a query under way`, {
        field: "query_id",
      });
    }
    return wanted;
  }

  add(run: QueryRun): void {
    this.#runs.set(run.id, run);
  }

  remove(run: QueryRun): void {
    this.#runs.delete(run.id);
    if (this.#runs.size === 0) this.#onIdle();
  }

  /** In the order of their admission. */
  all(): QueryRun[] {
    return [...this.#runs.values()];
  }

  /** Throws NOT_FOUND for a query that is over or never was. */
  get(id: string): QueryRun {
    const run = this.#runs.get(id);
    if (run === undefined) throw new MiniodbError("NOT_FOUND", `No query ${id} is under way`, { queryId: id });
    return run;
  }

  /** Resolves when none is left. One caller at a time. */
  async idle(): Promise<void> {
    if (this.#runs.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve;
    });
  }
}
