/** What the catalog tests share: a warehouse in a temporary folder, with a clock and chance of the test's own. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MiniodbError } from "../../../src/shared/errors.js";
import { RealDisk } from "../../../src/shared/disk/real-disk.js";
import { catalogContext, type CatalogContext } from "../../../src/shared/iceberg/catalog-context.js";
import type { DeleteRequest } from "../../../src/shared/iceberg/commit-files.js";
import type { NewDeleteFile } from "../../../src/shared/iceberg/delete-entry.js";
import type { NewDataFile } from "../../../src/shared/iceberg/manifest.js";
import { TableCatalog } from "../../../src/shared/iceberg/table-catalog.js";
import type { DataFile, TableIdentity, TableState } from "../../../src/shared/messages.js";
import { initialSchema, withColumn, type TableSchema } from "../../../src/shared/schema/table-schema.js";
import { LocalStore } from "../../../src/shared/store/local-store.js";
import type { ByteRange, ObjectEntry, ObjectPart, ObjectStore } from "../../../src/shared/store/object-store.js";
import { dataFileKey, deleteFileKey } from "../../../src/shared/store/store-paths.js";
import { seededRandom, type SeededRandom } from "../../harness/seeded-random.js";

/** For tests of logic: the same calls without the waiting. */
class UnsyncedDisk extends RealDisk {
  override fdatasync(): void {}
  override syncFolder(): void {}
}

/** The test's own time: objects carry the time of their last put by it. */
export class TestClock {
  nowMs = Date.UTC(2026, 0, 31, 12);
}

class ClockedStore implements ObjectStore {
  readonly #store: ObjectStore;
  readonly #clock: TestClock;
  readonly #times: Map<string, number>;

  constructor(store: ObjectStore, clock: TestClock, times: Map<string, number>) {
    this.#store = store;
    this.#clock = clock;
    this.#times = times;
  }

  get(key: string, range?: ByteRange): Promise<Uint8Array> {
    return this.#store.get(key, range);
  }

  getPart(key: string, range: ByteRange, etag?: string): Promise<ObjectPart> {
    return this.#store.getPart(key, range, etag);
  }

  async put(key: string, body: Uint8Array): Promise<void> {
    await this.#store.put(key, body);
    this.#times.set(key, this.#clock.nowMs);
  }

  async putIfAbsent(key: string, body: Uint8Array): Promise<boolean> {
    const isOurs = await this.#store.putIfAbsent(key, body);
    if (isOurs) this.#times.set(key, this.#clock.nowMs);
    return isOurs;
  }

  async putFile(key: string, path: string): Promise<void> {
    await this.#store.putFile(key, path);
    this.#times.set(key, this.#clock.nowMs);
  }

  async *list(prefix: string): AsyncIterable<ObjectEntry> {
    for await (const entry of this.#store.list(prefix)) {
      yield { ...entry, modifiedMs: this.#times.get(entry.key) ?? this.#clock.nowMs };
    }
  }

  listFolders(prefix: string): Promise<string[]> {
    return this.#store.listFolders(prefix);
  }

  delete(key: string): Promise<void> {
    return this.#store.delete(key);
  }

  removeEmptyFolders(prefix: string): Promise<void> {
    return this.#store.removeEmptyFolders(prefix);
  }

  get isLocal(): boolean {
    return this.#store.isLocal;
  }

  readableUrl(key: string): string {
    return this.#store.readableUrl(key);
  }

  /** The same in every run, whatever the folder. */
  uri(key: string): string {
    return `file:///warehouse/${key}`;
  }
}

export interface TestWarehouse {
  readonly root: string;
  readonly clock: TestClock;
  readonly random: SeededRandom;
  readonly store: ObjectStore;
  /** A context as one worker has it; `parts` replace what a test wants otherwise. */
  readonly context: (parts?: Partial<CatalogContext>) => CatalogContext;
  readonly close: () => void;
}

/** Where it is there, a file system in memory: these tests are about logic, and write thousands of files. */
const memoryFolder = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();

export function openWarehouse(seed: number): TestWarehouse {
  const root = mkdtempSync(join(memoryFolder, "miniodb-catalog-"));
  const clock = new TestClock();
  const random = seededRandom(seed);
  const local = new LocalStore({ root, disk: new UnsyncedDisk(), sweepTemporary: false });
  const store = new ClockedStore(local, clock, new Map());
  const context = (parts: Partial<CatalogContext> = {}) =>
    catalogContext(parts.store ?? store, {
      nowMs: () => clock.nowMs,
      random: random.real,
      newUuid: () => seededUuid(random),
      sleep: () => new Promise((resolve) => setImmediate(resolve)),
      ...parts,
    });
  return { root, clock, random, store, context, close: () => rmSync(root, { recursive: true }) };
}

export function seededUuid(random: SeededRandom): string {
  const hex = Array.from({ length: 32 }, () => random.integer(16).toString(16)).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** timestamp (1), id (2), value: long (3), label: string (4). */
export const sampleSchema: TableSchema = withColumn(withColumn(initialSchema, "value", "long"), "label", "string");

/** 2026-01-31. */
export const sampleDay = 20_484;
const dayMicros = 86_400_000_000n;

/** A data file that says it has these rows; its bytes are no Parquet. Put in the store already. */
export async function putSampleFile(
  warehouse: TestWarehouse,
  identity: TableIdentity,
  shape: { readonly rows: number; readonly day?: number; readonly fieldIds?: readonly number[] },
): Promise<NewDataFile> {
  const day = shape.day ?? sampleDay;
  const uuid = seededUuid(warehouse.random);
  const key = dataFileKey(identity.location, { day, createdMs: warehouse.clock.nowMs, uuid });
  const body = Buffer.from(`rows ${shape.rows}`);
  await warehouse.store.put(key, body);
  const fieldIds = shape.fieldIds ?? [1, 2, 3, 4];
  const start = BigInt(day) * dayMicros;
  const bounds = {
    1: { lower: String(start), upper: String(start + dayMicros - 1n), nulls: 0 },
    ...(fieldIds.includes(3) ? { 3: { lower: "-5", upper: "9007199254740993", nulls: 1 } } : {}),
    ...(fieldIds.includes(4)
      ? { 4: { lower: "alpha", upper: "a text of more than sixteen characters", nulls: 0 } }
      : {}),
  };
  return { key, bytes: body.length, rows: shape.rows, day, bounds, fieldIds };
}

/** A delete file that says it has so many positions of the file, put in the store, in place of those that it had. */
export async function putSampleDeletes(
  warehouse: TestWarehouse,
  identity: TableIdentity,
  deleted: { readonly file: DataFile; readonly rows: number; readonly replaces?: readonly string[] },
): Promise<NewDeleteFile> {
  const { file, rows, replaces = [] } = deleted;
  const { day } = file;
  const uuid = seededUuid(warehouse.random);
  const key = deleteFileKey(identity.location, { day, createdMs: warehouse.clock.nowMs, uuid });
  const body = Buffer.from(`positions ${rows} ${uuid}`);
  await warehouse.store.put(key, body);
  return { key, bytes: body.length, rows, dataKey: file.key, day, replaces };
}

/** A commit of these delete files that takes so many further rows. */
export function deletion(deletes: readonly NewDeleteFile[], rows: number): DeleteRequest {
  return { deletes, remove: [], appliedDeletes: [], rows };
}

export interface CatalogBench extends TestWarehouse {
  readonly catalog: TableCatalog;
  readonly identity: TableIdentity;
}

export function withTable(seed: number, act: (bench: CatalogBench) => Promise<void>): () => Promise<void> {
  return async () => {
    const warehouse = openWarehouse(seed);
    try {
      const catalog = new TableCatalog(warehouse.store, warehouse.context());
      const { identity } = await catalog.createTable({ name: "Metrics", schema: sampleSchema, settings: {} });
      await act({ ...warehouse, catalog, identity });
    } finally {
      warehouse.close();
    }
  };
}

export function append(
  files: readonly NewDataFile[],
  afterSequence: number,
  parts: { readonly stream?: string; readonly schema?: TableSchema; readonly commitId?: string } = {},
) {
  const rows = files.reduce((sum, file) => sum + file.rows, 0);
  return { stream: "s1", schema: sampleSchema, afterSequence, lastSequence: afterSequence + rows, files, ...parts };
}

export async function rejectsWith(work: Promise<unknown>, code: string): Promise<MiniodbError> {
  try {
    await work;
  } catch (error) {
    assert.ok(error instanceof MiniodbError, String(error));
    assert.equal(error.code, code, error.message);
    return error;
  }
  return assert.fail(`it did not fail with ${code}`);
}

export const keysOf = (state: TableState) => state.files.map((file) => file.key).toSorted();
