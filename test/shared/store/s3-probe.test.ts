import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { MiniodbError } from "../../../src/shared/errors.js";
import { openS3Client } from "../../../src/shared/store/s3-client.js";
import type { S3Options } from "../../../src/shared/store/s3-options.js";
import { probeS3, refusePlainPuts } from "../../../src/shared/store/s3-probe.js";
import { S3Store } from "../../../src/shared/store/s3-store.js";
import { noFault, S3FaultProxy } from "../../harness/s3-fault-proxy.js";
import { type S3TestServer, startS3Server, whyNoS3Server } from "../../harness/s3-server.js";
import { s3OptionsOf } from "./s3-fixture.js";
import { list } from "./store-conformance.js";

const skip = await whyNoS3Server();

describe("the look at a bucket before it is used", { skip }, () => {
  let server: S3TestServer;
  let proxy: S3FaultProxy;
  let options: S3Options;

  before(async () => {
    server = await startS3Server();
    proxy = await S3FaultProxy.start(server.endpoint);
    options = s3OptionsOf(server, await server.createBucket(), { endpoint: proxy.endpoint });
  });
  after(async () => {
    await proxy.stop();
    await server.stop();
  });

  /** `prepare` may change what the client sends. */
  const probe = async (
    changes: Partial<S3Options>,
    timeoutMs = 2_000,
    prepare: (client: ReturnType<typeof openS3Client>) => void = () => {},
  ): Promise<boolean> => {
    const client = openS3Client({ ...options, ...changes });
    prepare(client);
    try {
      return (await probeS3(client, { ...options, ...changes }, timeoutMs)).isConditional;
    } finally {
      client.destroy();
    }
  };

  const refusal = (pattern: RegExp) => (error: unknown) =>
    error instanceof MiniodbError && error.code === "STORE_UNAVAILABLE" && pattern.test(error.message);

  test("finds nothing wrong with a store that does what it should, and leaves nothing there", async () => {
    assert.equal(await probe({}), true);
    assert.equal(await probe({ prefix: "" }), true);
    const client = openS3Client(options);
    assert.deepEqual(await list(new S3Store(client, { ...options, prefix: "" }), ""), []);
    client.destroy();
  });

  test("says what is wrong and what to change", async () => {
    await assert.rejects(probe({ bucket: "no-such-bucket" }), refusal(/NoSuchBucket.*create the bucket/));
    await assert.rejects(probe({ secretAccessKey: "wrong" }), refusal(/SignatureDoesNotMatch.*store\.secretAccessKey/));
    await assert.rejects(probe({ accessKeyId: "wrong" }), refusal(/store\.accessKeyId/));
    await assert.rejects(probe({ endpoint: "http://127.0.0.1:1" }, 300), refusal(/ECONNREFUSED.*store\.endpoint/));
    const https = options.endpoint.replace("http:", "https:");
    await assert.rejects(probe({ endpoint: https }, 300), refusal(/store\.|http/));
  });

  test("says so when the clocks differ", async () => {
    const skewed = probe({}, 2_000, (client) => {
      client.config.systemClockOffset = -3_600_000;
    });
    await assert.rejects(skewed, refusal(/RequestTimeTooSkewed.*clock/));
  });

  test("finds out a store that does not honour If-None-Match", async () => {
    const ignored = await probe({}, 2_000, (client) => {
      client.middlewareStack.add(
        (next) => (args) => {
          const { headers } = args.request as { readonly headers: Record<string, string> };
          delete headers["if-none-match"];
          return next(args);
        },
        { step: "build" },
      );
    });
    assert.equal(ignored, false);
    assert.throws(() => refusePlainPuts(options), refusal(/does not honour If-None-Match/));
  });

  test("waits for a store that is not there yet, or busy", async () => {
    await proxy.down();
    let isDone = false;
    const waiting = probe({}, 20_000).then(() => {
      isDone = true;
    });
    await delay(300);
    assert.equal(isDone, false);
    proxy.plan = () => ({ kind: "answer", code: "ServiceUnavailable" });
    await proxy.up();
    await delay(300);
    assert.equal(isDone, false);
    proxy.plan = () => noFault;
    await waiting;
  });
});
