import { fromErrorMessage, MiniodbError } from "../../shared/errors.js";
import type { MainToIngest } from "../../shared/messages.js";
import type { OwnerSchema } from "../../shared/table-messages.js";
import type { SchemaOperation } from "../../shared/schema/schema-operations.js";
import type { SettingsPatch } from "../../shared/schema/table-settings.js";
import type { PersistPool } from "../lifecycle/persist-pool.js";
import type { FlushCoordinator } from "../upkeep/flush-coordinator.js";
import type { OwnerQuestions } from "./owner-questions.js";
import type { TableEntry } from "./table-entry.js";

export interface SchemaServiceOptions {
  readonly owners: OwnerQuestions;
  readonly flushes: FlushCoordinator;
  /** That of flushes: a column that becomes double has files rewritten. */
  readonly pool: PersistPool;
  readonly toWorker: (worker: number, message: MainToIngest) => void;
}

/** Rounds against flushes and merges that come between, each of which may need the next one. */
const roundsMax = 8;

/**
 * Changes of a table's columns by request. Only the owner changes a schema, so that it is asked first; then its schema is
 * committed.
 *
 * ```
 * main ──change-schema──▶ owner: between two batches, its schema gets one version on ──schema-changed──▶ main
 *                                       │ rows from here on, and their log records                        │ queries from here on
 *                                       ▼ have the new schema                                             ▼
 *                                  (any flush commits it with its rows)                          a commit of the schema alone
 * ```
 * A crash before the commit: rows that were accepted under the new schema bring it back from the log, and their flush
 * commits it; without such rows the change is gone, and was never answered.
 */
export class SchemaService {
  readonly #options: SchemaServiceOptions;

  constructor(options: SchemaServiceOptions) {
    this.#options = options;
  }

  /**
   * All the operations, or none, and `settings` in the same commit; where a flush brings the schema to the store first, in one
   * of their own. When it resolves, both are durable in the object store, and every later query and write uses them. Rejects with INVALID_REQUEST (nothing changed), TABLE_NOT_FOUND, WORKER_LOST or STORE_UNAVAILABLE (the
   * table may have the new schema, and commits it with its next flush).
   */
  async change(entry: TableEntry, operations: readonly SchemaOperation[], settings: SettingsPatch = {}): Promise<void> {
    for (let round = 1; round <= roundsMax; round++) {
      const changed = await this.#askOwner(entry, operations);
      if (changed.kind === "changed") {
        entry.noteSchema(changed.schema);
        await this.#commit(entry, changed, settings);
        return;
      }
      // A column became double, and the flush that rewrites its files comes first.
      await this.#options.flushes.stored(entry, entry.ackedSequence);
      // In the middle of a large body the owner does not take what the flush has settled.
      this.#tellOwner(entry);
    }
    throw new MiniodbError("COMMIT_CONFLICT", `The columns of ${entry.name} change too fast`, { table: entry.name });
  }

  async #askOwner(entry: TableEntry, operations: readonly SchemaOperation[]): Promise<OwnerSchema> {
    const { uuid } = entry.identity;
    // A flush that is committed after this line has its rows in the owner's buffer until the owner has seen the question.
    const fieldIdsInFiles = [...new Set(entry.state.files.flatMap((file) => file.fieldIds))];
    const { answer } = await this.#options.owners.ask(entry, "schema-changed", (ticket) => {
      return { kind: "change-schema", ticket, uuid, operations, fieldIdsInFiles };
    });
    if (answer.kind === "refused") throw fromErrorMessage(answer.error);
    return answer;
  }

  async #commit(
    entry: TableEntry,
    changed: Extract<OwnerSchema, { kind: "changed" }>,
    settings: SettingsPatch,
  ): Promise<void> {
    const { flushes, pool } = this.#options;
    const { schema, lastSequence } = changed;
    const isWidening = schema.columns.some((column) => column.replacesFieldId !== undefined);
    // Rows under the old field id are known as the column's only while the schema says what it replaces.
    if (isWidening) await flushes.stored(entry, lastSequence);
    const hasSettings = Object.keys(settings).length > 0;
    let isLacking = hasSettings;
    for (let round = 1; isLacking || entry.state.schema.version < schema.version; round++) {
      try {
        const commit = await pool.commitSchema(entry.identity, schema, settings);
        const state = await pool.stateAfter(commit, () => entry.state);
        if (entry.isDropped) throw new MiniodbError("TABLE_NOT_FOUND", `Table ${entry.name} was dropped`);
        entry.adopt(state, Math.max(entry.flushedSequence, state.positions[entry.stream] ?? 0));
        isLacking = false;
      } catch (error) {
        // A merge or a flush replaced a file that was being rewritten.
        const isConflict = error instanceof MiniodbError && error.code === "COMMIT_CONFLICT";
        if (!isConflict || round === roundsMax) throw error;
      }
    }
    if (isWidening) this.#tellOwner(entry);
    if (!hasSettings) return;
    const { uuid } = entry.identity;
    this.#options.toWorker(entry.worker, { kind: "change-settings", uuid, settings: entry.state.settings });
  }

  /** Once files hold no replaced field any more, the owner's schema need not name it. */
  #tellOwner({ identity, worker, flushedSequence, state }: TableEntry): void {
    const { uuid } = identity;
    this.#options.toWorker(worker, { kind: "flushed", uuid, sequence: flushedSequence, schema: state.schema });
  }
}
