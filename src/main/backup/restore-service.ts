import type { RestoreCandidate, RestoreFrom } from "../../shared/backup-messages.js";
import { MiniodbError } from "../../shared/errors.js";
import type { TableIdentity, TableState } from "../../shared/messages.js";
import type { PersistPool } from "../lifecycle/persist-pool.js";
import { planTables, type PlannedTable, type RestoreChoice } from "./plan-restore.js";

/** The tables that there are: those of a server, or of a warehouse that no server runs on. */
export interface RestoreTables {
  exists(name: string): boolean;
  /** See TableService.takeRestored. */
  publish(name: string, isOverwriting: boolean, publish: () => Promise<TableState>): Promise<void>;
}

export interface RestoreServiceOptions {
  /** Of backups. */
  readonly pool: PersistPool;
  readonly tables: RestoreTables;
  /** As in the names of RestoreChoice. */
  readonly matcher: (pattern: string) => (name: string) => boolean;
  /** One thing at a time: no backup is removed while it is restored. */
  readonly inTurn: <Result>(work: () => Promise<Result>) => Promise<Result>;
  readonly nowMs: () => number;
}

export type RestorePoint =
  | { readonly kind: "backup"; readonly id: string }
  | { readonly kind: "latest" }
  /** ms since 1970. */
  | { readonly kind: "time"; readonly timeMs: number };

export interface RestoreRequest extends RestoreChoice {
  readonly from: RestorePoint;
  /** Only says what would be done. */
  readonly isDryRun: boolean;
  /** Looks at the backup first, and begins only where nothing is missing. */
  readonly isVerified: boolean;
  /** Tables that are written at once. */
  readonly tablesAtOnce: number;
}

export interface RestoredTable {
  readonly candidate: RestoreCandidate;
  readonly name: string;
  readonly outcome: "restored" | "overwritten" | "skipped" | "failed" | "would restore" | "would overwrite";
  /** Why it was skipped or failed. */
  readonly reason: string | null;
}

export interface RestoreReport {
  /** Null for a point in time, which takes each table from where it is nearest. */
  readonly backupId: string | null;
  readonly tables: readonly RestoredTable[];
  /** Asked for, and not there. */
  readonly missing: readonly string[];
  readonly durationMs: number;
}

const publishAttemptsMax = 4;

/**
 * Restores tables: all of them are written first, whole, where nobody sees them; then each becomes visible in one step. A
 * restore that is broken off before has changed nothing that anybody sees, and is begun anew; one that is broken off between
 * two of those steps has restored some tables, which the next one finds.
 */
export class RestoreService {
  readonly #options: RestoreServiceOptions;

  constructor(options: RestoreServiceOptions) {
    this.#options = options;
  }

  /** Rejects with NOT_FOUND, INVALID_REQUEST, BACKUP_UNUSABLE (nothing has changed); all else is said of its table. */
  restore(request: RestoreRequest): Promise<RestoreReport> {
    return this.#options.inTurn(() => this.#restore(request));
  }

  async #restore(request: RestoreRequest): Promise<RestoreReport> {
    const { pool, tables, matcher, nowMs } = this.#options;
    const startMs = nowMs();
    const from = await this.#resolve(request.from);
    if (request.isVerified && from.kind === "backup") await this.#verify(from.id);
    const exists = (name: string): boolean => tables.exists(name);
    const plan = planTables(await pool.planRestore(from), request, { matcher, exists });
    const done = request.isDryRun ? plan.tables.map(wouldBe) : await this.#perform(plan.tables, request);
    const backupId = from.kind === "backup" ? from.id : null;
    return { backupId, tables: done, missing: plan.missing, durationMs: nowMs() - startMs };
  }

  async #resolve(point: RestorePoint): Promise<RestoreFrom> {
    if (point.kind !== "latest") return point;
    const [latest] = await this.#options.pool.listBackups({ sinceMs: 0, withContents: false });
    if (latest === undefined) throw new MiniodbError("NOT_FOUND", "There is no backup yet");
    return { kind: "backup", id: latest.id };
  }

  async #verify(id: string): Promise<void> {
    const { problems } = await this.#options.pool.verifyBackup(id, false);
    if (problems.length === 0) return;
    const message = `Backup ${id} is not whole: ${problems[0] ?? ""}${problems.length > 1 ? ", and more" : ""}`;
    throw new MiniodbError("BACKUP_UNUSABLE", message, { backup: id, problems: problems.slice(0, 100) });
  }

  async #perform(planned: readonly PlannedTable[], request: RestoreRequest): Promise<RestoredTable[]> {
    const { pool, tables } = this.#options;
    const prepared = await this.#prepare(planned, request.tablesAtOnce);
    const done: RestoredTable[] = [];
    for (const [index, table] of planned.entries()) {
      const { candidate, name, action } = table;
      const result = prepared[index] ?? null;
      if (result === null) {
        done.push({ candidate, name, outcome: "skipped", reason: `table ${name} exists` });
      } else if (result instanceof Error) {
        done.push({ candidate, name, outcome: "failed", reason: result.message });
      } else {
        try {
          await tables.publish(name, request.isOverwriting, () => this.#publish(result));
          done.push({ candidate, name, outcome: action === "overwrite" ? "overwritten" : "restored", reason: null });
        } catch (error) {
          // It may be live after all, where the store gave no answer: then its end is refused, too.
          await pool.discardTable(result).catch(() => {});
          done.push({ candidate, name, outcome: "failed", reason: messageOf(error) });
        }
      }
    }
    return done;
  }

  /** Again while the store gives no clear answer: the table that it replaces is gone already. */
  async #publish(identity: TableIdentity): Promise<TableState> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#options.pool.publishTable(identity);
      } catch (error) {
        const isUnclear = error instanceof MiniodbError && error.code === "STORE_UNAVAILABLE";
        if (!isUnclear || attempt === publishAttemptsMax) throw error;
      }
    }
  }

  /** Null for those that are skipped; an error where one cannot be written. */
  async #prepare(planned: readonly PlannedTable[], tablesAtOnce: number): Promise<(TableIdentity | Error | null)[]> {
    const { pool } = this.#options;
    const results: (TableIdentity | Error | null)[] = planned.map(() => null);
    let next = 0;
    const some = async (): Promise<void> => {
      for (let index = next++; index < planned.length; index = next++) {
        const table = planned[index];
        if (table === undefined || table.action === "skip") continue;
        try {
          results[index] = await pool.prepareRestore(table.candidate, table.name);
        } catch (error) {
          results[index] = error instanceof Error ? error : new Error(String(error));
        }
      }
    };
    await Promise.all(Array.from({ length: tablesAtOnce }, some));
    return results;
  }
}

function wouldBe({ candidate, name, action }: PlannedTable): RestoredTable {
  if (action === "skip") return { candidate, name, outcome: "skipped", reason: `table ${name} exists` };
  return { candidate, name, outcome: action === "overwrite" ? "would overwrite" : "would restore", reason: null };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
