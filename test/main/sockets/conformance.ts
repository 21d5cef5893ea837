import { testBodies } from "./conformance-bodies.js";
import { testRequests } from "./conformance-requests.js";
import { testStreams } from "./conformance-streams.js";
import type { Implementation } from "./test-server.js";

/** The one suite that both implementations of the sockets layer pass. */
export function testConformance(implementation: Implementation): void {
  testRequests(implementation);
  testBodies(implementation);
  testStreams(implementation);
}
