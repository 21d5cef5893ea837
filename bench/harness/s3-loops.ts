/** What the s3 suite is measured against: the same bytes by plain parallel loops over the AWS SDK's own client. */
import { GetObjectCommand, HeadObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import type { S3TestServer } from "../../test/harness/s3-server.js";

/** Requests under way at once. */
const parallel = 8;

export class S3Loops {
  readonly #client: S3Client;
  readonly #bucket: string;

  constructor({ endpoint, region, accessKeyId, secretAccessKey }: S3TestServer, bucket: string) {
    this.#client = new S3Client({
      endpoint,
      region,
      credentials: { accessKeyId, secretAccessKey },
      forcePathStyle: true,
      // As little work as the protocol allows: a reference must not be slowed by what it need not do.
      requestChecksumCalculation: "WHEN_REQUIRED",
      responseChecksumValidation: "WHEN_REQUIRED",
    });
    this.#bucket = bucket;
  }

  /** Bodies of the objects, and the milliseconds that it took. */
  async get(keys: readonly string[]): Promise<{ readonly bodies: Uint8Array[]; readonly elapsedMs: number }> {
    const bodies: Uint8Array[] = [];
    const startMs = performance.now();
    await each(keys, async (key) => {
      const { Body: body } = await this.#client.send(new GetObjectCommand({ Bucket: this.#bucket, Key: key }));
      bodies.push((await body?.transformToByteArray()) ?? new Uint8Array());
    });
    return { bodies, elapsedMs: performance.now() - startMs };
  }

  async sizes(keys: readonly string[]): Promise<number[]> {
    const sizeOf = async (key: string): Promise<number> => {
      return (await this.#client.send(new HeadObjectCommand({ Bucket: this.#bucket, Key: key }))).ContentLength ?? 0;
    };
    return Promise.all(keys.map(sizeOf));
  }

  /** Milliseconds to put them, under new keys. */
  async put(bodies: readonly Uint8Array[], prefix: string): Promise<number> {
    const startMs = performance.now();
    await each([...bodies.entries()], async ([index, body]) => {
      await this.#client.send(new PutObjectCommand({ Bucket: this.#bucket, Key: `${prefix}/${index}`, Body: body }));
    });
    return performance.now() - startMs;
  }

  close(): void {
    this.#client.destroy();
  }
}

async function each<Item>(items: readonly Item[], act: (item: Item) => Promise<void>): Promise<void> {
  let next = 0;
  const run = async (): Promise<void> => {
    for (let index = next++; index < items.length; index = next++) await act(items[index] as Item);
  };
  await Promise.all(Array.from({ length: parallel }, run));
}
