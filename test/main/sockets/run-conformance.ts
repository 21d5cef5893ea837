import { test } from "node:test";
import { loadUws } from "../../../src/main/sockets/uws-server.js";
import { conformance } from "./conformance.js";
import type { Implementation } from "./test-server.js";

/** Why this implementation cannot be tested on this machine and Node; false where it can. */
export function whyUnavailable(implementation: Implementation): string | false {
  try {
    if (implementation === "uws") loadUws();
    return false;
  } catch (error) {
    return String(error).replace(/\s+/g, " ");
  }
}

/** Runs half of the suite, or says why uWebSockets.js cannot be tested on this machine. */
export function runConformance(half: keyof typeof conformance, implementation: Implementation): void {
  const skip = whyUnavailable(implementation);
  if (skip !== false) {
    test(`uws: conformance of ${half}`, { skip }, () => undefined);
    return;
  }
  conformance[half](implementation);
}
