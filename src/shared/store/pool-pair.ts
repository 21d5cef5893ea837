/** Who of two pools is first: read from both records, and written where one of them does not know yet. */
import { randomUUID } from "node:crypto";
import { MiniodbError } from "../errors.js";
import type { ObjectStore } from "./object-store.js";
import {
  readNewerPoolState,
  readPoolState,
  supersededError,
  writePoolRecord,
  type PoolRecord,
  type PoolState,
} from "./pool-record.js";
import { parseLocation } from "./store-paths.js";

export interface Pool {
  readonly store: ObjectStore;
  /** Where it is, for people: no secrets. */
  readonly place: string;
}

export interface PoolPair {
  readonly first: Pool;
  readonly second: Pool;
  /** Who writes records, for people. */
  readonly by: string;
  readonly nowMs: () => number;
}

export interface PairState {
  readonly first: PoolState;
  readonly second: PoolState;
}

/**
 * Sees that `first` is the first pool and `second` may be written to by a mirror, and says so in the records of both
 * where they do not say it yet. Each server calls it again every few seconds; `known` spares it the lists.
 *
 * Throws POOL_SUPERSEDED where another pool was promoted: then the record of the first pool says so too, so that no other
 * server begins on it. Throws COMMIT_CONFLICT where the second pool belongs to something else.
 */
export async function establishPair(pair: PoolPair, known?: PairState): Promise<PairState> {
  const { second } = pair;
  const [own, other] = await readBoth(pair, known);
  if (own?.record.role === "second") throw supersededError(own.record);
  if (other === undefined) return adoptEmpty(pair, own);
  if (own === undefined) {
    throw foreign(
      second.place,
      "is the mirror of a warehouse, and the first pool has no record: it may be another one",
    );
  }
  const { warehouse, epoch } = own.record;
  if (other.record.warehouse !== warehouse) throw foreign(second.place, "belongs to another warehouse");
  if (other.record.role === "first" && other.record.epoch > epoch) return yieldTo(pair, own, other);
  if (other.record.epoch > epoch || (other.record.role === "first" && other.record.epoch === epoch)) {
    throw foreign(second.place, `says that the first pool of epoch ${other.record.epoch} is ${other.record.first}`);
  }
  if (other.record.epoch === epoch) return { first: own, second: other };
  // The pool that was first before, or one that slept through a promotion.
  const record = secondRecord(pair, own.record);
  return { first: own, second: await writePoolRecord(second.store, other, record) };
}

/**
 * The records of both. Where the first pool cannot be reached, and the second one says that it was promoted since, that is
 * answer enough: throws POOL_SUPERSEDED.
 */
async function readBoth(
  { first, second }: PoolPair,
  known: PairState | undefined,
): Promise<[PoolState | undefined, PoolState | undefined]> {
  const read = ({ store }: Pool, state: PoolState | undefined): Promise<PoolState | undefined> =>
    known === undefined ? readPoolState(store) : readNewerPoolState(store, state);
  const [own, other] = await Promise.allSettled([read(first, known?.first), read(second, known?.second)]);
  if (own.status === "rejected" && other.status === "fulfilled" && known !== undefined) {
    const record = other.value?.record;
    if (record?.role === "first" && record.epoch > known.first.record.epoch) throw supersededError(record);
  }
  if (own.status === "rejected") throw own.reason;
  if (other.status === "rejected") throw other.reason;
  return [own.value, other.value];
}

/** A second pool without a record: it must hold nothing that the first one does not know. */
async function adoptEmpty(pair: PoolPair, known: PoolState | undefined): Promise<PairState> {
  const { first, second, by, nowMs } = pair;
  const [own, others] = await Promise.all([first.store.listFolders(""), second.store.listFolders("")]);
  const ours = new Set(own);
  const strangers = others.filter((folder) => parseLocation(folder) !== undefined && !ours.has(folder));
  if (strangers.length > 0) {
    throw foreign(second.place, `has ${strangers.length} tables that the first pool has not, such as ${strangers[0]}`);
  }
  const time = new Date(nowMs()).toISOString();
  const fresh = { format: 1, warehouse: randomUUID(), epoch: 1, role: "first", first: first.place, time, by } as const;
  const firstState =
    known ?? (await writePoolRecord(first.store, undefined, { ...fresh, promoted: {}, isReconciled: false }));
  return {
    first: firstState,
    // Nobody ever committed to it.
    second: await writePoolRecord(second.store, undefined, {
      ...secondRecord(pair, firstState.record),
      isReconciled: true,
    }),
  };
}

/** The second pool was promoted while this one could not be reached: it learns it now, for whoever comes later. */
async function yieldTo({ first, by }: PoolPair, own: PoolState, other: PoolState): Promise<never> {
  const { record } = other;
  await writePoolRecord(first.store, own, {
    ...record,
    role: "second",
    by: `${record.by}, noted by ${by}`,
    promoted: {},
    isReconciled: false,
  });
  throw supersededError(record);
}

function secondRecord({ first, by, nowMs }: PoolPair, { warehouse, epoch }: PoolRecord): PoolRecord {
  const time = new Date(nowMs()).toISOString();
  return {
    format: 1,
    warehouse,
    epoch,
    role: "second",
    first: first.place,
    time,
    by,
    promoted: {},
    isReconciled: false,
  };
}

/** All tables of the second pool have followed the first one's since this epoch began: noted, if it is not yet. */
export async function noteReconciled({ second, by, nowMs }: PoolPair, known: PairState): Promise<PairState> {
  const { record } = known.second;
  if (record.isReconciled) return known;
  const next = { ...record, isReconciled: true, time: new Date(nowMs()).toISOString(), by };
  return { ...known, second: await writePoolRecord(second.store, known.second, next) };
}

function foreign(place: string, why: string): MiniodbError {
  return new MiniodbError("COMMIT_CONFLICT", `Nothing is mirrored to ${place}: it ${why}.`, { place });
}
