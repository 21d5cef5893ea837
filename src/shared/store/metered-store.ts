import { statSync } from "node:fs";
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

export type StoreOperation = Exclude<keyof ObjectStore, "isLocal" | "readableUrl" | "uri" | "streamPart">;

/** One finished call. For `list`, `bytes` is 0, `objects` the number of entries taken, and `ms` spans the whole walk. */
export interface StoreCall {
  readonly operation: StoreOperation;
  readonly ms: number;
  /** Bytes of the body that was read or written; 0 where the call has none or failed. */
  readonly bytes: number;
  readonly objects: number;
  /** What the call threw. */
  readonly error: unknown;
}

/** Reports every call to `record` when it is done. `record` must not throw. ObjectNotFound counts as a failed call. */
export class MeteredStore implements ObjectStore {
  readonly #store: ObjectStore;
  readonly #record: (call: StoreCall) => void;

  constructor(store: ObjectStore, record: (call: StoreCall) => void) {
    this.#store = store;
    this.#record = record;
  }

  get(key: string, range?: ByteRange): Promise<Uint8Array> {
    return this.#measure(
      "get",
      () => this.#store.get(key, range),
      (body) => body.length,
    );
  }

  getPart(key: string, range: ByteRange, etag?: string): Promise<ObjectPart> {
    return this.#measure(
      "getPart",
      () => this.#store.getPart(key, range, etag),
      ({ body }) => body.length,
    );
  }

  /** Counts as what it is to the store: a part that is read. */
  streamPart(request: PartRequest): Promise<PartFacts> {
    return this.#measure(
      "getPart",
      () => streamPart(this.#store, request),
      ({ bytes }) => bytes,
    );
  }

  put(key: string, body: Uint8Array): Promise<void> {
    return this.#measure(
      "put",
      () => this.#store.put(key, body),
      () => body.length,
    );
  }

  putIfAbsent(key: string, body: Uint8Array): Promise<boolean> {
    return this.#measure(
      "putIfAbsent",
      () => this.#store.putIfAbsent(key, body),
      (isOurs) => (isOurs ? body.length : 0),
    );
  }

  putFile(key: string, path: string): Promise<void> {
    const bytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
    return this.#measure(
      "putFile",
      () => this.#store.putFile(key, path),
      () => bytes,
    );
  }

  async *list(prefix: string): AsyncIterable<ObjectEntry> {
    const startMs = performance.now();
    let objects = 0;
    let failure: unknown;
    try {
      for await (const entry of this.#store.list(prefix)) {
        objects += 1;
        yield entry;
      }
    } catch (error) {
      failure = error;
      throw error;
    } finally {
      this.#record({ operation: "list", ms: performance.now() - startMs, bytes: 0, objects, error: failure });
    }
  }

  listFolders(prefix: string): Promise<string[]> {
    return this.#measure(
      "listFolders",
      () => this.#store.listFolders(prefix),
      () => 0,
    );
  }

  compareChecksum(key: string, path: string): Promise<boolean | null> {
    return this.#measure(
      "compareChecksum",
      () => compareChecksum(this.#store, key, path),
      () => 0,
    );
  }

  delete(key: string): Promise<void> {
    return this.#measure(
      "delete",
      () => this.#store.delete(key),
      () => 0,
    );
  }

  removeEmptyFolders(prefix: string): Promise<void> {
    return this.#measure(
      "removeEmptyFolders",
      () => this.#store.removeEmptyFolders(prefix),
      () => 0,
    );
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

  async #measure<T>(operation: StoreOperation, act: () => Promise<T>, bytesOf: (result: T) => number): Promise<T> {
    const startMs = performance.now();
    try {
      const result = await act();
      this.#record({
        operation,
        ms: performance.now() - startMs,
        bytes: bytesOf(result),
        objects: 1,
        error: undefined,
      });
      return result;
    } catch (error) {
      this.#record({ operation, ms: performance.now() - startMs, bytes: 0, objects: 0, error });
      throw error;
    }
  }
}
