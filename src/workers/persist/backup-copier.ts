/**
 * Objects on their way into a backup and out of it, each by way of files in the temporary folder, so that memory does not
 * grow with them. What is read has the size that its table says and the digest that its backup says.
 */
import { createHash } from "node:crypto";
import { closeSync, openSync, readSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { MiniodbError } from "../../shared/errors.js";
import type { BackupObject } from "../../shared/formats/backup-manifest-v1.js";
import { openFile, sealFile, type SealingKey } from "../../shared/formats/sealed-object-v1.js";
import { compareChecksum, ObjectNotFound, type ObjectStore } from "../../shared/store/object-store.js";
import { StoreError } from "../../shared/store/store-failure.js";
import { backupFileKey } from "../../shared/store/store-paths.js";
import { copyObject } from "./fetch-object.js";
import { checkStop, temporaryPath, type PersistContext } from "./persist-context.js";
import type { Throttle } from "./throttle.js";

export interface BackupCopierOptions {
  readonly persist: PersistContext;
  readonly throttle: Throttle;
  readonly key: SealingKey | null;
}

export interface SourceObject {
  readonly key: string;
  /** Null where only the object itself tells. */
  readonly bytes: number | null;
}

const hashBytes = 1024 * 1024;

export class BackupCopier {
  readonly #options: BackupCopierOptions;

  constructor(options: BackupCopierOptions) {
    this.#options = options;
  }

  /** An object of a table into the target; durable there when it resolves. */
  async keep(from: ObjectStore, object: SourceObject, target: ObjectStore): Promise<BackupObject> {
    const { key } = this.#options;
    return this.#withFiles(async (path, sealed) => {
      const bytes = await this.#fetch(from, object, path);
      const sha256 = sha256Of(path);
      if (key !== null) {
        sealFile(path, sealed, key, object.key);
        renameSync(sealed, path);
      }
      const storedBytes = statSync(path).size;
      await target.putFile(backupFileKey(key?.id ?? null, object.key, sha256), path);
      return { key: object.key, bytes, sha256, storedBytes };
    });
  }

  /** Runs `work` with a file that holds the object of a backup, proved by its digest. Throws BACKUP_UNUSABLE. */
  async withCopy<Result>(
    target: ObjectStore,
    { object, keyId }: { readonly object: BackupObject; readonly keyId: string | null },
    work: (path: string) => Promise<Result>,
  ): Promise<Result> {
    const name = backupFileKey(keyId, object.key, object.sha256);
    return this.#withFiles(async (path, opened) => {
      try {
        await this.#fetch(target, { key: name, bytes: object.storedBytes }, path);
      } catch (error) {
        if (!(error instanceof ObjectNotFound)) throw error;
        throw new MiniodbError("BACKUP_UNUSABLE", `The backup lacks ${name}`, { key: name }, error);
      }
      if (keyId !== null) {
        openFile(path, opened, this.#options.key, object.key);
        renameSync(opened, path);
      }
      if (sha256Of(path) !== object.sha256) {
        const message = `The object ${name} of a backup is damaged: it is not what was copied`;
        throw new MiniodbError("BACKUP_UNUSABLE", message, { key: name });
      }
      return work(path);
    });
  }

  /** Runs `work` with a file that holds an object of a table. */
  async withObject<Result>(
    from: ObjectStore,
    object: SourceObject,
    work: (path: string) => Promise<Result>,
  ): Promise<Result> {
    return this.#withFiles(async (path) => {
      await this.#fetch(from, object, path);
      return work(path);
    });
  }

  /** Answers the size. Throws ObjectNotFound, STORE_UNAVAILABLE. */
  async #fetch(from: ObjectStore, { key, bytes }: SourceObject, path: string): Promise<number> {
    const { persist, throttle } = this.#options;
    checkStop(persist);
    if (bytes === null) {
      const body = await from.get(key);
      await throttle.take(body.length);
      writeFileSync(path, body);
      return body.length;
    }
    await throttle.take(bytes);
    // A look first: of an object that is not there the copy says that the store failed.
    await from.getPart(key, { start: 0, end: 1 });
    await copyObject({ ...persist, readStore: from }, { key, bytes, path });
    if ((await compareChecksum(from, key, path)) === false) {
      throw new StoreError("unclear", `${key} was not read as it was written: it is not copied`);
    }
    return bytes;
  }

  /** Two paths in the temporary folder; what is there in the end goes. */
  async #withFiles<Result>(work: (first: string, second: string) => Promise<Result>): Promise<Result> {
    const { persist } = this.#options;
    const [first, second] = [temporaryPath(persist), temporaryPath(persist)];
    try {
      return await work(first, second);
    } finally {
      for (const path of [first, second]) rmSync(path, { force: true });
    }
  }
}

function sha256Of(path: string): string {
  const hash = createHash("sha256");
  const buffer = Buffer.allocUnsafe(hashBytes);
  const fd = openSync(path, "r");
  try {
    for (;;) {
      const count = readSync(fd, buffer, 0, hashBytes, null);
      if (count === 0) return hash.digest("hex");
      hash.update(buffer.subarray(0, count));
    }
  } finally {
    closeSync(fd);
  }
}

/** Does the work for all items, so many at once; all have ended when it resolves or rejects with the first failure. */
export async function forEachOf<Item>(
  items: readonly Item[],
  atOnce: number,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  let next = 0;
  const some = async (): Promise<void> => {
    while (next < items.length) {
      const item = items[next++] as Item;
      try {
        await work(item);
      } catch (error) {
        next = items.length;
        throw error;
      }
    }
  };
  for (const result of await Promise.allSettled(Array.from({ length: Math.min(atOnce, items.length) }, some))) {
    if (result.status === "rejected") throw result.reason;
  }
}
