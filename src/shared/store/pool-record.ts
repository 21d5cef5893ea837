/**
 * Which of two pools an object store is, as the pool itself says: `.miniodb-pool/<revision>.json`. Each change is a new
 * object, made by put-if-absent, so that of two who change it at once one wins, and the history stays to be read.
 *
 * ```
 * no record         a store that never had a mirror: it is first
 * role "first"      commits go here
 * role "second"     a mirror copies to here, or will: nobody commits here
 * ```
 * `epoch` rises with each promotion. Of two pools that both say "first" the one with the higher epoch is: so a pool that
 * could not be reached when the other one was promoted finds out when somebody sees both.
 */
import { MiniodbError } from "../errors.js";
import { isThere } from "./forwarding-store.js";
import { ObjectNotFound, type ObjectStore } from "./object-store.js";
import { parsePoolRecordKey, poolRecordKey, poolRecordPrefix } from "./store-paths.js";

/** A table's latest version at the time of a promotion. */
export interface PromotedVersion {
  readonly version: number;
  readonly commitId: string;
}

export interface PoolRecord {
  readonly format: 1;
  /** Uuid, the same in both pools: a mirror never writes to a pool of another warehouse. */
  readonly warehouse: string;
  readonly epoch: number;
  readonly role: "first" | "second";
  /** Where the first pool of this epoch is, for people. */
  readonly first: string;
  /** RFC 3339. */
  readonly time: string;
  /** Who wrote it: a server, or a person at a machine. */
  readonly by: string;
  /** Of a pool that was promoted: its tables then, by location. What the other pool has beyond these diverged. */
  readonly promoted: Readonly<Record<string, PromotedVersion>>;
  /** Of a second pool: all its tables have followed the first pool of this epoch once, so nothing in it has diverged. */
  readonly isReconciled: boolean;
}

export interface PoolState {
  readonly revision: number;
  readonly record: PoolRecord;
}

/** The latest record; undefined where there is none. Throws INTERNAL where it cannot be understood. */
export async function readPoolState(store: ObjectStore): Promise<PoolState | undefined> {
  let revision = 0;
  for await (const { key } of store.list(poolRecordPrefix)) {
    revision = Math.max(revision, parsePoolRecordKey(key) ?? 0);
  }
  if (revision === 0) return undefined;
  return { revision, record: await readRecord(store, revision) };
}

/** The records after this one, if any: one request that finds nothing where there is none. */
export async function readNewerPoolState(
  store: ObjectStore,
  known: PoolState | undefined,
): Promise<PoolState | undefined> {
  let latest = known;
  for (;;) {
    const revision = (latest?.revision ?? 0) + 1;
    try {
      latest = { revision, record: await readRecord(store, revision) };
    } catch (error) {
      if (error instanceof ObjectNotFound) return latest;
      throw error;
    }
  }
}

/**
 * Makes the next record; durable when it returns. Throws COMMIT_CONFLICT where another was faster, and what the store
 * throws: the record may then have been made.
 *
 * It is looked for before and read after. A store without conditional puts would take a second record of the same number
 * without a word: what is left of that there are two writers within the milliseconds of one call. Commits do not rest on it: they
 * count only where the pool was first after their put, whoever wrote the record.
 */
export async function writePoolRecord(
  store: ObjectStore,
  before: PoolState | undefined,
  record: PoolRecord,
): Promise<PoolState> {
  const revision = (before?.revision ?? 0) + 1;
  const body = Buffer.from(`${JSON.stringify(record, null, 1)}\n`);
  const key = poolRecordKey(revision);
  if (!(await isThere(store, key))) await store.putIfAbsent(key, body);
  // Another's, or ours: also where the answer of an earlier call was lost.
  if (body.equals(await store.get(key))) return { revision, record };
  const found = await readRecord(store, revision);
  throw new MiniodbError("COMMIT_CONFLICT", `The record of the pool was changed by ${found.by} at ${found.time}.`);
}

/** What whoever wants to commit to a second pool is told. */
export function supersededError(record: Pick<PoolRecord, "first" | "epoch" | "time" | "by">): MiniodbError {
  const { first, epoch, time, by } = record;
  return new MiniodbError(
    "POOL_SUPERSEDED",
    `This pool is not the first one: since ${time} that is ${first} (epoch ${epoch}, by ${by}). Swap store.* and mirror.* in the configuration, or promote this pool with "miniodb failover".`,
    { first, epoch, time, by },
  );
}

async function readRecord(store: ObjectStore, revision: number): Promise<PoolRecord> {
  const key = poolRecordKey(revision);
  const text = Buffer.from(await store.get(key)).toString("utf8");
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    parsed = undefined;
  }
  const { format, warehouse, epoch, role } = (parsed ?? {}) as Partial<PoolRecord>;
  const isRecord =
    format === 1 &&
    typeof warehouse === "string" &&
    Number.isSafeInteger(epoch) &&
    /^(?:first|second)$/.test(role ?? "");
  if (!isRecord) throw new MiniodbError("INTERNAL", `The pool's record ${key} is not one that this version reads.`);
  return { promoted: {}, isReconciled: false, ...(parsed as Partial<PoolRecord>) } as PoolRecord;
}
