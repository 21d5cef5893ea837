import type { ByteBuffer } from "./byte-buffer.js";

/**
 * Parquet's DELTA_BINARY_PACKED: blocks of 128 differences, each block counted from its smallest, in four miniblocks with
 * a bit width of their own. https://parquet.apache.org/docs/file-format/data-pages/encodings/#DELTAENC
 *
 * ```
 * varint 128 | varint 4 | varint count | zigzag first value
 * per block: zigzag smallest difference | 4 bit widths | miniblocks that hold a value: 32 differences, bit-packed
 * ```
 */
const blockValues = 128;
const miniblocks = 4;
const miniblockValues = blockValues / miniblocks;
/** High words of values within ±2^52, which a double and its zigzag hold exactly; as µs that is until the year 2112. */
const highLimit = 0x10_0000;

const differences = new Float64Array(blockValues);
/** Reused from page to page. */
let values = new Float64Array(0);

/**
 * Writes 64-bit values given as [lo, hi] words. Returns false, with nothing written, where the values lie too far apart:
 * beyond ±2^52, or with differences of more than 32 bits within a block. Such values gain nothing from differences.
 */
export function writeDeltaLongs(out: ByteBuffer, words: Int32Array, count: number): boolean {
  if (values.length < count) values = new Float64Array(count);
  for (let index = 0; index < count; index++) {
    const high = words[index * 2 + 1] as number;
    if (high < -highLimit || high >= highLimit) return false;
    values[index] = high * 0x1_0000_0000 + ((words[index * 2] as number) >>> 0);
  }
  const start = out.length;
  const isDone = writeDeltas(out, count);
  if (!isDone) out.length = start;
  return isDone;
}

/** Writes lengths of texts. */
export function writeDeltaLengths(out: ByteBuffer, lengths: Int32Array, count: number): void {
  if (values.length < count) values = new Float64Array(count);
  for (let index = 0; index < count; index++) values[index] = lengths[index] as number;
  writeDeltas(out, count);
}

/** The first `count` of `values`. */
function writeDeltas(out: ByteBuffer, count: number): boolean {
  let previous = count === 0 ? 0 : (values[0] as number);
  out.varint(blockValues);
  out.varint(miniblocks);
  out.varint(count);
  out.zigzag(previous);
  for (let block = 1; block < count; block += blockValues) {
    const filled = Math.min(blockValues, count - block);
    let smallest = Number.POSITIVE_INFINITY;
    let largest = Number.NEGATIVE_INFINITY;
    for (let index = 0; index < filled; index++) {
      const value = values[block + index] as number;
      const difference = value - previous;
      previous = value;
      differences[index] = difference;
      if (difference < smallest) smallest = difference;
      if (difference > largest) largest = difference;
    }
    if (largest - smallest > 0xffff_ffff || Math.abs(smallest) > 2 ** 51) return false;
    writeBlock(out, filled, smallest);
  }
  return true;
}

function writeBlock(out: ByteBuffer, filled: number, smallest: number): void {
  out.zigzag(smallest);
  const widthsAt = out.length;
  out.uint32(0);
  for (let from = 0, miniblock = 0; from < filled; from += miniblockValues, miniblock++) {
    const to = Math.min(from + miniblockValues, filled);
    let any = 0;
    for (let index = from; index < to; index++) any |= (differences[index] as number) - smallest;
    const width = 32 - Math.clz32(any);
    out.bytes[widthsAt + miniblock] = width;
    packMiniblock(out, { from, to, width, smallest });
  }
}

interface Miniblock {
  readonly from: number;
  readonly to: number;
  readonly width: number;
  readonly smallest: number;
}

/** 32 values of the width, the missing ones as zeros. */
function packMiniblock(out: ByteBuffer, { from, to, width, smallest }: Miniblock): void {
  const bytes = (miniblockValues / 8) * width;
  const memory = out.reserve(bytes);
  const end = out.length + bytes;
  let at = out.length;
  let pending = 0;
  let bits = 0;
  for (let index = from; index < to; index++) {
    const value = ((differences[index] as number) - smallest) | 0;
    pending |= value << bits;
    bits += width;
    if (bits < 32) continue;
    memory[at++] = pending;
    memory[at++] = pending >>> 8;
    memory[at++] = pending >>> 16;
    memory[at++] = pending >>> 24;
    bits -= 32;
    // What of the value did not fit; a shift by 32 would be none at all.
    pending = bits === 0 ? 0 : value >>> (width - bits);
  }
  for (; bits > 0; bits -= 8) {
    memory[at++] = pending;
    pending >>>= 8;
  }
  memory.fill(0, at, end);
  out.length = end;
}
