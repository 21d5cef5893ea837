import { hexValue } from "./json-scanner.js";

const backslash = 0x5c;
const letterU = 0x75;

/** What the byte behind a backslash stands for ("\", "/" and the quote for themselves), or 0; "u" is not among them. */
export const escapeValues = new Uint8Array(256);
for (const [letter, value] of Object.entries({ '"': 0x22, "\\": 0x5c, "/": 0x2f, b: 8, f: 12, n: 10, r: 13, t: 9 })) {
  escapeValues[letter.charCodeAt(0)] = value;
}

/** U+FFFD, which TextEncoder writes for half a surrogate pair. */
const replacement = 0xfffd;

/**
 * Writes the text of the JSON string bytes[start, end) (without its quotes, which a JsonScanner has accepted) to
 * `target` from its start on as UTF-8; returns the number of bytes, at most end - start. Half a surrogate pair
 * becomes U+FFFD.
 */
export function unescapeString(bytes: Uint8Array, start: number, end: number, target: Uint8Array): number {
  let to = 0;
  let at = start;
  while (at < end) {
    const byte = bytes[at] as number;
    if (byte !== backslash) {
      target[to++] = byte;
      at++;
    } else if (bytes[at + 1] !== letterU) {
      target[to++] = escapeValues[bytes[at + 1] as number] as number;
      at += 2;
    } else {
      // Characters past U+FFFF are escaped as the two halves that UTF-16 has for them (RFC 8259, section 7).
      let code = hexQuad(bytes, at + 2);
      at += 6;
      if ((code & 0xfc00) === 0xd800 && bytes[at] === backslash && bytes[at + 1] === letterU) {
        const low = hexQuad(bytes, at + 2);
        if ((low & 0xfc00) === 0xdc00) {
          code = 0x10000 + ((code & 0x3ff) << 10) + (low & 0x3ff);
          at += 6;
        }
      }
      if ((code & ~0x7ff) === 0xd800) code = replacement;
      to = writeCharacter(target, to, code);
    }
  }
  return to;
}

/** The UTF-16 unit of the four hexadecimal digits at `at`. */
function hexQuad(bytes: Uint8Array, at: number): number {
  let value = 0;
  for (let digit = at; digit < at + 4; digit++) value = (value << 4) | hexValue(bytes[digit] as number);
  return value;
}

/** Encodes one code point (RFC 3629, section 3); returns the position behind it. */
function writeCharacter(target: Uint8Array, to: number, code: number): number {
  if (code < 0x80) {
    target[to] = code;
    return to + 1;
  }
  if (code < 0x800) {
    target[to] = 0xc0 | (code >> 6);
    target[to + 1] = 0x80 | (code & 0x3f);
    return to + 2;
  }
  if (code < 0x10000) {
    target[to] = 0xe0 | (code >> 12);
    target[to + 1] = 0x80 | ((code >> 6) & 0x3f);
    target[to + 2] = 0x80 | (code & 0x3f);
    return to + 3;
  }
  target[to] = 0xf0 | (code >> 18);
  target[to + 1] = 0x80 | ((code >> 12) & 0x3f);
  target[to + 2] = 0x80 | ((code >> 6) & 0x3f);
  target[to + 3] = 0x80 | (code & 0x3f);
  return to + 4;
}
