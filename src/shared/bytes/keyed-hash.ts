/**
 * A hash of bytes for tables whose keys a client chooses: HalfSipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input
 * PRF", 2012; the 32-bit form and the numbers of rounds are those of Linux's `hsiphash`). Who does not know the key cannot
 * choose keys that collide. FNV-1a lets anybody do that, and a seed would be no help: whether two texts of one length collide
 * depends on the seed's lowest eight bits only.
 */
import { randomFillSync } from "node:crypto";

/** 64 bits. */
export interface HashKey {
  readonly low: number;
  readonly high: number;
}

/** One that nobody knows. */
export function newHashKey(): HashKey {
  const [low = 0, high = 0] = randomFillSync(new Int32Array(2));
  return { low, high };
}

/** Rounds after the last byte. */
const finalRounds = 3;

/** Of bytes [start, end), as a signed 32-bit number whose bits are all as good. */
export function keyedHash(bytes: Uint8Array, start: number, end: number, { low, high }: HashKey): number {
  let v0 = low;
  let v1 = high;
  let v2 = low ^ 0x6c79_6765;
  let v3 = high ^ 0x7465_6462;
  const words = (end - start) >> 2;
  for (let step = 0; step <= words + finalRounds; step++) {
    let word = 0;
    if (step < words) {
      const at = start + step * 4;
      word =
        (bytes[at] as number) |
        ((bytes[at + 1] as number) << 8) |
        ((bytes[at + 2] as number) << 16) |
        ((bytes[at + 3] as number) << 24);
    } else if (step === words) word = restWord(bytes, start, end);
    else if (step === words + 1) v2 ^= 0xff;
    v3 ^= word;
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    v0 ^= word;
  }
  return v1 ^ v3;
}

/** The bytes that are no whole word, and the length above them. */
function restWord(bytes: Uint8Array, start: number, end: number): number {
  let word = (end - start) << 24;
  const from = end - ((end - start) & 3);
  for (let at = from; at < end; at++) word |= (bytes[at] as number) << ((at - from) * 8);
  return word;
}
