/**
 * The first page of a segment file `<number, 16 digits>.wal`, version 1. Little-endian. Records (wal-record-v1.ts)
 * follow from byte 4096 on without a gap; behind the last one lie zeros, or what the file held in an earlier life.
 *
 * ```
 *   0  u32  magic            "MWS1"
 *   4  u32  crc32            zlib's, over bytes [8, 64)
 *   8  u32  number           as in the file name
 *  12  u32  previousNumber   of the segment written before this one; 0 for the first of all
 *  16  16 B streamUuid       of the folder
 *  32  f64  previousEnd      where the previous segment's durable records end, bytes
 *  40  f64  createdMs        milliseconds since 1970
 *  48  16 B 0
 *  64       zeros up to 4096
 * ```
 * `previousEnd` makes the end of a segment a fact once there is a next one: damage before it is corruption, and what
 * lies behind it (a torn or failed write that was written again) does not count.
 */
import { crc32 } from "node:zlib";
import { uuidTextAt, writeUuid } from "./uuid-bytes.js";
import { viewOf } from "./wal-record-v1.js";

export const segmentHeaderBytes = 4096;

const segmentMagic = 0x3153_574d;
const checkedFrom = 8;
const checkedTo = 64;

export interface SegmentHeader {
  readonly number: number;
  readonly previousNumber: number;
  readonly stream: string;
  readonly previousEnd: number;
  readonly createdMs: number;
}

export function encodeSegmentHeader(header: SegmentHeader): Uint8Array {
  const bytes = new Uint8Array(segmentHeaderBytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, segmentMagic, true);
  view.setUint32(8, header.number, true);
  view.setUint32(12, header.previousNumber, true);
  writeUuid(view, 16, header.stream);
  view.setFloat64(32, header.previousEnd, true);
  view.setFloat64(40, header.createdMs, true);
  view.setUint32(4, crc32(bytes.subarray(checkedFrom, checkedTo)), true);
  return bytes;
}

/** The header, or undefined where the page is not one of this segment. */
export function parseSegmentHeader(bytes: Uint8Array, number: number): SegmentHeader | undefined {
  if (bytes.length < checkedTo) return undefined;
  const view = viewOf(bytes);
  if (view.getUint32(0, true) !== segmentMagic || view.getUint32(8, true) !== number) return undefined;
  if (view.getUint32(4, true) !== crc32(bytes.subarray(checkedFrom, checkedTo))) return undefined;
  return {
    number,
    previousNumber: view.getUint32(12, true),
    stream: uuidTextAt(view, 16),
    previousEnd: view.getFloat64(32, true),
    createdMs: view.getFloat64(40, true),
  };
}
