import { MiniodbError, toErrorMessage } from "../../shared/errors.js";
import type { IngestToMain, MainToIngest, OpenTable, TableState } from "../../shared/messages.js";
import type { ToWal } from "../../shared/wal-messages.js";
import { initialSchema, nameKey, tableNamePattern, type TableSchema } from "../../shared/schema/table-schema.js";
import type { SettingsPatch, TableSettings } from "../../shared/schema/table-settings.js";
import type { StoreHealth } from "../../shared/store/store-health.js";
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
  /** Of a store that fails all the time nobody need wait to hear that it does. */
  readonly storeHealth: Pick<StoreHealth, "stats">;
}

/** A creation takes a dozen requests. Whoever waits longer is told so; it goes on, and the next who asks joins it. */
const createMsMax = 10_000;

/** What a new table is like. */
export interface NewTable {
  readonly settings: TableSettings;
  readonly schema: TableSchema;
}

interface Creation {
  readonly entry: TableEntry;
  /** False where the store had the table already: of another node, or of ours, by a commit that seemed to fail. */
  readonly isNew: boolean;
}

/** Creates, opens and drops tables. Each is one commit in the object store; two requests for one name share it. */
export class TableService {
  readonly #options: TableServiceOptions;
  readonly #creating = new Map<string, Promise<Creation>>();

  constructor(options: TableServiceOptions) {
    this.#options = options;
  }

  /**
   * When it resolves, the table's first metadata file is durable in the object store and its owner knows it.
   * Rejects with TABLE_EXISTS (unless `ifNotExists`, which changes nothing about the table that is there),
   * INVALID_REQUEST for the name, SERVER_BUSY at tables.max, STORE_UNAVAILABLE (the table may come to be all the same).
   */
  async create(name: string, table: NewTable, ifNotExists: boolean): Promise<TableEntry> {
    assertTableName(name);
    const existing = this.#options.registry.find(name);
    if (existing !== undefined) {
      if (ifNotExists) return existing;
      throw new MiniodbError("TABLE_EXISTS", `Table ${existing.name} exists already`, { table: existing.name });
    }
    const key = nameKey(name);
    const running = this.#creating.get(key);
    const { entry, isNew } = await inTime(running ?? this.#begin(key, name, table), name);
    if (ifNotExists || (isNew && running === undefined)) return entry;
    throw new MiniodbError("TABLE_EXISTS", `Table ${entry.name} exists already`, { table: entry.name });
  }

  #begin(key: string, name: string, table: NewTable): Promise<Creation> {
    const creation = this.#create(name, table).finally(() => this.#creating.delete(key));
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
   * Takes up a table that a restore has made, under a name that is free or, where `isOverwriting`, in the place of the table
   * that has it, which is dropped with the rows that are not flushed. `publish` makes it live. Writes that come meanwhile wait
   * for it. Rejects with TABLE_EXISTS, and with what `publish` does.
   */
  async takeRestored(name: string, isOverwriting: boolean, publish: () => Promise<TableState>): Promise<TableEntry> {
    const { registry, toWorker } = this.#options;
    const key = nameKey(name);
    await this.#creating.get(key)?.catch(() => {});
    const existing = registry.find(name);
    if (this.#creating.has(key) || (existing !== undefined && !isOverwriting)) {
      throw new MiniodbError("TABLE_EXISTS", `Table ${name} exists already`, { table: name });
    }
    if (existing === undefined) this.#assertRoom();
    const work = async (): Promise<Creation> => {
      if (existing !== undefined) await this.drop(existing.name);
      const entry = registry.add(await publish());
      toWorker(entry.worker, { kind: "open-table", table: openTable(entry) });
      return { entry, isNew: true };
    };
    const creation = work().finally(() => this.#creating.delete(key));
    this.#creating.set(key, creation);
    return (await creation).entry;
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
    this.create(name, { settings: {}, schema: initialSchema }, true).then(
      (created) => toWorker(worker, { kind: "open-table", table: openTable(created) }),
      refuse,
    );
  }

  async #create(name: string, table: NewTable): Promise<Creation> {
    const { registry, toWorker, storeHealth } = this.#options;
    this.#assertRoom();
    if (storeHealth.stats.brokenSinceMs !== null) throw unavailable(name, "does not answer at present");
    const { state, isNew } = await this.#createOrFind(name, table);
    const entry = registry.add(state);
    toWorker(entry.worker, { kind: "open-table", table: openTable(entry) });
    return { entry, isNew };
  }

  /** Those that are coming into being count too: many may be asked for at once. */
  #assertRoom(): void {
    const { registry, tablesMax } = this.#options;
    if (registry.count + this.#creating.size < tablesMax) return;
    throw new MiniodbError("SERVER_BUSY", `There are tables.max = ${tablesMax} tables already`, { tablesMax });
  }

  async #createOrFind(
    name: string,
    { settings, schema }: NewTable,
  ): Promise<{ readonly state: TableState; readonly isNew: boolean }> {
    const { pool } = this.#options;
    try {
      return { state: await pool.createTable(name, settings, schema), isNew: true };
    } catch (error) {
      if (!(error instanceof MiniodbError) || error.code !== "TABLE_EXISTS") throw error;
      const { name: found, uuid, location } = error.details;
      if (typeof found !== "string" || typeof uuid !== "string" || typeof location !== "string") throw error;
      return { state: await pool.loadTable({ name: found, uuid, location }), isNew: false };
    }
  }
}

async function inTime<Result>(work: Promise<Result>, name: string): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(unavailable(name, `did not answer for ${createMsMax} ms`)), createMsMax);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Tables that are there take rows all the same. */
function unavailable(name: string, why: string): MiniodbError {
  return new MiniodbError(
    "STORE_UNAVAILABLE",
    `Table ${name} is new, and the object store, where a table comes into being, ${why}`,
    { table: name },
  );
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
