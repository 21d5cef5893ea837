import { test } from "node:test";
import { loadUws } from "../../../src/main/sockets/uws-server.js";
import { conformance } from "./conformance.js";
import type { Implementation } from "./test-server.js";

/** Runs half of the suite, or says why uWebSockets.js cannot be tested on this machine. */
export function runConformance(half: keyof typeof conformance, implementation: Implementation): void {
  try {
    if (implementation === "uws") loadUws();
  } catch (error) {
    test(`uws: conformance of ${half}`, { skip: String(error).replace(/\s+/g, " ") }, () => undefined);
    return;
  }
  conformance[half](implementation);
}
