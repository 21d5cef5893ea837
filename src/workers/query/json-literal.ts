const quote = 0x22;
const backslash = 0x5c;

/**
 * JSON text as a JSON string literal, quotes included: what result_json is in the original API. Only quotes and
 * backslashes need an escape, as JSON text from the query worker holds no control characters.
 */
export function jsonLiteral(text: Uint8Array): Uint8Array {
  let escapes = 0;
  for (let at = 0; at < text.length; at++) {
    const byte = text[at];
    if (byte === quote || byte === backslash) escapes++;
  }
  const literal = new Uint8Array(text.length + escapes + 2);
  literal[0] = quote;
  let to = 1;
  for (let at = 0; at < text.length; at++) {
    const byte = text[at] as number;
    if (byte === quote || byte === backslash) literal[to++] = backslash;
    literal[to++] = byte;
  }
  literal[to] = quote;
  return literal;
}
