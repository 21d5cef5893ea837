import { workerData } from "node:worker_threads";
import { MiniodbError, toErrorMessage } from "../../shared/errors.js";
import type { CommitResult } from "../../shared/iceberg/commit-result.js";
import type { GarbageReport } from "../../shared/iceberg/collect-garbage.js";
import type { TableCatalog } from "../../shared/iceberg/table-catalog.js";
import type {
  CompactTask,
  FlushTask,
  PersistResult,
  PersistTask,
  PersistWorkerOptions,
  RecordSlice,
  TableIdentity,
  TableState,
} from "../../shared/messages.js";
import type { MirrorTask } from "../../shared/mirror-messages.js";
import type { HistoryTask } from "../../shared/table-messages.js";
import { initialSchema } from "../../shared/schema/table-schema.js";
import { noteDropped } from "../../shared/shared-memory-gc.js";
import { lowerThreadPriority } from "../../shared/thread-priority.js";
import { type BackupTask, isBackupTask } from "../../shared/backup-messages.js";
import type { BackupParts } from "./back-up.js";
import { commitOnce } from "./commit-once.js";
import type { MirrorPools } from "./mirror-pools.js";
import { checkStore, openPersistContext, tendClaim, prepare, type PersistContext } from "./persist-context.js";
import { sealRows } from "./seal.js";

if ((workerData as PersistWorkerOptions).lowPriority) lowerThreadPriority();

let opened: Promise<PersistContext> | undefined;

/** The store is opened at the first task that needs it: seals do not. */
async function context(): Promise<PersistContext> {
  opened ??= openPersistContext(workerData as PersistWorkerOptions);
  try {
    return await opened;
  } catch (error) {
    opened = undefined;
    throw error;
  }
}

/** Longest wait of a start for what the second pool says: it may be away, which is no reason not to start. */
const secondWaitMs = 3_000;

/** Throws POOL_SUPERSEDED where either pool says that the first one is not first any more. */
async function beginOnFirst(persist: PersistContext): Promise<void> {
  await persist.fence.begin();
  if (persist.secondStore === null) return;
  const asked = (await pools()).check().then(
    () => undefined,
    (error: unknown) => error,
  );
  const answer = await Promise.race([asked, persist.sleep(secondWaitMs)]);
  // All else is the mirror's matter, which looks again and says what is wrong.
  if (answer instanceof MiniodbError && answer.code === "POOL_SUPERSEDED") throw answer;
}

let openedPools: MirrorPools | undefined;

async function pools(): Promise<MirrorPools> {
  const persist = await context();
  const { MirrorPools } = await import("./mirror-pools.js");
  openedPools ??= new MirrorPools(persist, workerData as PersistWorkerOptions);
  return openedPools;
}

let openedBackups: Promise<BackupParts> | undefined;

async function backups(): Promise<BackupParts> {
  const persist = await context();
  const { openBackupParts } = await import("./backup-tasks.js");
  openedBackups ??= openBackupParts(persist, workerData as PersistWorkerOptions);
  try {
    return await openedBackups;
  } catch (error) {
    openedBackups = undefined;
    throw error;
  }
}

/**
 * The piscina task of the seal pool and the persist pool. A thread loads what its tasks need: that of the seal pool is made by
 * each start, and has little to do with flushes, merges, backups. What an operator or a repetition can help comes back as
 * `failed`; a programmer's mistake rejects, with its stack.
 */
export async function runPersistTask(task: PersistTask): Promise<PersistResult> {
  try {
    return await perform(task);
  } catch (error) {
    const failure = operatingError(error);
    if (failure === undefined) throw error;
    return { kind: "failed", error: toErrorMessage(failure) };
  }
}

type CatalogTask = Extract<
  PersistTask,
  {
    readonly kind:
      | "load-table"
      | "list-snapshots"
      | "load-snapshot"
      | "create-table"
      | "change-settings"
      | "drop-table"
      | "expire-snapshots";
  }
>;

async function perform(task: PersistTask): Promise<PersistResult> {
  if (isBackupTask(task)) return backupTask(task);
  switch (task.kind) {
    case "seal": {
      const sealed = await sealRows(task);
      noteDropped(bytesOf(task.slice));
      return sealed;
    }
    case "flush":
      return flushTable(await context(), task);
    case "compact":
      return { kind: "committed", commit: await compactTable(await context(), task) };
    case "commit-schema": {
      const { commitSchema } = await import("./commit-schema.js");
      return { kind: "committed", commit: await commitSchema(await context(), task) };
    }
    case "delete-rows": {
      const { deleteRows } = await import("./delete-rows.js");
      return deleteRows(await context(), task);
    }
    case "load-past-rows": {
      const past = await (await context()).catalog.loadPastRows(task.identity, task.through);
      return { kind: "past-rows", past };
    }
    case "warm-up": {
      const { warmUp } = await import("./warm-up.js");
      await warmUp((workerData as PersistWorkerOptions).temporaryFolder);
      return { kind: "done" };
    }
    case "load-warehouse":
      if (task.isFirst) await begin();
      return { kind: "tables", states: await loadWarehouse(await context()) };
    case "check-store":
      await checkStore(await context());
      return { kind: "done" };
    case "claim":
      await tendClaim(await context(), (workerData as PersistWorkerOptions).store, task.act);
      return { kind: "done" };
    case "load-table":
    case "list-snapshots":
    case "load-snapshot":
    case "create-table":
    case "change-settings":
    case "drop-table":
    case "expire-snapshots":
      return performCatalogTask((await context()).catalog, task);
    case "drop-days":
    case "rollback":
    case "tag":
    case "untag":
      return changeHistory(await context(), task);
    case "collect-garbage": {
      const { graceMs, keepKeys } = task;
      return collected(await (await context()).catalog.collectGarbage({ graceMs, keepKeys: new Set(keepKeys) }));
    }
    case "fetch-object": {
      const { fetchObject } = await import("./fetch-object.js");
      return fetchObject(await context(), task);
    }
    case "check-pools":
    case "mirror-table":
    case "survey-mirror":
    case "collect-mirror":
    case "inspect-pools":
    case "fence-first":
    case "promote-second":
      return mirrorTask(task);
  }
}

/** Before any other task. */
async function begin(): Promise<void> {
  await prepare(workerData as PersistWorkerOptions);
  await beginOnFirst(await context());
}

async function backupTask(task: BackupTask): Promise<PersistResult> {
  const { performBackupTask } = await import("./backup-tasks.js");
  return performBackupTask(await backups(), await context(), task);
}

async function mirrorTask(task: MirrorTask): Promise<PersistResult> {
  const { performMirrorTask } = await import("./mirror-pools.js");
  return performMirrorTask(await pools(), task);
}

/** What the catalog does without the rest of a worker's parts. */
async function performCatalogTask(catalog: TableCatalog, task: CatalogTask): Promise<PersistResult> {
  switch (task.kind) {
    case "load-table":
      return { kind: "table", state: await catalog.loadTable(task.identity) };
    case "list-snapshots":
      return { kind: "snapshots", snapshots: await catalog.listSnapshots(task.identity) };
    case "load-snapshot":
      return { kind: "snapshot", snapshot: await catalog.loadSnapshot(task.identity, task.request) };
    case "create-table": {
      const { name, settings, schema = initialSchema } = task;
      return { kind: "table", state: await catalog.createTable({ name, settings, schema }) };
    }
    case "change-settings":
      return { kind: "committed", commit: await catalog.changeSettings(task.identity, task.patch) };
    case "drop-table":
      await catalog.dropTable(task.identity);
      return { kind: "done" };
    case "expire-snapshots":
      return { kind: "committed", commit: await catalog.expireSnapshots(task.identity, task) };
  }
}

async function changeHistory(persist: PersistContext, task: HistoryTask): Promise<PersistResult> {
  const { catalog } = persist;
  const { identity } = task;
  return changeTable(persist, identity, (commitId) => {
    switch (task.kind) {
      case "drop-days":
        return catalog.commitRetention(identity, { beforeDay: task.beforeDay, commitId });
      case "rollback":
        return catalog.rollback(identity, { ...task.request, commitId });
      case "tag":
        return catalog.tag(identity, { ...task.request, commitId });
      case "untag":
        return catalog.untag(identity, { name: task.name, commitId });
    }
  });
}

/** A commit without data files, made once whatever the store answers. */
async function changeTable(
  persist: PersistContext,
  identity: TableIdentity,
  commit: (commitId: string) => Promise<CommitResult>,
): Promise<PersistResult> {
  return { kind: "committed", commit: await commitOnce(persist, { identity, files: [], range: null, commit }) };
}

async function flushTable(persist: PersistContext, task: FlushTask): Promise<PersistResult> {
  const [{ CacheCopies }, { flushRows }] = await Promise.all([import("./cache-copies.js"), import("./flush.js")]);
  const copies = new CacheCopies(task.copies);
  try {
    const commit = await flushRows(persist, task, copies);
    noteDropped(bytesOf(task.slice));
    // A commit of an earlier task has other files.
    return { kind: "committed", commit, copies: commit.delta === null ? [] : copies.publish() };
  } finally {
    copies.discard();
  }
}

/** What of the files is in the file cache may leave it at any time: the merge reads it by second names. */
async function compactTable(persist: PersistContext, task: CompactTask): Promise<CommitResult> {
  const modules = [import("./local-copies.js"), import("./compact.js")] as const;
  const [{ withSecondNames }, { compactFiles }] = await Promise.all(modules);
  return withSecondNames(persist, task.localPaths ?? {}, (localPaths) =>
    compactFiles({ ...persist, localPaths }, task),
  );
}

/** Tables that are loaded at once: each takes a few requests, one after the other. */
const loadsAtOnce = 16;

/** Tables that another node drops meanwhile are left out. */
async function loadWarehouse({ catalog }: PersistContext): Promise<TableState[]> {
  const identities = await catalog.listTables();
  const states: (TableState | undefined)[] = identities.map(() => undefined);
  let next = 0;
  const loadSome = async (): Promise<void> => {
    while (next < identities.length) {
      const index = next++;
      try {
        states[index] = await catalog.loadTable(identities[index] as TableIdentity);
      } catch (error) {
        if (error instanceof MiniodbError && error.code === "TABLE_NOT_FOUND") continue;
        next = identities.length;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(loadsAtOnce, identities.length) }, loadSome));
  return states.filter((state) => state !== undefined);
}

function collected(report: GarbageReport): PersistResult {
  const failed = report.failed.map(({ location, error }) => ({ location, error: toErrorMessage(error) }));
  return { kind: "collected", files: report.removed.length, bytes: report.bytes, failed };
}

/** Disk full, I/O errors and DuckDB's memory or disk limit are the operator's; undefined for a programmer's mistake. */
function operatingError(error: unknown): MiniodbError | undefined {
  if (error instanceof MiniodbError) return error;
  if (!(error instanceof Error)) return undefined;
  const isSystemError = "code" in error && "syscall" in error;
  const isDuckDBLimit = /^(?:IO Error|Out of Memory Error)/.test(error.message);
  if (!isSystemError && !isDuckDBLimit) return undefined;
  return new MiniodbError("STORE_UNAVAILABLE", `A file could not be written: ${error.message}`, {}, error);
}

/** Of the records: spans are triples whose third number is a length. */
function bytesOf({ spans }: RecordSlice): number {
  let bytes = 0;
  for (let at = 2; at < spans.length; at += 3) bytes += spans[at] as number;
  return bytes;
}
