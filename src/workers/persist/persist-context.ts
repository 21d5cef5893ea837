import { randomUUID } from "node:crypto";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { MiniodbError } from "../../shared/errors.js";
import { TableCatalog } from "../../shared/iceberg/table-catalog.js";
import type { PersistWorkerOptions, StoreOptions } from "../../shared/messages.js";
import type { ObjectStore } from "../../shared/store/object-store.js";
import { BreakingStore } from "../../shared/store/breaking-store.js";
import { FallbackStore } from "../../shared/store/fallback-store.js";
import { MeteredStore } from "../../shared/store/metered-store.js";
import { ObjectNotFound } from "../../shared/store/object-store.js";
import { openStore, prepareStore } from "../../shared/store/open-store.js";
import { StoreExclusion } from "../../shared/store/store-exclusion.js";
import { PoolFence } from "../../shared/store/pool-fence.js";
import { isStoreFailure } from "../../shared/store/store-failure.js";
import { StoreHealth } from "../../shared/store/store-health.js";
import { RetryingStore } from "../../shared/store/retrying-store.js";
import { releaseClaim, renewClaim } from "../../shared/store/warehouse-claim.js";

/** What the tasks that touch the store work with; made once per worker. Tests make their own, with a faulty store. */
export interface PersistContext {
  readonly store: ObjectStore;
  /** The same for reading objects that never change: those that the first pool fails to give come from the second. */
  readonly readStore: ObjectStore;
  /** Null where there is no second pool. */
  readonly secondStore: ObjectStore | null;
  readonly fence: PoolFence;
  readonly catalog: TableCatalog;
  /** Of the task in hand, by key: objects of the store that are on this machine, and stay while it runs. */
  readonly localPaths?: Readonly<Record<string, string>>;
  readonly temporaryFolder: string;
  readonly partitionsPerRound: number;
  readonly compactionMemoryBytes: number;
  readonly stopWord: Int32Array;
  /** Milliseconds since 1970. */
  readonly nowMs: () => number;
  readonly sleep: (ms: number) => Promise<void>;
}

/** One call; a commit that is not clear, and a flush, are repeated by those who made them. */
const retryOptions = { attemptsMax: 4, waitMs: 50, waitMsMax: 1_000, deadlineMs: 60_000 };
/** When a thread begins to hold calls back, and the pauses until it looks again. */
const breakingOptions = { failuresMax: 8, failingMs: 1_000, pauseMs: 500, pauseMsMax: 5_000 };
/** Of an object that need not be there: any answer will do. */
const checkedKey = ".miniodb-probe/check";

/** Makes the folders where they are missing. */
export async function openPersistContext(options: PersistWorkerOptions): Promise<PersistContext> {
  const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
  mkdirSync(options.temporaryFolder, { recursive: true });
  const { mirror } = options;
  const store = await openWrapped(options.store, options.storeHealth);
  const secondStore = mirror === undefined ? null : await openWrapped(mirror.store, mirror.storeHealth);
  const fence = new PoolFence(store, options.fence ?? new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT));
  if (mirror !== undefined) fence.watch();
  return {
    store,
    readStore: secondStore === null ? store : new FallbackStore(store, secondStore),
    secondStore,
    fence,
    catalog: new TableCatalog(store, { options: options.catalog, checkFence: () => fence.checkWatched() }),
    temporaryFolder: options.temporaryFolder,
    partitionsPerRound: options.partitionsPerRound,
    compactionMemoryBytes: options.compactionMemoryBytes,
    stopWord: new Int32Array(options.stopWord),
    nowMs: Date.now,
    sleep,
  };
}

/** Repeats what may be repeated, holds calls back while the store is broken, and counts. */
export async function openWrapped(options: StoreOptions, healthMemory: SharedArrayBuffer): Promise<ObjectStore> {
  const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
  const health = new StoreHealth(healthMemory);
  const metered = new MeteredStore(await openStore(options), (call) => health.record(call));
  const breaking = new BreakingStore(metered, { ...breakingOptions, health });
  const clock = { random: Math.random, sleep, nowMs: () => performance.now() };
  return new RetryingStore(breaking, { ...retryOptions, ...clock, onRepeat: () => health.repeated() });
}

/** Sees that the store can be used, and removes what a crashed process left. For the first task of a process: it would take running tasks' files away too. */
export async function prepare(options: PersistWorkerOptions): Promise<void> {
  mkdirSync(options.temporaryFolder, { recursive: true });
  for (const name of readdirSync(options.temporaryFolder)) {
    rmSync(join(options.temporaryFolder, name), { recursive: true, force: true });
  }
  await prepareStore(options.store);
}

/** Throws STORE_UNAVAILABLE while the store does not answer. */
export async function checkStore({ store }: PersistContext): Promise<void> {
  try {
    await store.get(checkedKey);
  } catch (error) {
    if (error instanceof ObjectNotFound) return;
    if (!isStoreFailure(error)) throw error;
    throw new MiniodbError("STORE_UNAVAILABLE", error instanceof Error ? error.message : String(error));
  }
}

/** Nothing to do where the store needs no claim. Throws SERVER_BUSY where another server has it now. */
export async function tendClaim(
  { store }: PersistContext,
  options: StoreOptions,
  act: "renew" | "release",
): Promise<void> {
  if (options.kind !== "s3" || options.exclusion === undefined) return;
  const { claim, memory } = options.exclusion;
  const shared = new StoreExclusion(memory);
  if (shared.mode !== "claim") return;
  await (act === "renew" ? renewClaim(store, claim, shared) : releaseClaim(store, claim, shared));
}

/** A path in the temporary folder that nobody else uses. */
export function temporaryPath(context: PersistContext): string {
  return join(context.temporaryFolder, `${randomUUID()}.parquet`);
}

/** Moves a local file into the store, where it is durable then. Throws STORE_UNAVAILABLE; the file may be gone. */
export async function putFile(context: PersistContext, key: string, path: string): Promise<void> {
  try {
    await context.store.putFile(key, path);
  } catch (error) {
    if (!isStoreFailure(error)) throw error;
    const message = error instanceof Error ? error.message : String(error);
    throw new MiniodbError("STORE_UNAVAILABLE", `The store did not take ${key}: ${message}`, { key }, error);
  }
}

/** To be called between files: throws SHUTTING_DOWN when the server stops. */
export function checkStop(context: PersistContext): void {
  if (Atomics.load(context.stopWord, 0) === 0) return;
  throw new MiniodbError("SHUTTING_DOWN", "the server is stopping; the rows stay in the log");
}
