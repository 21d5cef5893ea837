const quote = 0x22;
const backslash = 0x5c;

/**
 * JSON text as it stands within a JSON string: what result_json is in the original API. Only quotes and backslashes need
 * an escape, as JSON text from the query worker holds no control characters.
 */
export function escapeForLiteral(text: Uint8Array): Uint8Array {
  let escapes = 0;
  for (let at = 0; at < text.length; at++) {
    const byte = text[at];
    if (byte === quote || byte === backslash) escapes++;
  }
  const escaped = new Uint8Array(text.length + escapes);
  let to = 0;
  for (let at = 0; at < text.length; at++) {
    const byte = text[at] as number;
    if (byte === quote || byte === backslash) escaped[to++] = backslash;
    escaped[to++] = byte;
  }
  return escaped;
}
