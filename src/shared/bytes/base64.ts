/**
 * Base64 (RFC 4648 section 4, padded) from bytes to bytes: a column of short texts costs no JavaScript string per row.
 */
const alphabet = Buffer.from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", "latin1");
/** No digit has the two highest bits. */
const noDigit = 192;
const digitOf = new Uint8Array(256).fill(noDigit);
for (const [digit, character] of alphabet.entries()) digitOf[character] = digit;
const padding = 0x3d;

/** Some bytes of more. */
export interface ByteSpan {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly length: number;
}

/** Where bytes are written, for which there is room. */
export interface BytePlace {
  readonly bytes: Uint8Array;
  readonly at: number;
}

/** Characters of so many bytes. */
export function base64Bytes(bytes: number): number {
  return 4 * Math.ceil(bytes / 3);
}

/** Writes the text of the source's bytes, and returns where it ends. */
export function encodeBase64({ bytes, start, length }: ByteSpan, target: BytePlace): number {
  const { bytes: text, at } = target;
  let to = at;
  for (let i = 0; i < length; i += 3) {
    const left = length - i;
    const one = bytes[start + i] as number;
    const two = left > 1 ? (bytes[start + i + 1] as number) : 0;
    const three = left > 2 ? (bytes[start + i + 2] as number) : 0;
    text[to] = alphabet[one >> 2] as number;
    text[to + 1] = alphabet[((one & 3) << 4) | (two >> 4)] as number;
    text[to + 2] = left > 1 ? (alphabet[((two & 15) << 2) | (three >> 6)] as number) : padding;
    text[to + 3] = left > 2 ? (alphabet[three & 63] as number) : padding;
    to += 4;
  }
  return to;
}

/**
 * Writes the bytes that the source's text stands for, and returns how many they are; -1 where it is no such text: the target
 * may hold some of them then, never more than three quarters of the text's length.
 */
export function decodeBase64({ bytes, start, length }: ByteSpan, target: BytePlace): number {
  if (length % 4 !== 0 || length === 0) return -1;
  const { bytes: decoded } = target;
  const end = start + length;
  const padded = bytes[end - 1] !== padding ? 0 : bytes[end - 2] === padding ? 2 : 1;
  const whole = padded === 0 ? end : end - 4;
  let to = target.at;
  let seen = 0;
  for (let from = start; from < whole; from += 4) {
    const one = digitOf[bytes[from] as number] as number;
    const two = digitOf[bytes[from + 1] as number] as number;
    const three = digitOf[bytes[from + 2] as number] as number;
    const four = digitOf[bytes[from + 3] as number] as number;
    seen |= one | two | three | four;
    decoded[to] = (one << 2) | (two >> 4);
    decoded[to + 1] = (two << 4) | (three >> 2);
    decoded[to + 2] = (three << 6) | four;
    to += 3;
  }
  if (padded > 0) {
    const one = digitOf[bytes[whole] as number] as number;
    const two = digitOf[bytes[whole + 1] as number] as number;
    const three = padded === 2 ? 0 : (digitOf[bytes[whole + 2] as number] as number);
    // The bits behind the last byte are zero: a value has one text.
    const rest = padded === 2 ? two & 15 : three & 3;
    seen |= one | two | three | (rest === 0 ? 0 : noDigit);
    decoded[to++] = (one << 2) | (two >> 4);
    if (padded === 1) decoded[to++] = (two << 4) | (three >> 2);
  }
  return (seen & noDigit) === 0 ? to - target.at : -1;
}
