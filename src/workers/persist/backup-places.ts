import { MiniodbError } from "../../shared/errors.js";
import type { BackupWorkerOptions } from "../../shared/backup-messages.js";
import {
  encodeBackupManifest,
  parseBackupManifest,
  type BackupManifest,
} from "../../shared/formats/backup-manifest-v1.js";
import { openBytes, sealBytes } from "../../shared/formats/sealed-object-v1.js";
import { ObjectNotFound, type ObjectEntry, type ObjectStore } from "../../shared/store/object-store.js";
import {
  backupManifestKey,
  backupManifestPrefix,
  backupTimeMs,
  parseBackupManifestKey,
  type BackupKind,
  type BackupName,
} from "../../shared/store/store-paths.js";

/** A manifest's object in the store that has it. */
export interface FoundManifest extends BackupName {
  readonly store: ObjectStore;
  readonly entry: ObjectEntry;
  readonly timeMs: number;
}

/**
 * Where backups are: pointers in the warehouse, beside what they point to, and full ones in the target. After a failover the
 * target may be the warehouse, and the other way round, so that both are looked through for either.
 */
export class BackupPlaces {
  readonly warehouse: ObjectStore;
  readonly options: BackupWorkerOptions;
  readonly #target: ObjectStore | null;

  constructor(warehouse: ObjectStore, target: ObjectStore | null, options: BackupWorkerOptions) {
    this.warehouse = warehouse;
    this.#target = target;
    this.options = options;
  }

  /** Throws INVALID_REQUEST where full backups have no place. */
  get target(): ObjectStore {
    if (this.#target !== null) return this.#target;
    const message = "A full backup needs a place: set backup.folder or backup.bucket, or a second pool (mirror.*)";
    throw new MiniodbError("INVALID_REQUEST", message, { field: "kind" });
  }

  get stores(): readonly ObjectStore[] {
    return this.#target === null ? [this.warehouse] : [this.warehouse, this.#target];
  }

  /** All backups, newest first; of one that both stores have, the first. */
  async find(): Promise<FoundManifest[]> {
    const found = new Map<string, FoundManifest>();
    for (const store of this.stores) {
      for await (const entry of store.list(backupManifestPrefix)) {
        const name = parseBackupManifestKey(entry.key);
        if (name === undefined || found.has(name.id)) continue;
        found.set(name.id, { ...name, store, entry, timeMs: backupTimeMs(name.id) ?? 0 });
      }
    }
    return [...found.values()].toSorted((left, right) => (left.id < right.id ? 1 : -1));
  }

  /** Throws NOT_FOUND. */
  async get(id: string): Promise<FoundManifest> {
    const found = (await this.find()).find((each) => each.id === id);
    if (found !== undefined) return found;
    throw new MiniodbError("NOT_FOUND", `There is no backup ${id}`, { backup: id });
  }

  /** Throws BACKUP_UNUSABLE where it is damaged or sealed under another key, NOT_FOUND where it was removed meanwhile. */
  async read({ store, entry, isSealed, id }: FoundManifest): Promise<BackupManifest> {
    try {
      const body = await store.get(entry.key);
      return parseBackupManifest(isSealed ? openBytes(body, this.options.key, entry.key) : body, entry.key);
    } catch (error) {
      if (!(error instanceof ObjectNotFound)) throw error;
      throw new MiniodbError("NOT_FOUND", `Backup ${id} was removed meanwhile`, { backup: id });
    }
  }

  /** The last step of a backup: it is there, durably, when this resolves. Answers its key. */
  async write(manifest: BackupManifest): Promise<string> {
    const { id, kind } = manifest;
    const key = kind === "full" ? this.options.key : null;
    const name = backupManifestKey({ id, kind, isSealed: key !== null });
    const body = encodeBackupManifest(manifest);
    await this.storeOf(kind).put(name, key === null ? body : sealBytes(body, key, name));
    return name;
  }

  storeOf(kind: BackupKind): ObjectStore {
    return kind === "full" ? this.target : this.warehouse;
  }
}
