/**
 * Names of every word and size in the shared memory of this folder; README.md draws them. Nothing else in the
 * project writes an index into a header.
 *
 * Positions (head, tail, gate) are free-running 32-bit counters that wrap: only their differences mean anything, and
 * those stay below 2^31 because no ring is larger than `ringBytesMax`.
 */

/** Which kind of memory a header belongs to, so that a ring handed to the wrong reader fails at once. */
export const ringMagic = {
  bytes: 0x52_42_31,
  entries: 0x52_45_31,
} as const;

/** Header words of both rings, as indexes of 32-bit words. Each hot word has a cache line (64 bytes) to itself. */
export const ringWords = {
  magic: 0,
  /** Byte ring: data bytes. Entry ring: entries. A power of two. */
  capacity: 1,
  /** Entry ring: bytes of one entry, a multiple of 8. */
  entryBytes: 2,
  /** Written by the producer: bytes (or entries) published so far. */
  head: 16,
  /** Written by the consumer: bytes (or entries) given back so far. */
  tail: 32,
  /** Entry ring, written by a third thread: entries that a gated consumer may read so far. */
  gate: 48,
} as const;

export const ringHeaderBytes = 256;
export const ringBytesMin = 1_024;
export const ringBytesMax = 1_073_741_824;

/** Before each frame in a byte ring: payload length, then `length ^ position ^ magic` as the check. */
export const byteFrameHeaderBytes = 8;

/** In place of a length: the rest of the ring up to its end is unused, the frame is at offset 0. */
export const byteFrameSkip = -1;

/** Words of a blocking doorbell. */
export const doorbellWords = {
  /** Counts rings; the sleeper waits for it to change. */
  rings: 0,
  /** 1 while the sleeper sleeps or is about to: only then does a ringer pay for a notify. */
  sleeping: 16,
} as const;

/** Words of a doorbell of the main thread. */
export const mainDoorbellWords = {
  /** 1 while main wants one message at the next ring. */
  armed: 0,
} as const;

export const doorbellBytes = 128;

/** Rounds up to the alignment of frames and entries. */
export function alignTo8(bytes: number): number {
  return (bytes + 7) & ~7;
}

export function isPowerOfTwo(value: number): boolean {
  return value > 0 && (value & (value - 1)) === 0;
}
