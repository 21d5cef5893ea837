import { MessageChannel } from "node:worker_threads";
import type { Piscina } from "piscina";
import { MiniodbError } from "../../shared/errors.js";
import type { IngestOptions, IngestToMain, MainToIngest, OpenTable } from "../../shared/messages.js";
import type { WalWorkerLink } from "../../shared/wal-messages.js";
import type { MainDoorbell } from "../../shared/ring/doorbell.js";
import { requirePackage } from "../../shared/require-package.js";
import { IngestLink } from "../write/ingest-link.js";
import type { WalThread } from "./wal-thread.js";
import { workerUrls } from "./worker-urls.js";

const piscina = requirePackage("piscina");

type Ready = Extract<IngestToMain, { kind: "ready" }>;

export interface IngestWorkersOptions {
  readonly workers: number;
  readonly ringBytes: number;
  readonly slab: SharedArrayBuffer;
  readonly mainBell: MainDoorbell;
  readonly walFolder: string;
  /** What each worker is started with beside its links. */
  readonly settings: Pick<
    IngestOptions,
    | "batchIdWindowMs"
    | "batchIdsMax"
    | "inflatedBytesMax"
    | "walPendingBytesMax"
    | "flushBytes"
    | "flushRows"
    | "columnKeys"
  >;
  readonly onMessage: (worker: number, message: IngestToMain) => void;
  /** The tables that a worker owns, as of now. */
  readonly tablesOf: (worker: number) => OpenTable[];
  /** A worker died. Its link is dead; a new one is ready when `onReplaced` follows. */
  readonly onDied: (link: IngestLink, error: unknown) => void;
  readonly onReplaced: (link: IngestLink, ready: Ready) => void;
  /** A worker could not be replaced: the process must end. */
  readonly onFatal: (error: unknown) => void;
}

/** Starts the ingest workers, each one long piscina task, and replaces one that dies. */
export class IngestWorkers {
  readonly #options: IngestWorkersOptions;
  readonly #pool: Piscina;
  readonly #links: IngestLink[] = [];
  readonly #walPorts: MessageChannel[] = [];
  readonly #ended: Promise<void>[] = [];
  readonly #onReady: ((ready: Ready) => void)[] = [];
  #isStopping = false;

  constructor(options: IngestWorkersOptions) {
    this.#options = options;
    const { workers } = options;
    this.#pool = new piscina.Piscina({
      filename: workerUrls.ingest,
      name: "runIngest",
      minThreads: workers,
      maxThreads: workers,
    });
    for (let worker = 0; worker < workers; worker++) this.#makeLink(worker);
  }

  get links(): readonly IngestLink[] {
    return this.#links;
  }

  /** For the WAL thread, which is started first. */
  walLinks(): WalWorkerLink[] {
    return this.#links.map((link) => this.#walLink(link));
  }

  /** Starts all workers; resolves when each has replayed its tables. */
  start(wal: WalThread): Promise<Ready[]> {
    return Promise.all(this.#links.map((link) => this.#run(link, wal)));
  }

  post(worker: number, message: MainToIngest): void {
    this.#links[worker]?.post(message);
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    for (const link of this.#links) link.post({ kind: "stop" });
    await Promise.allSettled(this.#ended);
    for (const link of this.#links) link.close();
    await this.#pool.close({ force: true });
  }

  #makeLink(worker: number): IngestLink {
    const { ringBytes, onMessage } = this.#options;
    const link = new IngestLink(worker, ringBytes, (message) => this.#onMessage(worker, message, onMessage));
    this.#links[worker] = link;
    this.#walPorts[worker] = new MessageChannel();
    return link;
  }

  #walLink(link: IngestLink): WalWorkerLink {
    const { walRing, gatedRing, doorbell, worker } = link;
    const channel = this.#walPorts[worker];
    if (channel === undefined) throw new MiniodbError("INTERNAL", `worker ${worker} has no link`);
    return { walRing, gatedRing, doorbell, port: channel.port1 };
  }

  #onMessage(worker: number, message: IngestToMain, onMessage: IngestWorkersOptions["onMessage"]): void {
    if (message.kind === "ready") this.#onReady[worker]?.(message);
    else onMessage(worker, message);
  }

  #run(link: IngestLink, wal: WalThread): Promise<Ready> {
    const { worker } = link;
    const { slab, mainBell, walFolder, settings, workers, tablesOf } = this.#options;
    const channel = this.#walPorts[worker];
    if (channel === undefined) throw new MiniodbError("INTERNAL", `worker ${worker} has no link`);
    const mainDoorbell = mainBell.connect();
    const task: IngestOptions = {
      ...settings,
      worker,
      workers,
      requestRing: link.requestRing,
      gatedRing: link.gatedRing,
      immediateRing: link.immediateRing,
      walRing: link.walRing,
      doorbell: link.doorbell,
      walDoorbell: wal.doorbell,
      mainDoorbell,
      slab,
      mainPort: link.workerPort,
      walPort: channel.port2,
      walFolder,
      tables: tablesOf(worker),
    };
    const transferList = [link.workerPort, channel.port2, mainDoorbell.port];
    return new Promise((resolve, reject) => {
      this.#onReady[worker] = resolve;
      this.#ended[worker] = this.#pool.run(task, { transferList }).then(
        () => {},
        (error: unknown) => {
          reject(error instanceof Error ? error : new Error(String(error)));
          if (!this.#isStopping) this.#replace(link, wal, error);
        },
      );
    });
  }

  /**
   * The dead worker's announced records are in shared memory and reach the log; the new worker reads them back from
   * there. So nothing acknowledged is lost, and what was not acknowledged is answered by `onDied`.
   */
  #replace(dead: IngestLink, wal: WalThread, error: unknown): void {
    const { onDied, onReplaced, onFatal } = this.#options;
    onDied(dead, error);
    dead.close();
    const link = this.#makeLink(dead.worker);
    wal
      .replaceWorker(link.worker, this.#walLink(link))
      .then(() => (this.#isStopping ? null : this.#run(link, wal)))
      .then((ready) => {
        if (ready !== null) onReplaced(link, ready);
      })
      .catch(onFatal);
  }
}
