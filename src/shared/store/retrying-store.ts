import { existsSync } from "node:fs";
import { isPassingFailure } from "./store-failure.js";
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

export interface RetryOptions {
  /** Calls in all, the first included. */
  readonly attemptsMax: number;
  /** No further call begins so long after the first. */
  readonly deadlineMs: number;
  /** Upper bound of the first wait; it doubles with each, and the real wait is drawn below it. */
  readonly waitMs: number;
  readonly waitMsMax: number;
  /** In [0, 1). */
  readonly random: () => number;
  readonly sleep: (ms: number) => Promise<void>;
  /** Milliseconds that never go back. */
  readonly nowMs: () => number;
  readonly onRepeat?: () => void;
}

/**
 * Repeats the calls that may be repeated: reads, whole puts (same bytes, same key), putFile while its file is still where
 * it was, and deletes. Not putIfAbsent: after an unclear one "false" may mean our own object, and only the commit that made
 * the bytes can tell (iceberg/version-log.ts). Pauses grow, and are drawn at random so that callers do not come back in
 * step.
 */
export class RetryingStore implements ObjectStore {
  readonly #store: ObjectStore;
  readonly #options: RetryOptions;

  constructor(store: ObjectStore, options: RetryOptions) {
    this.#store = store;
    this.#options = options;
  }

  get(key: string, range?: ByteRange): Promise<Uint8Array> {
    return this.#repeat(() => this.#store.get(key, range));
  }

  getPart(key: string, range: ByteRange, etag?: string): Promise<ObjectPart> {
    return this.#repeat(() => this.#store.getPart(key, range, etag));
  }

  streamPart(request: PartRequest): Promise<PartFacts> {
    return this.#repeat(() => streamPart(this.#store, request));
  }

  put(key: string, body: Uint8Array): Promise<void> {
    return this.#repeat(() => this.#store.put(key, body));
  }

  putIfAbsent(key: string, body: Uint8Array): Promise<boolean> {
    return this.#store.putIfAbsent(key, body);
  }

  putFile(key: string, path: string): Promise<void> {
    return this.#repeat(
      () => this.#store.putFile(key, path),
      () => existsSync(path),
    );
  }

  /** Taken whole before the first entry is given: a walk that failed half way starts again without repeats. */
  async *list(prefix: string): AsyncIterable<ObjectEntry> {
    yield* await this.#repeat(async () => {
      const entries: ObjectEntry[] = [];
      for await (const entry of this.#store.list(prefix)) entries.push(entry);
      return entries;
    });
  }

  listFolders(prefix: string): Promise<string[]> {
    return this.#repeat(() => this.#store.listFolders(prefix));
  }

  compareChecksum(key: string, path: string): Promise<boolean | null> {
    return this.#repeat(() => compareChecksum(this.#store, key, path));
  }

  delete(key: string): Promise<void> {
    return this.#repeat(() => this.#store.delete(key));
  }

  removeEmptyFolders(prefix: string): Promise<void> {
    return this.#repeat(() => this.#store.removeEmptyFolders(prefix));
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

  async #repeat<T>(act: () => Promise<T>, isRepeatable = (): boolean => true): Promise<T> {
    const { attemptsMax, deadlineMs, waitMs, waitMsMax, random, sleep, nowMs, onRepeat } = this.#options;
    const startMs = nowMs();
    for (let attempt = 1; ; attempt++) {
      try {
        return await act();
      } catch (error) {
        if (attempt >= attemptsMax || !isPassingFailure(error) || !isRepeatable()) throw error;
        const pauseMs = random() * Math.min(waitMsMax, waitMs * 2 ** (attempt - 1));
        if (nowMs() + pauseMs - startMs >= deadlineMs) throw error;
        await sleep(pauseMs);
        onRepeat?.();
      }
    }
  }
}
