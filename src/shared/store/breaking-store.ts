import type { IBreaker } from "cockatiel";
import { requirePackage } from "../require-package.js";
import {
  compareChecksum,
  type ByteRange,
  type ObjectEntry,
  type ObjectPart,
  type ObjectStore,
  type PartFacts,
  type PartRequest,
  streamPart,
} from "./object-store.js";
import { isPassingFailure, isStoreFailure, StoreError } from "./store-failure.js";
import type { StoreHealth } from "./store-health.js";

const { BrokenCircuitError, circuitBreaker, CircuitState, ExponentialBackoff, handleAll } = requirePackage("cockatiel");

export interface BreakingOptions {
  /** Failures in a row, over at least this time, after which calls are held back: many at once may be one mishap. */
  readonly failuresMax: number;
  readonly failingMs: number;
  /** Until one call is let through to see: the first pause, and the longest; they are drawn around that. */
  readonly pauseMs: number;
  readonly pauseMsMax: number;
  readonly health: StoreHealth;
}

/** Decides when the circuit opens; see IBreaker of cockatiel. */
class LastingFailure implements IBreaker {
  readonly #options: Pick<BreakingOptions, "failuresMax" | "failingMs">;
  state: { failures: number; sinceMs: number } = { failures: 0, sinceMs: 0 };

  constructor(options: Pick<BreakingOptions, "failuresMax" | "failingMs">) {
    this.#options = options;
  }

  success(): void {
    this.state.failures = 0;
  }

  failure(): boolean {
    if (this.state.failures === 0) this.state.sinceMs = performance.now();
    this.state.failures++;
    const { failuresMax, failingMs } = this.#options;
    return this.state.failures >= failuresMax && performance.now() - this.state.sinceMs >= failingMs;
  }
}

/**
 * A circuit breaker: while the store fails, calls fail at once and are not sent, so that nobody waits for its time-outs
 * and it is not met by everyone's repetitions when it comes back. Then one call is let through; the others wait for how it
 * ends. An answer that any thread of the process got closes it too.
 */
export class BreakingStore implements ObjectStore {
  readonly #store: ObjectStore;
  readonly #health: StoreHealth;
  readonly #breaker;
  #brokenMs = 0;

  constructor(store: ObjectStore, options: BreakingOptions) {
    this.#store = store;
    this.#health = options.health;
    this.#breaker = circuitBreaker(handleAll, {
      breaker: new LastingFailure(options),
      halfOpenAfter: new ExponentialBackoff({ initialDelay: options.pauseMs, maxDelay: options.pauseMsMax }),
    });
    this.#breaker.onBreak(() => {
      this.#brokenMs = Date.now();
      this.#health.broke(this.#brokenMs);
    });
  }

  get(key: string, range?: ByteRange): Promise<Uint8Array> {
    return this.#call(() => this.#store.get(key, range));
  }

  getPart(key: string, range: ByteRange, etag?: string): Promise<ObjectPart> {
    return this.#call(() => this.#store.getPart(key, range, etag));
  }

  streamPart(request: PartRequest): Promise<PartFacts> {
    return this.#call(() => streamPart(this.#store, request));
  }

  put(key: string, body: Uint8Array): Promise<void> {
    return this.#call(() => this.#store.put(key, body));
  }

  putIfAbsent(key: string, body: Uint8Array): Promise<boolean> {
    return this.#call(() => this.#store.putIfAbsent(key, body));
  }

  putFile(key: string, path: string): Promise<void> {
    return this.#call(() => this.#store.putFile(key, path));
  }

  /** One call for the whole walk, which is taken before the first entry is given. */
  async *list(prefix: string): AsyncIterable<ObjectEntry> {
    yield* await this.#call(async () => {
      const entries: ObjectEntry[] = [];
      for await (const entry of this.#store.list(prefix)) entries.push(entry);
      return entries;
    });
  }

  listFolders(prefix: string): Promise<string[]> {
    return this.#call(() => this.#store.listFolders(prefix));
  }

  compareChecksum(key: string, path: string): Promise<boolean | null> {
    return this.#call(() => compareChecksum(this.#store, key, path));
  }

  delete(key: string): Promise<void> {
    return this.#call(() => this.#store.delete(key));
  }

  removeEmptyFolders(prefix: string): Promise<void> {
    return this.#call(() => this.#store.removeEmptyFolders(prefix));
  }

  get isLocal(): boolean {
    return this.#store.isLocal;
  }

  readableUrl(key: string): string {
    return this.#store.readableUrl(key);
  }

  uri(key: string): string {
    return this.#store.uri(key);
  }

  async #call<Result>(act: () => Promise<Result>): Promise<Result> {
    // Holding a breaker open by hand and letting go of it is how this library closes one.
    if (this.#breaker.state === CircuitState.Open && this.#health.answeredMs > this.#brokenMs) {
      this.#breaker.isolate().dispose();
    }
    let outcome: Outcome<Result>;
    try {
      outcome = await this.#breaker.execute(() => this.#outcomeOf(act));
    } catch (error) {
      if (!(error instanceof BrokenCircuitError)) throw error;
      this.#health.heldBack();
      throw new StoreError("broken", "the object store has failed too often; calls are held back for a while");
    }
    if ("error" in outcome) throw outcome.error;
    return outcome.value;
  }

  /** Only what speaks for a store that is down or overloaded is thrown, and so counted. */
  async #outcomeOf<Result>(act: () => Promise<Result>): Promise<Outcome<Result>> {
    try {
      const value = await act();
      this.#health.answered(Date.now());
      return { value };
    } catch (error) {
      if (isStoreFailure(error)) this.#health.failed();
      if (isPassingFailure(error)) throw error;
      if (!(error instanceof StoreError)) this.#health.answered(Date.now());
      return { error };
    }
  }
}

type Outcome<Result> = { readonly value: Result } | { readonly error: unknown };
