import { setTimeout as delay } from "node:timers/promises";
import { ForwardingStore, isThere } from "./forwarding-store.js";
import type { ObjectStore } from "./object-store.js";
import { type StoreExclusion } from "./store-exclusion.js";
import { isStoreFailure, StoreError } from "./store-failure.js";

/** Longer than a put may take; a thread that died in its turn is waited for so long. */
const turnMs = 120_000;
/** After a put without a clear answer, until nobody expects it to arrive any more. */
const settleMsDefault = 5_000;

/**
 * put-if-absent for the one server that has the claim on a store which has only put: its threads take turns, each looks
 * whether the key is free, then puts. After a put without a clear answer the turn ends only when it has had time to arrive.
 *
 * What that rests on: the claim (warehouse-claim.ts), and so on clocks that run at about the same speed and on no request
 * taking effect long after it was given up. A server that is paused between look and put for longer than the claim is
 * valid, while another takes over and commits the same number, replaces that commit; the table's positions show it at the
 * other's next flush, as COMMIT_CONFLICT. A lease in Redis (leased-store.ts) does not have that gap.
 */
export class ClaimedStore extends ForwardingStore {
  readonly #exclusion: StoreExclusion;
  readonly #settleMs: number;

  constructor(store: ObjectStore, exclusion: StoreExclusion, settleMs = settleMsDefault) {
    super(store);
    this.#exclusion = exclusion;
    this.#settleMs = settleMs;
  }

  override async putIfAbsent(key: string, body: Uint8Array): Promise<boolean> {
    if (await isThere(this.inner, key)) return false;
    const endTurn = await this.#exclusion.takeTurn(turnMs);
    try {
      if (await isThere(this.inner, key)) return false;
      this.#checkClaim();
      await this.#put(key, body);
      return true;
    } finally {
      endTurn();
    }
  }

  async #put(key: string, body: Uint8Array): Promise<void> {
    try {
      await this.inner.put(key, body);
    } catch (error) {
      const isUnclear = isStoreFailure(error) && !(error instanceof StoreError && error.kind !== "unclear");
      if (isUnclear) await delay(this.#settleMs);
      throw error;
    }
  }

  #checkClaim(): void {
    if (this.#exclusion.isClaimValid) return;
    const why = this.#exclusion.mode === "lost" ? "belongs to another server now" : "could not be renewed in time";
    throw new StoreError("slow-down", `the claim on this warehouse ${why}; nothing was written`);
  }
}
