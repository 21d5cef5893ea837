import { rmSync } from "node:fs";
import type { ObjectCopy } from "../../shared/iceberg/mirror-table.js";
import { compareChecksum, type ObjectStore } from "../../shared/store/object-store.js";
import { StoreError } from "../../shared/store/store-failure.js";
import { copyObject } from "./fetch-object.js";
import { checkStop, temporaryPath, type PersistContext } from "./persist-context.js";
import type { Throttle } from "./throttle.js";

/** Objects up to here go through memory, whole; larger ones through a file, in parts. */
const wholeBytesMax = 32 * 1024 * 1024;

export interface CopierOptions {
  readonly persist: PersistContext;
  readonly target: ObjectStore;
  readonly throttle: Throttle;
  /** Objects on their way at once, of all tables: each takes up to 32 MiB of memory, or a file in the temporary folder. */
  readonly copiesMax: number;
}

/**
 * Copies objects into the second pool. What is read has the size that the metadata says and, from a store that keeps one,
 * its CRC-32C. What is written to S3 carries its CRC-32C, which the store compares and keeps.
 */
export class ObjectCopier {
  readonly #options: CopierOptions;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(options: CopierOptions) {
    this.#options = options;
  }

  /** Durable in the target when it resolves, with the bytes that were copied. Throws SHUTTING_DOWN when the server stops. */
  async copy(object: ObjectCopy): Promise<number> {
    if (this.#running < this.#options.copiesMax) this.#running++;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      checkStop(this.#options.persist);
      const { bytes } = object;
      return bytes !== null && bytes > wholeBytesMax
        ? await this.#copyFile(object, bytes)
        : await this.#copyWhole(object);
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }

  async #copyWhole({ from, key, bytes, toKey }: ObjectCopy): Promise<number> {
    const { target, throttle } = this.#options;
    const body = await from.get(key);
    if (bytes !== null && body.length !== bytes) {
      throw new StoreError("unclear", `${key} has ${body.length} bytes, its table says ${bytes}: it is not copied`);
    }
    await throttle.take(body.length);
    await target.put(toKey, body);
    return body.length;
  }

  async #copyFile({ from, key, toKey }: ObjectCopy, bytes: number): Promise<number> {
    const { persist, target, throttle } = this.#options;
    const path = temporaryPath(persist);
    try {
      await throttle.take(bytes);
      await copyObject({ ...persist, readStore: from }, { key, bytes, path });
      if ((await compareChecksum(from, key, path)) === false) {
        throw new StoreError("unclear", `${key} was not read as it was written: it is not copied`);
      }
      await target.putFile(toKey, path);
      return bytes;
    } finally {
      rmSync(path, { force: true });
    }
  }
}
