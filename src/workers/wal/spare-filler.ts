import { isMainThread, Worker, workerData } from "node:worker_threads";
import { assert } from "../../shared/assert.js";
import { openDisk } from "../../shared/disk/open-disk.js";
import type { Disk } from "../../shared/disk/disk.js";
import { failpoint } from "../../shared/failpoints.js";
import type { SpareFiller } from "./spare-pool.js";
import { writeFully } from "./wal-folder.js";

/**
 * Fills spare segments on a small thread of its own, because writing 64 MiB of zeros takes hundreds of milliseconds. It is
 * there from the first request on.
 * The two threads share one word:
 *
 * ```
 * idle ──request──▶ wanted ──(thread)──▶ done ──poll──▶ idle
 *                      └────(thread)───▶ failed ──poll──▶ idle            any ──stop──▶ stopping
 * ```
 */
const states = { idle: 0, wanted: 1, done: 2, failed: 3, stopping: 4 } as const;

/** Small enough that a group commit beside it waits little. */
const sliceBytes = 1024 * 1024;

interface FillerData {
  readonly state: SharedArrayBuffer;
  readonly path: string;
  readonly bytes: number;
}

/** The WAL thread's end. */
export class ThreadSpareFiller implements SpareFiller {
  readonly #state: Int32Array;
  readonly #path: string;
  readonly #open: () => Worker;
  #worker: Worker | undefined;

  /** `path` is where each spare is filled; `entry` is the file that runs `runSpareFiller`. */
  constructor(entry: URL, path: string, bytes: number) {
    const state = new SharedArrayBuffer(4);
    this.#state = new Int32Array(state);
    this.#path = path;
    const data: FillerData = { state, path, bytes };
    this.#open = () => new Worker(entry, { workerData: data, name: "wal-spare" });
  }

  request(): void {
    if (this.#worker === undefined) {
      this.#worker = this.#open();
      this.#worker.unref();
    }
    if (Atomics.compareExchange(this.#state, 0, states.idle, states.wanted) === states.idle) {
      Atomics.notify(this.#state, 0);
    }
  }

  poll(): string | undefined {
    const state = Atomics.load(this.#state, 0);
    if (state !== states.done && state !== states.failed) return undefined;
    Atomics.store(this.#state, 0, states.idle);
    return state === states.done ? this.#path : undefined;
  }

  stop(): void {
    Atomics.store(this.#state, 0, states.stopping);
    Atomics.notify(this.#state, 0);
  }
}

/** The filling thread: returns after `stop`. */
export function runSpareFiller(): void {
  assert(!isMainThread, "the spare filler blocks its thread");
  const { state, path, bytes } = workerData as FillerData;
  const word = new Int32Array(state);
  const disk = openDisk();
  for (;;) {
    Atomics.wait(word, 0, states.idle);
    const now = Atomics.load(word, 0);
    if (now === states.stopping) return;
    // Done or failed, and not yet polled: nothing to do but to look again.
    if (now !== states.wanted) Atomics.wait(word, 0, now);
    if (Atomics.load(word, 0) !== states.wanted) continue;
    const outcome = fillSpare(disk, path, bytes, () => Atomics.load(word, 0) === states.stopping);
    Atomics.compareExchange(word, 0, states.wanted, outcome ? states.done : states.failed);
  }
}

/** Writes a file of zeros; true when it is there as a whole and synced. Leaves nothing behind otherwise. */
export function fillSpare(disk: Disk, path: string, bytes: number, isCancelled: () => boolean): boolean {
  let fd = -1;
  try {
    fd = disk.open(path, "w");
    const slice = new Uint8Array(Math.min(sliceBytes, bytes));
    for (let at = 0; at < bytes && !isCancelled(); at += slice.length) {
      writeFully(disk, fd, [slice.subarray(0, Math.min(slice.length, bytes - at))], at);
      // In small steps: one sync of the whole file would hold up every group commit for its time.
      disk.fdatasync(fd);
    }
    failpoint("wal.spare.filled");
    if (!isCancelled()) return true;
  } catch {
    // Most likely the disk is full. The log goes on without a spare and asks again.
  } finally {
    if (fd >= 0) disk.close(fd);
  }
  try {
    if (fd >= 0) disk.unlink(path);
  } catch {
    // The next attempt, or the next start, writes over it or removes it.
  }
  return false;
}
