import type { Disk } from "../../shared/disk/disk.js";
import { droppedPath, listDropped, writeFileDurably } from "./wal-folder.js";
import type { WalIndex } from "./wal-index.js";

/** A file of nothing could not be told from one that was not written. */
const aLine = Buffer.from("\n");

/**
 * Tables that were dropped while the log had records of them. Nobody will flush these, and the store forgets the table: were
 * it not written down here, its segments would stay for ever after a restart. A table that is in the log and neither here nor
 * in the store was dropped by nobody; its records stay.
 */
export class DroppedTables {
  readonly #disk: Disk;
  readonly #folder: string;
  readonly #index: WalIndex;
  readonly #uuids: Set<string>;

  /** Tells the index of those from before. */
  constructor(disk: Disk, folder: string, index: WalIndex) {
    this.#disk = disk;
    this.#folder = folder;
    this.#index = index;
    this.#uuids = new Set(listDropped(disk, folder));
    for (const uuid of this.#uuids) index.noteDropped(uuid);
  }

  /** Durable when it returns, and in effect even where it throws the disk's error. */
  add(uuid: string): void {
    this.#index.noteDropped(uuid);
    this.#forgetTrimmed();
    writeFileDurably(this.#disk, droppedPath(this.#folder, uuid), aLine);
    this.#uuids.add(uuid);
  }

  #forgetTrimmed(): void {
    for (const uuid of this.#uuids) {
      if (this.#index.holds(uuid)) continue;
      this.#disk.unlink(droppedPath(this.#folder, uuid));
      this.#uuids.delete(uuid);
    }
  }
}
