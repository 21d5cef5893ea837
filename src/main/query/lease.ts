import { assert } from "../../shared/assert.js";

/** Something that several users hold: it is let go when the last one releases it. It begins with one user. */
export class Lease {
  readonly #onFree: () => void;
  #users = 1;

  constructor(onFree: () => void) {
    this.#onFree = onFree;
  }

  retain(): void {
    assert(this.#users > 0, "what was let go is not held again");
    this.#users++;
  }

  release(): void {
    assert(this.#users > 0, "each user releases once");
    this.#users--;
    if (this.#users === 0) this.#onFree();
  }
}
