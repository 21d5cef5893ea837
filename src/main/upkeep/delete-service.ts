import type { DeleteRowsResult } from "../../shared/delete-messages.js";
import { MiniodbError } from "../../shared/errors.js";
import { limits } from "../../shared/limits.js";
import type { CatalogSnapshots } from "../catalog/catalog-snapshots.js";
import type { TableEntry } from "../catalog/table-entry.js";
import type { TableRegistry } from "../catalog/table-registry.js";
import type { PersistPool } from "../lifecycle/persist-pool.js";
import type { QueryParameters } from "../query/query-parameters.js";
import type { QueryService } from "../query/query-service.js";
import { discardBody } from "../../shared/result-body.js";
import type { FoundRows } from "../query/row-finder.js";
import type { FlushCoordinator } from "./flush-coordinator.js";

export interface DeleteServiceOptions {
  readonly registry: TableRegistry;
  readonly flushes: FlushCoordinator;
  readonly snapshots: CatalogSnapshots;
  readonly queries: QueryService;
  readonly pool: PersistPool;
  readonly onError: (doing: string, error: unknown) => void;
}

export interface DeleteRequest {
  readonly table: string;
  /** An SQL expression over one row. */
  readonly where: string;
  readonly params?: QueryParameters | undefined;
  /** Only counts. */
  readonly isDryRun: boolean;
  /** Of the search; absent: limits.deleteMsMax. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface DeleteOutcome {
  readonly table: string;
  readonly rows: number;
  /** The table's snapshot without the rows; null where it has none yet. */
  readonly snapshotId: string | null;
  /** Of the last row that the delete could see. */
  readonly sequence: string;
}

/**
 * Deletes by predicate. A delete takes the rows that were acknowledged before its request, all or none:
 *
 * ```
 * flush ─▶ state S of the store ─▶ find the rows (query pool) ─▶ delete files, one commit (delete pool) ─▶ adopt
 *               ▲                                                      │ COMMIT_CONFLICT
 *               └── the same rows, wherever merges have put them ◀─────┘
 * ```
 * Rows that came after S are in files of a higher data sequence number, and stay; a merge gives its file the number of its
 * newest input. So that no file mixes rows of before and after, no merge of the table starts while a delete is under way;
 * one that runs already ends, and the delete looks again. The deletes of a table run one after the other.
 */
export class DeleteService {
  readonly #options: DeleteServiceOptions;
  /** The last delete of each table. */
  readonly #lines = new Map<TableEntry, Promise<unknown>>();

  constructor(options: DeleteServiceOptions) {
    this.#options = options;
  }

  /**
   * When it resolves, the rows are gone, durably, for every query that begins now and for other readers of the table.
   * Rejects with TABLE_NOT_FOUND, INVALID_SQL, SQL_NOT_ALLOWED, QUERY_TIMEOUT, SERVER_BUSY (nothing is deleted), and with
   * STORE_UNAVAILABLE, after which the rows may or may not be gone: the same request again deletes what is left.
   */
  async deleteWhere(request: DeleteRequest): Promise<DeleteOutcome> {
    const entry = this.#options.registry.get(request.table);
    const before = this.#lines.get(entry) ?? Promise.resolve();
    const own = before.catch(() => {}).then(() => this.#delete(entry, request));
    this.#lines.set(entry, own);
    try {
      return await own;
    } finally {
      if (this.#lines.get(entry) === own) this.#lines.delete(entry);
    }
  }

  async #delete(entry: TableEntry, request: DeleteRequest): Promise<DeleteOutcome> {
    const { flushes } = this.#options;
    request.signal?.throwIfAborted();
    const sequence = entry.ackedSequence;
    await flushes.stored(entry, sequence);
    entry.deletesUnderWay++;
    try {
      return await this.#deleteStored(entry, request, entry.tokenPrefix + sequence.toString(36));
    } finally {
      entry.deletesUnderWay--;
    }
  }

  async #deleteStored(entry: TableEntry, request: DeleteRequest, sequence: string): Promise<DeleteOutcome> {
    let through: number | null = null;
    for (let attempt = 1; ; attempt++) {
      const past = await this.#options.pool.loadPastRows(entry.identity, through);
      through ??= past.sequenceNumber;
      const found = await this.#find(entry, past.state, request);
      const outcome = { table: entry.name, rows: found.rows, sequence };
      try {
        if (request.isDryRun || found.rows === 0) return { ...outcome, snapshotId: past.state.snapshotId };
        // From here on it is done, whether the client waits or not.
        const { commit } = await this.#commit(entry, found);
        return { ...outcome, snapshotId: commit?.head.snapshotId ?? past.state.snapshotId };
      } catch (error) {
        const isConflict = error instanceof MiniodbError && error.code === "COMMIT_CONFLICT";
        if (!isConflict || attempt === limits.deleteAttemptsMax) throw error;
      } finally {
        await discardBody(found.body);
      }
    }
  }

  #find(
    { name }: TableEntry,
    { schema, files }: Pick<TableEntry["state"], "schema" | "files">,
    { where, params, timeoutMs = limits.deleteMsMax, signal }: DeleteRequest,
  ): Promise<FoundRows> {
    const { snapshots, queries } = this.#options;
    const snapshot = snapshots.hold([{ name, schema, version: "", files, hot: [] }]);
    return queries.findRows({ snapshot, where, params, timeoutMs: Math.min(timeoutMs, limits.deleteMsMax), signal });
  }

  async #commit(entry: TableEntry, { files, body }: FoundRows): Promise<DeleteRowsResult> {
    const { pool, onError } = this.#options;
    // Without their statistics.
    const searched = files.map(({ key, rows, day, deletes, uri }) => {
      return { key, rows, day, ...(deletes !== undefined && { deletes }), ...(uri !== undefined && { uri }) };
    });
    try {
      const result = await pool.deleteRows({ identity: entry.identity, files: searched, found: body });
      if (result.commit !== null) this.#adopt(entry, await pool.stateAfter(result.commit, () => entry.state));
      return result;
    } catch (error) {
      // Whether it was made or not: queries see from now on what the store says.
      await pool.loadTable(entry.identity).then(
        (state) => this.#adopt(entry, state),
        (failure: unknown) => onError(`loading ${entry.name} after a delete`, failure),
      );
      throw error;
    }
  }

  #adopt(entry: TableEntry, state: TableEntry["state"]): void {
    if (entry.isDropped || state.version < entry.state.version) return;
    entry.adopt(state, Math.max(entry.flushedSequence, state.positions[entry.stream] ?? 0));
  }
}
