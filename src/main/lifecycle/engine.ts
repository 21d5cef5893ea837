import { hostname } from "node:os";
import type { Config } from "../../shared/config.js";
import { MiniodbError } from "../../shared/errors.js";
import type { Logger } from "../../shared/log.js";
import type { IngestToMain, MainToIngest, TableState } from "../../shared/messages.js";
import type { SlabAllocator } from "../../shared/ring/slab-allocator.js";
import { noteDropped } from "../../shared/shared-memory-gc.js";
import { CatalogSnapshots } from "../catalog/catalog-snapshots.js";
import { PastSnapshots } from "../catalog/past-snapshots.js";
import { OwnerQuestions } from "../catalog/owner-questions.js";
import { RecordBroker } from "../catalog/record-broker.js";
import { SchemaService } from "../catalog/schema-service.js";
import { SealCoordinator } from "../catalog/seal-coordinator.js";
import { TableHistory } from "../catalog/table-history.js";
import { TableRegistry } from "../catalog/table-registry.js";
import { TableService } from "../catalog/table-service.js";
import type { TableEntry } from "../catalog/table-entry.js";
import { LiveTails } from "../live/live-tails.js";
import type { LocalFiles } from "../query/local-files.js";
import type { QueryService } from "../query/query-service.js";
import { Metrics } from "../telemetry/metrics.js";
import { Compactions } from "../upkeep/compactions.js";
import { BackupSchedule } from "../backup/backup-schedule.js";
import { BackupService } from "../backup/backup-service.js";
import { backupHealth } from "../backup/backup-health.js";
import { RestoreService } from "../backup/restore-service.js";
import { namePattern } from "../protocols/table-info.js";
import { DeleteService } from "../upkeep/delete-service.js";
import { FlushCoordinator } from "../upkeep/flush-coordinator.js";
import { Retention, type RetentionOptions } from "../upkeep/retention.js";
import { mirrorHealth } from "../upkeep/mirror-health.js";
import { openSecondPool, type SecondPool } from "../upkeep/second-pool.js";
import { Upkeep } from "../upkeep/upkeep.js";
import type { IngestLink } from "../write/ingest-link.js";
import { keepLetters } from "../write/dead-letters.js";
import { WritePath } from "../write/write-path.js";
import type { DataFolder } from "./data-folder.js";
import type { IngestWorkers } from "./ingest-workers.js";
import type { PersistPools } from "./persist-pool.js";
import { StoreWatch } from "./store-watch.js";
import type { WalThread } from "./wal-thread.js";

type Ready = Extract<IngestToMain, { kind: "ready" }>;

export interface EngineParts {
  readonly config: Config;
  readonly log: Logger;
  readonly version: string;
  readonly folder: DataFolder;
  readonly pools: PersistPools;
  readonly slab: SlabAllocator;
  readonly ingest: IngestWorkers;
  readonly wal: WalThread;
  /** Uuid of this node's log. */
  readonly stream: string;
  readonly states: readonly TableState[];
}

const trimmedRowsMessage =
  "rows that were committed once are neither in the store nor in the log: the store was behind when it was promoted, or the log is damaged";
/** A request that waits for a stalled log is answered after this time; it may still become durable. */
const stallReplyMs = 2_000;
const tickMs = 250;
/** Of ingest.bufferedBytesMax: above it the largest buffer is flushed early. */
const relievedShare = 0.75;

/** The control plane: what the parts of main are and how they are wired. No protocol is known here. */
export class Engine {
  readonly registry: TableRegistry;
  readonly tables: TableService;
  readonly owners: OwnerQuestions;
  readonly writes: WritePath;
  readonly seals: SealCoordinator;
  readonly flushes: FlushCoordinator;
  readonly snapshots: CatalogSnapshots;
  readonly live: LiveTails;
  readonly metrics: Metrics;
  readonly retention: Retention;
  readonly compactions: Compactions;
  readonly schemas: SchemaService;
  readonly history: TableHistory;
  readonly backups: BackupService;
  readonly restores: RestoreService;
  readonly folder: DataFolder;
  readonly files: LocalFiles;
  readonly nodeId: string;
  readonly #parts: EngineParts;
  readonly #records: RecordBroker;
  readonly #upkeep: Upkeep;
  readonly #storeWatch: StoreWatch;
  readonly #second: SecondPool;
  #timer: NodeJS.Timeout | undefined;
  #isRefusing = false;

  constructor(parts: EngineParts) {
    const { config, pools, ingest, stream, slab, folder } = parts;
    this.#parts = parts;
    this.folder = folder;
    this.files = pools.localFiles;
    this.nodeId = config.nodeId === "" ? hostname() : config.nodeId;
    this.registry = new TableRegistry(stream, config.ingest.workers);
    for (const state of parts.states) this.registry.add(state);
    const toWorker = (worker: number, message: MainToIngest): void => ingest.post(worker, message);
    this.#records = new RecordBroker(toWorker);
    this.owners = new OwnerQuestions(toWorker);
    const onError = (doing: string, error: unknown): void => parts.log.error({ err: error }, `failed: ${doing}`);
    this.seals = new SealCoordinator({
      limits: config.seal,
      hotFolder: folder.hot,
      records: this.#records,
      pool: pools.quick,
      onError,
    });
    this.flushes = new FlushCoordinator({
      limits: config.flush,
      records: this.#records,
      pool: pools.flush,
      beforeCommit: (entry, sequence) => this.live.beforeCommit(entry, sequence),
      onFlushed: (entry, sequence, sequences) => {
        this.#onFlushed(entry, sequence);
        this.metrics.flushed("ok", sequences);
      },
      onError: (doing, error) => {
        this.metrics.flushed("failed", 0);
        onError(doing, error);
      },
    });
    this.#storeWatch = openStoreWatch(parts, this.flushes);
    this.#second = openSecondPool(parts, this.registry);
    this.live = new LiveTails({
      limits: config.live,
      registry: this.registry,
      records: this.#records,
      pool: pools.quick,
      folder: folder.live,
      stream,
      onError,
    });
    this.tables = this.#openTables();
    this.writes = new WritePath({
      slab,
      table: (slot) => this.registry.bySlot(slot),
      stored: (slot, sequence) => this.flushes.stored(this.registry.bySlot(slot), sequence),
      keepLetters: (lines) => keepLetters({ tables: this.tables, writes: this.writes, slab, onError }, lines),
      bufferedBytes: () => this.registry.bufferedBytes(),
      bufferedBytesMax: config.ingest.bufferedBytesMax,
      refusal: () => this.#refusal(),
    });
    const past = new PastSnapshots(pools.quick);
    this.snapshots = new CatalogSnapshots({ registry: this.registry, seals: this.seals, stream, past });
    const { owners, flushes } = this;
    this.schemas = new SchemaService({ owners, flushes, pool: pools.flush, toWorker });
    this.history = new TableHistory({ flushes, pool: pools.quick });
    const onRemoved: RetentionOptions["onRemoved"] = (removed) => this.metrics.retained(removed);
    this.retention = new Retention({ pool: pools.quick, nowMs: Date.now, onRemoved });
    this.compactions = this.#openCompactions(onError);
    this.#upkeep = this.#openUpkeep(onError);
    this.backups = this.#openBackups(onError);
    this.restores = this.#openRestores();
    this.metrics = this.#openMetrics();
  }

  /** All workers have replayed: what they found in the log is acknowledged already. */
  start(ready: readonly Ready[]): void {
    const { ingest, wal } = this.#parts;
    for (const link of ingest.links) this.writes.connect(link);
    for (const message of ready) this.#onReady(message);
    this.live.start();
    // The log knows what it holds, not what the store has: without this a segment of rows that were committed just before
    // a crash would wait for the next flush of each of its tables, and a full log for ever, as it takes no rows to flush.
    for (const entry of this.registry.all()) this.#second.logHold.flushed(entry, entry.flushedSequence);
    wal.post({ kind: "replayed" });
    this.#timer = setInterval(() => this.#tick(), tickMs);
    this.#upkeep.start();
    this.backups.start();
  }

  /** Deletes find their rows like queries, which open after the engine. */
  openDeletes(queries: QueryService): DeleteService {
    const { log, pools } = this.#parts;
    const onError = (doing: string, error: unknown): void => log.error({ err: error }, `failed: ${doing}`);
    const { registry, flushes, snapshots } = this;
    return new DeleteService({ registry, flushes, snapshots, queries, pool: pools.deletes, onError });
  }

  /** Answers what workers and log let out: called by main's doorbell. */
  drain(): void {
    this.writes.drain();
    this.live.onProgress();
  }

  onIngestMessage(_worker: number, message: IngestToMain): void {
    switch (message.kind) {
      case "request-detail":
        this.writes.onDetail(message);
        return;
      case "reroute":
        this.writes.onReroute(message);
        return;
      case "need-table":
        this.tables.onNeedTable(message);
        return;
      case "records":
        this.#records.onRecords(message);
        return;
      case "measured":
      case "schema-changed":
        this.owners.onAnswer(message);
        return;
      case "blocks-dropped":
        noteDropped(message.bytes);
        return;
      case "table-load":
        this.#onTableLoad(message);
        return;
      case "ready":
      case "stopped":
        return;
    }
  }

  onWorkerDied(link: IngestLink, error: unknown): void {
    this.#parts.log.error({ err: error, worker: link.worker }, "an ingest worker died and is replaced");
    this.metrics.workerCrashed("ingest");
    const lost = new MiniodbError(
      "WORKER_LOST",
      "The thread that worked on this batch died; it may still become durable",
    );
    // What the log has let out already is answered as it should be.
    this.writes.drain();
    this.writes.failWorker(link, lost);
    this.#records.failWorker(link.worker, lost);
    this.owners.failWorker(link.worker, lost);
  }

  onWorkerReplaced(link: IngestLink, ready: Ready): void {
    this.writes.connect(link);
    this.#onReady(ready);
    this.#parts.wal.post({ kind: "replayed" });
  }

  refuseWrites(): void {
    this.#isRefusing = true;
  }

  health(): { readonly isHealthy: boolean; readonly details: Readonly<Record<string, string>> } {
    const { wal } = this.#parts;
    const { mirror } = this.#second;
    const failing = this.flushes.failing;
    const details = {
      wal: wal.stall === null ? "ok" : `stalled: ${wal.stall.message}`,
      store: this.#storeWatch.text,
      ...(mirror !== null && mirrorHealth(mirror, this.#parts.pools.mirrorHealth)),
      backup: backupHealth(this.backups.status),
      flush: failing === 0 ? "ok" : `${failing} tables cannot be flushed`,
      writes: this.#isRefusing ? "draining" : "ok",
      tables: String(this.registry.count),
      node_id: this.nodeId,
    };
    return { isHealthy: wal.stall === null && !this.#isRefusing, details };
  }

  /** No more upkeep; waits for flushes that run. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#second.mirror?.stop();
    this.backups.stop();
    await this.#upkeep.stop();
    await this.flushes.stop();
    // A flush that commits waits for its table's tail.
    await this.live.stop();
  }

  #refusal(): MiniodbError | null {
    if (this.#isRefusing) return new MiniodbError("SHUTTING_DOWN", "The server is shutting down");
    return this.#parts.wal.refusal();
  }

  #onReady(message: Ready): void {
    const { log } = this.#parts;
    for (const [uuid, sequence] of Object.entries(message.lastSequences)) {
      const entry = this.registry.byUuid(uuid);
      if (entry === undefined) continue;
      entry.ackedSequence = Math.max(entry.ackedSequence, sequence);
      // They are no write of this run.
      entry.reportedSequence = Math.max(entry.reportedSequence, sequence);
    }
    this.live.noteGaps(message.gaps);
    for (const gap of message.gaps) {
      const entry = this.registry.byUuid(gap.tableUuid);
      // A log loses what lies between its records by damage, and what lies before them to a commit: one that this pool lacks.
      const isTrimmed = gap.firstSequence === (entry?.flushedSequence ?? 0) + 1;
      log.error(
        { ...gap, table: entry?.name },
        isTrimmed ? trimmedRowsMessage : "rows are missing from the damaged log",
      );
    }
    if (message.replayedRows > 0) log.info({ rows: message.replayedRows }, "replayed from the log");
  }

  #onTableLoad(message: Extract<IngestToMain, { kind: "table-load" }>): void {
    const entry = this.registry.byUuid(message.uuid);
    if (entry === undefined) return;
    this.registry.setLoad(entry, message);
    // Reports come every second while there are rows, written or not.
    if (message.lastSequence > entry.reportedSequence) entry.lastWriteMs = Date.now();
    entry.reportedSequence = Math.max(entry.reportedSequence, message.lastSequence);
    this.flushes.consider(entry, Date.now());
  }

  #onFlushed(entry: TableEntry, sequence: number): void {
    const { ingest } = this.#parts;
    const { uuid } = entry.identity;
    ingest.post(entry.worker, { kind: "flushed", uuid, sequence, schema: entry.state.schema });
    this.#second.logHold.flushed(entry, sequence);
  }

  #tick(): void {
    const nowMs = Date.now();
    // A doorbell message that was never sent (a thread died between publish and ring) is made good here.
    this.drain();
    this.#storeWatch.tick(nowMs);
    this.#second.mirror?.tick(nowMs);
    this.#second.logHold.tick(() => this.registry.all());
    this.backups.tick(nowMs);
    this.compactions.tick(this.writes.completed, nowMs);
    for (const entry of this.registry.all()) this.flushes.consider(entry, nowMs);
    this.#relieve(nowMs);
    const { stall } = this.#parts.wal;
    if (stall !== null && nowMs - stall.sinceMs >= stallReplyMs) {
      const error = new MiniodbError("WAL_STALLED", `The write-ahead log cannot be written: ${stall.message}`);
      this.writes.failStalled(nowMs - stallReplyMs, error);
    }
  }

  /**
   * Log and memory are bounded for all tables together: where they run short, a table goes to the store before it is due.
   * Otherwise one with rare flushes would have the writes to every table refused until then.
   */
  #relieve(nowMs: number): void {
    const holding = this.registry.byUuid(this.#parts.wal.holdingTable ?? "");
    if (holding !== undefined) this.flushes.relieve(holding, nowMs);
    const { bufferedBytesMax } = this.#parts.config.ingest;
    if (this.registry.bufferedBytes() <= bufferedBytesMax * relievedShare) return;
    const [largest] = this.registry.all().toSorted((left, right) => right.bufferedBytes - left.bufferedBytes);
    if (largest !== undefined) this.flushes.relieve(largest, nowMs);
  }

  #openTables(): TableService {
    const { config, pools, wal, ingest } = this.#parts;
    return new TableService({
      registry: this.registry,
      pool: pools.quick,
      toWorker: (worker, message) => ingest.post(worker, message),
      toWal: (message) => wal.post(message),
      onDropped: (entry) => {
        this.flushes.forget(entry);
        this.live.onDropped(entry);
      },
      autoCreate: config.tables.autoCreate,
      tablesMax: config.tables.max,
      storeHealth: pools.storeHealth,
    });
  }

  #openCompactions(onError: (doing: string, error: unknown) => void): Compactions {
    const { config, pools } = this.#parts;
    return new Compactions({
      config: config.compaction,
      registry: this.registry,
      pool: pools.background,
      nowMs: Date.now,
      sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
      onMerged: (files) => this.metrics.compacted(files),
      onEnded: (outcome) => this.metrics.compactionEnded(outcome),
      onError,
    });
  }

  #openUpkeep(onError: (doing: string, error: unknown) => void): Upkeep {
    const { config, pools } = this.#parts;
    return new Upkeep({
      config,
      registry: this.registry,
      pool: pools.background,
      retention: this.retention,
      compactions: this.compactions,
      heldKeys: () => this.snapshots.heldKeys(),
      onError,
    });
  }

  #openBackups(onError: (doing: string, error: unknown) => void): BackupService {
    const { config, pools, log } = this.#parts;
    const { schedule: pointers, fullSchedule: full, keepDays } = config.backup;
    return new BackupService({
      registry: this.registry,
      flushes: this.flushes,
      pool: pools.backup,
      looking: pools.backupLook,
      tagging: pools.quick,
      schedule: new BackupSchedule({ pointers, full }, Date.now()),
      keepDays,
      nodeId: this.nodeId,
      drain: () => this.drain(),
      nowMs: Date.now,
      onDone: (report) => log.info({ ...report }, "a backup was made"),
      onError,
    });
  }

  #openRestores(): RestoreService {
    const { registry, tables, backups } = this;
    return new RestoreService({
      pool: this.#parts.pools.backup,
      tables: {
        exists: (name) => registry.find(name) !== undefined,
        publish: async (name, isOverwriting, publish) => {
          await tables.takeRestored(name, isOverwriting, publish);
        },
      },
      matcher: namePattern,
      inTurn: (work) => backups.inTurn(work),
      nowMs: Date.now,
    });
  }

  #openMetrics(): Metrics {
    const { registry, writes, flushes } = this;
    const { wal, slab, version } = this.#parts;
    const sumOf = (value: (entry: TableEntry) => number): number =>
      registry.all().reduce((sum, entry) => sum + value(entry), 0);
    return new Metrics(
      {
        tables: () => registry.count,
        bufferedBytes: () => registry.bufferedBytes(),
        bufferedRows: () => sumOf((entry) => entry.bufferedRows),
        hotSegments: () => sumOf((entry) => entry.hot.length),
        requestsUnderWay: () => writes.pendingCount,
        walTotals: () => wal.load?.totals ?? { writtenBytes: 0, syncs: 0 },
        walBytes: () => wal.load?.bytes ?? 0,
        walSegments: () => wal.load?.segments ?? 0,
        walStalled: () => wal.stall !== null,
        failingFlushes: () => flushes.failing,
        slabUsedBytes: () => slab.usedBytes,
        files: () => this.files.stats,
        liveDeltaBytes: () => this.live.bytes,
        store: () => this.#parts.pools.storeHealth.stats,
        mirror: this.#second.mirror,
        mirrorStore: () => this.#parts.pools.mirrorHealth.stats,
        backup: () => this.backups.status,
      },
      version,
    );
  }
}

function openStoreWatch({ pools, log }: EngineParts, flushes: FlushCoordinator): StoreWatch {
  return new StoreWatch({ health: pools.storeHealth, pool: pools.quick, log, onBack: () => flushes.retryNow() });
}
