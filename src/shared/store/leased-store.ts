import { ForwardingStore, isThere } from "./forwarding-store.js";
import type { ObjectStore } from "./object-store.js";

export interface AnnouncedPut {
  readonly key: string;
  readonly body: Uint8Array;
  /** Since it was announced. */
  readonly ageMs: number;
}

/** Exclusive until it is released, or taken from a holder that is not heard of. */
export interface HeldLease {
  /** The put of an earlier holder that is not known to have ended. */
  readonly pending: AnnouncedPut | null;
  /** Remembers the put for whoever holds the lease next. Throws, and changes nothing, once the lease is another's. */
  announce(put: Pick<AnnouncedPut, "key" | "body">): Promise<void>;
  /** Forgets the announced put, which is made. Throws once the lease is another's. */
  settle(): Promise<void>;
  /** Never throws. */
  release(): Promise<void>;
}

export interface CommitLease {
  /** One holder for each folder at a time. */
  acquire(folder: string): Promise<HeldLease>;
}

/**
 * After so long an announced put is not made for its writer any more: files that it names may be garbage by then (they are
 * after garbage.graceMs, which is an hour). No request is under way for so long.
 */
const pendingAgeMsMax = 10 * 60_000;

/**
 * put-if-absent for a store that has only put: a lease for the key's table, a look whether the key is free, the put.
 *
 * ```
 * acquire ─▶ finish what the last holder announced ─▶ free? ─▶ announce (key, bytes) ─▶ put ─▶ settle ─▶ release
 * ```
 * A lease alone would not do: a holder that is paused before its put wakes up when the lease is another's, and its put
 * would replace the other's object unseen; the store cannot tell the two apart. So the announcement is the commit: the
 * lease's keeper takes it only from the present holder, with all its bytes, and every later holder first makes that put
 * itself if it is not there. However late the paused one's request arrives, it writes the bytes that are there already.
 *
 * What that rests on: the keeper forgets nothing it acknowledged (Redis with `appendonly yes`; with `appendfsync
 * everysec` a crash of it may take the last second), the store shows what was put at once (probed at the start), and no
 * request takes effect more than 10 minutes after it was made. If the keeper does lose its memory while a writer is paused
 * between announcement and put, a commit can be replaced; the table's positions then show it at that writer's next flush,
 * as COMMIT_CONFLICT.
 *
 * Costs against a put with If-None-Match: two HEAD requests and four short commands of the keeper.
 */
export class LeasedStore extends ForwardingStore {
  readonly #lease: CommitLease;

  constructor(store: ObjectStore, lease: CommitLease) {
    super(store);
    this.#lease = lease;
  }

  override async putIfAbsent(key: string, body: Uint8Array): Promise<boolean> {
    // Most that come too late need no lease to see it.
    if (await isThere(this.inner, key)) return false;
    const held = await this.#lease.acquire(folderOf(key));
    try {
      if (held.pending !== null) await this.#finish(held, held.pending);
      if (await isThere(this.inner, key)) return false;
      await held.announce({ key, body });
      await this.inner.put(key, body);
      await held.settle();
      return true;
    } finally {
      await held.release();
    }
  }

  async #finish(held: HeldLease, { key, body, ageMs }: AnnouncedPut): Promise<void> {
    if (ageMs < pendingAgeMsMax && !(await isThere(this.inner, key))) await this.inner.put(key, body);
    await held.settle();
  }
}

/** A table's; keys without a folder have one of their own. */
function folderOf(key: string): string {
  const end = key.indexOf("/");
  return end === -1 ? key : key.slice(0, end);
}
