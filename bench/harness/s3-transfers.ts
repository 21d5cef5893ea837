/** The server's own ways to and from the store, without the rest of a flush or a query: what the s3 suite compares with loops. */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadConfig } from "../../src/shared/config.js";
import { defaultCatalogOptions } from "../../src/shared/iceberg/catalog-options.js";
import { chooseStore } from "../../src/shared/store/open-store.js";
import { StoreHealth } from "../../src/shared/store/store-health.js";
import { copyObject } from "../../src/workers/persist/fetch-object.js";
import { openPersistContext, type PersistContext } from "../../src/workers/persist/persist-context.js";
import { PutQueue } from "../../src/workers/persist/put-queue.js";

/** As flush.ts. */
const putsAtOnce = 4;

export interface StoredBytes {
  readonly key: string;
  readonly bytes: number;
}

export class S3Transfers {
  readonly #context: PersistContext;
  readonly #folder: string;

  private constructor(context: PersistContext, folder: string) {
    this.#context = context;
    this.#folder = folder;
  }

  /** `flags` are those of the server that is measured; files lie in the folder meanwhile. */
  static async open(folder: string, flags: readonly string[]): Promise<S3Transfers> {
    const config = loadConfig({ argv: flags, env: {} });
    const context = await openPersistContext({
      store: chooseStore(folder, config.store, ""),
      storeHealth: new StoreHealth().memory,
      temporaryFolder: folder,
      partitionsPerRound: 1,
      compactionMemoryBytes: config.compaction.memoryBytes,
      catalog: defaultCatalogOptions,
      stopWord: new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT),
      lowPriority: false,
    });
    return new S3Transfers(context, folder);
  }

  /** Milliseconds from files on disk to objects, as a flush puts those of its days. */
  async put(bodies: readonly Uint8Array[], prefix: string): Promise<number> {
    const paths = bodies.map((body, index) => {
      const path = join(this.#folder, `put-${index}`);
      writeFileSync(path, body);
      return path;
    });
    const startMs = performance.now();
    const puts = new PutQueue(putsAtOnce);
    for (const [index, path] of paths.entries()) {
      puts.add(() => this.#context.store.putFile(`${prefix}/${index}`, path));
    }
    await puts.done();
    return performance.now() - startMs;
  }

  /** Milliseconds from objects to files on disk, as the file cache fetches those of a query. */
  async get(objects: readonly StoredBytes[]): Promise<number> {
    const copies = objects.map((object, index) => ({ ...object, path: join(this.#folder, `got-${index}`) }));
    const startMs = performance.now();
    await Promise.all(copies.map((copy) => copyObject(this.#context, copy)));
    const elapsedMs = performance.now() - startMs;
    for (const { path } of copies) rmSync(path);
    return elapsedMs;
  }
}
