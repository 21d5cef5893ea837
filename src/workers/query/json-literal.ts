/**
 * JSON text as it stands within a JSON string: what result_json is in the original API. Only quotes and backslashes need
 * an escape, as JSON text from the query worker holds no control characters.
 *
 * By way of a string with a character per byte, whatever the bytes mean: V8 escapes such a string in one native call,
 * which leaves characters from 0x7f to 0xff as they are. Byte by byte in JavaScript takes twice as long.
 */
export function escapeForLiteral(text: Uint8Array): Uint8Array {
  const bytes = Buffer.from(text.buffer, text.byteOffset, text.byteLength);
  const literal = Buffer.from(JSON.stringify(bytes.toString("latin1")), "latin1");
  return literal.subarray(1, -1);
}
