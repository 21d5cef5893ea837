import type { StoreOperation } from "./metered-store.js";
import {
  compareChecksum,
  type ByteRange,
  type ObjectEntry,
  type ObjectPart,
  type ObjectStore,
} from "./object-store.js";

/**
 * What one call meets: an error before it acts, an error after it acted, or only a wait. "After" matters most: it is the
 * put that succeeded and answered an error, as a timeout does.
 */
export interface Fault {
  readonly kind: "before" | "after" | "none";
  readonly waitMs?: number;
}

/** Decides the fault of each call: scripted by a test, or drawn from a seed by `randomFaults`. */
export type FaultPlan = (operation: StoreOperation, key: string) => Fault | undefined;

export class StoreFault extends Error {
  override readonly name = "StoreFault";
}

/** A store that fails as object stores do, on purpose and by plan; beneath it a real one. For tests and fault drills. */
export class FaultyStore implements ObjectStore {
  readonly #store: ObjectStore;
  /** May be exchanged between calls. */
  plan: FaultPlan;
  /** While false every call fails before it acts. */
  isAvailable = true;

  constructor(store: ObjectStore, plan: FaultPlan) {
    this.#store = store;
    this.plan = plan;
  }

  get(key: string, range?: ByteRange): Promise<Uint8Array> {
    return this.#run("get", key, () => this.#store.get(key, range));
  }

  getPart(key: string, range: ByteRange, etag?: string): Promise<ObjectPart> {
    return this.#run("getPart", key, () => this.#store.getPart(key, range, etag));
  }

  put(key: string, body: Uint8Array): Promise<void> {
    return this.#run("put", key, () => this.#store.put(key, body));
  }

  putIfAbsent(key: string, body: Uint8Array): Promise<boolean> {
    return this.#run("putIfAbsent", key, () => this.#store.putIfAbsent(key, body));
  }

  putFile(key: string, path: string): Promise<void> {
    return this.#run("putFile", key, () => this.#store.putFile(key, path));
  }

  /** One fault for the whole walk, before its first entry. */
  async *list(prefix: string): AsyncIterable<ObjectEntry> {
    const entries = await this.#run("list", prefix, () => Promise.resolve(this.#store.list(prefix)));
    yield* entries;
  }

  listFolders(prefix: string): Promise<string[]> {
    return this.#run("listFolders", prefix, () => this.#store.listFolders(prefix));
  }

  compareChecksum(key: string, path: string): Promise<boolean | null> {
    return this.#run("compareChecksum", key, () => compareChecksum(this.#store, key, path));
  }

  delete(key: string): Promise<void> {
    return this.#run("delete", key, () => this.#store.delete(key));
  }

  removeEmptyFolders(prefix: string): Promise<void> {
    return this.#run("removeEmptyFolders", prefix, () => this.#store.removeEmptyFolders(prefix));
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

  async #run<T>(operation: StoreOperation, key: string, act: () => Promise<T>): Promise<T> {
    const fault = this.isAvailable ? this.plan(operation, key) : ({ kind: "before" } as const);
    if (fault?.waitMs !== undefined) await new Promise((resolve) => setTimeout(resolve, fault.waitMs));
    if (fault?.kind === "before") throw new StoreFault(`${operation} ${key} did not run, by plan`);
    const result = await act();
    if (fault?.kind === "after") throw new StoreFault(`${operation} ${key} ran, and lost its answer by plan`);
    return result;
  }
}

export interface FaultOdds {
  /** Probabilities in [0, 1] of each call. */
  readonly before: number;
  readonly after: number;
  readonly wait: number;
  readonly waitMsMax: number;
}

/** A plan drawn from `random` ([0, 1)), so that the seed behind it replays the faults of a single-threaded test. */
export function randomFaults(random: () => number, odds: FaultOdds): FaultPlan {
  return () => {
    const draw = random();
    const waitMs = random() < odds.wait ? random() * odds.waitMsMax : undefined;
    const kind = draw < odds.before ? "before" : draw < odds.before + odds.after ? "after" : "none";
    return waitMs === undefined ? { kind } : { kind, waitMs };
  };
}
