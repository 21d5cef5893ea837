import { MiniodbError } from "../errors.js";
import { ObjectChanged, ObjectNotFound } from "./object-store.js";

/**
 * What a failed call of a store says:
 *
 * ```
 * refused      it did nothing, and will not: no permission, no such bucket, a request that it does not understand
 * slow-down    it did nothing, and wants fewer requests
 * broken       it was not asked: it has failed so often that calls are held back for a while
 * unclear      no answer, or one that does not tell: the call may have taken effect
 * ```
 */
export type StoreErrorKind = "refused" | "slow-down" | "broken" | "unclear";

export class StoreError extends Error {
  override readonly name = "StoreError";
  readonly kind: StoreErrorKind;

  constructor(kind: StoreErrorKind, message: string) {
    super(message);
    this.kind = kind;
  }
}

/**
 * True for errors of a store that the same call may not meet again. "There is no such object" and "it is another one now"
 * are answers, and a programmer's mistake stays one.
 */
export function isStoreFailure(error: unknown): boolean {
  if (error instanceof ObjectNotFound || error instanceof ObjectChanged || error instanceof MiniodbError) return false;
  if (error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError) return false;
  return !(error instanceof Error && error.name === "AssertionFailure");
}

/** True for store failures after which the same call, a moment later, may go well. */
export function isPassingFailure(error: unknown): boolean {
  const isLasting = error instanceof StoreError && (error.kind === "refused" || error.kind === "broken");
  return isStoreFailure(error) && !isLasting;
}
