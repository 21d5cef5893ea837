import { type S3TestServer, startS3Server, whyNoS3Server } from "../../test/harness/s3-server.js";

/** A real S3 server of its own for what `use` measures; throws why there is none, where there is none. */
export async function withS3Server<Result>(use: (server: S3TestServer) => Promise<Result>): Promise<Result> {
  const missing = await whyNoS3Server();
  if (missing !== false) throw new Error(missing);
  const server = await startS3Server();
  try {
    return await use(server);
  } finally {
    await server.stop();
  }
}
