import * as zlib from "node:zlib";

type ZstdCompress = (bytes: Uint8Array, options: { readonly params: Readonly<Record<number, number>> }) => Uint8Array;

/** Node has it from 22.15 on; the types are those of Node 20. */
const { zstdCompressSync } = zlib as { readonly zstdCompressSync?: ZstdCompress };
const levelParameter = (zlib.constants as Readonly<Record<string, number>>)["ZSTD_c_compressionLevel"] ?? 100;

/** Higher levels take twice the time for a few per cent. */
const level = 1;

/** False on a Node without ZSTD: frames then hold their bytes as they are. */
export const canCompress: boolean = zstdCompressSync !== undefined;

/** The bytes as one ZSTD frame (RFC 8878), compressed where this Node can. */
export function zstdFrame(bytes: Uint8Array): Uint8Array {
  return zstdCompressSync === undefined
    ? storedFrame(bytes)
    : zstdCompressSync(bytes, { params: { [levelParameter]: level } });
}

const frameHeaderBytes = 9;
const blockHeaderBytes = 3;
const blockBytesMax = 128 * 1024;

/**
 * A frame of raw blocks, which is what ZSTD itself makes of bytes that it cannot shorten.
 *
 * ```
 * u32 magic | a0: single segment, 4-byte size | u32 size | blocks: u24 (bytes << 3 | raw = 0 << 1 | last), bytes
 * ```
 */
export function storedFrame(bytes: Uint8Array): Uint8Array {
  const blocks = Math.max(1, Math.ceil(bytes.length / blockBytesMax));
  const frame = new Uint8Array(frameHeaderBytes + blocks * blockHeaderBytes + bytes.length);
  const view = new DataView(frame.buffer);
  view.setUint32(0, 0xfd2f_b528, true);
  view.setUint8(4, 0xa0);
  view.setUint32(5, bytes.length, true);
  let at = frameHeaderBytes;
  for (let block = 0; block < blocks; block++) {
    const content = bytes.subarray(block * blockBytesMax, (block + 1) * blockBytesMax);
    const header = (content.length << 3) | (block === blocks - 1 ? 1 : 0);
    view.setUint16(at, header & 0xffff, true);
    view.setUint8(at + 2, header >>> 16);
    frame.set(content, at + blockHeaderBytes);
    at += blockHeaderBytes + content.length;
  }
  return frame;
}
