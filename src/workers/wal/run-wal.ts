import { join } from "node:path";
import { receiveMessageOnPort, type MessagePort } from "node:worker_threads";
import { unreachable } from "../../shared/assert.js";
import { openDisk } from "../../shared/disk/open-disk.js";
import type { ToWal, WalBlock, WalOptions, WalToMain, WalWorkerLink } from "../../shared/wal-messages.js";
import { DoorbellRinger, DoorbellSleeper, MainDoorbellRinger } from "../../shared/ring/doorbell.js";
import { GroupCommit, isDiskError, WalSource } from "./group-commit.js";
import { openWal, type OpenWal } from "./open-wal.js";
import { ThreadSpareFiller } from "./spare-filler.js";

type ReplaceWorker = Extract<ToWal, { kind: "replace-worker" }>;

/** Longest sleep: messages of main ring no bell. */
const idleMs = 20;
/**
 * A spare halves the time of a commit, but it takes a thread and 64 MiB of zeros: so it is made when the log is really written
 * to, which a server under load is after milliseconds.
 */
const commitsBeforeSpare = 16;
/** Between attempts while the log cannot be written. */
const retryMs = 250;
const loadEveryMs = 1_000;

/**
 * ```
 * ingest worker ──descriptor ring──▶ gather ─▶ seal, writev, fdatasync ─▶ gate of the gated ring ─▶ main may reply
 *        ▲  └─blocks, by message──▶                                   └─▶ ring entries given back ─▶ worker
 *        └──────────────────────────── doorbell ◀──────────────────────┘
 * ```
 * The WAL thread: one long task that never returns to its event loop before `stop`. Opens the log, says `opened`, and
 * then commits what the ingest workers put into their rings.
 *
 * What it releases (gate and ring of a worker) is durable. After `stop` everything that waits is committed, unless the
 * disk refuses it; then it was never acknowledged.
 */
export function runWal(options: WalOptions): void {
  new WalThread(options).run();
}

class WalThread {
  readonly #options: WalOptions;
  readonly #wal: OpenWal;
  /** By worker, as are `#links` and `#bells`; shared with `#commit`. */
  readonly #sources: WalSource[];
  readonly #links: WalWorkerLink[];
  readonly #commit: GroupCommit;
  readonly #sleeper: DoorbellSleeper;
  readonly #mainBell: MainDoorbellRinger;
  readonly #bells: DoorbellRinger[];
  /** New workers that wait until the records of the dead ones are durable. */
  #replacements: ReplaceWorker[] = [];
  /** New workers that have not read the log yet. */
  #replaying = 0;
  #isStopping = false;
  #upkeepAgainMs = 0;
  #loadSentMs = 0;
  #segmentsSent = 0;
  #loadSent = "";

  constructor(options: WalOptions) {
    this.#options = options;
    const { folder, segmentBytes, walBytesMax, batchIdWindowMs, batchIdsMax } = options;
    const entry = new URL("./spare-entry.js", import.meta.url);
    this.#wal = openWal({
      disk: openDisk(),
      folder,
      segmentBytes,
      walBytesMax,
      batchIdWindowMs,
      batchIdsMax,
      filler: new ThreadSpareFiller(entry, join(folder, "spare.tmp"), segmentBytes),
      nowMs: Date.now,
    });
    this.#links = [...options.workers];
    this.#sources = this.#links.map((link) => this.#sourceOf(link));
    this.#sleeper = new DoorbellSleeper(options.doorbell);
    this.#mainBell = new MainDoorbellRinger(options.mainDoorbell);
    this.#bells = options.workers.map((worker) => new DoorbellRinger(worker.doorbell));
    this.#commit = new GroupCommit(this.#wal.log, this.#sources, {
      released: (source) => this.#bells[source]?.ring(),
      stalled: (error) => this.#post({ kind: "stalled", message: error.message }),
      resumed: () => this.#post({ kind: "resumed" }),
    });
  }

  run(): void {
    const { stream, index, damage, damagedDigests } = this.#wal;
    const quarantinedBytes = damage.reduce((sum, { kind, length }) => (kind === "corrupt" ? sum + length : sum), 0);
    const size = { segments: index.count, bytes: index.bytes };
    const tables = [...index.tables()];
    this.#post({ kind: "opened", stream, ...size, quarantinedBytes, damagedDigests, tables });
    while (!this.#isStopping) this.#round();
    this.#finish();
  }

  /**
   * A commit first, then at most one slice of upkeep: so a busy log is trimmed too, and a commit waits for a
   * millisecond of it at the most. `mark` stands before the polling, so that a ring in between ends the next sleep.
   */
  #round(): void {
    this.#sleeper.mark();
    this.#readMessages();
    const committed = this.#commit.round();
    if (committed) this.#mainBell.ring();
    if (this.#replacements.length > 0) this.#replaceWorkers();
    const nowMs = Date.now();
    if (this.#wal.log.syncs >= commitsBeforeSpare) this.#wal.spares.prepare(nowMs);
    const busy = this.#keepUp(nowMs);
    this.#sendLoad(nowMs);
    if (this.#commit.isStalled) this.#sleepStalled();
    else if (!committed && !busy && !this.#isStopping) this.#sleeper.wait(idleMs);
  }

  /** Everything that waits becomes durable, if the disk lets it; one attempt. */
  #finish(): void {
    this.#wal.upkeep.pause();
    do {
      this.#readMessages();
    } while (this.#commit.round());
    this.#mainBell.ring();
    this.#wal.log.rotate();
    this.#wal.spares.stop();
    this.#post({ kind: "stopped" });
  }

  /**
   * Rings of the workers go on while the disk is tried again at its own pace; `stop` is heard. What is flushed meanwhile is
   * trimmed: it may be the room that the disk lacks.
   */
  #sleepStalled(): void {
    const untilMs = Date.now() + retryMs;
    while (!this.#isStopping) {
      const nowMs = Date.now();
      if (nowMs >= untilMs) return;
      if (!this.#keepUp(nowMs)) this.#sleeper.wait(Math.min(untilMs - nowMs, idleMs));
      this.#readMessages();
    }
  }

  /** One slice of trimming; true when there is more of it. */
  #keepUp(nowMs: number): boolean {
    if (nowMs < this.#upkeepAgainMs) return false;
    try {
      return this.#wal.upkeep.step();
    } catch (error) {
      if (!isDiskError(error)) throw error;
      // Nothing is lost by doing it later; if the disk is really gone, the next group says so.
      this.#wal.upkeep.wake();
      this.#upkeepAgainMs = nowMs + loadEveryMs;
      return false;
    }
  }

  #readMessages(): void {
    for (const [index, link] of this.#links.entries()) this.#readPort(link.port, index);
    this.#readPort(this.#options.mainPort, -1);
  }

  #readPort(port: MessagePort, worker: number): void {
    for (let got = receiveMessageOnPort(port); got !== undefined; got = receiveMessageOnPort(port)) {
      const message = got.message as ToWal;
      if (message.kind === "block") this.#noteBlock(message, worker);
      else this.#handle(message);
    }
  }

  /** Block ids are the worker's own, so the port that a block came through says whose it is. */
  #noteBlock(block: WalBlock, worker: number): void {
    this.#sources[worker < 0 ? block.worker : worker]?.noteBlock(block);
  }

  #sourceOf(link: WalWorkerLink): WalSource {
    return new WalSource(link.walRing, link.gatedRing, () => this.#readMessages());
  }

  /**
   * A dead worker's descriptors and blocks are in shared memory: they are committed like any others, and only then
   * does the new link count, so that the new worker reads all of them from the log.
   */
  #replaceWorkers(): void {
    this.#replacements = this.#replacements.filter(({ worker, link }) => {
      if (this.#sources[worker]?.isSettled === false) return true;
      this.#commit.replaceSource(worker, this.#sourceOf(link));
      this.#links[worker] = link;
      this.#bells[worker] = new DoorbellRinger(link.doorbell);
      this.#post({ kind: "worker-replaced", worker });
      return false;
    });
  }

  #handle(message: Exclude<ToWal, WalBlock>): void {
    const { index, upkeep } = this.#wal;
    switch (message.kind) {
      case "replayed":
        this.#replaying = Math.max(0, this.#replaying - 1);
        if (this.#replaying === 0) upkeep.enable();
        return;
      case "replace-worker":
        // The new worker reads the log; main says `replayed` again when it has, once for each.
        this.#replaying++;
        upkeep.pause();
        this.#replacements.push(message);
        return;
      case "flushed":
        for (const { uuid, sequence } of message.positions) index.noteFlushed(uuid, sequence);
        upkeep.wake();
        return;
      case "drop-table":
        this.#drop(message.uuid);
        return;
      case "stop":
        this.#isStopping = true;
        return;
      default:
        unreachable(message);
    }
  }

  #drop(uuid: string): void {
    try {
      this.#wal.dropped.add(uuid);
    } catch (error) {
      // If it is not trimmed in this life, its records will keep their segment: room, and nothing else.
      if (!isDiskError(error)) throw error;
    }
    this.#wal.upkeep.wake();
  }

  /** Main admits writes by these numbers, so a new segment is told at once. */
  #sendLoad(nowMs: number): void {
    const { index, log } = this.#wal;
    if (nowMs - this.#loadSentMs < loadEveryMs && index.count === this.#segmentsSent) return;
    this.#loadSentMs = nowMs;
    this.#segmentsSent = index.count;
    const load: WalToMain = {
      kind: "wal-load",
      segments: index.count,
      bytes: index.bytes,
      oldestPinnedBy: index.oldestPin() ?? null,
      totals: log.totals,
    };
    const text = JSON.stringify(load);
    if (text !== this.#loadSent) this.#post(load);
    this.#loadSent = text;
  }

  #post(message: WalToMain): void {
    this.#options.mainPort.postMessage(message);
  }
}
