import { dirname, join, resolve } from "node:path";
import { assert } from "../assert.js";
import type { Disk } from "../disk/disk.js";
import { makeFolder, makeFolderDurably } from "../disk/make-folder.js";
import { failpoint } from "../failpoints.js";
import { codeOf, isMissing } from "./disk-errors.js";
import { assertKey, compareKeys } from "./key-rules.js";
import {
  ObjectChanged,
  ObjectNotFound,
  type ByteRange,
  type ObjectEntry,
  type ObjectPart,
  type ObjectStore,
} from "./object-store.js";
import { readExactly, TemporaryFiles } from "./temporary-files.js";

const temporaryFolder = ".tmp";
/** Rounds of "the folder went away between making it and using it" before the error is passed on. */
const folderRoundsMax = 4;

export interface LocalStoreOptions {
  /** The warehouse folder; created when it is not there. */
  readonly root: string;
  readonly disk: Disk;
  /**
   * Removes what a crashed process left in the temporary folder. For the one process that holds the data folder's lock,
   * before its workers open the same store: it would take running writers' files away too.
   */
  readonly sweepTemporary: boolean;
}

/**
 * Objects as files of one folder, `<root>/<key>`, on any POSIX file system with hard links.
 *
 * A write goes to `<root>/.tmp/<uuid>`, is synced there, and then gets its name: by `rename` (put) or by `link`, which
 * fails where the name is taken (putIfAbsent). Then the name's folder is synced. Folders on the way are made and their
 * parents synced, once per process and folder: a folder that another process made may not be durable yet.
 *
 * ```
 * .tmp/<uuid>   write, fdatasync ──rename or link──▶ <key>   sync folder ──▶ durable
 * ```
 * Several threads and processes may share a root. Calls block their thread: this store belongs in a worker.
 */
export class LocalStore implements ObjectStore {
  readonly isLocal = true;
  readonly #root: string;
  readonly #disk: Disk;
  readonly #temporary: TemporaryFiles;
  /** Folders that this process knows to be there and durable. */
  readonly #folders = new Set<string>();

  constructor(options: LocalStoreOptions) {
    this.#root = resolve(options.root);
    this.#disk = options.disk;
    this.#temporary = new TemporaryFiles(options.disk, join(this.#root, temporaryFolder));
    makeFolderDurably(this.#disk, this.#root);
    this.#ensureFolder(join(this.#root, temporaryFolder));
    if (options.sweepTemporary) this.#temporary.sweep();
  }

  async get(key: string, range?: ByteRange): Promise<Uint8Array> {
    return notFoundAs(key, () => {
      const fd = this.#disk.open(this.#pathOf(key), "r");
      try {
        const bytes = this.#disk.size(fd);
        const start = Math.min(range?.start ?? 0, bytes);
        const end = Math.max(start, Math.min(range?.end ?? bytes, bytes));
        return readExactly(this.#disk, fd, { start, end });
      } finally {
        this.#disk.close(fd);
      }
    });
  }

  async getPart(key: string, range: ByteRange, etag?: string): Promise<ObjectPart> {
    for (;;) {
      const before = this.#versionOf(key);
      if (etag !== undefined && before.etag !== etag) throw new ObjectChanged(key);
      const body = await this.get(key, range);
      // The name was given to another file meanwhile: of which one the bytes are, nobody knows.
      if (this.#versionOf(key).etag === before.etag) return { body, ...before };
    }
  }

  /** Files are written under another name first, so that size and time are those of the whole object. */
  #versionOf(key: string): { readonly objectBytes: number; readonly etag: string } {
    return notFoundAs(key, () => {
      const entry = this.#disk.stat(this.#pathOf(key));
      if (entry === undefined || entry.isFolder) throw new ObjectNotFound(key);
      return { objectBytes: entry.bytes, etag: `${entry.bytes}-${entry.modifiedMs}` };
    });
  }

  async put(key: string, body: Uint8Array): Promise<void> {
    const path = this.#pathOf(key);
    const temporary = this.#temporary.write(body);
    this.#giveName(path, temporary, () => {
      this.#disk.rename(temporary, path);
      return true;
    });
  }

  async putIfAbsent(key: string, body: Uint8Array): Promise<boolean> {
    const path = this.#pathOf(key);
    // Spares the losers of a race their write; the link below decides.
    if (this.#disk.stat(path) !== undefined) return this.#giveName(path, undefined, () => false);
    const temporary = this.#temporary.write(body);
    const isOurs = this.#giveName(path, temporary, () => {
      try {
        this.#disk.link(temporary, path);
        return true;
      } catch (error) {
        if (codeOf(error) === "EEXIST") return false;
        throw error;
      }
    });
    this.#temporary.remove(temporary);
    return isOurs;
  }

  async putFile(key: string, path: string): Promise<void> {
    const target = this.#pathOf(key);
    const fd = this.#disk.open(path, "r+");
    try {
      this.#disk.fdatasync(fd);
    } finally {
      this.#disk.close(fd);
    }
    // The name is given by one rename, on this device or after a copy to it.
    let source = path;
    this.#giveName(target, undefined, () => {
      try {
        this.#disk.rename(source, target);
      } catch (error) {
        if (codeOf(error) !== "EXDEV") throw error;
        source = this.#temporary.copy(path);
        this.#disk.rename(source, target);
      }
      return true;
    });
    if (source !== path) this.#temporary.remove(path);
  }

  async *list(prefix: string): AsyncIterable<ObjectEntry> {
    // Up to the last slash the prefix is a folder; what follows is the beginning of names in it.
    const cut = prefix.lastIndexOf("/") + 1;
    yield* this.#walk(prefix.slice(0, cut), prefix.slice(cut));
  }

  async listFolders(prefix: string): Promise<string[]> {
    const cut = prefix.lastIndexOf("/") + 1;
    const folder = prefix.slice(0, cut);
    return this.#entriesOf(folder, prefix.slice(cut))
      .filter((entry) => entry.isFolder)
      .map((entry) => folder + entry.name);
  }

  async delete(key: string): Promise<void> {
    try {
      this.#disk.unlink(this.#pathOf(key));
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }

  async removeEmptyFolders(prefix: string): Promise<void> {
    const cut = prefix.lastIndexOf("/") + 1;
    this.#removeEmptyBelow(prefix.slice(0, cut), prefix.slice(cut));
  }

  readableUrl(key: string): string {
    return this.#pathOf(key);
  }

  uri(key: string): string {
    return `file://${this.#pathOf(key)}`;
  }

  #pathOf(key: string): string {
    assertKey(key);
    assert(key !== temporaryFolder && !key.startsWith(`${temporaryFolder}/`), "the temporary folder holds no objects");
    return join(this.#root, key);
  }

  // ---- names and folders

  /**
   * Runs `act`, which gives a file its name in a folder that may have to be made, and makes the name durable. The
   * temporary file goes away when that fails before the name is there.
   */
  #giveName(path: string, temporary: string | undefined, act: () => boolean): boolean {
    const folder = dirname(path);
    try {
      for (let round = 1; ; round++) {
        this.#ensureFolder(folder);
        try {
          const isOurs = act();
          failpoint("store.name.given");
          this.#disk.syncFolder(folder);
          return isOurs;
        } catch (error) {
          // The folder may have been removed after we last saw it: forget what we know, and make it again.
          if (codeOf(error) !== "ENOENT" || round === folderRoundsMax) throw error;
          this.#folders.clear();
        }
      }
    } catch (error) {
      if (temporary !== undefined) this.#temporary.remove(temporary);
      throw error;
    }
  }

  /** The folder is there and durable when this returns. */
  #ensureFolder(folder: string): void {
    if (folder === this.#root || this.#folders.has(folder)) return;
    const parent = dirname(folder);
    this.#ensureFolder(parent);
    makeFolder(this.#disk, folder);
    this.#disk.syncFolder(parent);
    this.#folders.add(folder);
  }

  #removeEmptyBelow(folder: string, namePrefix: string): void {
    for (const { name, isFolder } of this.#entriesOf(folder, namePrefix)) {
      if (!isFolder) continue;
      this.#removeEmptyBelow(`${folder}${name}/`, "");
      try {
        this.#disk.removeFolder(join(this.#root, folder, name));
      } catch (error) {
        if (!isMissing(error) && codeOf(error) !== "ENOTEMPTY" && codeOf(error) !== "EEXIST") throw error;
      }
    }
    this.#folders.clear();
  }

  // ---- listing

  /** Objects below a folder key (`""` or with a trailing slash) whose name starts with the prefix, in key order. */
  *#walk(folder: string, namePrefix: string): Generator<ObjectEntry> {
    for (const { name, isFolder, bytes, modifiedMs } of this.#entriesOf(folder, namePrefix)) {
      if (isFolder) yield* this.#walk(`${folder}${name}/`, "");
      else yield { key: folder + name, bytes, modifiedMs };
    }
  }

  /** Key order needs a folder sorted as `name/`: `a-b` comes before `a/b`. */
  #entriesOf(folder: string, namePrefix: string) {
    const path = join(this.#root, folder.replace(/\/$/, ""));
    const names = this.#durableNamesIn(path).filter((name) => name.startsWith(namePrefix));
    const entries = names.flatMap((name) => {
      if (folder === "" && name === temporaryFolder) return [];
      const entry = this.#disk.stat(`${path}/${name}`);
      return entry === undefined ? [] : [{ name, ...entry, sortKey: entry.isFolder ? `${name}/` : name }];
    });
    return entries.toSorted((left, right) => compareKeys(left.sortKey, right.sortKey));
  }

  /** A name that a crashed or unclear write left may not be durable yet: it is made so before anyone acts on it. */
  #durableNamesIn(path: string): string[] {
    const names = this.#namesIn(path);
    if (names.length === 0) return names;
    try {
      this.#ensureFolder(path);
      this.#disk.syncFolder(path);
    } catch (error) {
      // Emptied and removed meanwhile.
      if (!isMissing(error)) throw error;
    }
    return names;
  }

  #namesIn(path: string): string[] {
    try {
      return this.#disk.list(path);
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
  }
}

/** A key that names a folder is no object either (EISDIR). */
function notFoundAs<T>(key: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (isMissing(error) || codeOf(error) === "EISDIR") throw new ObjectNotFound(key, { cause: error });
    throw error;
  }
}
