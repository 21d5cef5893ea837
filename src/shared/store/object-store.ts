/**
 * Where tables live. Keys are relative, `/`-separated, made by store-paths.ts only.
 * Implementations: local-store, and later s3-store; wrapped by retrying-, metered- and faulty-store.
 */
export interface ObjectStore {
  /** The whole object, or bytes [range.start, range.end). Throws ObjectNotFound. */
  get(key: string, range?: ByteRange): Promise<Uint8Array>;
  /** When it returns, the object is durable under this key, replacing any other. Readers see old or new, never a part. */
  put(key: string, body: Uint8Array): Promise<void>;
  /** As put, but only where no object has this key; false, and no change, where one has. Exactly one of many concurrent callers gets true. */
  putIfAbsent(key: string, body: Uint8Array): Promise<boolean>;
  /**
   * Moves a finished local file in as this object (rename where it can); durable when it returns. For data files,
   * which are written once under a name nobody else uses.
   */
  putFile(key: string, path: string): Promise<void>;
  /** All objects whose key starts with the prefix, in key order. */
  list(prefix: string): AsyncIterable<ObjectEntry>;
  /** Fine when the object is not there. */
  delete(key: string): Promise<void>;
  /** A path or URL by which DuckDB on this machine reads the object. */
  readableUrl(key: string): string;
}

export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

export interface ObjectEntry {
  readonly key: string;
  readonly bytes: number;
  readonly modifiedMs: number;
}

export class ObjectNotFound extends Error {
  override readonly name = "ObjectNotFound";
}
