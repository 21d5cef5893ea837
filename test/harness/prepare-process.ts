/** Run beside the first tests: installs what the last ones need, so that they need not wait; says nothing where it cannot. */
import { join } from "node:path";
import { findPython } from "./peer.js";
import { whyNoRedis } from "./redis-server.js";
import { whyNoS3Server } from "./s3-server.js";

/** In CI they throw, and so do the tests that need them: one message is enough. */
async function quietly(find: () => unknown): Promise<void> {
  try {
    await find();
  } catch {
    // The tests say it.
  }
}

// Go builds, if it has to, while Python's packages, which take seconds, are installed.
const s3 = quietly(whyNoS3Server);
await quietly(whyNoRedis);
for (const requirements of ["peers/pyiceberg-requirements.txt", "docker/hadolint-requirements.txt"]) {
  await quietly(() => findPython(join("test", requirements)));
}
await s3;
