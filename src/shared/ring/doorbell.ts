import type { MessagePort } from "node:worker_threads";
import { MessageChannel } from "node:worker_threads";
import { doorbellBytes, doorbellWords, mainDoorbellWords } from "./ring-layout.js";

/**
 * Two ways to wake a reader of rings. Both carry no data: whoever is woken polls its rings. A ring with nobody
 * asleep costs one or two atomic operations, so ringing after every publish is affordable, and once per batch better.
 *
 * No wake-up is lost, because publish-then-look meets say-then-poll (Dekker's pattern on sequentially consistent
 * atomics): the ringer publishes and then looks whether the reader sleeps; the reader says that it sleeps and then
 * looks once more at what was published. At least one of the two sees the other.
 */

/** Shared memory for one doorbell of either kind. */
export function createDoorbell(): SharedArrayBuffer {
  return new SharedArrayBuffer(doorbellBytes);
}

/** Rings a thread that sleeps in `DoorbellSleeper.wait`. Any number of threads may ring one doorbell. */
export class DoorbellRinger {
  readonly #words: Int32Array;

  constructor(buffer: SharedArrayBuffer) {
    this.#words = new Int32Array(buffer);
  }

  /** To be called after the publish that the sleeper shall see. */
  ring(): void {
    Atomics.add(this.#words, doorbellWords.rings, 1);
    if (Atomics.load(this.#words, doorbellWords.sleeping) === 0) return;
    if (Atomics.exchange(this.#words, doorbellWords.sleeping, 0) === 1) {
      Atomics.notify(this.#words, doorbellWords.rings, 1);
    }
  }
}

/** The sleeping side of a blocking doorbell, for threads that have no event loop to serve. One thread only. */
export class DoorbellSleeper {
  readonly #words: Int32Array;
  #ringsSeen: number;

  constructor(buffer: SharedArrayBuffer) {
    this.#words = new Int32Array(buffer);
    this.#ringsSeen = Atomics.load(this.#words, doorbellWords.rings);
  }

  /**
   * Blocks until someone rings or `timeoutMs` is over. Returns at once when someone rang since the last return:
   * so a loop of "poll everything, wait" misses nothing, at the price of one empty round of polling now and then.
   * Returns false on timeout.
   */
  wait(timeoutMs: number): boolean {
    const words = this.#words;
    Atomics.store(words, doorbellWords.sleeping, 1);
    // A ring between the last return and here changed the count, and then this does not block.
    const outcome = Atomics.wait(words, doorbellWords.rings, this.#ringsSeen, timeoutMs);
    Atomics.store(words, doorbellWords.sleeping, 0);
    this.#ringsSeen = Atomics.load(words, doorbellWords.rings);
    return outcome !== "timed-out";
  }

  /**
   * Forgets the rings so far without sleeping: call it just before polling, and an empty poll may sleep at once
   * instead of polling a second time.
   */
  mark(): void {
    this.#ringsSeen = Atomics.load(this.#words, doorbellWords.rings);
  }
}

/** What a thread needs in order to ring main: sent to it once, with `port` in the transfer list. */
export interface MainDoorbellHandle {
  readonly buffer: SharedArrayBuffer;
  readonly port: MessagePort;
}

/** Rings the main thread: one message when main has armed the bell, nothing otherwise. */
export class MainDoorbellRinger {
  readonly #words: Int32Array;
  readonly #port: MessagePort;

  constructor(handle: MainDoorbellHandle) {
    this.#words = new Int32Array(handle.buffer);
    this.#port = handle.port;
  }

  /** To be called after the publish that main shall see. */
  ring(): void {
    if (Atomics.load(this.#words, mainDoorbellWords.armed) === 0) return;
    if (Atomics.exchange(this.#words, mainDoorbellWords.armed, 0) === 1) this.#port.postMessage(null);
  }
}

/**
 * Main's side of its doorbell: `drain` runs on the event loop after a ring. The bell is armed again before `drain`
 * looks at the rings, so what is published while it runs either is seen by it or sends another message.
 */
export class MainDoorbell {
  readonly #buffer = createDoorbell();
  readonly #words = new Int32Array(this.#buffer);
  readonly #ports: MessagePort[] = [];
  readonly #drain: () => void;

  constructor(drain: () => void) {
    this.#drain = drain;
    Atomics.store(this.#words, mainDoorbellWords.armed, 1);
  }

  /** A handle for one more ringing thread. It does not keep the process alive. */
  connect(): MainDoorbellHandle {
    const { port1, port2 } = new MessageChannel();
    port1.on("message", () => this.drainNow());
    port1.unref();
    this.#ports.push(port1);
    return { buffer: this.#buffer, port: port2 };
  }

  /** Drains as after a ring: for callers that are awake anyway and save the threads a message. */
  drainNow(): void {
    Atomics.store(this.#words, mainDoorbellWords.armed, 1);
    this.#drain();
  }

  /** Whether main's event loop stays alive for rings. */
  keepAlive(alive: boolean): void {
    for (const port of this.#ports) {
      if (alive) port.ref();
      else port.unref();
    }
  }

  close(): void {
    Atomics.store(this.#words, mainDoorbellWords.armed, 0);
    for (const port of this.#ports) port.close();
    this.#ports.length = 0;
  }
}
