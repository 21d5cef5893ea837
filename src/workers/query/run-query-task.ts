import { parentPort, threadId, workerData } from "node:worker_threads";
import { MiniodbError, toErrorMessage } from "../../shared/errors.js";
import { type PackedQueryTask, unpackTask } from "../../shared/packed-query-task.js";
import type { QueryResult, QueryWorkerBroken, QueryWorkerOptions } from "../../shared/query-messages.js";
import type { LiveResult, LiveTask } from "../../shared/live-messages.js";
import { requirePackage } from "../../shared/require-package.js";
import { QueryRunner } from "./query-runner.js";

const piscina = requirePackage("piscina");

/** Made when the thread starts, so that the first query finds DuckDB open. */
const runner = new QueryRunner(workerData as QueryWorkerOptions, String(threadId));
let running = 0;
let isBroken = false;

/** Long enough for the last result to leave the thread. */
const lastWordsMs = 50;

/** The piscina task of the query pool. The bytes of a result are moved, not copied. */
export async function runQueryTask(task: PackedQueryTask): Promise<QueryResult> {
  if (isBroken) return { kind: "failed", error: toErrorMessage(restarting()) };
  running++;
  try {
    const result = await runner.run(unpackTask(task));
    if (result.kind !== "rows" || result.body.kind === "file") return result;
    // Of pieces only the first is no shared memory; to copy it is nothing beside the others.
    if (result.body.kind === "pieces") return result;
    return piscina.move(new MovedResult(result, result.body.bytes.buffer)) as unknown as QueryResult;
  } finally {
    running--;
    if (isBroken) endWhenIdle();
  }
}

/** The piscina task of live queries, in the same workers. */
export async function runLiveTask(task: LiveTask): Promise<LiveResult> {
  if (isBroken) return { kind: "failed", error: toErrorMessage(restarting()) };
  running++;
  try {
    return await runner.runLive(task);
  } finally {
    running--;
    if (isBroken) endWhenIdle();
  }
}

/**
 * An uncaught error leaves the thread in a state that nobody knows, so that it must be replaced. But a thread that ends
 * while a call of DuckDB runs takes the whole process down (node-api aborts when the call's answer finds no thread), and
 * one that Node ends waits for the call, however long. So its queries are interrupted, and the thread ends after them.
 */
process.on("uncaughtException", (error) => {
  isBroken = true;
  parentPort?.postMessage({ kind: "query-worker-broken", error: toErrorMessage(error) } satisfies QueryWorkerBroken);
  runner.interruptAll(restarting());
  endWhenIdle();
});

function endWhenIdle(): void {
  if (running === 0) setTimeout(() => process.exit(1), lastWordsMs);
}

function restarting(): MiniodbError {
  return new MiniodbError("SERVER_BUSY", "the query worker is being replaced");
}

/** piscina's way to say what of a value is transferred. */
class MovedResult {
  readonly #result: QueryResult;
  readonly #buffer: ArrayBufferLike;

  constructor(result: QueryResult, buffer: ArrayBufferLike) {
    this.#result = result;
    this.#buffer = buffer;
  }

  get [piscina.transferableSymbol](): ArrayBufferLike {
    return this.#buffer;
  }

  get [piscina.valueSymbol](): QueryResult {
    return this.#result;
  }
}
