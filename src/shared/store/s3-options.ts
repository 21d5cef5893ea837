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
}

/** `s3://bucket/prefix`, for logs and metadata. */
export function warehouseUri(options: Pick<S3Options, "bucket" | "prefix">): string {
  return options.prefix === "" ? `s3://${options.bucket}` : `s3://${options.bucket}/${options.prefix}`;
}
