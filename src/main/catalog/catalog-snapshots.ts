import { MiniodbError } from "../../shared/errors.js";
import { parseToken } from "../../shared/sequence-token.js";
import type { Snapshot, SnapshotProvider, SnapshotRequest, SnapshotTable } from "../query/snapshot-provider.js";
import type { HotSegment } from "./hot-segment.js";
import type { SealCoordinator } from "./seal-coordinator.js";
import type { TableEntry } from "./table-entry.js";
import type { TableRegistry } from "./table-registry.js";

export interface CatalogSnapshotsOptions {
  readonly registry: TableRegistry;
  readonly seals: SealCoordinator;
  /** This node's WAL stream. */
  readonly stream: string;
}

/** Pause before looking again whether a sequence that a client waits for was acknowledged. */
const sequenceWaitMs = 2;

/** Makes acknowledged rows readable and pins the files of a snapshot. */
export class CatalogSnapshots implements SnapshotProvider {
  readonly #options: CatalogSnapshotsOptions;

  constructor(options: CatalogSnapshotsOptions) {
    this.#options = options;
  }

  hasTable(name: string): boolean {
    return this.#options.registry.find(name) !== undefined;
  }

  tableNames(): string[] {
    return this.#options.registry.all().map((entry) => entry.name);
  }

  versions(names: readonly string[]): readonly string[] | null {
    const versions: string[] = [];
    for (const name of names) {
      const entry = this.#options.registry.find(name);
      if (entry === undefined || entry.sealedSequence < entry.ackedSequence) return null;
      versions.push(versionOf(entry));
    }
    return versions;
  }

  /** Everything acknowledged before the call, of these tables, all as of one turn of the event loop. */
  async acquire(request: SnapshotRequest): Promise<Snapshot> {
    const { registry, seals } = this.#options;
    for (const token of request.minSequence) await this.#waitFor(token, request.signal);
    const entries = request.tables.map((name) => registry.get(name));
    await Promise.all(entries.map((entry) => seals.seal(entry)));
    request.signal.throwIfAborted();
    // From here on without a pause.
    const pinned: HotSegment[] = [];
    const tables = entries.map((entry) => this.#pin(entry, pinned));
    return {
      tables,
      release: () => {
        for (const segment of pinned) segment.release();
      },
    };
  }

  async #waitFor(token: string, signal: AbortSignal): Promise<void> {
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
  return [entry.identity.uuid, entry.state.snapshotId ?? "", entry.schema.version, ...hot].join(" ");
}
