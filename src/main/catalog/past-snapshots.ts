import { assert } from "../../shared/assert.js";
import type { SnapshotContents, SnapshotInfo } from "../../shared/iceberg/table-history.js";
import { limits } from "../../shared/limits.js";
import type { PersistPool } from "../lifecycle/persist-pool.js";
import type { SnapshotTable, SnapshotTime } from "../query/snapshot-provider.js";
import type { TableEntry } from "./table-entry.js";

/** By table and id; both never change what they mean. */
interface KnownSnapshot {
  readonly uuid: string;
  readonly snapshotId: string;
  readonly contents: SnapshotContents;
}

/**
 * Earlier states of tables, from the store's metadata. Which snapshots there are is asked of the store each time, as they
 * expire; what is in one never changes, so that the last used ones are kept, up to a number of files in all.
 */
export class PastSnapshots {
  readonly #pool: PersistPool;
  /** The least recently used first. */
  readonly #known = new Map<string, KnownSnapshot>();
  #files = 0;

  constructor(pool: PersistPool) {
    this.#pool = pool;
  }

  /** What there is to go back to, newest first. Rejects with TABLE_NOT_FOUND, STORE_UNAVAILABLE. */
  list({ identity }: TableEntry): Promise<readonly SnapshotInfo[]> {
    return this.#pool.listSnapshots(identity);
  }

  /** Rejects with NOT_FOUND where the table has no such snapshot (any more), TABLE_NOT_FOUND, STORE_UNAVAILABLE. */
  async load(entry: TableEntry, at: SnapshotTime): Promise<SnapshotTable> {
    const { identity } = entry;
    const ofTable = [...this.#known.values()].filter((known) => known.uuid === identity.uuid);
    const knownIds = ofTable.map((known) => known.snapshotId);
    // The store says which snapshot is meant, and that it is still there; its files only where they are not known.
    const loaded = await this.#pool.loadSnapshot(identity, { at, knownIds });
    const { snapshotId } = loaded;
    const contents = loaded.contents ?? ofTable.find((known) => known.snapshotId === snapshotId)?.contents;
    assert(contents !== undefined, "the store leaves out what was named as known only");
    this.#keep({ uuid: identity.uuid, snapshotId, contents });
    const { schema, files } = contents;
    return { name: entry.name, schema, files, hot: [], version: snapshotVersion(identity.uuid, snapshotId, schema) };
  }

  /** The newest entry is the one that stays when the others must go; a snapshot of too many files is not kept at all. */
  #keep(snapshot: KnownSnapshot): void {
    const key = `${snapshot.uuid} ${snapshot.snapshotId}`;
    this.#forget(key);
    if (snapshot.contents.files.length > limits.pastSnapshotFilesMax) return;
    this.#known.set(key, snapshot);
    this.#files += snapshot.contents.files.length;
    for (const oldest of this.#known.keys()) {
      if (this.#files <= limits.pastSnapshotFilesMax && this.#known.size <= limits.pastSnapshotsMax) return;
      this.#forget(oldest);
    }
  }

  #forget(key: string): void {
    const known = this.#known.get(key);
    if (known === undefined) return;
    this.#known.delete(key);
    this.#files -= known.contents.files.length;
  }
}

/** Names the rows of a snapshot of the store, and the columns they are seen with. */
export function snapshotVersion(uuid: string, snapshotId: string | null, schema: { readonly version: number }): string {
  return [uuid, snapshotId ?? "", schema.version].join(" ");
}
