import { readFileSync } from "node:fs";
import { rootCertificates } from "node:tls";
import type { S3Client, S3ClientConfig } from "@aws-sdk/client-s3";
import { requirePackage } from "../require-package.js";
import { MiniodbError } from "../errors.js";
import type { S3Options } from "./s3-options.js";

/**
 * A client with connections of its own. It never repeats a request by itself: after a conditional put that was repeated
 * unseen, "there is one already" could mean our own. RetryingStore repeats what may be repeated. Throws STORE_UNAVAILABLE
 * where the file of certificates cannot be read.
 */
export function openS3Client(options: S3Options): S3Client {
  const { endpoint, region, isPathStyle, accessKeyId, secretAccessKey, sessionToken } = options;
  const agent = { keepAlive: true, maxSockets: options.connectionsMax };
  const ca = options.caFile === "" ? undefined : [...rootCertificates, readCertificates(options.caFile)];
  const config: S3ClientConfig = {
    region,
    forcePathStyle: isPathStyle,
    maxAttempts: 1,
    // It would cost a round trip, and seconds where a proxy on the way does not know it.
    expectContinueHeader: false,
    // Uploads carry a checksum that the store makes its own; see s3-store.ts. Of whole objects it is checked on the way back.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    requestHandler: {
      connectionTimeout: options.connectTimeoutMs,
      socketTimeout: options.idleTimeoutMs,
      // Requests beyond the connections wait on purpose.
      socketAcquisitionWarningTimeout: 0x7fff_ffff,
      httpAgent: agent,
      httpsAgent: ca === undefined ? agent : { ...agent, ca },
    },
    ...(endpoint !== "" && { endpoint }),
    ...(accessKeyId !== "" && {
      credentials: { accessKeyId, secretAccessKey, ...(sessionToken !== "" && { sessionToken }) },
    }),
  };
  const client = new (requirePackage("@aws-sdk/client-s3").S3Client)(config);
  client.middlewareStack.add(
    (next) => (call) => {
      leaveBodyUnsigned(call.request);
      return next(call);
    },
    { step: "build", name: "leaveBodyUnsigned" },
  );
  return client;
}

/**
 * Over TLS nobody changes a body on its way, and its CRC-32C is in a header that is signed: the SHA-256 that the SDK would
 * make of it for the signature, and the server to compare, takes either of them a millisecond per MiB. Over plain HTTP it is
 * what keeps others from changing the body, and stays.
 */
function leaveBodyUnsigned(request: unknown): void {
  const { protocol, headers, body } = request as {
    readonly protocol?: string;
    readonly headers: Record<string, string>;
    readonly body?: unknown;
  };
  if (protocol === "https:" && ArrayBuffer.isView(body)) headers["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD";
}

function readCertificates(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new MiniodbError("STORE_UNAVAILABLE", `The certificates of store.caFile cannot be read: ${String(error)}`);
  }
}
