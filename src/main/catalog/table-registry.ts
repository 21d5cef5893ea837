import { MiniodbError } from "../../shared/errors.js";
import type { TableState } from "../../shared/messages.js";
import { nameKey } from "../../shared/schema/table-schema.js";
import { ownerOf } from "../../shared/table-placement.js";
import { TableEntry } from "./table-entry.js";

/** The tables of this node, by name, uuid and slot. Slots are given once per run and never reused. */
export class TableRegistry {
  readonly #stream: string;
  readonly #workers: number;
  readonly #bySlot: TableEntry[] = [];
  readonly #byName = new Map<string, TableEntry>();
  readonly #byUuid = new Map<string, TableEntry>();
  #bufferedBytes = 0;

  constructor(stream: string, workers: number) {
    this.#stream = stream;
    this.#workers = workers;
  }

  get count(): number {
    return this.#byName.size;
  }

  add(state: TableState): TableEntry {
    const { name, uuid } = state.identity;
    const slot = this.#bySlot.length;
    const entry = new TableEntry(state, { slot, worker: ownerOf(name, this.#workers), stream: this.#stream });
    this.#bySlot.push(entry);
    this.#byName.set(nameKey(name), entry);
    this.#byUuid.set(uuid, entry);
    return entry;
  }

  remove(entry: TableEntry): void {
    this.setLoad(entry, { rows: 0, bytes: 0, oldestMs: 0 });
    entry.retire();
    this.#byUuid.delete(entry.identity.uuid);
    if (this.#byName.get(nameKey(entry.name)) === entry) this.#byName.delete(nameKey(entry.name));
  }

  find(name: string): TableEntry | undefined {
    return this.#byName.get(nameKey(name));
  }

  /** Throws TABLE_NOT_FOUND. */
  get(name: string): TableEntry {
    const entry = this.find(name);
    if (entry === undefined) throw new MiniodbError("TABLE_NOT_FOUND", `Table ${name} does not exist`, { table: name });
    return entry;
  }

  byUuid(uuid: string): TableEntry | undefined {
    return this.#byUuid.get(uuid);
  }

  /** Also of a table that was dropped since, without its files: its last completions still name it. */
  bySlot(slot: number): TableEntry {
    const entry = this.#bySlot[slot];
    if (entry === undefined) throw new MiniodbError("INTERNAL", `No table has slot ${slot}`);
    return entry;
  }

  /** All tables, by name. */
  all(): TableEntry[] {
    return [...this.#byName.values()].toSorted((left, right) => (left.name < right.name ? -1 : 1));
  }

  /** Unflushed bytes of all tables, as of the workers' last reports. */
  bufferedBytes(): number {
    return this.#bufferedBytes;
  }

  /** Takes a worker's report. */
  setLoad(entry: TableEntry, load: { readonly rows: number; readonly bytes: number; readonly oldestMs: number }): void {
    this.#bufferedBytes += load.bytes - entry.bufferedBytes;
    entry.bufferedBytes = load.bytes;
    entry.bufferedRows = load.rows;
    entry.oldestMs = load.oldestMs;
  }
}
