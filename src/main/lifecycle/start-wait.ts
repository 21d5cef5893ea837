import type { Logger } from "../../shared/log.js";
import type { TableState } from "../../shared/messages.js";
import { StoreExclusion } from "../../shared/store/store-exclusion.js";
import type { ClaimKeeper } from "./claim-keeper.js";
import type { Doorway } from "./doorway.js";
import type { PersistPools } from "./persist-pool.js";

export interface StartWait {
  readonly claim: Pick<ClaimKeeper, "start">;
  readonly doorway: Pick<Doorway, "waitsFor">;
  readonly log: Pick<Logger, "warn">;
}

const sayMs = 5_000;

/**
 * Loads the warehouse, as the first to use the store. While a start waits for it, says so every few seconds, in the log and
 * to those who ask for the health.
 *
 * A start does wait, for up to store.startTimeoutMs, however much the log knows: which of its rows the store has already,
 * and the tables' columns and settings, stand in the tables' metadata only. Writes taken without them could be acknowledged
 * into a table that was dropped or changed meanwhile, and rows be shown twice.
 */
export async function loadPatiently(pools: PersistPools, wait: StartWait): Promise<readonly TableState[]> {
  const { claim, doorway, log } = wait;
  const startMs = performance.now();
  doorway.waitsFor = placeOf(pools);
  const timer = setInterval(() => {
    doorway.waitsFor = placeOf(pools);
    log.warn({ waitedMs: Math.round(performance.now() - startMs) }, `the start waits for ${placeOf(pools)}`);
  }, sayMs);
  try {
    const states = await pools.quick.loadWarehouse();
    claim.start();
    doorway.waitsFor = "replay of the log";
    return states;
  } finally {
    clearInterval(timer);
  }
}

/** A folder is not waited for: it is its tables that take long. */
function placeOf({ exclusion, places }: PersistPools): string {
  const isReached = exclusion === null || new StoreExclusion(exclusion.memory).mode !== "unknown";
  return isReached ? `tables of ${places.warehouse}` : `the object store, ${places.warehouse}`;
}
