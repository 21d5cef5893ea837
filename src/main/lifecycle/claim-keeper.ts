import { MiniodbError } from "../../shared/errors.js";
import type { Logger } from "../../shared/log.js";
import { type ExclusionOptions, StoreExclusion } from "../../shared/store/store-exclusion.js";
import type { PersistPool } from "./persist-pool.js";

export interface ClaimKeeperOptions {
  /** Null for a store that nobody else has. */
  readonly exclusion: ExclusionOptions | null;
  readonly pool: Pick<PersistPool, "tendClaim">;
  readonly log: Pick<Logger, "info" | "warn">;
  /** Another server has the warehouse: this one can store nothing any more. */
  readonly onLost: (error: unknown) => void;
}

/** Renewals in the time after which another may take over, and the longest pause between two. */
const renewals = 6;
const renewMsMax = 5_000;

/**
 * Says in the log what keeps the commits of several servers apart where the store does not, and renews the claim of the
 * one server on a store that has neither conditional puts nor Redis.
 */
export class ClaimKeeper {
  readonly #options: ClaimKeeperOptions;
  #timer: NodeJS.Timeout | undefined;
  #isBusy = false;

  constructor(options: ClaimKeeperOptions) {
    this.#options = options;
  }

  /** After the store was looked at. */
  start(): void {
    const { exclusion, log } = this.#options;
    if (exclusion === null) return;
    const { mode } = new StoreExclusion(exclusion.memory);
    if (mode === "lease") log.info("the store has no conditional puts: commits take a lease in Redis");
    if (mode !== "claim") return;
    const { staleMs } = exclusion.claim;
    log.warn(
      { claimMs: staleMs },
      "the store has no conditional puts and redis.host is not set: this server has claimed the warehouse for itself",
    );
    this.#timer = setInterval(() => void this.#renew(), Math.min(renewMsMax, staleMs / renewals));
  }

  /** Gives the claim back, so that another server need not wait until it is stale. */
  async stop(): Promise<void> {
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    try {
      await this.#options.pool.tendClaim("release");
    } catch (error) {
      this.#options.log.warn({ err: error }, "the claim on the warehouse was not given back, and runs out by itself");
    }
  }

  async #renew(): Promise<void> {
    if (this.#isBusy) return;
    this.#isBusy = true;
    try {
      await this.#options.pool.tendClaim("renew");
    } catch (error) {
      // While the store is away nobody else can take it either; commits wait until it is renewed.
      if (error instanceof MiniodbError && error.code === "SERVER_BUSY") this.#options.onLost(error);
    } finally {
      this.#isBusy = false;
    }
  }
}
