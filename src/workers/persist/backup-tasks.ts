import { assert } from "../../shared/assert.js";
import type { BackupTask } from "../../shared/backup-messages.js";
import { MiniodbError } from "../../shared/errors.js";
import { failpoint } from "../../shared/failpoints.js";
import { catalogContext } from "../../shared/iceberg/catalog-context.js";
import { endLife, publishTable } from "../../shared/iceberg/table-life.js";
import type { PersistResult, PersistWorkerOptions } from "../../shared/messages.js";
import { ObjectNotFound } from "../../shared/store/object-store.js";
import { isStoreFailure } from "../../shared/store/store-failure.js";
import { StoreHealth } from "../../shared/store/store-health.js";
import { backUp, type BackupParts } from "./back-up.js";
import { BackupCopier } from "./backup-copier.js";
import { BackupPlaces } from "./backup-places.js";
import { listBackups, removeBackup, sweepBackups, verifyBackup } from "./keep-backups.js";
import { openWrapped, type PersistContext } from "./persist-context.js";
import { findCandidates, prepareRestore } from "./restore-backup.js";
import { Throttle } from "./throttle.js";

/** The parts of one worker thread; opens the place of full backups. */
export async function openBackupParts(persist: PersistContext, worker: PersistWorkerOptions): Promise<BackupParts> {
  const { backup: options } = worker;
  assert(options !== undefined, "a worker with tasks of backups knows where they go");
  const own = options.store === null ? null : await openWrapped(options.store, new StoreHealth().memory);
  const { store, fence, secondStore } = persist;
  const throttle = new Throttle(options.rateBytesMax, { sleep: persist.sleep, nowMs: persist.nowMs });
  return {
    context: catalogContext(store, { options: worker.catalog, checkFence: () => fence.checkWatched() }),
    places: new BackupPlaces(store, own ?? secondStore, options),
    copier: new BackupCopier({ persist, throttle, key: options.key }),
  };
}

export async function performBackupTask(
  parts: BackupParts,
  persist: PersistContext,
  task: BackupTask,
): Promise<PersistResult> {
  try {
    return await perform(parts, persist, task);
  } catch (error) {
    if (error instanceof ObjectNotFound) {
      throw new MiniodbError("NOT_FOUND", `${error.message} is gone: it expired, or was removed meanwhile`, {}, error);
    }
    if (error instanceof MiniodbError || !isStoreFailure(error)) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new MiniodbError("STORE_UNAVAILABLE", `A store failed: ${reason}`, {}, error);
  }
}

async function perform(parts: BackupParts, persist: PersistContext, task: BackupTask): Promise<PersistResult> {
  switch (task.kind) {
    case "back-up":
      return { kind: "backed-up", report: await backUp(parts, task) };
    case "list-backups":
      return { kind: "backups", backups: await listBackups(parts, task) };
    case "verify-backup":
      return { kind: "backup-verified", check: await verifyBackup(parts, task) };
    case "remove-backup":
      return removeBackup(parts, task.id);
    case "sweep-backups":
      return sweepBackups(parts, task.beforeMs);
    case "plan-restore":
      return findCandidates(parts, task.from);
    case "restore-table":
      return { kind: "restore-prepared", identity: await prepareRestore(parts, persist, task) };
    case "publish-table": {
      failpoint("restore.publish.next");
      const state = await publishTable(parts.context, task.identity);
      failpoint("restore.published");
      return { kind: "table", state };
    }
    case "discard-table":
      await endLife(parts.context, task.identity);
      return { kind: "done" };
  }
}
