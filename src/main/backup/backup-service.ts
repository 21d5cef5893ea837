import { randomBytes } from "node:crypto";
import type { BackupCheck, BackupEntry, BackupReport, TablePoint } from "../../shared/backup-messages.js";
import { MiniodbError } from "../../shared/errors.js";
import { failpoint } from "../../shared/failpoints.js";
import { limits } from "../../shared/limits.js";
import { backupId, backupTag, type BackupKind } from "../../shared/store/store-paths.js";
import type { TableEntry } from "../catalog/table-entry.js";
import type { TableRegistry } from "../catalog/table-registry.js";
import type { PersistPool } from "../lifecycle/persist-pool.js";
import type { FlushCoordinator } from "../upkeep/flush-coordinator.js";
import type { BackupSchedule } from "./backup-schedule.js";
import { cutTables } from "./cut-tables.js";
import { planExpiry } from "./plan-expiry.js";

export interface BackupServiceOptions {
  readonly registry: TableRegistry;
  readonly flushes: FlushCoordinator;
  /** Of backups. */
  readonly pool: PersistPool;
  /** Of the first look. */
  readonly looking: Pick<PersistPool, "listBackups">;
  /** Of short commits: the tags. */
  readonly tagging: PersistPool;
  readonly schedule: BackupSchedule;
  readonly keepDays: number;
  readonly nodeId: string;
  /** See CutOptions. */
  readonly drain: () => void;
  readonly nowMs: () => number;
  readonly onDone: (report: BackupReport) => void;
  readonly onError: (doing: string, error: unknown) => void;
}

export interface BackupRequest {
  readonly kind: BackupKind;
  /** Null: all tables. */
  readonly isWanted: ((name: string) => boolean) | null;
}

export interface MadeBackup extends BackupReport {
  readonly timeMs: number;
}

export interface BackupStatus {
  readonly isRunning: boolean;
  /** Of the newest backup of each kind that there is; ms since 1970. */
  readonly lastMs: Readonly<Partial<Record<BackupKind, number>>>;
  readonly nextMs: number | null;
  /** Of this run of the server. */
  readonly made: number;
  readonly failures: number;
  readonly copiedBytes: number;
  /** Of the last attempt; null where it went well. */
  readonly error: { readonly message: string; readonly atMs: number } | null;
}

/** Age at which what a backup has left that was broken off is removed: no backup takes that long, on any server. */
const sweptAgeMs = 24 * 60 * 60 * 1000;
/** Commits of tags at once. */
const tagsAtOnce = 4;
/** Whole attempts of one backup, where the store or another server came between. */
const attemptsMax = 3;

/** Makes and keeps backups, one thing at a time. */
export class BackupService {
  readonly #options: BackupServiceOptions;
  #line: Promise<unknown> = Promise.resolve();
  #running = 0;
  #isStopped = false;
  #sweptMs = Number.NEGATIVE_INFINITY;
  #isScheduled = false;
  readonly #lastMs: Partial<Record<BackupKind, number>> = {};
  #totals = { made: 0, failures: 0, copiedBytes: 0 };
  #error: BackupStatus["error"] = null;

  constructor(options: BackupServiceOptions) {
    this.#options = options;
  }

  get status(): BackupStatus {
    const { schedule } = this.#options;
    const { nextMs } = schedule;
    return { isRunning: this.#running > 0, lastMs: { ...this.#lastMs }, nextMs, ...this.#totals, error: this.#error };
  }

  /** Finds out in the background which backups there are. */
  start(): void {
    this.#options.looking.listBackups({ sinceMs: 0, withContents: false }).then(
      (backups) => {
        for (const { kind, timeMs } of backups) this.#note(kind, timeMs);
      },
      (error: unknown) => this.#options.onError("looking for backups", error),
    );
  }

  /** Starts what is due; while a scheduled backup runs or waits, none is added. */
  tick(nowMs: number): void {
    if (this.#isStopped) return;
    const due = this.#options.schedule.due(nowMs);
    if (due.length === 0 || this.#isScheduled) return;
    this.#isScheduled = true;
    this.#runScheduled(due)
      .catch((error: unknown) => this.#options.onError("making a scheduled backup", error))
      .finally(() => {
        this.#isScheduled = false;
      });
  }

  /** Nothing new begins; what runs ends with the pool. */
  stop(): void {
    this.#isStopped = true;
  }

  /**
   * When it resolves the backup is there, durably. Rejects with INVALID_REQUEST where a full one has no place, and with
   * STORE_UNAVAILABLE, SERVER_BUSY, COMMIT_CONFLICT: then there is none.
   */
  create(request: BackupRequest): Promise<MadeBackup> {
    return this.inTurn(() => this.#create(request, isRefusal));
  }

  list(request: { readonly sinceMs: number; readonly withContents: boolean }): Promise<readonly BackupEntry[]> {
    return this.#options.pool.listBackups(request);
  }

  verify(id: string, isDeep: boolean): Promise<BackupCheck> {
    return this.#options.pool.verifyBackup(id, isDeep);
  }

  /** What no other backup needs goes with it. Rejects with NOT_FOUND, BACKUP_UNUSABLE. */
  remove(id: string): Promise<{ readonly objects: number; readonly bytes: number }> {
    return this.inTurn(() => this.#options.pool.removeBackup(id));
  }

  /** Does the work when all that came before has ended, however it ended. */
  inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#isStopped) return Promise.reject(new MiniodbError("SHUTTING_DOWN", "The server is shutting down"));
    const own = this.#line.catch(() => {}).then(work);
    this.#line = own;
    return own;
  }

  async #runScheduled(kinds: readonly BackupKind[]): Promise<void> {
    const { registry, nowMs, keepDays, pool, onError } = this.#options;
    const isWanted = (name: string): boolean => registry.find(name)?.state.settings.backupEnabled !== false;
    for (const kind of kinds) {
      // What went wrong is in the status; the other kind may go well.
      // One that its configuration refuses has failed, too: nobody else hears of it.
      const made = this.inTurn(() => this.#create({ kind, isWanted }, () => false));
      await made.catch((error: unknown) => onError(`making a ${kind} backup`, error));
    }
    await this.inTurn(async () => {
      const backups = await pool.listBackups({ sinceMs: 0, withContents: false });
      for (const id of planExpiry(backups, keepDays, nowMs())) await pool.removeBackup(id);
      if (nowMs() - this.#sweptMs < sweptAgeMs) return;
      await pool.sweepBackups(nowMs() - sweptAgeMs);
      this.#sweptMs = nowMs();
    });
  }

  async #create(request: BackupRequest, isNoFailure: (error: unknown) => boolean): Promise<MadeBackup> {
    const { nowMs, onDone } = this.#options;
    this.#running++;
    try {
      const made = await this.#attempt(request);
      this.#note(made.kind, made.timeMs);
      this.#totals.made++;
      this.#totals.copiedBytes += made.copiedBytes;
      this.#error = null;
      onDone(made);
      return made;
    } catch (error) {
      if (isNoFailure(error)) throw error;
      this.#totals.failures++;
      this.#error = { message: error instanceof Error ? error.message : String(error), atMs: nowMs() };
      throw error;
    } finally {
      this.#running--;
    }
  }

  async #attempt(request: BackupRequest): Promise<MadeBackup> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#once(request);
      } catch (error) {
        const isConflict = error instanceof MiniodbError && error.code === "COMMIT_CONFLICT";
        if (!isConflict || attempt === attemptsMax) throw error;
      }
    }
  }

  async #once({ kind, isWanted }: BackupRequest): Promise<MadeBackup> {
    const { registry, flushes, drain, nowMs, pool, nodeId } = this.#options;
    const entries = registry.all().filter(({ name }) => isWanted === null || isWanted(name));
    const { timeMs, points } = await cutTables(
      { flushes, drain, nowMs, gatherMsMax: limits.backupGatherMsMax },
      entries,
    );
    const id = backupId(timeMs, randomBytes(4).toString("hex"));
    let isMade = false;
    try {
      const tables = await this.#tag(id, points);
      failpoint("backup.tags.made");
      const report = await pool.backUp({ id, backup: kind, timeMs, nodeId, tables });
      isMade = true;
      return { ...report, timeMs };
    } finally {
      // A full backup needs them while it copies only.
      if (!isMade || kind === "full") await this.#untag(id, points);
    }
  }

  /** Answers the tables that are still there. */
  async #tag(id: string, points: readonly TablePoint[]): Promise<TablePoint[]> {
    const tagged: TablePoint[] = [];
    await this.#forEach(points, async (point) => {
      const { identity, snapshotId } = point;
      try {
        if (snapshotId !== null) {
          const at = { kind: "snapshot-id", snapshotId } as const;
          await this.#adopt(identity.uuid, () => this.#options.tagging.tag(identity, { name: backupTag(id), at }));
        }
        tagged.push(point);
      } catch (error) {
        if (!(error instanceof MiniodbError) || error.code !== "TABLE_NOT_FOUND") throw error;
      }
    });
    return tagged.toSorted((left, right) => (left.identity.name < right.identity.name ? -1 : 1));
  }

  /** What stays is removed by a sweep: the backup's own fate does not depend on it. */
  async #untag(id: string, points: readonly TablePoint[]): Promise<void> {
    await this.#forEach(points, async ({ identity, snapshotId }) => {
      if (snapshotId === null) return;
      try {
        await this.#adopt(identity.uuid, () => this.#options.tagging.untag(identity, backupTag(id)));
      } catch (error) {
        const isGone = error instanceof MiniodbError && ["NOT_FOUND", "TABLE_NOT_FOUND"].includes(error.code);
        if (!isGone) this.#options.onError(`taking a backup's tag off ${identity.name}`, error);
      }
    });
  }

  async #adopt(uuid: string, commit: () => ReturnType<PersistPool["tag"]>): Promise<void> {
    const { registry, tagging } = this.#options;
    const made = await commit();
    const entry: TableEntry | undefined = registry.byUuid(uuid);
    if (entry === undefined) return;
    const state = await tagging.stateAfter(made, () => entry.state);
    if (!entry.isDropped) entry.adopt(state, Math.max(entry.flushedSequence, state.positions[entry.stream] ?? 0));
  }

  async #forEach(points: readonly TablePoint[], work: (point: TablePoint) => Promise<void>): Promise<void> {
    const waiting = [...points];
    const some = async (): Promise<void> => {
      for (let point = waiting.shift(); point !== undefined; point = waiting.shift()) await work(point);
    };
    const results = await Promise.allSettled(Array.from({ length: tagsAtOnce }, some));
    for (const result of results) if (result.status === "rejected") throw result.reason;
  }

  #note(kind: BackupKind, timeMs: number): void {
    this.#lastMs[kind] = Math.max(this.#lastMs[kind] ?? 0, timeMs);
  }
}

/** The request was none that could be met: who asked is told, and nothing is wrong with backups. */
function isRefusal(error: unknown): boolean {
  return error instanceof MiniodbError && error.code === "INVALID_REQUEST";
}
