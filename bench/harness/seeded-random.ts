/** Numbers that follow from a seed: mulberry32 (Tommy Ettinger, public domain), 32 bits of state. */
export interface Random {
  /** From 0 up to, not including, `below`. */
  integer(below: number): number;
  /** From 0 up to, not including, 1; 32 random bits. */
  fraction(): number;
}

export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const fraction = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return { fraction, integer: (below) => Math.floor(fraction() * below) };
}
