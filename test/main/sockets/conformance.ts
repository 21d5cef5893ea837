import { testBodies } from "./conformance-bodies.js";
import { testLifecycle } from "./conformance-lifecycle.js";
import { testRequests } from "./conformance-requests.js";
import { testStreams } from "./conformance-streams.js";
import { testWebSockets } from "./conformance-web-sockets.js";
import type { Implementation } from "./test-server.js";

/** The one suite that both implementations of the sockets layer pass, in two halves that may run side by side. */
export const conformance = {
  requests: (implementation: Implementation): void => {
    testRequests(implementation);
    testBodies(implementation);
  },
  connections: (implementation: Implementation): void => {
    testStreams(implementation);
    testWebSockets(implementation);
    testLifecycle(implementation);
  },
};
