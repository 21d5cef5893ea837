#!/usr/bin/env node
/**
 * The entry point. CommonJS, because Node's loader of ECMAScript modules starts libuv's thread pool: its size and the
 * priority of its threads have to be settled before the first of them is loaded.
 *
 * Those threads run DuckDB's calls, whole processors for seconds, and none of the write path, which needs a processor
 * for microseconds but at once, in four threads one after the other. So they get a low priority, which the threads that
 * DuckDB starts inherit. Linux has priorities per thread; elsewhere they stay as they are.
 */
const { readdirSync, stat } = process.getBuiltinModule("node:fs");
const { getPriority, setPriority } = process.getBuiltinModule("node:os");

/**
 * Each running query and each merge keeps one busy (cli.ts looks whether there are enough); file work needs some beside
 * them. The fewer, the warmer: work goes to the thread that waits longest, and with 32 threads small queries ran a
 * quarter slower.
 */
process.env["UV_THREADPOOL_SIZE"] ??= "12";
/** As in shared/thread-priority.ts, which is not loaded yet. */
const backgroundNice = 10;
/** Below the others, also of a server that was itself started with a low priority: root would raise them otherwise. */
const nice = Math.min(19, getPriority() + backgroundNice);
const tasks = "/proc/self/task";

function threads(): number[] {
  return process.platform === "linux" ? readdirSync(tasks).map(Number) : [];
}

const before = new Set(threads());
// The first asynchronous call starts all threads of the pool.
stat(tasks, () => {
  for (const thread of threads()) {
    try {
      if (!before.has(thread)) setPriority(thread, nice);
    } catch {
      // Not allowed: it stays as it is.
    }
  }
  void import("./cli.js").then(({ runCli }) => runCli(process.argv.slice(2)));
});
