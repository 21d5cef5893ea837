import type { Counter, Gauge, Histogram, Registry } from "prom-client";
import { requirePackage } from "../../shared/require-package.js";
import type { WalTotals } from "../../shared/wal-messages.js";
import type { StoreStats } from "../../shared/store/store-health.js";
import type { CompactionOutcome } from "../upkeep/compactions.js";
import type { BackupStatus } from "../backup/backup-service.js";
import type { MirrorLag, MirrorTotals } from "../upkeep/mirror-loop.js";
import type { FileStats } from "../query/local-files.js";
import type { WriteOutcome } from "../write/write-request.js";

const prom = requirePackage("prom-client");

/** Values that are read when somebody asks, not counted along the way. */
export interface MetricSources {
  readonly tables: () => number;
  readonly bufferedBytes: () => number;
  readonly bufferedRows: () => number;
  readonly hotSegments: () => number;
  readonly requestsUnderWay: () => number;
  readonly walBytes: () => number;
  readonly walTotals: () => WalTotals;
  readonly walSegments: () => number;
  readonly walStalled: () => boolean;
  readonly failingFlushes: () => number;
  readonly slabUsedBytes: () => number;
  readonly files: () => FileStats;
  readonly liveDeltaBytes: () => number;
  readonly store: () => StoreStats;
  /** Null where there is no second pool. */
  readonly mirror: MirrorSource | null;
  readonly mirrorStore: () => StoreStats;
  readonly backup: () => BackupStatus;
}

/** What is read of the loop that keeps the second pool. */
export interface MirrorSource {
  lag(): MirrorLag;
  readonly totals: MirrorTotals;
}

const latencySecondsBuckets = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5];

/** Prometheus series of this node. Names end in their unit. */
export class Metrics {
  readonly #registry = new prom.Registry();
  readonly #writes: Counter<"outcome">;
  readonly #rowsAccepted: Counter;
  readonly #rowsRejected: Counter;
  readonly #bodyBytes: Counter;
  readonly #queries: Counter<"outcome">;
  readonly #querySeconds: Histogram;
  readonly #flushes: Counter<"outcome">;
  readonly #flushedRows: Counter;
  readonly #compactedFiles: Counter;
  readonly #compactions: Counter<"outcome">;
  readonly #expiredFiles: Counter;
  readonly #expiredRows: Counter;
  readonly #workerCrashes: Counter<"pool">;
  readonly #liveRows: Counter;
  /** Set when the door opens through which they come. */
  #live: LiveLoad = { count: 0, lagRows: 0 };
  #queryLoad: QueryLoad = noQueries;
  #tally = newTally();

  constructor(sources: MetricSources, version: string) {
    const registers = [this.#registry];
    const counter = (name: string, help: string): Counter => new prom.Counter({ name, help, registers });
    prom.collectDefaultMetrics({ register: this.#registry });
    const info = new prom.Gauge({
      name: "miniodb_info",
      help: "1, with the version.",
      labelNames: ["version"],
      registers,
    });
    info.set({ version }, 1);
    this.#writes = new prom.Counter({
      name: "miniodb_writes_total",
      help: "Batches by outcome.",
      labelNames: ["outcome"],
      registers,
    });
    this.#rowsAccepted = counter("miniodb_rows_accepted_total", "Rows accepted.");
    this.#rowsRejected = counter("miniodb_rows_rejected_total", "Rows rejected, each with a reason in its reply.");
    this.#bodyBytes = counter("miniodb_write_body_bytes_total", "Bytes of write bodies as they were sent.");
    this.#queries = new prom.Counter({
      name: "miniodb_queries_total",
      help: "Queries by outcome.",
      labelNames: ["outcome"],
      registers,
    });
    this.#querySeconds = new prom.Histogram({
      name: "miniodb_query_seconds",
      help: "Time of a query, its wait included.",
      buckets: latencySecondsBuckets,
      registers,
    });
    this.#flushes = new prom.Counter({
      name: "miniodb_flushes_total",
      help: "Flushes by outcome.",
      labelNames: ["outcome"],
      registers,
    });
    this.#flushedRows = counter("miniodb_flushed_rows_total", "Rows, and deletes by id, committed to the store.");
    this.#compactedFiles = counter("miniodb_compacted_files_total", "Files that were merged into others.");
    this.#compactions = new prom.Counter({
      name: "miniodb_compactions_total",
      help: "Compactions by outcome; unverified: a merge did not keep its rows and was not committed.",
      labelNames: ["outcome"],
      registers,
    });
    this.#expiredFiles = counter("miniodb_retention_files_total", "Files that left their table by its retention_days.");
    this.#expiredRows = counter("miniodb_retention_rows_total", "Rows that left their table by its retention_days.");
    this.#workerCrashes = new prom.Counter({
      name: "miniodb_pool_crashes_total",
      help: "Worker threads that died and were replaced.",
      labelNames: ["pool"],
      registers,
    });
    this.#liveRows = counter("miniodb_live_rows_total", "Rows sent to live queries.");
    registerSources(sources, () => this.#queryLoad, registers);
    registerLive(() => this.#live, registers);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    this.#rowsAccepted.inc(this.#tally.accepted);
    this.#rowsRejected.inc(this.#tally.rejected);
    this.#bodyBytes.inc(this.#tally.bodyBytes);
    for (const [outcome, count] of this.#tally.outcomes) this.#writes.inc({ outcome }, count);
    for (const [outcome, count] of this.#tally.queries) this.#queries.inc({ outcome }, count);
    this.#tally = newTally();
    return this.#registry.metrics();
  }

  wrote(outcome: WriteOutcome, bodyBytes: number): void {
    const tally = this.#tally;
    tally.bodyBytes += bodyBytes;
    const name = outcome.kind === "failed" ? outcome.error.code : outcome.isRepeat ? "repeated" : "ok";
    tally.outcomes.set(name, (tally.outcomes.get(name) ?? 0) + 1);
    if (outcome.kind === "failed" || outcome.isRepeat) return;
    tally.accepted += outcome.accepted;
    tally.rejected += outcome.rejected;
  }

  queried(outcome: string, seconds: number): void {
    const { queries } = this.#tally;
    queries.set(outcome, (queries.get(outcome) ?? 0) + 1);
    this.#querySeconds.observe(seconds);
  }

  flushed(outcome: "ok" | "failed", rows: number): void {
    this.#flushes.inc({ outcome }, 1);
    this.#flushedRows.inc(rows);
  }

  compacted(files: number): void {
    this.#compactedFiles.inc(files);
  }

  compactionEnded(outcome: CompactionOutcome): void {
    this.#compactions.inc({ outcome }, 1);
  }

  /** A commit took days out of a table. */
  retained(removed: { readonly files: number; readonly rows: number }): void {
    this.#expiredFiles.inc(removed.files);
    this.#expiredRows.inc(removed.rows);
  }

  /** Where the present load of live queries can be read. */
  watchLive(live: LiveLoad): void {
    this.#live = live;
  }

  /** Where the present load of queries can be read. */
  watchQueries(load: QueryLoad): void {
    this.#queryLoad = load;
  }

  sentLive(rows: number): void {
    this.#liveRows.inc(rows);
  }

  workerCrashed(pool: string): void {
    this.#workerCrashes.inc({ pool }, 1);
  }
}

/** Live queries, and how many acknowledged rows the slowest of them has still to look at. */
interface LiveLoad {
  readonly count: number;
  readonly lagRows: number;
}

/** Queries under way, the result cache, and the results that are kept for further pages. */
interface QueryLoad {
  readonly load: { readonly running: number; readonly admitted: number };
  readonly cacheStats: { readonly hits: number; readonly misses: number; readonly bytes: number };
  readonly keptStats: { readonly count: number; readonly bytes: number };
}

const noQueries: QueryLoad = {
  load: { running: 0, admitted: 0 },
  cacheStats: { hits: 0, misses: 0, bytes: 0 },
  keptStats: { count: 0, bytes: 0 },
};

function registerLive(live: () => LiveLoad, registers: Registry[]): void {
  new prom.Gauge({
    name: "miniodb_live_subscriptions",
    help: "Live queries.",
    registers,
    collect(this: Gauge) {
      this.set(live().count);
    },
  });
  new prom.Gauge({
    name: "miniodb_live_lag_rows",
    help: "Acknowledged rows that the slowest live query has not looked at.",
    registers,
    collect(this: Gauge) {
      this.set(live().lagRows);
    },
  });
}

/** Writes and queries since the last scrape: the hot path adds numbers, and the library hears of them when somebody asks. */
interface Tally {
  accepted: number;
  rejected: number;
  bodyBytes: number;
  readonly outcomes: Map<string, number>;
  readonly queries: Map<string, number>;
}

function newTally(): Tally {
  return { accepted: 0, rejected: 0, bodyBytes: 0, outcomes: new Map(), queries: new Map() };
}

/** Series whose value is read at each scrape. */
function registerSources(sources: MetricSources, queries: () => QueryLoad, registers: Registry[]): void {
  const gauge = (name: string, help: string, read: () => number): void => {
    new prom.Gauge({
      name,
      help,
      registers,
      collect(this: Gauge) {
        this.set(read());
      },
    });
  };
  const total = (name: string, help: string, read: () => number): void => {
    new prom.Counter({
      name,
      help,
      registers,
      collect(this: Counter) {
        this.reset();
        this.inc(read());
      },
    });
  };
  gauge("miniodb_tables", "Tables of the warehouse.", sources.tables);
  gauge("miniodb_buffered_bytes", "Unflushed rows.", sources.bufferedBytes);
  gauge("miniodb_buffered_rows", "Unflushed rows.", sources.bufferedRows);
  gauge("miniodb_hot_segments", "Hot segments of all tables.", sources.hotSegments);
  gauge("miniodb_pool_requests_under_way", "Writes between admission and reply.", sources.requestsUnderWay);
  gauge("miniodb_pool_slab_used_bytes", "Shared memory held by large bodies.", sources.slabUsedBytes);
  gauge("miniodb_live_delta_bytes", "Rows kept on disk for live queries.", sources.liveDeltaBytes);
  total("miniodb_wal_written_bytes_total", "Bytes of log records.", () => sources.walTotals().writtenBytes);
  total("miniodb_wal_syncs_total", "Groups that were synced.", () => sources.walTotals().syncs);
  gauge("miniodb_wal_bytes", "Log segments on disk.", sources.walBytes);
  gauge("miniodb_wal_segments", "Log segments on disk.", sources.walSegments);
  gauge("miniodb_wal_stalled", "1 while the log cannot be written.", () => (sources.walStalled() ? 1 : 0));
  gauge("miniodb_flushes_failing", "Tables whose last flush failed.", sources.failingFlushes);
  gauge("miniodb_queries_running", "Queries in a worker.", () => queries().load.running);
  gauge("miniodb_queries_under_way", "Queries that run or wait.", () => queries().load.admitted);
  total("miniodb_result_cache_hits_total", "Replies from the result cache.", () => queries().cacheStats.hits);
  total("miniodb_result_cache_misses_total", "Results that it did not have.", () => queries().cacheStats.misses);
  gauge("miniodb_result_cache_bytes", "Results in memory.", () => queries().cacheStats.bytes);
  gauge("miniodb_query_cursors", "Results kept for further pages.", () => queries().keptStats.count);
  gauge("miniodb_query_cursor_bytes", "Files of results kept for further pages.", () => queries().keptStats.bytes);
  const { files, store } = sources;
  total("miniodb_store_calls_total", "Calls of the object store, repetitions included.", () => store().calls);
  total("miniodb_store_failures_total", "Calls that the store did not do.", () => store().failed);
  total("miniodb_store_repeats_total", "Calls that were made again after a failure.", () => store().repeated);
  total("miniodb_store_held_back_total", "Calls not made as the store had failed too often.", () => store().heldBack);
  total("miniodb_store_read_bytes_total", "Bytes read from the object store.", () => store().readBytes);
  total("miniodb_store_written_bytes_total", "Bytes written to the object store.", () => store().writtenBytes);
  gauge("miniodb_store_broken", "1 while calls are held back.", () => (store().brokenSinceMs === null ? 0 : 1));
  total("miniodb_cache_hits_total", "Files that a query found in the file cache.", () => files().hits);
  total("miniodb_cache_misses_total", "Files that a query waited for.", () => files().misses);
  total("miniodb_cache_fetched_bytes_total", "Bytes fetched from the store.", () => files().fetchedBytes);
  total("miniodb_cache_fetch_failures_total", "Files that the store did not give.", () => files().fetchFailures);
  total("miniodb_cache_evictions_total", "Files that made room for others.", () => files().evictions);
  gauge("miniodb_cache_bytes", "Files in the cache and on their way.", () => files().usedBytes);
  gauge("miniodb_cache_pinned_bytes", "Of these, the ones that running queries hold.", () => files().pinnedBytes);
  gauge("miniodb_cache_files", "Files in the cache and on their way.", () => files().files);
  gauge("miniodb_cache_queries_waiting", "Queries that wait for room in the cache.", () => files().waiting);
  registerBackup(sources.backup, { gauge, total });
  if (sources.mirror !== null) registerMirror(sources.mirror, sources.mirrorStore, { gauge, total });
}

type Register = (name: string, help: string, read: () => number) => void;

function registerBackup(
  backup: () => BackupStatus,
  { gauge, total }: { readonly gauge: Register; readonly total: Register },
): void {
  const last = (kind: "full" | "pointers"): number => (backup().lastMs[kind] ?? 0) / 1000;
  gauge("miniodb_backup_running", "Backups under way.", () => (backup().isRunning ? 1 : 0));
  gauge("miniodb_backup_last_full_seconds", "Time of the newest full backup; 0: none.", () => last("full"));
  gauge("miniodb_backup_last_pointers_seconds", "Time of the newest pointer backup; 0: none.", () => last("pointers"));
  total("miniodb_backup_made_total", "Backups made.", () => backup().made);
  total("miniodb_backup_failures_total", "Backups that broke off.", () => backup().failures);
  total("miniodb_backup_copied_bytes_total", "Bytes copied into full backups.", () => backup().copiedBytes);
}

/** The second pool; only where there is one. */
function registerMirror(
  mirror: MirrorSource,
  store: () => StoreStats,
  { gauge, total }: { readonly gauge: Register; readonly total: Register },
): void {
  const lagSeconds = (): number => {
    const { sinceMs } = mirror.lag();
    return sinceMs === null ? 0 : Math.max(0, Date.now() - sinceMs) / 1000;
  };
  gauge("miniodb_mirror_tables_behind", "Tables whose last commit the second pool lacks.", () => mirror.lag().tables);
  gauge("miniodb_mirror_commits_behind", "Commits that the second pool lacks.", () => mirror.lag().commits);
  gauge(
    "miniodb_mirror_waiting_bytes",
    "Data files that the second pool lacks; NaN while that is not known.",
    () => mirror.lag().waitingBytes ?? Number.NaN,
  );
  gauge("miniodb_mirror_lag_seconds", "Age of the oldest commit that the second pool lacks.", lagSeconds);
  gauge("miniodb_mirror_second_only", "Tables that only the second pool has.", () => mirror.lag().secondOnly);
  total("miniodb_mirror_commits_total", "Commits copied to the second pool.", () => mirror.totals.commits);
  total("miniodb_mirror_objects_total", "Objects copied to the second pool.", () => mirror.totals.objects);
  total("miniodb_mirror_bytes_total", "Bytes copied to the second pool.", () => mirror.totals.bytes);
  total(
    "miniodb_mirror_failures_total",
    "Copies of a table that broke off, and are repeated.",
    () => mirror.totals.failures,
  );
  total(
    "miniodb_mirror_diverged_total",
    "Commits of the second pool that were kept aside.",
    () => mirror.totals.diverged,
  );
  total("miniodb_mirror_store_calls_total", "Calls of the second pool, repetitions included.", () => store().calls);
  total("miniodb_mirror_store_failures_total", "Calls that the second pool did not do.", () => store().failed);
  total("miniodb_mirror_store_read_bytes_total", "Bytes read from the second pool.", () => store().readBytes);
  gauge("miniodb_mirror_store_broken", "1 while calls are held back.", () => (store().brokenSinceMs === null ? 0 : 1));
}
