const quote = 0x22;
const backslash = 0x5c;

/**
 * JSON text as it stands within a JSON string: what result_json is in the original API. Only quotes and backslashes need
 * an escape, as JSON text from the query worker holds no control characters. A part of `room`, which has twice the text's
 * bytes.
 *
 * One pass into room for the longest outcome: to count the escapes before takes as long as to write them, and the way
 * by JSON.stringify of a string with a character per byte, four native calls and as many copies, twice to five times as
 * long.
 */
export function escapeForLiteral(text: Uint8Array, room: Uint8Array): Uint8Array {
  let to = 0;
  for (let at = 0; at < text.length; at++) {
    const byte = text[at] as number;
    if (byte === quote || byte === backslash) room[to++] = backslash;
    room[to++] = byte;
  }
  return room.subarray(0, to);
}
