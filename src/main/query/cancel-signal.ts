import { assert } from "../../shared/assert.js";

/**
 * What queries need of an AbortSignal, which is one. A query has two signals and up to six listeners for them, all for
 * nothing when it ends well: with AbortController and EventTarget that was a tenth of what a small query costs this
 * thread.
 */
export interface CancelSignal {
  readonly aborted: boolean;
  /** Of an abort; before it there is none. */
  readonly reason: Error;
  /** Listeners are told once, in the order of their coming; one that comes after the abort is not told. */
  addEventListener(type: "abort", listener: () => void, options: { readonly once: true }): void;
  removeEventListener(type: "abort", listener: () => void): void;
  throwIfAborted(): void;
}

/** A CancelSignal with its own `abort`. */
export class Canceller implements CancelSignal {
  /** Few, so that looking through all of them is quick. */
  readonly #listeners: (() => void)[] = [];
  #reason: Error | null = null;

  get aborted(): boolean {
    return this.#reason !== null;
  }

  get reason(): Error {
    assert(this.#reason !== null, "only an abort has a reason");
    return this.#reason;
  }

  /** The first reason stays. Runs the listeners, which must not throw. */
  abort(reason: Error): void {
    if (this.#reason !== null) return;
    this.#reason = reason;
    // One at a time: a listener may remove another one.
    for (let next = this.#listeners.shift(); next !== undefined; next = this.#listeners.shift()) next();
  }

  addEventListener(_type: "abort", listener: () => void): void {
    if (this.#reason === null) this.#listeners.push(listener);
  }

  removeEventListener(_type: "abort", listener: () => void): void {
    const index = this.#listeners.indexOf(listener);
    if (index !== -1) this.#listeners.splice(index, 1);
  }

  throwIfAborted(): void {
    if (this.#reason !== null) throw this.#reason;
  }
}
