import {
  compareChecksum,
  ObjectChanged,
  type ByteRange,
  type ObjectEntry,
  type ObjectPart,
  type ObjectStore,
  type PartFacts,
  type PartRequest,
  streamPart,
} from "./object-store.js";
import { isStoreFailure } from "./store-failure.js";
import { isImmutableKey } from "./store-paths.js";

/** Before the etag of a part that came from the second store: the next part of the object comes from there too. */
const secondMark = "second:";

/**
 * A store for readers: objects of immutable keys that the first store fails to give come from the second, which holds
 * copies of them. All else, versions of tables and lists above all, is the first store's alone: what the second says is
 * older, and no commit may follow from it.
 */
export class FallbackStore implements ObjectStore {
  readonly #first: ObjectStore;
  readonly #second: ObjectStore;
  readonly #onFallback: () => void;

  constructor(first: ObjectStore, second: ObjectStore, onFallback: () => void = () => {}) {
    this.#first = first;
    this.#second = second;
    this.#onFallback = onFallback;
  }

  get(key: string, range?: ByteRange): Promise<Uint8Array> {
    return this.#either(
      key,
      () => this.#first.get(key, range),
      () => this.#second.get(key, range),
    );
  }

  /** The bytes of an immutable key are the same in both: an object that was begun in one may be finished in the other. */
  getPart(key: string, range: ByteRange, etag?: string): Promise<ObjectPart> {
    return this.#part(key, etag, (store, known) => store.getPart(key, range, known));
  }

  streamPart(request: PartRequest): Promise<PartFacts> {
    return this.#part(request.key, request.etag, (store, known) => streamPart(store, { ...request, etag: known }));
  }

  async #part<Part extends { readonly etag: string }>(
    key: string,
    etag: string | undefined,
    read: (store: ObjectStore, etag: string | undefined) => Promise<Part>,
  ): Promise<Part> {
    const fromSecond = async (known?: string): Promise<Part> => {
      const part = await read(this.#second, known);
      return { ...part, etag: secondMark + part.etag };
    };
    if (etag?.startsWith(secondMark) === true) return fromSecond(etag.slice(secondMark.length));
    return this.#either(
      key,
      () => read(this.#first, etag),
      () => fromSecond(),
    );
  }

  put(key: string, body: Uint8Array): Promise<void> {
    return this.#first.put(key, body);
  }

  putIfAbsent(key: string, body: Uint8Array): Promise<boolean> {
    return this.#first.putIfAbsent(key, body);
  }

  putFile(key: string, path: string): Promise<void> {
    return this.#first.putFile(key, path);
  }

  list(prefix: string): AsyncIterable<ObjectEntry> {
    return this.#first.list(prefix);
  }

  listFolders(prefix: string): Promise<string[]> {
    return this.#first.listFolders(prefix);
  }

  compareChecksum(key: string, path: string): Promise<boolean | null> {
    return compareChecksum(this.#first, key, path);
  }

  delete(key: string): Promise<void> {
    return this.#first.delete(key);
  }

  removeEmptyFolders(prefix: string): Promise<void> {
    return this.#first.removeEmptyFolders(prefix);
  }

  get isLocal(): boolean {
    return this.#first.isLocal;
  }

  readableUrl(key: string): string {
    return this.#first.readableUrl(key);
  }

  uri(key: string): string {
    return this.#first.uri(key);
  }

  /** The first store's error is the one that is thrown: the second is no more than a help. */
  async #either<Result>(key: string, first: () => Promise<Result>, second: () => Promise<Result>): Promise<Result> {
    try {
      return await first();
    } catch (error) {
      if (!isImmutableKey(key) || error instanceof ObjectChanged || !isStoreFailure(error)) throw error;
      let found: Result;
      try {
        found = await second();
      } catch {
        throw error;
      }
      this.#onFallback();
      return found;
    }
  }
}
