import { MiniodbError } from "../../shared/errors.js";
import type { CommitResult } from "../../shared/iceberg/commit-result.js";
import type { SnapshotInfo } from "../../shared/iceberg/table-history.js";
import { backupOfTag } from "../../shared/store/store-paths.js";
import type { PersistPool } from "../lifecycle/persist-pool.js";
import type { SnapshotTime } from "../query/snapshot-provider.js";
import type { FlushCoordinator } from "../upkeep/flush-coordinator.js";
import type { TableEntry } from "./table-entry.js";

export interface TableHistoryOptions {
  readonly flushes: FlushCoordinator;
  readonly pool: PersistPool;
}

/** Such a tag is a part of its backup. Throws INVALID_REQUEST. */
function refuseBackupTag(name: string): void {
  const id = backupOfTag(name);
  if (id === undefined) return;
  const message = `Tag ${name} belongs to backup ${id}: DELETE /v1/metadata/backups/${id} removes both`;
  throw new MiniodbError("INVALID_REQUEST", message, { field: "tag" });
}

/** The snapshot that a tag names. */
export interface Tag {
  readonly name: string;
  readonly snapshot: SnapshotInfo;
}

/** Back to an earlier snapshot of a table, and the tags that keep snapshots. */
export class TableHistory {
  readonly #options: TableHistoryOptions;

  constructor(options: TableHistoryOptions) {
    this.#options = options;
  }

  /**
   * Rows that were acknowledged before the call are flushed first: they are part of the state that is left, which can be
   * gone back to. Those that are acknowledged while it runs stay in the table, as no flush runs beside it. Durable when it
   * resolves, and what every later query sees. Rejects with NOT_FOUND where there is no such snapshot (any more),
   * INVALID_REQUEST for columns that would be missing, and STORE_UNAVAILABLE (it may have been done).
   */
  async rollback(entry: TableEntry, at: SnapshotTime, allowMissingColumns: boolean): Promise<void> {
    const { flushes, pool } = this.#options;
    await flushes.stored(entry, entry.ackedSequence);
    await flushes.exclusively(entry, async () => {
      await this.#adopt(entry, await pool.rollback(entry.identity, { at, allowMissingColumns }));
    });
  }

  /** All tags, by name. */
  async tags({ identity }: TableEntry): Promise<Tag[]> {
    const snapshots = await this.#options.pool.listSnapshots(identity);
    const tags = snapshots.flatMap((snapshot) => snapshot.tags.map((name) => ({ name, snapshot })));
    return tags.toSorted((left, right) => (left.name < right.name ? -1 : 1));
  }

  /** Names a snapshot, or (`at` null) what is acknowledged now, which is flushed for it. Durable when it resolves. */
  async tag(entry: TableEntry, name: string, at: SnapshotTime | null): Promise<Tag> {
    const { flushes, pool } = this.#options;
    refuseBackupTag(name);
    if (at === null) await flushes.stored(entry, entry.ackedSequence);
    await this.#adopt(entry, await pool.tag(entry.identity, { name, at }));
    const tag = (await this.tags(entry)).find((each) => each.name === name);
    if (tag === undefined) throw new MiniodbError("NOT_FOUND", `Tag ${name} was deleted at the same time`);
    return tag;
  }

  /** The snapshot may expire from here on. Rejects with NOT_FOUND. */
  async untag(entry: TableEntry, name: string): Promise<void> {
    refuseBackupTag(name);
    await this.#adopt(entry, await this.#options.pool.untag(entry.identity, name));
  }

  async #adopt(entry: TableEntry, commit: CommitResult): Promise<void> {
    const state = await this.#options.pool.stateAfter(commit, () => entry.state);
    if (!entry.isDropped) entry.adopt(state, Math.max(entry.flushedSequence, state.positions[entry.stream] ?? 0));
  }
}
