import { randomUUID } from "node:crypto";
import { limits } from "../limits.js";
import type { ObjectStore } from "../store/object-store.js";
import { type CatalogOptions, defaultCatalogOptions } from "./catalog-options.js";
import { ManifestCache } from "./manifest-cache.js";

/** Store, clock and chance of all catalog functions; injected, so that a seed replays a failure. */
export interface CatalogContext {
  readonly store: ObjectStore;
  readonly options: CatalogOptions;
  readonly manifests: ManifestCache;
  /** Milliseconds since 1970. */
  readonly nowMs: () => number;
  /** In [0, 1). */
  readonly random: () => number;
  readonly newUuid: () => string;
  readonly sleep: (ms: number) => Promise<void>;
  /** Throws where nothing may be committed to this store any more (store/pool-fence.ts). */
  readonly checkFence: () => Promise<void>;
}

/** The real clock and chance, where `parts` says nothing else. */
export function catalogContext(store: ObjectStore, parts: Partial<CatalogContext> = {}): CatalogContext {
  return {
    store,
    options: defaultCatalogOptions,
    manifests: new ManifestCache(limits.manifestCacheEntriesMax),
    nowMs: Date.now,
    random: Math.random,
    newUuid: randomUUID,
    sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    checkFence: () => Promise.resolve(),
    ...parts,
  };
}

/** 16 random bytes for an Avro file. */
export function syncMarker(context: CatalogContext): Uint8Array {
  return Buffer.from(context.newUuid().replaceAll("-", ""), "hex");
}
