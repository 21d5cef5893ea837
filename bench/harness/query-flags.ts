/** How servers are started for query suites, and R with them. */
import { availableParallelism } from "node:os";

const mib = 1024 ** 2;
export const queryThreads = availableParallelism();
/** DuckDB's, in the server and in R. */
export const queryMemoryBytes = 2048 * mib;

/** Nothing but the query changes the files, so that R reads the very same ones. */
export const queryFlags: readonly string[] = [
  ["--query-memory-bytes", String(queryMemoryBytes)],
  ["--query-threads", String(queryThreads)],
  ["--compaction-interval-ms", "1d"],
].flat();

/** With them each query runs, whatever was asked before. */
export const uncachedFlags: readonly string[] = [...queryFlags, "--query-cache-bytes", "0"];
