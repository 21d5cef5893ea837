const statementsMax = 1_000;

/**
 * Statements, by their fingerprint, whose results were too large for the first, limited run the last time: they need
 * not try it again. Bounded; the oldest is forgotten first, and costs its statement one such run.
 */
export class LargeResults {
  readonly #fingerprints = new Set<string>();

  has(fingerprint: string): boolean {
    return this.#fingerprints.has(fingerprint);
  }

  add(fingerprint: string): void {
    const [oldest] = this.#fingerprints;
    if (this.#fingerprints.size >= statementsMax && oldest !== undefined) this.#fingerprints.delete(oldest);
    this.#fingerprints.add(fingerprint);
  }

  delete(fingerprint: string): void {
    this.#fingerprints.delete(fingerprint);
  }
}
