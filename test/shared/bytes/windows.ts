import { ByteWindow } from "../../../src/shared/bytes/byte-window.js";

/** A window on the text's UTF-8, with `before` bytes of something else in front. */
export function windowOf(text: string | Uint8Array, before = ""): ByteWindow {
  const body = Buffer.concat([Buffer.from(before), typeof text === "string" ? Buffer.from(text) : text]);
  const window = new ByteWindow(64);
  window.load(body, 0, body.length);
  return window;
}

/** The 64-bit integer that a reader has stored as two halves. */
export function joinHalves(out: Int32Array, index = 0): bigint {
  return (BigInt(out[index * 2 + 1] as number) << 32n) | BigInt((out[index * 2] as number) >>> 0);
}
