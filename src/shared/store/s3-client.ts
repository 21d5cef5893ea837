import { readFileSync } from "node:fs";
import { rootCertificates } from "node:tls";
import { S3Client, type S3ClientConfig } from "@aws-sdk/client-s3";
import { MiniodbError } from "../errors.js";

/** Where the bucket is and how to speak to it. Holds secrets: it crosses threads, and is never logged. */
export interface S3Options {
  readonly bucket: string;
  /** What all keys start with, without a slash at either end; empty for the whole bucket. */
  readonly prefix: string;
  /** Such as `https://minio.example:9000`; empty for AWS's own of the region. */
  readonly endpoint: string;
  readonly region: string;
  /** `<endpoint>/<bucket>/<key>`, as servers other than AWS mostly want it; else `<bucket>.<endpoint>/<key>`. */
  readonly isPathStyle: boolean;
  /** Empty for the SDK's chain: environment, profile, web identity, container, instance; those refresh by themselves. */
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
  /** PEM file of certificates that are trusted beside the public ones. */
  readonly caFile: string;
  /** Of this client, which belongs to one thread. */
  readonly connectionsMax: number;
  readonly connectTimeoutMs: number;
  /** A request on whose connection nothing moves for so long is given up. */
  readonly idleTimeoutMs: number;
  /** Files larger than this go up in parts of `partBytes`, `partsAtOnce` of them on their way and in memory. */
  readonly multipartBytes: number;
  readonly partBytes: number;
  readonly partsAtOnce: number;
  /** The operator's word that no other process writes here: put-if-absent may then be missing from the store. */
  readonly isSingleWriter: boolean;
}

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
  return new S3Client(config);
}

function readCertificates(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new MiniodbError("STORE_UNAVAILABLE", `The certificates of store.caFile cannot be read: ${String(error)}`);
  }
}

/** `s3://bucket/prefix`, for logs and metadata. */
export function warehouseUri(options: Pick<S3Options, "bucket" | "prefix">): string {
  return options.prefix === "" ? `s3://${options.bucket}` : `s3://${options.bucket}/${options.prefix}`;
}
