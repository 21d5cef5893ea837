import { readlinkSync } from "node:fs";
import { getPriority, setPriority } from "node:os";

/** Below the process' own: a thread of the write path gets about nine times the share of one at this level, where they meet. */
const backgroundNice = 10;
/** Linux has none lower. */
const niceMax = 19;

/**
 * Lowers the priority of the calling thread for its whole life: for work that takes whole processors for seconds and
 * that nobody waits for. Linux has a priority per thread; elsewhere this does nothing. See main.cts for libuv's threads.
 */
export function lowerThreadPriority(): void {
  if (process.platform !== "linux") return;
  try {
    const thread = Number(readlinkSync("/proc/thread-self").split("/").at(-1));
    setPriority(thread, Math.min(niceMax, getPriority(process.pid) + backgroundNice));
  } catch {
    // No /proc, or not allowed: it stays as it is.
  }
}
