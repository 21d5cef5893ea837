/** A byte order mark is text here. */
const textDecoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** A text of at most so many bytes that is not greater than the given UTF-8: a prefix, cut between characters. */
export function lowerTextBound(text: Uint8Array, bytesMax: number): string {
  return textDecoder.decode(prefixOf(text, bytesMax));
}

/**
 * A text of about so many bytes that is not smaller, by unsigned bytes. What is cut off is made up for by raising the
 * last character that can be raised (Iceberg specification, "truncated bounds"). Null where none can.
 */
export function upperTextBound(text: Uint8Array, bytesMax: number): string | null {
  const prefix = prefixOf(text, bytesMax);
  if (prefix.length === text.length) return textDecoder.decode(prefix);
  const characters = Array.from(textDecoder.decode(prefix));
  for (let index = characters.length - 1; index >= 0; index--) {
    const codePoint = (characters[index] as string).codePointAt(0) as number;
    // Surrogates are no characters: the next one after U+D7FF is U+E000.
    const next = codePoint === 0xd7ff ? 0xe000 : codePoint + 1;
    if (next <= 0x10_ffff) return characters.slice(0, index).join("") + String.fromCodePoint(next);
  }
  return null;
}

function prefixOf(text: Uint8Array, bytesMax: number): Uint8Array {
  if (text.length <= bytesMax) return text;
  let end = bytesMax;
  // Back over continuation bytes to where a character starts.
  while (end > 0 && ((text[end] as number) & 0xc0) === 0x80) end--;
  return text.subarray(0, end);
}
