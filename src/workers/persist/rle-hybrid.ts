import type { ByteBuffer } from "./byte-buffer.js";

/**
 * Parquet's hybrid of runs and bit packing, for small unsigned numbers of one width: definition levels and positions in
 * a dictionary. https://parquet.apache.org/docs/file-format/data-pages/encodings/#RLE
 *
 * ```
 * repeated run     varint(count << 1)        | the value in ceil(width / 8) bytes
 * bit-packed run   varint(groups << 1 | 1)   | groups of 8 values, least significant bit first
 * ```
 */

/** A shorter run costs less inside a bit-packed one. */
const repeatedRunMin = 24;

/** The first `count` values, each below 2^width; width 1 to 24. */
export function writeHybrid(out: ByteBuffer, values: Int32Array, count: number, width: number): void {
  let at = 0;
  while (at < count) {
    const run = runLength(values, at, count);
    if (run >= repeatedRunMin) {
      writeRepeated(out, values[at] as number, run, width);
      at += run;
      continue;
    }
    // Bit-packed runs hold a multiple of 8 values, but for the last.
    let end = at + 8;
    while (end < count && !startsRun(values, end, count)) end += 8;
    end = Math.min(end, count);
    out.varint((Math.ceil((end - at) / 8) << 1) | 1);
    packBits(out, values, { from: at, to: end, width });
    at = end;
  }
}

/** Definition levels of a page: all present, all null, or as the validity bits say. Led by their length in bytes. */
export function writeLevels(out: ByteBuffer, validity: Uint8Array | null, rowCount: number, nulls: number): void {
  const lengthAt = out.length;
  out.uint32(0);
  if (validity === null || nulls === 0 || nulls === rowCount) {
    writeRepeated(out, nulls === rowCount ? 0 : 1, rowCount, 1);
  } else {
    const bytes = (rowCount + 7) >> 3;
    out.varint((bytes << 1) | 1);
    out.append(validity.subarray(0, bytes));
  }
  new DataView(out.bytes.buffer).setUint32(lengthAt, out.length - lengthAt - 4, true);
}

function writeRepeated(out: ByteBuffer, value: number, count: number, width: number): void {
  out.varint(count * 2);
  for (let bits = 0; bits < width; bits += 8) out.byte((value >>> bits) & 0xff);
}

function runLength(values: Int32Array, at: number, count: number): number {
  let end = at + 1;
  while (end < count && values[end] === values[at]) end++;
  return end - at;
}

function startsRun(values: Int32Array, at: number, count: number): boolean {
  const last = at + repeatedRunMin - 1;
  if (last >= count || values[last] !== values[at]) return false;
  return runLength(values, at, last + 1) === repeatedRunMin;
}

interface PackedRange {
  readonly from: number;
  readonly to: number;
  readonly width: number;
}

/** Padded with zeros to a multiple of 8 values. */
function packBits(out: ByteBuffer, values: Int32Array, { from, to, width }: PackedRange): void {
  const bytes = Math.ceil((to - from) / 8) * width;
  const memory = out.reserve(bytes);
  const end = out.length + bytes;
  let at = out.length;
  let pending = 0;
  let bits = 0;
  for (let index = from; index < to; index++) {
    // At most 7 bits wait, so that 7 + 24 fit a 32-bit integer.
    pending |= (values[index] as number) << bits;
    for (bits += width; bits >= 8; bits -= 8) {
      memory[at++] = pending;
      pending >>>= 8;
    }
  }
  if (bits > 0) memory[at++] = pending;
  memory.fill(0, at, end);
  out.length = end;
}
