import {
  ObjectNotFound,
  type ByteRange,
  type ObjectEntry,
  type ObjectPart,
  type ObjectStore,
  type PartFacts,
  type PartRequest,
  streamPart,
} from "./object-store.js";

/** Passes every call on; for wrappers that change one or two of them. */
export class ForwardingStore implements ObjectStore {
  protected readonly inner: ObjectStore;

  constructor(inner: ObjectStore) {
    this.inner = inner;
  }

  get(key: string, range?: ByteRange): Promise<Uint8Array> {
    return this.inner.get(key, range);
  }

  getPart(key: string, range: ByteRange, etag?: string): Promise<ObjectPart> {
    return this.inner.getPart(key, range, etag);
  }

  streamPart(request: PartRequest): Promise<PartFacts> {
    return streamPart(this.inner, request);
  }

  put(key: string, body: Uint8Array): Promise<void> {
    return this.inner.put(key, body);
  }

  putIfAbsent(key: string, body: Uint8Array): Promise<boolean> {
    return this.inner.putIfAbsent(key, body);
  }

  putFile(key: string, path: string): Promise<void> {
    return this.inner.putFile(key, path);
  }

  list(prefix: string): AsyncIterable<ObjectEntry> {
    return this.inner.list(prefix);
  }

  listFolders(prefix: string): Promise<string[]> {
    return this.inner.listFolders(prefix);
  }

  delete(key: string): Promise<void> {
    return this.inner.delete(key);
  }

  removeEmptyFolders(prefix: string): Promise<void> {
    return this.inner.removeEmptyFolders(prefix);
  }

  get isLocal(): boolean {
    return this.inner.isLocal;
  }

  readableUrl(key: string): string {
    return this.inner.readableUrl(key);
  }

  uri(key: string): string {
    return this.inner.uri(key);
  }
}

/** Asks for the object's facts only. */
export async function isThere(store: ObjectStore, key: string): Promise<boolean> {
  try {
    await store.getPart(key, { start: 0, end: 0 });
    return true;
  } catch (error) {
    if (error instanceof ObjectNotFound) return false;
    throw error;
  }
}
