/** Random numbers that a seed replays (splitmix32). */
export interface SeededRandom {
  /** In [0, 1). */
  readonly real: () => number;
  /** In [0, below). */
  readonly integer: (below: number) => number;
  readonly pick: <T>(items: readonly T[]) => T;
}

export function seededRandom(seed: number): SeededRandom {
  let state = seed | 0;
  const next = (): number => {
    state = (state + 0x9e37_79b9) | 0;
    let mixed = state ^ (state >>> 16);
    mixed = Math.imul(mixed, 0x21f0_aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a_2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  };
  const real = (): number => (next() * 0x20_0000 + (next() >>> 11)) / 2 ** 53;
  const integer = (below: number): number => Math.floor(real() * below);
  return { real, integer, pick: (items) => items[integer(items.length)] as (typeof items)[number] };
}
