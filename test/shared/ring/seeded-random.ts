/** Random numbers that a seed replays (mulberry32): tests print the seed, MINIODB_TEST_SEED sets it. */
export class SeededRandom {
  readonly seed: number;
  #state: number;

  constructor(seed: number) {
    this.seed = seed;
    this.#state = seed | 0;
  }

  /** In [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000;
  }

  /** An integer in [0, bound). */
  below(bound: number): number {
    return Math.floor(this.next() * bound);
  }
}

/** The seed from the environment, or a new one. */
export function testSeed(): number {
  const given = Number(process.env["MINIODB_TEST_SEED"]);
  return Number.isInteger(given) && given !== 0 ? given : Math.floor(Math.random() * 0x7fff_ffff) + 1;
}

/** Multiplies the rounds of randomised tests: 1 by default. */
export function testRounds(rounds: number): number {
  const factor = Number(process.env["MINIODB_TEST_ROUNDS"] ?? "1");
  return Math.max(1, Math.round(rounds * (factor > 0 ? factor : 1)));
}
