import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { assert } from "../assert.js";
import type { Disk } from "../disk/disk.js";
import { failpoint } from "../failpoints.js";
import { isMissing } from "./disk-errors.js";

const copyBytes = 1024 * 1024;

/** Files without a name yet: written and synced in one folder, from where a rename or a link makes them objects. */
export class TemporaryFiles {
  readonly #disk: Disk;
  readonly #folder: string;

  /** The folder must be there when the first file is written. */
  constructor(disk: Disk, folder: string) {
    this.#disk = disk;
    this.#folder = folder;
  }

  /** Path of a new file with these bytes, which are synced. */
  write(body: Uint8Array): string {
    return this.#create((fd) => {
      this.#writeExactly(fd, body, 0);
    });
  }

  /** Path of a new file with the bytes of another one, which may lie on another device; synced. */
  copy(path: string): string {
    const from = this.#disk.open(path, "r");
    try {
      const bytes = this.#disk.size(from);
      return this.#create((fd) => {
        for (let at = 0; at < bytes; at += copyBytes) {
          this.#writeExactly(
            fd,
            readExactly(this.#disk, from, { start: at, end: Math.min(at + copyBytes, bytes) }),
            at,
          );
        }
      });
    } finally {
      this.#disk.close(from);
    }
  }

  /** Never fails: what stays behind is swept at the next start. */
  remove(path: string): void {
    try {
      this.#disk.unlink(path);
    } catch {
      // Swept later.
    }
  }

  /** Removes all of them, running writers' too. */
  sweep(): void {
    try {
      for (const name of this.#disk.list(this.#folder)) this.remove(join(this.#folder, name));
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }

  #create(fill: (fd: number) => void): string {
    const path = join(this.#folder, randomUUID());
    const fd = this.#disk.open(path, "wx");
    try {
      fill(fd);
      this.#disk.fdatasync(fd);
      failpoint("store.file.written");
    } catch (error) {
      this.remove(path);
      throw error;
    } finally {
      this.#disk.close(fd);
    }
    return path;
  }

  #writeExactly(fd: number, body: Uint8Array, position: number): void {
    let done = 0;
    while (done < body.length) {
      const written = this.#disk.writev(fd, [body.subarray(done)], position + done);
      assert(written > 0, "a write of at least one byte writes some or throws");
      done += written;
    }
  }
}

/** Bytes [start, end) of an open file that has them. */
export function readExactly(
  disk: Disk,
  fd: number,
  range: { readonly start: number; readonly end: number },
): Uint8Array {
  const target = new Uint8Array(range.end - range.start);
  let done = 0;
  while (done < target.length) {
    const read = disk.read(fd, target.subarray(done), range.start + done);
    // Objects never shrink: they are replaced as a whole.
    assert(read > 0, "a file is as long as it says");
    done += read;
  }
  return target;
}
