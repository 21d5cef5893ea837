/**
 * The value of four ASCII digits in one little-endian word (the first digit in the lowest byte), or -1 where one of
 * them is no digit. After Lemire, "Quickly parsing eight digits" (2018), halved to the 32 bits that JavaScript has.
 */
export function fourDigits(word: number): number {
  // A byte above "9" carries into its high bit, one below "0" borrows into it.
  if (((word | (word + 0x46464646) | (word - 0x30303030)) & 0x80808080) !== 0) return -1;
  const pairs = (Math.imul(word & 0x0f0f0f0f, 2561) >>> 8) & 0x00ff00ff;
  return Math.imul(pairs, 6553601) >>> 16;
}

/** The value of at most 15 digits at bytes[start, end), which the caller has checked. */
export function digitsValue(bytes: Uint8Array, start: number, end: number): number {
  let value = 0;
  for (let at = start; at < end; at++) value = value * 10 + ((bytes[at] as number) - 48);
  return value;
}
