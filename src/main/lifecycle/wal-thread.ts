import { MessageChannel, type MessagePort } from "node:worker_threads";
import { MiniodbError } from "../../shared/errors.js";
import type { ToWal, WalOptions, WalToMain, WalWorkerLink } from "../../shared/wal-messages.js";
import type { MainDoorbell } from "../../shared/ring/doorbell.js";
import { createDoorbell } from "../../shared/ring/doorbell.js";
import { requirePackage } from "../../shared/require-package.js";
import { workerUrls } from "./worker-urls.js";

const piscina = requirePackage("piscina");

export type OpenedLog = Extract<WalToMain, { kind: "opened" }>;
type WalLoad = Extract<WalToMain, { kind: "wal-load" }>;

export interface WalThreadOptions {
  readonly folder: string;
  readonly segmentBytes: number;
  readonly walBytesMax: number;
  readonly batchIdWindowMs: number;
  readonly batchIdsMax: number;
  readonly mainBell: MainDoorbell;
}

export interface WalThreadEvents {
  readonly stalled: (message: string) => void;
  readonly resumed: () => void;
  /** The thread died: nothing can be acknowledged any more, the process must end. */
  readonly died: (error: unknown) => void;
}

/** Main's view of the WAL thread. */
export class WalThread {
  /** The WAL thread's doorbell, which ingest workers ring. */
  readonly doorbell = createDoorbell();
  load: WalLoad | null = null;
  /** Why the log cannot be written now, and since when; null while it can. */
  stall: { readonly message: string; readonly sinceMs: number } | null = null;
  readonly #options: WalThreadOptions;
  readonly #events: WalThreadEvents;
  readonly #pool = new piscina.Piscina({ filename: workerUrls.wal, name: "runWal", minThreads: 1, maxThreads: 1 });
  readonly #port: MessagePort;
  readonly #workerPort: MessagePort;
  #onOpened: (opened: OpenedLog) => void = () => {};
  /** Who waits for the log to hold what a dead worker announced, by worker: several may die at once. */
  readonly #onReplaced = new Map<number, () => void>();
  #ended: Promise<void> = Promise.resolve();
  #isStopping = false;

  constructor(options: WalThreadOptions, events: WalThreadEvents) {
    this.#options = options;
    this.#events = events;
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    this.#workerPort = port2;
    port1.on("message", (message: WalToMain) => this.#onMessage(message));
  }

  /** Starts the thread; resolves when it has read the log's folder. Rejects when the log cannot be opened. */
  open(workers: readonly WalWorkerLink[]): Promise<OpenedLog> {
    const { mainBell, ...options } = this.#options;
    const mainDoorbell = mainBell.connect();
    const task: WalOptions = { ...options, workers, doorbell: this.doorbell, mainDoorbell, mainPort: this.#workerPort };
    const transferList = [this.#workerPort, mainDoorbell.port, ...workers.map((worker) => worker.port)];
    return new Promise((resolve, reject) => {
      this.#onOpened = resolve;
      this.#ended = this.#pool.run(task, { transferList }).then(
        () => {},
        (error: unknown) => {
          reject(error instanceof Error ? error : new Error(String(error)));
          if (!this.#isStopping) this.#events.died(error);
        },
      );
    });
  }

  /** A new ingest worker takes a dead one's place: resolves when the log holds everything that the dead one announced. */
  replaceWorker(worker: number, link: WalWorkerLink): Promise<void> {
    return new Promise((resolve) => {
      this.#onReplaced.set(worker, resolve);
      this.#port.postMessage({ kind: "replace-worker", worker, link } satisfies ToWal, [link.port]);
    });
  }

  post(message: ToWal): void {
    this.#port.postMessage(message);
  }

  /** Why a write cannot be taken now; null when it can. */
  refusal(): MiniodbError | null {
    if (this.stall !== null) {
      return new MiniodbError("WAL_STALLED", `The write-ahead log cannot be written: ${this.stall.message}`);
    }
    const { walBytesMax, segmentBytes } = this.#options;
    if (this.load === null || this.load.bytes <= walBytesMax + segmentBytes) return null;
    return new MiniodbError("SERVER_BUSY", "The write-ahead log has reached wal.bytesMax and waits for flushes", {
      pinnedBy: this.load.oldestPinnedBy,
    });
  }

  /** The uuid of the table whose unflushed rows hold the oldest segment of a log that is full; null when it is not. */
  get holdingTable(): string | null {
    if (this.load === null || this.load.bytes <= this.#options.walBytesMax) return null;
    return this.load.oldestPinnedBy;
  }

  /** Commits what waits, then ends the thread. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.post({ kind: "stop" });
    await this.#ended;
    this.#port.close();
    await this.#pool.close({ force: true });
  }

  #onMessage(message: WalToMain): void {
    switch (message.kind) {
      case "opened":
        this.#onOpened(message);
        return;
      case "stalled":
        this.stall = { message: message.message, sinceMs: Date.now() };
        this.#events.stalled(message.message);
        return;
      case "resumed":
        this.stall = null;
        this.#events.resumed();
        return;
      case "wal-load":
        this.load = message;
        return;
      case "worker-replaced":
        this.#onReplaced.get(message.worker)?.();
        this.#onReplaced.delete(message.worker);
        return;
      case "stopped":
        return;
    }
  }
}
