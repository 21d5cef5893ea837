/**
 * JSON with 64-bit integers. Snapshot ids of other writers use all 63 bits, and `JSON.parse` would round them.
 * Ours fit a double (snapshot.ts), so the detour below runs only where a table was written by someone else too.
 */

/** A 64-bit integer: a number where it is exact, else a bigint; so `===` compares two of them. */
export type LongValue = number | bigint;

/** Starts a string that stands for a bigint while the text passes through JSON.parse and JSON.stringify. */
const mark = "\u0001long:";
const tokenPattern = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const markedPattern = /"\\u0001long:(-?\d+)"/g;
/** Shorter integers are exact. */
const exactDigitsMax = 15;

export function parseExactJson(text: string): unknown {
  if (!/\d{16}/.test(text)) return JSON.parse(text);
  let hasLongs = false;
  const marked = text.replace(tokenPattern, (token) => {
    if (token.length <= exactDigitsMax || !/^-?\d+$/.test(token) || Number.isSafeInteger(Number(token))) return token;
    hasLongs = true;
    return JSON.stringify(mark + token);
  });
  if (!hasLongs) return JSON.parse(text);
  return JSON.parse(marked, (_key, value: unknown) =>
    typeof value === "string" && value.startsWith(mark) ? BigInt(value.slice(mark.length)) : value,
  );
}

export function stringifyExactJson(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch (error) {
    // It holds a bigint. Asking each value by a replacer is slow, and rarely needed.
    if (!(error instanceof TypeError)) throw error;
  }
  const text = JSON.stringify(value, (_key, item: unknown) => (typeof item === "bigint" ? mark + String(item) : item));
  return text.replace(markedPattern, "$1");
}

/** The value in the one form that LongValue has. */
export function toLongValue(value: bigint): LongValue {
  return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
}
