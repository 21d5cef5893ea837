import type { Disk, DiskEntry } from "./disk.js";

/** What can go wrong with one call. */
export type DiskFault =
  /** The call does nothing and fails. */
  | { readonly kind: "error"; readonly code: string }
  /** A write takes only part of its bytes and says so. */
  | { readonly kind: "short"; readonly share: number }
  /** A write takes part of its bytes and fails. */
  | { readonly kind: "torn"; readonly share: number; readonly code: string }
  /** The call succeeds, late. */
  | { readonly kind: "slow"; readonly ms: number };

export type DiskCall = Exclude<keyof Disk, "close" | "size" | "stat" | "list">;

/** Decides the fate of each call, in order; undefined lets it pass. `path` is what was opened, renamed from, or removed. */
export type FaultPlan = (call: DiskCall, path: string) => DiskFault | undefined;

/**
 * A disk that fails as planned. For tests; it ships so that a server under test can be given one.
 *
 * A failed fdatasync does what Linux does: the bytes count as clean from then on, whether they reached the disk or
 * not. `onSyncFailure` lets a forgetful disk below lose them at that moment.
 */
export class FaultyDisk implements Disk {
  readonly #inner: Disk;
  readonly #plan: FaultPlan;
  readonly #onSyncFailure: (fd: number) => void;
  readonly #paths = new Map<number, string>();

  constructor(inner: Disk, plan: FaultPlan, onSyncFailure: (fd: number) => void = () => undefined) {
    this.#inner = inner;
    this.#plan = plan;
    this.#onSyncFailure = onSyncFailure;
  }

  open(path: string, flags: "r" | "r+" | "w" | "wx"): number {
    this.#meet("open", path);
    const fd = this.#inner.open(path, flags);
    this.#paths.set(fd, path);
    return fd;
  }

  close(fd: number): void {
    this.#paths.delete(fd);
    this.#inner.close(fd);
  }

  writev(fd: number, buffers: readonly Uint8Array[], position: number): number {
    const fault = this.#plan("writev", this.#paths.get(fd) ?? "");
    if (fault === undefined || fault.kind === "slow") {
      if (fault !== undefined) sleepMs(fault.ms);
      return this.#inner.writev(fd, buffers, position);
    }
    if (fault.kind === "error") throw diskError(fault.code, "writev");
    const bytes = Buffer.concat(buffers.map((buffer) => new Uint8Array(buffer)));
    const part = bytes.subarray(0, Math.floor(bytes.length * fault.share));
    const written = part.length === 0 ? 0 : this.#inner.writev(fd, [part], position);
    if (fault.kind === "torn") throw diskError(fault.code, "writev");
    return written;
  }

  read(fd: number, target: Uint8Array, position: number): number {
    this.#meet("read", this.#paths.get(fd) ?? "");
    return this.#inner.read(fd, target, position);
  }

  size(fd: number): number {
    return this.#inner.size(fd);
  }

  truncate(fd: number, bytes: number): void {
    this.#meet("truncate", this.#paths.get(fd) ?? "");
    this.#inner.truncate(fd, bytes);
  }

  fdatasync(fd: number): void {
    try {
      this.#meet("fdatasync", this.#paths.get(fd) ?? "");
    } catch (error) {
      this.#onSyncFailure(fd);
      throw error;
    }
    this.#inner.fdatasync(fd);
  }

  syncFolder(path: string): void {
    this.#meet("syncFolder", path);
    this.#inner.syncFolder(path);
  }

  rename(from: string, to: string): void {
    this.#meet("rename", from);
    this.#inner.rename(from, to);
  }

  link(from: string, to: string): void {
    this.#meet("link", from);
    this.#inner.link(from, to);
  }

  unlink(path: string): void {
    this.#meet("unlink", path);
    this.#inner.unlink(path);
  }

  makeFolder(path: string): void {
    this.#meet("makeFolder", path);
    this.#inner.makeFolder(path);
  }

  removeFolder(path: string): void {
    this.#meet("removeFolder", path);
    this.#inner.removeFolder(path);
  }

  list(path: string): string[] {
    return this.#inner.list(path);
  }

  stat(path: string): DiskEntry | undefined {
    return this.#inner.stat(path);
  }

  #meet(call: DiskCall, path: string): void {
    const fault = this.#plan(call, path);
    if (fault === undefined) return;
    if (fault.kind === "slow") sleepMs(fault.ms);
    else throw diskError(fault.kind === "short" ? "EIO" : fault.code, call);
  }
}

/** An error as node:fs throws it. */
function diskError(code: string, call: string): Error {
  return Object.assign(new Error(`${code}: planned fault, ${call}`), { code, syscall: call });
}

function sleepMs(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
