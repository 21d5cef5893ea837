import { MiniodbError } from "../errors.js";
import { ObjectChanged, ObjectNotFound } from "./object-store.js";

/**
 * True for errors of a store that the same call may not meet again. "There is no such object" and "it is another one now"
 * are answers, and a programmer's mistake stays one.
 */
export function isStoreFailure(error: unknown): boolean {
  if (error instanceof ObjectNotFound || error instanceof ObjectChanged || error instanceof MiniodbError) return false;
  if (error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError) return false;
  return !(error instanceof Error && error.name === "AssertionFailure");
}
