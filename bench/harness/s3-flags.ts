import type { S3TestServer } from "../../test/harness/s3-server.js";

/** Options of the store as a server's flags; the credentials are the test's. */
export function storeFlags(server: S3TestServer, bucket: string, endpoint: string = server.endpoint): string[] {
  return [
    ["--store-bucket", bucket, "--store-endpoint", endpoint, "--store-region", server.region],
    ["--store-access-key-id", server.accessKeyId, "--store-secret-access-key", server.secretAccessKey],
  ].flat();
}
