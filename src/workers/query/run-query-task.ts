import { move, transferableSymbol, valueSymbol } from "piscina";
import { threadId, workerData } from "node:worker_threads";
import type { QueryResult, QueryTask, QueryWorkerOptions } from "../../shared/messages.js";
import { QueryRunner } from "./query-runner.js";

/** Made when the thread starts, so that the first query finds DuckDB open. */
const runner = new QueryRunner(workerData as QueryWorkerOptions, String(threadId));

/** The piscina task of the query pool. The bytes of a result are moved, not copied. */
export async function runQueryTask(task: QueryTask): Promise<QueryResult> {
  const result = await runner.run(task);
  return result.kind === "rows" ? (move(new MovedResult(result)) as unknown as QueryResult) : result;
}

/** piscina's way to say what of a value is transferred. */
class MovedResult {
  readonly #result: Extract<QueryResult, { readonly kind: "rows" }>;

  constructor(result: Extract<QueryResult, { readonly kind: "rows" }>) {
    this.#result = result;
  }

  get [transferableSymbol](): ArrayBufferLike {
    return this.#result.body.buffer;
  }

  get [valueSymbol](): QueryResult {
    return this.#result;
  }
}
