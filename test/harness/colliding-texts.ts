/**
 * 2^stages texts of one length that have the same 32-bit FNV-1a, as an attacker makes them: per stage two blocks that lead from
 * the state so far to the same next one, found by trying, and every choice of one of each (A. Joux, "Multicollisions in
 * iterated hash functions", 2004). A stage takes some 80,000 tries.
 */
export function collidingTexts(stages: number): string[] {
  let state = 0x811c_9dc5;
  let texts = [""];
  for (let stage = 0; stage < stages; stage++) {
    const tried = new Map<number, string>();
    let next: number | undefined;
    for (let count = 0; next === undefined; count++) {
      // Scattered: blocks that count up collide ten times as late.
      const block = (Math.imul(count, 0x9e37_79b1) >>> 0).toString(36).padStart(7, "0");
      const hash = fnv1a(block, state);
      const other = tried.get(hash);
      tried.set(hash, block);
      if (other === undefined) continue;
      texts = texts.flatMap((text) => [text + other, text + block]);
      next = hash;
    }
    state = next;
  }
  return texts;
}

/** Of ASCII. */
export function fnv1a(text: string, state = 0x811c_9dc5): number {
  let hash = state;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x0100_0193);
  return hash;
}
