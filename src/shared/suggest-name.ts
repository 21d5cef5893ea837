import { editDistance } from "./edit-distance.js";

/** The known name that is nearest to what was written, when it is near enough to be meant. */
export function suggestName(written: string, known: readonly string[]): string | null {
  const text = written.toLowerCase();
  let best: string | null = null;
  let bestDistance = Math.max(1, Math.floor(text.length / 3)) + 1;
  for (const name of known) {
    if (Math.abs(name.length - text.length) >= bestDistance) continue;
    const distance = editDistance(text, name.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [name, distance];
  }
  return best;
}
