import { assert } from "../../shared/assert.js";
import { MiniodbError, toErrorMessage } from "../../shared/errors.js";
import { catalogContext, type CatalogContext } from "../../shared/iceberg/catalog-context.js";
import { collectTable } from "../../shared/iceberg/collect-garbage.js";
import {
  mirrorTable,
  setTableAside,
  type Diverged,
  type MirrorContext,
  type MirrorReport,
} from "../../shared/iceberg/mirror-table.js";
import { liveRowsOfSummary } from "../../shared/iceberg/table-history.js";
import { currentSnapshot } from "../../shared/iceberg/table-metadata.js";
import { commitIdProperty, lifeState } from "../../shared/iceberg/table-properties.js";
import { identityOf } from "../../shared/iceberg/table-state.js";
import { listVersions, readLatest } from "../../shared/iceberg/version-log.js";
import type { PersistResult, PersistWorkerOptions } from "../../shared/messages.js";
import type { InspectedPool, InspectedTable, MirrorTask, MirrorWorkerOptions } from "../../shared/mirror-messages.js";
import type { ObjectStore } from "../../shared/store/object-store.js";
import { establishPair, noteReconciled, type PairState, type PoolPair } from "../../shared/store/pool-pair.js";
import { readPoolState, supersededError, writePoolRecord, type PoolRecord } from "../../shared/store/pool-record.js";
import { isStoreFailure } from "../../shared/store/store-failure.js";
import { backupManifestPrefix, parseBackupManifestKey, parseLocation } from "../../shared/store/store-paths.js";
import { ObjectCopier } from "./object-copier.js";
import { checkStop, type PersistContext } from "./persist-context.js";
import { Throttle } from "./throttle.js";

/** Tables whose metadata is read at once. */
const readsAtOnce = 16;

/** The two pools of one worker thread, and what is done between them. */
export class MirrorPools {
  readonly #persist: PersistContext;
  readonly #options: MirrorWorkerOptions;
  readonly #second: ObjectStore;
  readonly #copier: ObjectCopier;
  readonly #pair: PoolPair;
  readonly #source: CatalogContext;
  readonly #target: CatalogContext;
  #state: PairState | undefined;

  constructor(persist: PersistContext, options: Pick<PersistWorkerOptions, "mirror" | "catalog">) {
    const { mirror } = options;
    const { secondStore } = persist;
    assert(mirror !== undefined && secondStore !== null, "there is a second pool");
    this.#persist = persist;
    this.#options = mirror;
    this.#second = secondStore;
    const throttle = new Throttle(mirror.rateBytesMax, { sleep: persist.sleep, nowMs: persist.nowMs });
    this.#copier = new ObjectCopier({ persist, target: secondStore, throttle, copiesMax: mirror.copiesMax });
    this.#pair = {
      first: { store: persist.store, place: mirror.firstPlace },
      second: { store: secondStore, place: mirror.secondPlace },
      by: mirror.by,
      nowMs: persist.nowMs,
    };
    this.#source = catalogContext(persist.store, { options: options.catalog });
    this.#target = catalogContext(secondStore, { options: options.catalog });
  }

  /** Throws POOL_SUPERSEDED, after which nothing of this process commits any more; COMMIT_CONFLICT. */
  async check(): Promise<PairState> {
    try {
      this.#state = await establishPair(this.#pair, this.#state);
      return this.#state;
    } catch (error) {
      if (error instanceof MiniodbError && error.code === "POOL_SUPERSEDED") this.#persist.fence.close();
      throw error;
    }
  }

  async mirror(location: string, isFailover: boolean): Promise<MirrorReport> {
    const check = isFailover ? () => this.#fencedPair() : () => this.check();
    return mirrorTable(await this.#context(check), location);
  }

  async #context(check: () => Promise<PairState>): Promise<MirrorContext> {
    return {
      source: this.#source,
      target: this.#target,
      pair: await check(),
      copy: (object) => this.#copier.copy(object),
      copiesAtOnce: this.#options.copiesMax,
      check: async () => {
        checkStop(this.#persist);
        await check();
      },
    };
  }

  async survey(isComplete: boolean): Promise<Extract<PersistResult, { kind: "surveyed" }>> {
    const state = await this.check();
    // The second pool first: a table that is made meanwhile must not look like one that only this pool has.
    const second = await locationsIn(this.#second);
    const first = await locationsIn(this.#persist.store);
    const ours = new Set(first);
    const secondOnly = second.filter((location) => !ours.has(location));
    const setAside: (Diverged & { location: string })[] = [];
    if (!state.second.record.isReconciled) {
      const context = await this.#context(() => this.check());
      for (const location of secondOnly.splice(0)) {
        const diverged = await setTableAside(context, location);
        if (diverged !== undefined) setAside.push({ location, ...diverged });
      }
    }
    await this.#followBackups(state.second.record);
    if (isComplete) this.#state = await noteReconciled(this.#pair, state);
    return { kind: "surveyed", locations: first, secondOnly, setAside };
  }

  /**
   * Pointer backups are tags, which come with their tables, and a list, which is copied here: without it nobody would know
   * what the tags are of, and a sweep would take them for those of a backup that was broken off. What the first pool has
   * removed goes, once the second one is known to be a copy of it.
   */
  async #followBackups({ isReconciled }: Pick<PoolRecord, "isReconciled">): Promise<void> {
    const from = this.#persist.store;
    // The second pool first: a backup that is made meanwhile must not look like one that was removed.
    const theirs = await pointerBackupsIn(this.#second);
    const ours = await pointerBackupsIn(from);
    for (const [key, bytes] of ours) if (!theirs.has(key)) await this.#copier.copy({ from, key, bytes, toKey: key });
    if (!isReconciled) return;
    for (const key of theirs.keys()) if (!ours.has(key)) await this.#second.delete(key);
  }

  /**
   * By the rules of the first pool: what no version of the last `graceMs` names goes. Only in tables that are not behind:
   * what was copied for a version that is not there yet has no name.
   */
  async collect(graceMs: number): Promise<Extract<PersistResult, { kind: "collected" }>> {
    let files = 0;
    let bytes = 0;
    const failed: { location: string; error: ReturnType<typeof toErrorMessage> }[] = [];
    for (const location of await locationsIn(this.#second)) {
      checkStop(this.#persist);
      await this.check();
      try {
        const gone = (await this.#isBehind(location)) ? [] : await collectTable(this.#target, location, { graceMs });
        files += gone.length;
        for (const entry of gone) bytes += entry.bytes;
      } catch (error) {
        failed.push({ location, error: toErrorMessage(error) });
      }
    }
    return { kind: "collected", files, bytes, failed };
  }

  /** A table that the first pool has removed, all of it, stays unless its end is known here too. */
  async #isBehind(location: string): Promise<boolean> {
    const [ours, theirs] = await Promise.all([
      listVersions(this.#persist.store, location),
      listVersions(this.#second, location),
    ]);
    const [left, right] = [ours.at(-1)?.version, theirs.at(-1)?.version];
    if (left !== undefined || right === undefined) return left !== right;
    const latest = await readLatest(this.#second, location);
    return latest !== undefined && lifeState(latest.metadata.properties) !== "dropped";
  }

  // ---- an operator's decision

  async inspect(): Promise<Extract<PersistResult, { kind: "inspected" }>> {
    const [first, second] = await Promise.all([this.#inspect(this.#pair.first), this.#inspect(this.#pair.second)]);
    return { kind: "inspected", first, second };
  }

  async #inspect({ store, place }: PoolPair["first"]): Promise<InspectedPool> {
    try {
      const state = await readPoolState(store);
      return { place, isReachable: true, record: state?.record ?? null, tables: await tablesIn(store) };
    } catch (error) {
      if (!isStoreFailure(error)) throw error;
      return { place, isReachable: false, error: error instanceof Error ? error.message : String(error) };
    }
  }

  /** When it resolves, a commit that counts is one that can be listed in the first pool by now. */
  async fenceFirst(): Promise<void> {
    const { first, second, by, nowMs } = this.#pair;
    const [own, other] = await Promise.all([readPoolState(first.store), readPoolState(second.store)]);
    if (own?.record.role === "second") return;
    if (own === undefined || other === undefined) throw notMirrored(second.place);
    const time = new Date(nowMs()).toISOString();
    const epoch = Math.max(own.record.epoch, other.record.epoch) + 1;
    // What its own promotion recorded stays: its last commits are still to be copied by it.
    const changed = { role: "second", epoch, first: second.place, time, by, isReconciled: false } as const;
    await writePoolRecord(first.store, own, { ...own.record, ...changed });
  }

  /** The record names each table's version as it is now: what the other pool has beyond them has diverged. */
  async promoteSecond(): Promise<void> {
    const { first, second, by, nowMs } = this.#pair;
    const other = await readPoolState(second.store);
    if (other === undefined) throw notMirrored(second.place);
    // Its epoch is in the fence where the first pool could be reached.
    const fence = await ifReachable(readPoolState(first.store));
    const isFenced = fence?.record.role === "second" && fence.record.epoch > other.record.epoch;
    // As with tables: a pool that we have not fenced may be the older one, and another one by now.
    if (isFenced) await ifReachable(this.#followBackups(other.record));
    const tables = await tablesIn(second.store, true);
    const promoted = Object.fromEntries(
      tables.map(({ location, version, commitId }) => [location, { version, commitId }]),
    );
    const record: PoolRecord = {
      ...other.record,
      epoch: isFenced ? fence.record.epoch : other.record.epoch + 1,
      role: "first",
      first: second.place,
      time: new Date(nowMs()).toISOString(),
      by,
      promoted,
      isReconciled: false,
    };
    await writePoolRecord(second.store, other, record);
  }

  /** The first pool is fenced by us; the second may still be written to, as nobody commits to it yet. */
  async #fencedPair(): Promise<PairState> {
    const [first, second] = await Promise.all([readPoolState(this.#persist.store), readPoolState(this.#second)]);
    if (first === undefined || second === undefined) throw notMirrored(this.#pair.second.place);
    if (second.record.role === "first") throw supersededError(second.record);
    // Fenced by a failover that was broken off, the second pool is the newer one.
    const isPromoted = first.record.role === "second" && first.record.epoch <= second.record.epoch;
    if (isPromoted) throw supersededError(first.record);
    return { first, second };
  }
}

export async function performMirrorTask(pools: MirrorPools, task: MirrorTask): Promise<PersistResult> {
  try {
    return await perform(pools, task);
  } catch (error) {
    if (error instanceof MiniodbError || !isStoreFailure(error)) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new MiniodbError("STORE_UNAVAILABLE", `A pool failed: ${reason}`, {}, error);
  }
}

async function perform(pools: MirrorPools, task: MirrorTask): Promise<PersistResult> {
  switch (task.kind) {
    case "check-pools":
      await pools.check();
      return { kind: "done" };
    case "mirror-table":
      return { kind: "mirrored", report: await pools.mirror(task.location, task.isFailover) };
    case "survey-mirror":
      return pools.survey(task.isComplete);
    case "collect-mirror":
      return pools.collect(task.graceMs);
    case "inspect-pools":
      return pools.inspect();
    case "fence-first":
      await pools.fenceFirst();
      return { kind: "done" };
    case "promote-second":
      await pools.promoteSecond();
      return { kind: "done" };
  }
}

/** Undefined where a pool does not answer. */
async function ifReachable<Result>(asked: Promise<Result>): Promise<Result | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (isStoreFailure(error)) return undefined;
    throw error;
  }
}

/** Bytes of the manifests, by their keys. */
async function pointerBackupsIn(store: ObjectStore): Promise<Map<string, number>> {
  const manifests = new Map<string, number>();
  for await (const { key, bytes } of store.list(backupManifestPrefix)) {
    if (parseBackupManifestKey(key)?.kind === "pointers") manifests.set(key, bytes);
  }
  return manifests;
}

async function locationsIn(store: ObjectStore): Promise<string[]> {
  return (await store.listFolders("")).filter((folder) => parseLocation(folder) !== undefined);
}

/** The live tables as their latest versions say; with `all`, those that are not live too. */
async function tablesIn(store: ObjectStore, all = false): Promise<InspectedTable[]> {
  const locations = await locationsIn(store);
  const tables: InspectedTable[] = [];
  for (let start = 0; start < locations.length; start += readsAtOnce) {
    const batch = locations.slice(start, start + readsAtOnce);
    const read = await Promise.all(batch.map((location) => inspectTable(store, location, all)));
    tables.push(...read.filter((table) => table !== undefined));
  }
  return tables;
}

async function inspectTable(store: ObjectStore, location: string, all: boolean): Promise<InspectedTable | undefined> {
  const latest = await readLatest(store, location);
  if (latest === undefined) return undefined;
  const { version, metadata } = latest;
  if (!all && lifeState(metadata.properties) !== "live") return undefined;
  const summary = currentSnapshot(metadata)?.summary ?? {};
  return {
    location,
    name: identityOf(location, metadata).name,
    version,
    commitId: metadata.properties[commitIdProperty] ?? "",
    updatedMs: metadata["last-updated-ms"],
    rows: liveRowsOfSummary(summary) ?? 0,
    files: Number(summary["total-data-files"] ?? 0),
    bytes: Number(summary["total-files-size"] ?? 0),
  };
}

function notMirrored(place: string): MiniodbError {
  return new MiniodbError(
    "COMMIT_CONFLICT",
    `${place} is not the second pool of this one: nothing was mirrored to it.`,
  );
}
