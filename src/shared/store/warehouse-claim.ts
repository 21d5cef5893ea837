/**
 * The claim of one server on a warehouse whose store has no conditional puts and which has no Redis: an object that its
 * holder writes anew all the time.
 *
 * ```
 * .miniodb-claim/claim.json     {"holder": uuid, "node": name, "start": uuid, "renewals": n, "at": RFC 3339}
 * ```
 * Whoever finds another's claim watches it, by its own clock: one that changes is of a server that lives, and the watcher
 * gives up; one that does not for `staleMs` is taken over. The holder trusts it for half of that time after each writing,
 * so that it stops committing before anybody else begins. Two that start at once both write, wait, and see whose stayed.
 *
 * It keeps two servers apart that were started by mistake. It is no lock: see ClaimedStore for what is left.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { MiniodbError } from "../errors.js";
import { ObjectNotFound, type ObjectStore } from "./object-store.js";
import { type ClaimOptions, monotonicNanos, type StoreExclusion } from "./store-exclusion.js";

const claimKey = ".miniodb-claim/claim.json";
/** Between two looks at another's claim; it is renewed every five seconds or more often. */
const lookMsMax = 1_000;
/** Between writing and reading back: longer than a put of another that saw no claim either. */
const settleMsMax = 2_000;
const validShare = 0.5;

interface Claim {
  readonly holder: string;
  readonly node: string;
  /** Of the start that wrote it. */
  readonly start: string;
  readonly renewals: number;
  readonly at: string;
}

/** What this process calls its start. */
const start = randomUUID();

/** Sets the mode `claim`. Throws SERVER_BUSY, with the other's name, where another server lives on the warehouse. */
export async function takeClaim(store: ObjectStore, options: ClaimOptions, shared: StoreExclusion): Promise<void> {
  await watch(store, options);
  const sinceNanos = monotonicNanos();
  await write(store, options, 0);
  await delay(Math.min(settleMsMax, options.staleMs / 10));
  const found = await read(store);
  if (found === null || found.holder !== options.holder) throw busy(found);
  shared.claimed(sinceNanos, options.staleMs * validShare);
  shared.mode = "claim";
}

/**
 * To be called several times in `staleMs`. Throws SERVER_BUSY, and sets the mode `lost`, where another has taken the claim over;
 * what the store throws means that it is not renewed this time.
 */
export async function renewClaim(store: ObjectStore, options: ClaimOptions, shared: StoreExclusion): Promise<void> {
  const sinceNanos = monotonicNanos();
  const found = await read(store);
  if (found !== null && found.holder !== options.holder) {
    shared.mode = "lost";
    throw busy(found);
  }
  await write(store, options, (found?.renewals ?? 0) + 1);
  shared.claimed(sinceNanos, options.staleMs * validShare);
}

/** For the end of a server: another may start at once. */
export async function releaseClaim(store: ObjectStore, options: ClaimOptions, shared: StoreExclusion): Promise<void> {
  shared.claimed(0n, 0);
  const found = await read(store);
  if (found?.holder === options.holder) await store.delete(claimKey);
}

/** Returns when there is no other's claim, or when it did not change for its time. */
async function watch(store: ObjectStore, { holder, staleMs }: ClaimOptions): Promise<void> {
  const first = await read(store);
  if (first === null || first.holder === holder) return;
  const deadline = performance.now() + staleMs;
  while (performance.now() < deadline) {
    await delay(Math.min(lookMsMax, staleMs / 20));
    const now = await read(store);
    if (now === null) return;
    if (now.start !== first.start || now.renewals !== first.renewals) throw busy(now);
  }
}

async function read(store: ObjectStore): Promise<Claim | null> {
  try {
    return JSON.parse(Buffer.from(await store.get(claimKey)).toString()) as Claim;
  } catch (error) {
    if (error instanceof ObjectNotFound) return null;
    throw error;
  }
}

async function write(store: ObjectStore, { holder, node }: ClaimOptions, renewals: number): Promise<void> {
  const claim: Claim = { holder, node, start, renewals, at: new Date().toISOString() };
  await store.put(claimKey, Buffer.from(JSON.stringify(claim)));
}

function busy(found: Claim | null): MiniodbError {
  const who = found === null ? "somebody who removed our claim" : `node ${found.node} (last heard of at ${found.at})`;
  return new MiniodbError(
    "SERVER_BUSY",
    `The warehouse is in use by ${who}, and its store has no conditional puts: several servers need a Redis for it (redis.host), or a store or a version of it that honours If-None-Match`,
    { node: found?.node ?? null },
  );
}
