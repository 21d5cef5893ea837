/**
 * CRC-32C (Castagnoli, RFC 3720 B.4), which S3 checks uploads by. Node has only CRC-32 natively, and the SDK's own takes
 * 6 ms per MiB, one byte a step: here eight bytes a step ("slicing by 8", Kounavis and Berry, 2005), with tables in which
 * `tables[256 k + b]` is the checksum of byte `b` followed by `k` zero bytes.
 */
const reversedPolynomial = 0x82f63b78;
const slices = 8;

const tables = makeTables();

function makeTables(): Int32Array {
  const made = new Int32Array(256 * slices);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ reversedPolynomial : crc >>> 1;
    made[byte] = crc;
  }
  for (let at = 256; at < made.length; at++) {
    const before = made[at - 256] as number;
    made[at] = (made[before & 0xff] as number) ^ (before >>> 8);
  }
  return made;
}

/** Of all bytes, as an unsigned 32-bit number; `before` is the checksum of the bytes before these, where they are a part. */
export function crc32c(bytes: Uint8Array, before = 0): number {
  const at = (slice: number, byte: number): number => tables[(slice << 8) | byte] as number;
  const sliced = bytes.length - (bytes.length % slices);
  let crc = ~before;
  let index = 0;
  for (; index < sliced; index += slices) {
    const low =
      crc ^
      ((bytes[index] as number) |
        ((bytes[index + 1] as number) << 8) |
        ((bytes[index + 2] as number) << 16) |
        ((bytes[index + 3] as number) << 24));
    crc =
      at(7, low & 0xff) ^
      at(6, (low >>> 8) & 0xff) ^
      at(5, (low >>> 16) & 0xff) ^
      at(4, low >>> 24) ^
      at(3, bytes[index + 4] as number) ^
      at(2, bytes[index + 5] as number) ^
      at(1, bytes[index + 6] as number) ^
      at(0, bytes[index + 7] as number);
  }
  for (; index < bytes.length; index++) crc = at(0, (crc ^ (bytes[index] as number)) & 0xff) ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** As the headers of S3 have it: base64 of the four bytes, most significant first. */
export function crc32cBase64(bytes: Uint8Array): string {
  const word = Buffer.alloc(4);
  word.writeUInt32BE(crc32c(bytes));
  return word.toString("base64");
}
