/** Bitmaps in Arrow's order: bit per row, least significant first. */

const clearBitsOfByte = new Uint8Array(256);
for (let byte = 0; byte < 256; byte++) {
  let clear = 0;
  for (let bit = 0; bit < 8; bit++) clear += ((byte >> bit) & 1) ^ 1;
  clearBitsOfByte[byte] = clear;
}

/** How many of the first `count` bits are 0. */
export function countClearBits(bits: Uint8Array, count: number): number {
  const whole = count >> 3;
  let clear = 0;
  for (let index = 0; index < whole; index++) clear += clearBitsOfByte[bits[index] as number] as number;
  if ((count & 7) === 0) return clear;
  return clear + (clearBitsOfByte[(bits[whole] as number) | ((0xff << (count & 7)) & 0xff)] as number);
}

export function isBitSet(bits: Uint8Array, bit: number): boolean {
  return ((bits[bit >> 3] as number) & (1 << (bit & 7))) !== 0;
}

export function setBit(bits: Uint8Array, bit: number): void {
  bits[bit >> 3] = (bits[bit >> 3] as number) | (1 << (bit & 7));
}

export function clearBit(bits: Uint8Array, bit: number): void {
  bits[bit >> 3] = (bits[bit >> 3] as number) & ~(1 << (bit & 7));
}

/**
 * Copies the first `count` bits of `source` to `target` from bit `targetBit` on. Bits of `target` before and after
 * stay as they are.
 */
export function copyBits(source: Uint8Array, count: number, target: Uint8Array, targetBit: number): void {
  const shift = targetBit & 7;
  let at = targetBit >> 3;
  const whole = count >> 3;
  if (shift === 0) {
    target.set(source.subarray(0, whole), at);
    at += whole;
  } else {
    // Each source byte fills the high bits of one target byte and the low bits of the next.
    const keepLow = (1 << shift) - 1;
    for (let index = 0; index < whole; index++, at++) {
      const byte = source[index] as number;
      target[at] = ((target[at] as number) & keepLow) | ((byte << shift) & 0xff);
      target[at + 1] = ((target[at + 1] as number) & ~keepLow) | (byte >> (8 - shift));
    }
  }
  for (let bit = whole << 3; bit < count; bit++) {
    if (isBitSet(source, bit)) setBit(target, targetBit + bit);
    else clearBit(target, targetBit + bit);
  }
}
