import { MiniodbError } from "../errors.js";
import { ClaimedStore } from "./claimed-store.js";
import { LeasedStore } from "./leased-store.js";
import type { ObjectStore } from "./object-store.js";
import { isStoreFailure } from "./store-failure.js";
import { RetryingStore } from "./retrying-store.js";
import { openRedis, RedisLease } from "./redis-lease.js";
import { type ExclusionOptions, StoreExclusion } from "./store-exclusion.js";
import { takeClaim } from "./warehouse-claim.js";

/** A holder that is not heard of for so long has lost its lease; one that is alive renews it three times meanwhile. */
const leaseMs = 10_000;
/** Longer than a holder that died is waited for. */
const leaseWaitMsMax = 20_000;
/** Of the calls that take the claim. */
const claimRetries = { attemptsMax: 5, waitMs: 100, waitMsMax: 1_000, deadlineMs: 60_000 };

/**
 * At the start: decides how commits keep out of each other's way, and writes it where all threads see it. Throws
 * STORE_UNAVAILABLE where Redis is needed and does not do, SERVER_BUSY where another server has the warehouse.
 */
export async function arrangeExclusion(
  store: ObjectStore,
  exclusion: ExclusionOptions,
  isConditional: boolean,
): Promise<void> {
  const shared = new StoreExclusion(exclusion.memory);
  if (isConditional) {
    shared.mode = "own";
  } else if (exclusion.redis === null) {
    await claimPatiently(store, exclusion, shared);
  } else {
    await checkRedis(exclusion.redis);
    shared.mode = "lease";
  }
}

/** The store as it was arranged; by then it must have been. `warehouse`: the same for all servers, `s3://bucket/prefix`. */
export async function withExclusion(
  store: ObjectStore,
  exclusion: ExclusionOptions,
  warehouse: string,
): Promise<ObjectStore> {
  const shared = new StoreExclusion(exclusion.memory);
  switch (shared.mode) {
    case "own":
      return store;
    case "claim":
    case "lost":
      return new ClaimedStore(store, shared);
    case "lease":
      return openLeasedStore(store, exclusion, warehouse);
    case "unknown":
      throw new Error("the store was not looked at before it is used");
  }
}

async function openLeasedStore(
  store: ObjectStore,
  { redis }: ExclusionOptions,
  warehouse: string,
): Promise<ObjectStore> {
  if (redis === null) throw new Error("a lease was arranged without Redis");
  const client = await openRedis(redis);
  return new LeasedStore(store, new RedisLease(client, { warehouse, leaseMs, waitMsMax: leaseWaitMsMax }));
}

async function claimPatiently(store: ObjectStore, { claim }: ExclusionOptions, shared: StoreExclusion): Promise<void> {
  const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
  const clock = { random: Math.random, sleep, nowMs: () => performance.now() };
  try {
    await takeClaim(new RetryingStore(store, { ...claimRetries, ...clock }), claim, shared);
  } catch (error) {
    if (!isStoreFailure(error)) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new MiniodbError("STORE_UNAVAILABLE", `The claim on the warehouse could not be taken: ${reason}`);
  }
}

/** It answers, and does not throw the leases out to make room. */
async function checkRedis(options: NonNullable<ExclusionOptions["redis"]>): Promise<void> {
  const redis = await openRedis(options);
  const place = `Redis at ${options.host}:${options.port}, which the commits need as the store has no conditional puts,`;
  try {
    await redis.ping();
    const memory = await redis.info("memory");
    const policy = /maxmemory_policy:(\S+)/.exec(memory)?.[1] ?? "";
    if (policy.startsWith("allkeys-")) {
      throw new Error(`its maxmemory-policy is ${policy}, which forgets what commits rely on: set noeviction`);
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new MiniodbError("STORE_UNAVAILABLE", `${place} cannot be used: ${reason}`);
  } finally {
    redis.disconnect();
  }
}
