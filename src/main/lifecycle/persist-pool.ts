import { hostname } from "node:os";
import { join, resolve } from "node:path";
import type { Piscina } from "piscina";
import type {
  BackupCheck,
  BackupEntry,
  BackupReport,
  BackupTask,
  BackupWorkerOptions,
  RestoreCandidate,
  RestoreFrom,
} from "../../shared/backup-messages.js";
import type { Config } from "../../shared/config.js";
import type { DeleteRowsResult, DeleteRowsTask } from "../../shared/delete-messages.js";
import { fromErrorMessage, MiniodbError } from "../../shared/errors.js";
import type { Logger } from "../../shared/log.js";
import { defaultCatalogOptions } from "../../shared/iceberg/catalog-options.js";
import type { RollbackRequest, TagRequest } from "../../shared/iceberg/commit-refs.js";
import { applyCommit, type CommitResult } from "../../shared/iceberg/commit-result.js";
import type { MirrorReport } from "../../shared/iceberg/mirror-table.js";
import type { HistoryRequest, LoadedSnapshot, SnapshotInfo } from "../../shared/iceberg/table-history.js";
import type { PastRows } from "../../shared/iceberg/table-state.js";
import type {
  CompactTask,
  FetchTask,
  FlushTask,
  PersistResult,
  PersistTask,
  PersistWorkerOptions,
  SealTask,
  TableIdentity,
  TableState,
} from "../../shared/messages.js";
import type { TableSchema } from "../../shared/schema/table-schema.js";
import type { SettingsPatch, TableSettings } from "../../shared/schema/table-settings.js";
import { chooseStore, placeOf } from "../../shared/store/open-store.js";
import type { ExclusionOptions } from "../../shared/store/store-exclusion.js";
import { StoreHealth } from "../../shared/store/store-health.js";
import { requirePackage } from "../../shared/require-package.js";
import { FileCache } from "../query/file-cache.js";
import type { StoredFile } from "../query/local-files.js";
import { FilesInPlace, type LocalFiles } from "../query/local-files.js";
import { type DataFolder, type FolderLock, takeCacheFolder } from "./data-folder.js";
import { backupOptionsOf, exclusionOf, mirrorOptionsOf, withExclusion } from "./persist-options.js";
import { workerUrls } from "./worker-urls.js";

const piscina = requirePackage("piscina");

type Done<Kind extends PersistResult["kind"]> = Extract<PersistResult, { kind: Kind }>;
type WithoutKind<Task> = Omit<Task, "kind">;
type BackupTaskOf<Kind extends BackupTask["kind"]> = WithoutKind<Extract<BackupTask, { kind: Kind }>>;

/** A thread beyond the minimum ends after so long without work. */
const idleMs = 10_000;
/** Flushes come again and again, and a query that finds its files missing is not to wait for a thread and new connections, too. */
const longIdleMs = 10 * 60_000;
const quickTasksPerThread = 8;
const flushesPerThread = 4;
const mirrorTasksPerThread = 8;
const backupTasksPerThread = 8;

export interface PersistPools {
  /** Short tasks that somebody waits for: hot segments, and the tables' own commits. They never wait for a flush. */
  readonly quick: PersistPool;
  /** Flushes. Its thread is there from the first one on. */
  readonly flush: PersistPool;
  /** Deletes: they would hold up seals, and wait for compactions. Its thread is there only while it has work. */
  readonly deletes: PersistPool;
  /** Long tasks that nobody waits for: compaction, expiry, garbage. Its thread is there only while it has work. */
  readonly background: PersistPool;
  /** Copies to the second pool; null where there is none. */
  readonly mirror: PersistPool | null;
  /** Backups and restores: they take as long as they take. Its thread is there only while it has work. */
  readonly backup: PersistPool;
  /** Looks which backups there are: a thread that is there anyway, where no second store is asked over a network. */
  readonly backupLook: PersistPool;
  /** Of all calls to the second pool. */
  readonly mirrorHealth: StoreHealth;
  /** Committed data files on this machine, for queries. */
  readonly localFiles: LocalFiles;
  /** Of all pools' calls to the store. */
  readonly storeHealth: StoreHealth;
  /** How commits of several servers are kept apart, once the warehouse is loaded; null for a folder. */
  readonly exclusion: ExclusionOptions | null;
  /** Where everything is, for the log. */
  readonly places: { readonly dataFolder: string; readonly warehouse: string; readonly mirror?: string };
  close(): Promise<void>;
}

/** Rejects with SERVER_BUSY where another server has the folder of the file cache. */
export async function openPersistPools(config: Config, folder: DataFolder, log: Logger): Promise<PersistPools> {
  const stopWord = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
  const storeHealth = new StoreHealth();
  const mirrorHealth = new StoreHealth();
  const store = withExclusion(chooseStore(folder.warehouse, config.store), exclusionOf(config, folder));
  const by = `the server on ${config.nodeId === "" ? hostname() : config.nodeId}`;
  const second = mirrorOptionsOf(config, { store, storeHealth: mirrorHealth, by });
  const options: PersistWorkerOptions = {
    store,
    storeHealth: storeHealth.memory,
    temporaryFolder: join(folder.temp, "persist"),
    partitionsPerRound: config.flush.partitionsMax,
    compactionMemoryBytes: config.compaction.memoryBytes,
    catalog: {
      ...defaultCatalogOptions,
      snapshotsKeep: config.snapshots.keep,
      snapshotAgeMsMax: config.snapshots.maxAgeMs,
      garbageGraceMs: config.garbage.graceMs,
    },
    stopWord,
    lowPriority: true,
    fence: new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT),
    ...(second !== null && { mirror: second }),
  };
  const isRemote = options.store.kind !== "local";
  // Before any thread is there that would have to be ended again.
  const files = await openLocalFiles(config, folder, { options, log });
  const { localFiles, fetching, cacheLock } = files;
  // Seals go on while other tasks of the thread wait for a network.
  const tasksPerThread = isRemote ? quickTasksPerThread : 1;
  const cache = localFiles instanceof FileCache ? localFiles : null;
  const backups = backupOptionsOf(config, placeOf(store));
  const quick = new PersistPool(
    { ...options, lowPriority: false, backup: backups },
    { min: 1, max: 1, isRemote, tasksPerThread },
  );
  const flush = openFlushPool(options, config.flush.workers, cache);
  const deletes = new PersistPool({ ...options, lowPriority: false }, { min: 0, max: 1, isRemote });
  const background = new PersistPool(options, { min: 0, max: 1, isRemote }, cache);
  const mirror = second === null ? null : openMirrorPool(options);
  const backup = openBackupPool(options, backups);
  const isNear = [options.store, second?.store, backups.store].every((place) => (place?.kind ?? "local") === "local");
  return {
    quick,
    flush,
    deletes,
    background,
    mirror,
    backup,
    backupLook: isNear ? quick : backup,
    mirrorHealth,
    localFiles,
    storeHealth,
    exclusion: store.kind === "s3" ? (store.exclusion ?? null) : null,
    places: {
      dataFolder: folder.root,
      warehouse: placeOf(store),
      ...(second !== null && { mirror: second.secondPlace }),
    },
    close: async () => {
      Atomics.store(new Int32Array(stopWord), 0, 1);
      const pools = [quick, flush, deletes, background, mirror, backup, fetching];
      await Promise.all(pools.map(async (pool) => pool?.close()));
      cacheLock?.release();
    },
  };
}

/** While the files and the commit of one table are on their way, the thread encodes those of another. */
function openFlushPool(options: PersistWorkerOptions, max: number, cache: FileCache | null): PersistPool {
  const isRemote = options.store.kind !== "local";
  const tasksPerThread = isRemote ? flushesPerThread : 1;
  // One comes when all others have as many tasks as they take: several that take several would not share them.
  const min = tasksPerThread > 1 && max > 1 ? max : 0;
  const threads = { min, max, isRemote, tasksPerThread, idleMs: longIdleMs };
  return new PersistPool({ ...options, lowPriority: false }, threads, cache);
}

/** One thread; with several tasks, so that a list need not wait for a copy. */
function openBackupPool(options: PersistWorkerOptions, backup: BackupWorkerOptions): PersistPool {
  return new PersistPool(
    { ...options, backup },
    { min: 0, max: 1, isRemote: true, tasksPerThread: backupTasksPerThread },
  );
}

/** One thread, for some tables at once and for looks at both pools. */
export function openMirrorPool(options: PersistWorkerOptions): PersistPool {
  return new PersistPool(options, { min: 0, max: 1, isRemote: true, tasksPerThread: mirrorTasksPerThread });
}

interface FetchParts {
  readonly options: PersistWorkerOptions;
  readonly log: Logger;
}

interface OpenedFiles {
  readonly localFiles: LocalFiles;
  /** Null, and so the lock, where the files are read where they lie. */
  readonly fetching: PersistPool | null;
  readonly cacheLock: FolderLock | null;
}

/** A store elsewhere has a file cache, and a thread for its fetches, which mostly wait for the network. */
async function openLocalFiles(config: Config, folder: DataFolder, { options, log }: FetchParts): Promise<OpenedFiles> {
  const { store } = options;
  if (store.kind === "local") {
    const localFiles = new FilesInPlace(store.folder, (key) => join(store.folder, key));
    return { localFiles, fetching: null, cacheLock: null };
  }
  const { bytesMax, fetchesMax } = config.cache;
  const cacheFolder = config.cache.folder === "" ? folder.cache : resolve(config.cache.folder);
  const cacheLock = await takeCacheFolder(cacheFolder);
  const threads = { min: 0, max: 1, isRemote: true, tasksPerThread: fetchesMax, idleMs: longIdleMs };
  const fetching = new PersistPool({ ...options, lowPriority: false }, threads);
  const localFiles = new FileCache({
    folder: cacheFolder,
    bytesMax,
    fetchesMax,
    fetch: (task) => fetching.fetchObject(task),
    onError: (doing, error) => log.error({ err: error }, `failed: ${doing}`),
  });
  return { localFiles, fetching, cacheLock };
}

interface PersistThreads {
  readonly min: number;
  readonly max: number;
  /** More than 1 for tasks that wait most of their time. */
  readonly tasksPerThread?: number;
  /** The store is reached by connections, which live in the thread's event loop. */
  readonly isRemote: boolean;
  /** How long a thread beyond the minimum waits for work; absent: `idleMs`. */
  readonly idleMs?: number;
}

/**
 * Tasks of the persist workers. Every method rejects with the MiniodbError that the worker met, WORKER_LOST when the
 * thread died; after STORE_UNAVAILABLE or WORKER_LOST a commit may or may not have been made.
 */
export class PersistPool {
  readonly #pool: Piscina<PersistTask, PersistResult>;
  readonly #cache: FileCache | null;

  /** Flushed files stay in `cache`, too; what merges read is taken from it as far as it is there. */
  constructor(workerData: PersistWorkerOptions, threads: PersistThreads, cache: FileCache | null = null) {
    this.#cache = cache;
    this.#pool = new piscina.Piscina({
      filename: workerUrls.persist,
      name: "runPersistTask",
      minThreads: threads.min,
      maxThreads: threads.max,
      idleTimeout: threads.idleMs ?? idleMs,
      concurrentTasksPerWorker: threads.tasksPerThread ?? 1,
      // An idle thread of the usual mode blocks its event loop, and with it the connections that it keeps to a store.
      ...(threads.isRemote && { atomics: "disabled" }),
      workerData,
    });
  }

  async warmUp(): Promise<void> {
    await this.#run({ kind: "warm-up" }, "done");
  }

  /** The file is there when it resolves; not synced, as the log can make it again. */
  seal(task: WithoutKind<SealTask>): Promise<Done<"sealed">> {
    return this.#run({ kind: "seal", ...task }, "sealed");
  }

  /**
   * When it resolves, rows and position are durable in the store, in one commit. `searched` are files of the store that it may
   * have to look into: what the cache has of them is not fetched again.
   */
  async flush(task: WithoutKind<FlushTask>, searched: readonly StoredFile[] = []): Promise<CommitResult> {
    if (this.#cache === null) return (await this.#run({ kind: "flush", ...task }, "committed")).commit;
    const present = this.#cache.present(searched);
    try {
      const place = { copies: this.#cache.copyPlace, localPaths: present.paths };
      const { commit, copies = [] } = await this.#run({ kind: "flush", ...task, ...place }, "committed");
      this.#cache.adopt(copies);
      return commit;
    } finally {
      present.release();
    }
  }

  /** The file is in the folder of the cache when it resolves. */
  fetchObject(task: WithoutKind<FetchTask>): Promise<Done<"fetched">> {
    return this.#run({ kind: "fetch-object", ...task }, "fetched");
  }

  async compact(task: WithoutKind<CompactTask>): Promise<CommitResult> {
    const read = task.files.flatMap((file) => [file, ...(file.deletes ?? [])]);
    const present = this.#cache?.present(read);
    // Not held while the merge runs, which may take minutes: queries come first.
    present?.release();
    return (await this.#run({ kind: "compact", ...task, localPaths: present?.paths ?? {} }, "committed")).commit;
  }

  /** When it resolves, the rows are gone from the table, durably, in one commit. */
  deleteRows(task: WithoutKind<DeleteRowsTask>): Promise<DeleteRowsResult> {
    return this.#run({ kind: "delete-rows", ...task }, "rows-deleted");
  }

  /** See PastRows; null: everything that is committed now. */
  async loadPastRows(identity: TableIdentity, through: number | null): Promise<PastRows> {
    return (await this.#run({ kind: "load-past-rows", identity, through }, "past-rows")).past;
  }

  /** All live tables. The first call of a process, before any other task, also removes what a crashed one left. */
  async loadWarehouse(): Promise<readonly TableState[]> {
    return (await this.#run({ kind: "load-warehouse", isFirst: true }, "tables")).states;
  }

  /** Resolves when the store answers. */
  async checkStore(): Promise<void> {
    await this.#run({ kind: "check-store" }, "done");
  }

  /** Rejects with SERVER_BUSY where another server has the claim on the warehouse now. */
  async tendClaim(act: "renew" | "release"): Promise<void> {
    await this.#run({ kind: "claim", act }, "done");
  }

  async loadTable(identity: TableIdentity): Promise<TableState> {
    return (await this.#run({ kind: "load-table", identity }, "table")).state;
  }

  async listSnapshots(identity: TableIdentity): Promise<readonly SnapshotInfo[]> {
    return (await this.#run({ kind: "list-snapshots", identity }, "snapshots")).snapshots;
  }

  async loadSnapshot(identity: TableIdentity, request: HistoryRequest): Promise<LoadedSnapshot> {
    return (await this.#run({ kind: "load-snapshot", identity, request }, "snapshot")).snapshot;
  }

  async createTable(name: string, settings: TableSettings, schema: TableSchema): Promise<TableState> {
    return (await this.#run({ kind: "create-table", name, settings, schema }, "table")).state;
  }

  async changeSettings(identity: TableIdentity, patch: SettingsPatch): Promise<CommitResult> {
    return (await this.#run({ kind: "change-settings", identity, patch }, "committed")).commit;
  }

  /** When it resolves, the schema is the table's, or one that it grew into is, and the settings are. */
  async commitSchema(identity: TableIdentity, schema: TableSchema, settings: SettingsPatch): Promise<CommitResult> {
    return (await this.#run({ kind: "commit-schema", identity, schema, settings }, "committed")).commit;
  }

  /** When it resolves, no file of an earlier day (since 1970-01-01) is in the table, durably. */
  async dropDays(identity: TableIdentity, beforeDay: number): Promise<CommitResult> {
    return (await this.#run({ kind: "drop-days", identity, beforeDay }, "committed")).commit;
  }

  /** When it resolves, the table has the files of the earlier snapshot, durably, in a snapshot of its own. */
  async rollback(identity: TableIdentity, request: RollbackRequest): Promise<CommitResult> {
    return (await this.#run({ kind: "rollback", identity, request }, "committed")).commit;
  }

  /** When it resolves, the tag is durable, and its snapshot does not expire. */
  async tag(identity: TableIdentity, request: TagRequest): Promise<CommitResult> {
    return (await this.#run({ kind: "tag", identity, request }, "committed")).commit;
  }

  async untag(identity: TableIdentity, name: string): Promise<CommitResult> {
    return (await this.#run({ kind: "untag", identity, name }, "committed")).commit;
  }

  async dropTable(identity: TableIdentity): Promise<void> {
    await this.#run({ kind: "drop-table", identity }, "done");
  }

  async expireSnapshots(identity: TableIdentity, rule: { keep: number; olderThanMs: number }): Promise<CommitResult> {
    return (await this.#run({ kind: "expire-snapshots", identity, ...rule }, "committed")).commit;
  }

  collectGarbage(graceMs: number, keepKeys: readonly string[]): Promise<Done<"collected">> {
    return this.#run({ kind: "collect-garbage", graceMs, keepKeys }, "collected");
  }

  /** Rejects with POOL_SUPERSEDED where another pool was promoted; then no worker of this process commits any more. */
  async checkPools(): Promise<void> {
    await this.#run({ kind: "check-pools" }, "done");
  }

  /** When it resolves the second pool has the table as the first one had it since the call. */
  async mirrorTable(location: string, isFailover = false): Promise<MirrorReport> {
    return (await this.#run({ kind: "mirror-table", location, isFailover }, "mirrored")).report;
  }

  surveyMirror(isComplete: boolean): Promise<Done<"surveyed">> {
    return this.#run({ kind: "survey-mirror", isComplete }, "surveyed");
  }

  collectMirror(graceMs: number): Promise<Done<"collected">> {
    return this.#run({ kind: "collect-mirror", graceMs }, "collected");
  }

  inspectPools(): Promise<Done<"inspected">> {
    return this.#run({ kind: "inspect-pools" }, "inspected");
  }

  async fenceFirst(): Promise<void> {
    await this.#run({ kind: "fence-first" }, "done");
  }

  async promoteSecond(): Promise<void> {
    await this.#run({ kind: "promote-second" }, "done");
  }

  /** When it resolves the backup is there, with everything that it names. Rejects with COMMIT_CONFLICT for a lost tag. */
  async backUp(task: BackupTaskOf<"back-up">): Promise<BackupReport> {
    return (await this.#run({ kind: "back-up", ...task }, "backed-up")).report;
  }

  /** Newest first. */
  async listBackups(task: BackupTaskOf<"list-backups">): Promise<readonly BackupEntry[]> {
    return (await this.#run({ kind: "list-backups", ...task }, "backups")).backups;
  }

  /** Rejects with NOT_FOUND, BACKUP_UNUSABLE for a manifest that cannot be read; all else is in the answer. */
  async verifyBackup(id: string, isDeep: boolean): Promise<BackupCheck> {
    return (await this.#run({ kind: "verify-backup", id, isDeep }, "backup-verified")).check;
  }

  removeBackup(id: string): Promise<Done<"backup-removed">> {
    return this.#run({ kind: "remove-backup", id }, "backup-removed");
  }

  sweepBackups(beforeMs: number): Promise<Done<"backup-removed">> {
    return this.#run({ kind: "sweep-backups", beforeMs }, "backup-removed");
  }

  async planRestore(from: RestoreFrom): Promise<readonly RestoreCandidate[]> {
    return (await this.#run({ kind: "plan-restore", from }, "restore-planned")).candidates;
  }

  /** When it resolves the table is whole under the name, and nobody sees it yet. */
  async prepareRestore(candidate: RestoreCandidate, name: string): Promise<TableIdentity> {
    return (await this.#run({ kind: "restore-table", candidate, name }, "restore-prepared")).identity;
  }

  async publishTable(identity: TableIdentity): Promise<TableState> {
    return (await this.#run({ kind: "publish-table", identity }, "table")).state;
  }

  async discardTable(identity: TableIdentity): Promise<void> {
    await this.#run({ kind: "discard-table", identity }, "done");
  }

  /**
   * The table's state after a commit of ours, from the state that main holds now. Commits of one table may be answered
   * in another order than they were made in: an older one changes nothing.
   */
  async stateAfter(commit: CommitResult, current: () => TableState): Promise<TableState> {
    const before = current();
    if (commit.head.version <= before.version) return before;
    const applied = applyCommit(before, commit);
    if (applied !== null) return applied;
    const loaded = await this.loadTable(commit.head.identity);
    const now = current();
    return loaded.version > now.version ? loaded : now;
  }

  async close(): Promise<void> {
    await this.#pool.close({ force: true });
  }

  async #run<Kind extends PersistResult["kind"]>(task: PersistTask, kind: Kind): Promise<Done<Kind>> {
    let result: PersistResult;
    try {
      result = await this.#pool.run(task);
    } catch (error) {
      throw new MiniodbError("WORKER_LOST", `The persist worker broke off: ${String(error)}`, {}, error);
    }
    if (result.kind === "failed") throw fromErrorMessage(result.error);
    if (result.kind !== kind) throw new MiniodbError("INTERNAL", `${task.kind} was answered by ${result.kind}`);
    return result as Done<Kind>;
  }
}
