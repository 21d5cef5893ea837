import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type CancelSignal, Canceller } from "../../../src/main/query/cancel-signal.js";

/** AbortSignal is the model; both must do the same. */
const makers: Readonly<Record<string, () => { readonly signal: CancelSignal; abort(reason: Error): void }>> = {
  Canceller: () => {
    const canceller = new Canceller();
    return { signal: canceller, abort: (reason) => canceller.abort(reason) };
  },
  AbortController: () => new AbortController(),
};

for (const [name, make] of Object.entries(makers)) {
  describe(`cancelling by ${name}`, () => {
    test("listeners are told once, in their order, without those that left", () => {
      const control = make();
      const { signal } = control;
      const told: string[] = [];
      const leaver = (): void => void told.push("left");
      const late = (): void => void told.push("removed during the abort");
      const why = new Error("why");
      const stranger = (): void => {};
      const once = { once: true } as const;
      signal.addEventListener("abort", () => told.push("first"), once);
      signal.addEventListener("abort", leaver, once);
      const second = (): void => {
        told.push(`second ${signal.reason.message} ${signal.aborted}`);
        signal.removeEventListener("abort", late);
      };
      signal.addEventListener("abort", second, once);
      signal.addEventListener("abort", late, once);
      signal.addEventListener("abort", () => told.push("last"), once);
      signal.removeEventListener("abort", leaver);
      signal.removeEventListener("abort", stranger);
      assert.equal(signal.aborted, false);
      signal.throwIfAborted();
      control.abort(why);
      control.abort(new Error("again"));
      signal.addEventListener("abort", () => told.push("too late"), once);
      assert.deepEqual(told, ["first", "second why true", "last"]);
      assert.equal(signal.reason, why);
      assert.throws(
        () => signal.throwIfAborted(),
        (error) => error === why,
      );
    });
  });
}
