import { assert } from "../../shared/assert.js";

/**
 * Something that several users hold: it is let go when the last one releases it. It begins with one user, who releases
 * it like any other: whoever makes a lease and hands it on retains it for the next before its own release.
 *
 * Counted by hand, as what it stands for (files of a snapshot, room in the file cache) is no memory that a garbage
 * collector would miss.
 */
export class Lease {
  readonly #onFree: () => void;
  #users = 1;

  constructor(onFree: () => void) {
    this.#onFree = onFree;
  }

  /** Each call is owed one release. */
  retain(): void {
    assert(this.#users > 0, "what was let go is not held again");
    this.#users++;
  }

  /** `onFree` runs within the last of these calls. */
  release(): void {
    assert(this.#users > 0, "each user releases once");
    this.#users--;
    if (this.#users === 0) this.#onFree();
  }
}
