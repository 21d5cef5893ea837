import type { EntryRingConsumer, EntryRingProducer } from "./entry-ring.js";

/**
 * One finished WAL record, ingest worker -> WAL thread: an entry of 16 bytes, little-endian.
 *
 * ```
 *  0  u32  blockId      registered before by a `block` message
 *  4  u32  offset       of the record in the block, bytes
 *  8  u32  length       of the record, bytes
 * 12  u32  completions  entries of the gated ring that this record makes durable
 * ```
 */
export const walDescriptorBytes = 16;

export interface WalDescriptor {
  blockId: number;
  offset: number;
  length: number;
  completions: number;
}

export function newWalDescriptor(): WalDescriptor {
  return { blockId: 0, offset: 0, length: 0, completions: 0 };
}

/** Stages a descriptor; false when the ring is full. The caller publishes, once per round. */
export function stageWalDescriptor(ring: EntryRingProducer, descriptor: WalDescriptor): boolean {
  const at = ring.reserve();
  if (at < 0) return false;
  const { view } = ring;
  view.setUint32(at, descriptor.blockId, true);
  view.setUint32(at + 4, descriptor.offset, true);
  view.setUint32(at + 8, descriptor.length, true);
  view.setUint32(at + 12, descriptor.completions, true);
  ring.stage();
  return true;
}

/** Reads the next descriptor into `into` and steps over it; false when there is none. The caller releases the ring. */
export function takeWalDescriptor(ring: EntryRingConsumer, into: WalDescriptor): boolean {
  const at = ring.peek();
  if (at < 0) return false;
  const { view } = ring;
  into.blockId = view.getUint32(at, true);
  into.offset = view.getUint32(at + 4, true);
  into.length = view.getUint32(at + 8, true);
  into.completions = view.getUint32(at + 12, true);
  ring.advance();
  return true;
}
