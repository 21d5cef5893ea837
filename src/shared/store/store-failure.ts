import { MiniodbError } from "../errors.js";
import { ObjectNotFound } from "./object-store.js";

/**
 * True for errors of a store that the same call may not meet again. "There is no such object" is an answer, and a
 * programmer's mistake stays one.
 */
export function isStoreFailure(error: unknown): boolean {
  if (error instanceof ObjectNotFound || error instanceof MiniodbError) return false;
  if (error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError) return false;
  return !(error instanceof Error && error.name === "AssertionFailure");
}
