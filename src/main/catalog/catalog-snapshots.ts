import { MiniodbError } from "../../shared/errors.js";
import type { SnapshotInfo } from "../../shared/iceberg/table-history.js";
import { parseToken } from "../../shared/sequence-token.js";
import type { CancelSignal } from "../query/cancel-signal.js";
import type {
  Snapshot,
  SnapshotProvider,
  SnapshotRequest,
  SnapshotTable,
  SnapshotTime,
} from "../query/snapshot-provider.js";
import type { HotSegment } from "./hot-segment.js";
import { type PastSnapshots, snapshotVersion } from "./past-snapshots.js";
import type { SealCoordinator } from "./seal-coordinator.js";
import type { TableEntry } from "./table-entry.js";
import type { TableRegistry } from "./table-registry.js";

export interface CatalogSnapshotsOptions {
  readonly registry: TableRegistry;
  readonly seals: SealCoordinator;
  /** This node's WAL stream. */
  readonly stream: string;
  readonly past: PastSnapshots;
}

/** Pause before looking again whether a sequence that a client waits for was acknowledged. */
const sequenceWaitMs = 2;

/** Makes acknowledged rows readable and pins the files of a snapshot. */
export class CatalogSnapshots implements SnapshotProvider {
  readonly #options: CatalogSnapshotsOptions;
  /** Acquired and not released. */
  readonly #held = new Set<readonly SnapshotTable[]>();

  constructor(options: CatalogSnapshotsOptions) {
    this.#options = options;
  }

  hasTable(name: string): boolean {
    return this.#options.registry.find(name) !== undefined;
  }

  tableNames(): string[] {
    return this.#options.registry.all().map((entry) => entry.name);
  }

  /** Null while there are acknowledged rows that no file holds: only a seal can tell which rows a query would see. */
  versions(names: readonly string[]): readonly string[] | null {
    const versions: string[] = [];
    for (const name of names) {
      const entry = this.#options.registry.find(name);
      if (entry === undefined || entry.sealedSequence < entry.ackedSequence) return null;
      versions.push(versionOf(entry));
    }
    return versions;
  }

  /** The table's snapshots in the store, newest first. Rejects with TABLE_NOT_FOUND, STORE_UNAVAILABLE. */
  async list(name: string): Promise<readonly SnapshotInfo[]> {
    return this.#options.past.list(this.#options.registry.get(name));
  }

  /** Keys of the files that some query may read: no garbage, whatever the store's metadata says. */
  heldKeys(): string[] {
    const lists = new Set([...this.#held].flatMap((tables) => tables.map((table) => table.files)));
    const keys = new Set<string>();
    for (const files of lists) {
      for (const file of files) {
        keys.add(file.key);
        for (const { key } of file.deletes ?? []) keys.add(key);
      }
    }
    return [...keys];
  }

  /** Everything acknowledged before the call, of these tables, all as of one turn of the event loop. */
  async acquire(request: SnapshotRequest): Promise<Snapshot> {
    const { registry, seals } = this.#options;
    const at = request.at ?? null;
    if (at !== null) return this.#acquirePast(request, at);
    for (const token of request.minSequence) await this.#waitFor(token, request.signal);
    const entries = request.tables.map((name) => registry.get(name));
    const unsealed = entries.filter((entry) => entry.sealedSequence < entry.ackedSequence);
    if (unsealed.length > 0) await Promise.all(unsealed.map((entry) => seals.seal(entry)));
    request.signal.throwIfAborted();
    // From here on without a pause.
    const pinned: HotSegment[] = [];
    const tables = entries.map((entry) => this.#pin(entry, pinned));
    return this.hold(tables, () => {
      for (const segment of pinned) segment.release();
    });
  }

  /** The store's files alone, as they were: what was not committed then is in a later snapshot. */
  async #acquirePast(request: SnapshotRequest, at: SnapshotTime): Promise<Snapshot> {
    const { registry, past } = this.#options;
    if (request.minSequence.length > 0) {
      throw new MiniodbError("INVALID_REQUEST", "min_sequence says nothing of an earlier snapshot", {
        field: "min_sequence",
      });
    }
    if (at.kind === "snapshot-id" && request.tables.length > 1) {
      throw new MiniodbError("INVALID_REQUEST", "snapshot_id is of one table: with several, say as_of", {
        field: "snapshot_id",
      });
    }
    const entries = request.tables.map((name) => registry.get(name));
    const tables = await Promise.all(entries.map((entry) => past.load(entry, at)));
    request.signal.throwIfAborted();
    return this.hold(tables);
  }

  /** Until `release` the files are kept from garbage collection, whatever becomes of the snapshot. */
  hold(tables: readonly SnapshotTable[], onRelease: () => void = () => {}): Snapshot {
    this.#held.add(tables);
    return {
      tables,
      release: () => {
        this.#held.delete(tables);
        onRelease();
      },
    };
  }

  async #waitFor(token: string, signal: CancelSignal): Promise<void> {
    const { stream, tableUuid, sequence } = parseToken(token);
    const entry = this.#options.registry.byUuid(tableUuid);
    if (entry === undefined) {
      throw new MiniodbError("TABLE_NOT_FOUND", "min_sequence names a table that does not exist", { tableUuid });
    }
    while (!this.#hasSeen(entry, stream, sequence)) {
      if (entry.isDropped) throw new MiniodbError("TABLE_NOT_FOUND", `Table ${entry.name} was dropped`);
      signal.throwIfAborted();
      await new Promise((resolve) => setTimeout(resolve, sequenceWaitMs));
    }
  }

  /** Another stream's rows are here when a commit in the store covers them. */
  #hasSeen(entry: TableEntry, stream: string, sequence: number): boolean {
    if (stream === this.#options.stream) return entry.ackedSequence >= sequence;
    return (entry.state.positions[stream] ?? 0) >= sequence;
  }

  /** Hot segments count their readers: a segment that is merged or flushed meanwhile is removed by the last of them. */
  #pin(entry: TableEntry, pinned: HotSegment[]): SnapshotTable {
    for (const segment of entry.hot) {
      segment.retain();
      pinned.push(segment);
    }
    return {
      name: entry.name,
      schema: entry.schema,
      version: versionOf(entry),
      files: entry.state.files,
      hot: entry.hot,
    };
  }
}

/**
 * Rows of the store are named by the snapshot, rows in hot segments by their sequences: a merge of segments changes the
 * text but no row, which costs a cached result and nothing else.
 */
function versionOf(entry: TableEntry): string {
  const hot = entry.hot.map((segment) => `${segment.firstSequence}-${segment.lastSequence}`);
  return [snapshotVersion(entry.identity.uuid, entry.state.snapshotId, entry.schema), ...hot].join(" ");
}
