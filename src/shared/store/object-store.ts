/**
 * Where tables live. Keys are relative, `/`-separated, made by store-paths.ts only: at most 1,024 bytes of UTF-8, no
 * empty segment, no `.` or `..` segment, no control character. No key is the folder of another (`a` and `a/b`).
 * Implementations: local-store and s3-store; wrapped by retrying-, breaking-, metered-, fallback- and faulty-store.
 *
 * A call that throws anything but ObjectNotFound may or may not have taken effect ("unclear").
 */
export interface ObjectStore {
  /** The whole object, or bytes [range.start, range.end), cut at the object's end. Throws ObjectNotFound. */
  get(key: string, range?: ByteRange): Promise<Uint8Array>;
  /**
   * As get with a range, and says of which object the bytes are. With `etag`, only bytes of that very object: throws
   * ObjectChanged where the key has another one now. So an object may be read in parts that fit together.
   */
  getPart(key: string, range: ByteRange, etag?: string): Promise<ObjectPart>;
  /** When it returns, the object is durable under this key, replacing any other. Readers see old or new, never a part. */
  put(key: string, body: Uint8Array): Promise<void>;
  /**
   * As put, but only where no object has this key; false, and no change, where one has. Exactly one of many concurrent
   * callers gets true. Either answer is durable: after false, the object that is there survives a power loss too.
   */
  putIfAbsent(key: string, body: Uint8Array): Promise<boolean>;
  /**
   * Moves a finished local file in as this object (rename where it can); durable when it returns, and the file is gone.
   * For data files, which are written once under a name nobody else uses.
   */
  putFile(key: string, path: string): Promise<void>;
  /**
   * All objects whose key starts with the prefix, in key order (by UTF-8 bytes). Objects that come or go meanwhile may
   * show or not. What it yields is durable: a decision built on it (trimming the log) is not undone by a power loss.
   */
  list(prefix: string): AsyncIterable<ObjectEntry>;
  /**
   * The keys that start with the prefix, cut at the next `/` after it, without repeats, in order; keys without one are
   * left out. May name a folder whose objects are all gone.
   */
  listFolders(prefix: string): Promise<string[]>;
  /** Fine when the object is not there. */
  delete(key: string): Promise<void>;
  /**
   * Drops what is left of folders without objects below the prefix. Only for prefixes that nobody writes under any more;
   * stores without folders do nothing.
   */
  removeEmptyFolders(prefix: string): Promise<void>;
  /**
   * Whether a local file is the object, by the checksum that the store keeps with it; null where it keeps none that tells.
   * Left out by stores without checksums. Throws ObjectNotFound.
   */
  compareChecksum?(key: string, path: string): Promise<boolean | null>;
  /**
   * As getPart, with the bytes handed on as they come: nothing is gathered in memory first. Left out by stores that have them
   * in memory anyway.
   */
  streamPart?(request: PartRequest): Promise<PartFacts>;
  /** Objects are files of this machine. Of other stores, what DuckDB is to read is fetched first. */
  readonly isLocal: boolean;
  /** The path by which DuckDB on this machine reads the object; throws where the store is not local. */
  readableUrl(key: string): string;
  /** The object's full URI with its scheme, as Iceberg metadata names it for other engines. */
  uri(key: string): string;
}

/** For callers, and for wrappers of stores that may not know the call. */
export function compareChecksum(store: ObjectStore, key: string, path: string): Promise<boolean | null> {
  return store.compareChecksum?.(key, path) ?? Promise.resolve(null);
}

/** For callers, and for wrappers of stores that may not know the call. */
export async function streamPart(store: ObjectStore, request: PartRequest): Promise<PartFacts> {
  if (store.streamPart !== undefined) return store.streamPart(request);
  const { key, range, etag, target } = request;
  const { body, objectBytes, etag: found } = await store.getPart(key, range, etag);
  target.begin();
  target.take(body);
  return { bytes: body.length, objectBytes, etag: found };
}

export interface PartRequest {
  readonly key: string;
  readonly range: ByteRange;
  /** As in getPart. */
  readonly etag?: string | undefined;
  readonly target: PartTarget;
}

/** Takes the bytes of a part in their order. */
export interface PartTarget {
  /** A try begins, at the start of the range: what an earlier one brought does not count. */
  begin(): void;
  /** Has used the bytes when it returns. A MiniodbError that it throws ends the call, which is not repeated. */
  take(bytes: Uint8Array): void;
}

/** Of a part whose bytes the target has. */
export interface PartFacts extends Omit<ObjectPart, "body"> {
  readonly bytes: number;
}

export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

export interface ObjectPart {
  readonly body: Uint8Array;
  /** Size of the whole object. */
  readonly objectBytes: number;
  /** Opaque; another one after each put of other bytes. */
  readonly etag: string;
}

export interface ObjectEntry {
  readonly key: string;
  readonly bytes: number;
  readonly modifiedMs: number;
}

export class ObjectNotFound extends Error {
  override readonly name = "ObjectNotFound";
}

/** The object is not the one that a part was read of before. */
export class ObjectChanged extends Error {
  override readonly name = "ObjectChanged";
}
