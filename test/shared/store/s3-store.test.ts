import { after, before } from "node:test";
import { openS3Client } from "../../../src/shared/store/s3-client.js";
import type { S3Options } from "../../../src/shared/store/s3-options.js";
import { S3Store } from "../../../src/shared/store/s3-store.js";
import { type S3TestServer, startS3Server, whyNoS3Server } from "../../harness/s3-server.js";
import { testConformance } from "./store-conformance.js";

const mib = 1024 * 1024;
const skip = await whyNoS3Server();

let server: S3TestServer;
before(async () => {
  if (skip === false) server = await startS3Server();
});
after(async () => {
  if (skip === false) await server.stop();
});

function optionsOf(bucket: string, changes: Partial<S3Options> = {}): S3Options {
  return {
    bucket,
    prefix: "some/prefix",
    endpoint: server.endpoint,
    region: server.region,
    isPathStyle: true,
    accessKeyId: server.accessKeyId,
    secretAccessKey: server.secretAccessKey,
    sessionToken: "",
    caFile: "",
    connectionsMax: 32,
    connectTimeoutMs: 5_000,
    idleTimeoutMs: 10_000,
    multipartBytes: 8 * mib,
    partBytes: 5 * mib,
    partsAtOnce: 3,
    ...changes,
  };
}

function open(options: S3Options): { readonly store: S3Store; readonly close: () => void } {
  const client = openS3Client(options);
  return { store: new S3Store(client, options), close: () => client.destroy() };
}

testConformance(
  "S3",
  async () => {
    const options = optionsOf(await server.createBucket());
    const [one, other] = [open(options), open(options)];
    const close = (): void => {
      one.close();
      other.close();
    };
    return { store: one.store, other: other.store, close };
  },
  { skip, largeBytes: 23 * mib + 1, listedKeys: 2_001 },
);
