import type { TablePoint } from "../../shared/backup-messages.js";
import { MiniodbError } from "../../shared/errors.js";
import type { TableEntry } from "../catalog/table-entry.js";
import type { FlushCoordinator } from "../upkeep/flush-coordinator.js";

export interface CutOptions {
  readonly flushes: FlushCoordinator;
  /** Takes up what the log has let out: all that clients can know of is then acknowledged here. */
  readonly drain: () => void;
  readonly nowMs: () => number;
  /** Longest wait for the flushes that run; milliseconds. */
  readonly gatherMsMax: number;
}

/** All tables as of one moment. */
export interface Cut {
  readonly timeMs: number;
  readonly points: readonly TablePoint[];
}

interface Moment {
  readonly timeMs: number;
  readonly sequences: ReadonlyMap<TableEntry, number>;
  readonly snapshotIds: ReadonlyMap<TableEntry, string | null>;
}

/**
 * Commits every row that was acknowledged at one moment, of all the tables, and none that came later:
 *
 * ```
 * table a   flush that runs ──▶│            │── flush up to the moment ──▶ snapshot, later flushes go on
 * table b        (none runs) ─▶│ the moment │── flush up to the moment ──────────▶ snapshot, later flushes go on
 * table c   ── flush that runs ─────▶│      │  (nothing to flush: its snapshot of that moment)
 * ```
 * Writes go on all the time; no flush of a table begins between its arrival and its own part of the cut. The moment is one turn
 * of the event loop, in which acknowledgements are made: of two rows that one client wrote one after the other, the second is
 * never there without the first, whatever their tables.
 *
 * Deletes and rollbacks are commits of their own: one that runs at the moment may or may not be in. Rejects with SERVER_BUSY
 * where the flushes do not end in time, and as flushes fail. Tables that are dropped meanwhile are left out.
 */
export async function cutTables(options: CutOptions, entries: readonly TableEntry[]): Promise<Cut> {
  const { flushes, nowMs, gatherMsMax } = options;
  const gathering = newGathering(options, entries);
  const timer = setTimeout(() => {
    const message = `The flushes that run did not end within ${gatherMsMax} ms`;
    gathering.fail(new MiniodbError("SERVER_BUSY", message));
  }, gatherMsMax);
  const cut = async (entry: TableEntry): Promise<TablePoint | null> =>
    flushes.exclusively(entry, async () => {
      gathering.arrive();
      return cutTable(flushes, entry, await gathering.moment);
    });
  try {
    if (entries.length === 0) return { timeMs: nowMs(), points: [] };
    const results = await Promise.allSettled(entries.map(cut));
    const points = results.map((result) => {
      if (result.status === "rejected") throw result.reason;
      return result.value;
    });
    return { timeMs: (await gathering.moment).timeMs, points: points.filter((point) => point !== null) };
  } finally {
    clearTimeout(timer);
  }
}

interface Gathering {
  readonly moment: Promise<Moment>;
  arrive(): void;
  fail(error: MiniodbError): void;
}

/** The moment comes when all have arrived. */
function newGathering({ drain, nowMs }: CutOptions, entries: readonly TableEntry[]): Gathering {
  let missing = entries.length;
  let resolve: (moment: Moment) => void = () => {};
  let fail: (error: MiniodbError) => void = () => {};
  const moment = new Promise<Moment>((onMoment, onFailure) => {
    resolve = onMoment;
    fail = onFailure;
  });
  // Everybody who waits for it hears of a failure.
  moment.catch(() => {});
  const arrive = (): void => {
    missing--;
    if (missing > 0) return;
    drain();
    const sequences = new Map(entries.map((entry) => [entry, boundaryOf(entry)]));
    const snapshotIds = new Map(entries.map((entry) => [entry, entry.state.snapshotId]));
    resolve({ timeMs: nowMs(), sequences, snapshotIds });
  };
  return { moment, arrive, fail: (error) => fail(error) };
}

/** Hot segments end here from now on. Those that there are have rows of durability `memory` that nobody was told of yet. */
function boundaryOf(entry: TableEntry): number {
  const sequence = Math.max(entry.ackedSequence, entry.sealedSequence);
  entry.flushBoundary = Math.max(entry.flushBoundary, sequence);
  return sequence;
}

async function cutTable(flushes: FlushCoordinator, entry: TableEntry, moment: Moment): Promise<TablePoint | null> {
  const sequence = moment.sequences.get(entry) ?? 0;
  const { identity } = entry;
  if (entry.isDropped) return null;
  if (entry.flushedSequence >= sequence) return { identity, snapshotId: moment.snapshotIds.get(entry) ?? null };
  try {
    await flushes.flushThrough(entry, sequence);
  } catch (error) {
    if (entry.isDropped) return null;
    throw error;
  }
  if (entry.flushedSequence === sequence) return { identity, snapshotId: entry.state.snapshotId };
  // An earlier flush whose answer was lost had more.
  const message = `Table ${entry.name} was flushed beyond the moment of the backup: make it again`;
  throw new MiniodbError("COMMIT_CONFLICT", message, { table: entry.name });
}
