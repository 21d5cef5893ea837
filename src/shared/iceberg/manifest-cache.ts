import type { ObjectStore } from "../store/object-store.js";
import { decodeManifest, type ManifestEntry } from "./manifest.js";
import { manifestKeyOf, type ManifestFile } from "./manifest-list.js";

/**
 * Parsed manifests, which never change under their key. Bounded by the entries that they hold together; the one used
 * longest ago goes first. One per thread.
 */
export class ManifestCache {
  readonly #entriesMax: number;
  /** In order of use: a Map iterates in order of insertion, and a hit is inserted again. */
  readonly #manifests = new Map<string, readonly ManifestEntry[]>();
  #entries = 0;

  constructor(entriesMax: number) {
    this.#entriesMax = entriesMax;
  }

  /** All entries of a manifest, deleted ones too. Throws ObjectNotFound, or INTERNAL where it is damaged. */
  async read(store: ObjectStore, manifest: ManifestFile): Promise<readonly ManifestEntry[]> {
    const key = manifestKeyOf(manifest);
    const known = this.#manifests.get(key);
    if (known !== undefined) {
      this.#manifests.delete(key);
      this.#manifests.set(key, known);
      return known;
    }
    const inherited = { snapshotId: manifest.added_snapshot_id, sequenceNumber: manifest.sequence_number };
    const entries = decodeManifest(await store.get(key), key, inherited);
    this.keep(key, entries);
    return entries;
  }

  /** Takes what a commit has just written, with all inherited values filled in; the next commit reads it. */
  keep(key: string, entries: readonly ManifestEntry[]): void {
    if (this.#manifests.has(key)) return;
    this.#manifests.set(key, entries);
    this.#entries += entries.length;
    for (const [oldest, { length }] of this.#manifests) {
      if (this.#entries <= this.#entriesMax) break;
      this.#manifests.delete(oldest);
      this.#entries -= length;
    }
  }
}
