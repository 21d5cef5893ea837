import { MiniodbError, toErrorMessage } from "../../shared/errors.js";
import type { IngestToMain, MainToIngest, OpenTable } from "../../shared/messages.js";
import type { ToWal } from "../../shared/wal-messages.js";
import { nameKey, tableNamePattern } from "../../shared/schema/table-schema.js";
import type { SettingsPatch, TableSettings } from "../../shared/schema/table-settings.js";
import type { PersistPool } from "../lifecycle/persist-pool.js";
import type { TableEntry } from "./table-entry.js";
import type { TableRegistry } from "./table-registry.js";

export interface TableServiceOptions {
  readonly registry: TableRegistry;
  readonly pool: PersistPool;
  readonly toWorker: (worker: number, message: MainToIngest) => void;
  readonly toWal: (message: ToWal) => void;
  readonly onDropped: (entry: TableEntry) => void;
  readonly autoCreate: boolean;
  readonly tablesMax: number;
}

/** Creates, opens and drops tables. Each is one commit in the object store; two requests for one name share it. */
export class TableService {
  readonly #options: TableServiceOptions;
  readonly #creating = new Map<string, Promise<TableEntry>>();

  constructor(options: TableServiceOptions) {
    this.#options = options;
  }

  /**
   * When it resolves, the table's first metadata file is durable in the object store and its owner knows it.
   * Rejects with TABLE_EXISTS (unless `ifNotExists`, which changes nothing about the table that is there),
   * INVALID_REQUEST for the name, SERVER_BUSY at tables.max, STORE_UNAVAILABLE.
   */
  async create(name: string, settings: TableSettings, ifNotExists: boolean): Promise<TableEntry> {
    assertTableName(name);
    const existing = this.#options.registry.find(name);
    if (existing !== undefined) {
      if (ifNotExists) return existing;
      throw new MiniodbError("TABLE_EXISTS", `Table ${existing.name} exists already`, { table: existing.name });
    }
    const key = nameKey(name);
    const running = this.#creating.get(key);
    if (running !== undefined) {
      const entry = await running;
      if (ifNotExists) return entry;
      throw new MiniodbError("TABLE_EXISTS", `Table ${entry.name} exists already`, { table: entry.name });
    }
    const creation = this.#create(name, settings).finally(() => this.#creating.delete(key));
    this.#creating.set(key, creation);
    return creation;
  }

  /** When it resolves, no later commit to the table can succeed, and its name is free. Its files go with the garbage. */
  async drop(name: string): Promise<{ readonly filesDeleted: number }> {
    const { registry, pool, toWorker, toWal, onDropped } = this.#options;
    const entry = registry.get(name);
    const { uuid } = entry.identity;
    const filesDeleted = entry.state.files.length;
    await pool.dropTable(entry.identity);
    registry.remove(entry);
    toWorker(entry.worker, { kind: "drop-table", uuid });
    toWal({ kind: "drop-table", uuid });
    onDropped(entry);
    return { filesDeleted };
  }

  /**
   * When it resolves, the settings are durable in the object store, and in effect for every request that comes after.
   * Rejects with TABLE_NOT_FOUND, and STORE_UNAVAILABLE (then they may or may not have been changed).
   */
  async changeSettings(name: string, patch: SettingsPatch): Promise<TableEntry> {
    const { registry, pool, toWorker } = this.#options;
    const entry = registry.get(name);
    const commit = await pool.changeSettings(entry.identity, patch);
    const state = await pool.stateAfter(commit, () => entry.state);
    entry.adopt(state, Math.max(entry.flushedSequence, state.positions[entry.stream] ?? 0));
    // Those of the newest commit: answers to two changes may come in another order than the commits were made in.
    const { settings } = entry.state;
    toWorker(entry.worker, { kind: "change-settings", uuid: entry.identity.uuid, settings });
    return entry;
  }

  /** A worker met a name that it does not hold: opens or creates the table, or says why not. */
  onNeedTable(message: Extract<IngestToMain, { kind: "need-table" }>): void {
    const { registry, toWorker } = this.#options;
    const { worker, name, mayCreate } = message;
    const entry = registry.find(name);
    if (entry !== undefined) {
      toWorker(worker, { kind: "open-table", table: openTable(entry) });
      return;
    }
    const refuse = (error: unknown): void =>
      toWorker(worker, { kind: "refuse-table", name, error: toErrorMessage(error) });
    if (!mayCreate || !this.#options.autoCreate) {
      refuse(new MiniodbError("TABLE_NOT_FOUND", `Table ${name} does not exist`, { table: name }));
      return;
    }
    this.create(name, {}, true).then(
      (created) => toWorker(worker, { kind: "open-table", table: openTable(created) }),
      refuse,
    );
  }

  async #create(name: string, settings: TableSettings): Promise<TableEntry> {
    const { registry, pool, toWorker, tablesMax } = this.#options;
    if (registry.count >= tablesMax) {
      throw new MiniodbError("SERVER_BUSY", `There are tables.max = ${tablesMax} tables already`, { tablesMax });
    }
    const state = await pool.createTable(name, settings);
    const entry = registry.add(state);
    toWorker(entry.worker, { kind: "open-table", table: openTable(entry) });
    return entry;
  }
}

/** What an owner has to know of a table. */
export function openTable(entry: TableEntry): OpenTable {
  const { identity, schema, settings, snapshotId } = entry.state;
  return {
    identity,
    schema,
    settings,
    flushedSequence: entry.flushedSequence,
    // Files of which all rows were deleted are still in snapshots.
    hasFiles: snapshotId !== null,
    slot: entry.slot,
  };
}

export function assertTableName(name: string): void {
  if (tableNamePattern.test(name)) return;
  throw new MiniodbError(
    "INVALID_REQUEST",
    "A table name starts with a letter and has at most 64 letters, digits and underscores",
    { field: "table", table: name.slice(0, 100) },
  );
}
