/**
 * The body of a write with frameFlags.unlessNewer: what main looked at, before the body as a client would send it.
 *
 * ```
 * 0  f64  sequence   little-endian: the look saw everything up to here
 * 8       the body
 * ```
 */
import { assert } from "../assert.js";

const guardBytes = 8;

export function guardBody(sequence: number, text: string): Uint8Array {
  const body = new Uint8Array(guardBytes + Buffer.byteLength(text));
  new DataView(body.buffer).setFloat64(0, sequence, true);
  body.set(Buffer.from(text), guardBytes);
  return body;
}

/** `body` is a view. */
export function readGuardedBody(bytes: Uint8Array): { readonly unlessAfter: number; readonly body: Uint8Array } {
  assert(bytes.length >= guardBytes, "a guarded body has its guard");
  const unlessAfter = new DataView(bytes.buffer, bytes.byteOffset, guardBytes).getFloat64(0, true);
  return { unlessAfter, body: bytes.subarray(guardBytes) };
}
