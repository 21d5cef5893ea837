/** Run beside the first tests: installs what the last ones need, so that they need not wait; says nothing where it cannot. */
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

await quietly(whyNoRedis);
await quietly(whyNoS3Server);
