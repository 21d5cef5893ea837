import type { S3Options } from "../../../src/shared/store/s3-options.js";
import type { S3TestServer } from "../../harness/s3-server.js";

const mib = 1024 * 1024;

/** Of a client of the test server; small parts, short time-outs. */
export function s3OptionsOf(server: S3TestServer, bucket: string, changes: Partial<S3Options> = {}): S3Options {
  const { endpoint, region, accessKeyId, secretAccessKey } = server;
  return {
    bucket,
    prefix: "some/prefix",
    endpoint,
    region,
    isPathStyle: true,
    accessKeyId,
    secretAccessKey,
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
