/**
 * Memory for what a flush sorts and copies, handed on within it and from flush to flush: fresh memory costs as much as
 * the copying itself, in page faults and zeroing. Flushes that run at once have memory of their own.
 */
const bytesKeptMax = 32 * 1024 * 1024;

let spare: ArrayBuffer | null = null;

/** At least so many bytes, with any content. */
export function takeMemory(bytes: number): ArrayBuffer {
  const taken = spare;
  if (taken === null || taken.byteLength < bytes) return new ArrayBuffer(bytes + (bytes >> 3));
  spare = null;
  return taken;
}

/** Nobody reads it any more. */
export function giveBackMemory(memory: ArrayBuffer): void {
  if (memory.byteLength > bytesKeptMax) return;
  if (spare === null || spare.byteLength < memory.byteLength) spare = memory;
}
