import * as zlib from "node:zlib";
import { MiniodbError } from "../../shared/errors.js";
import { frameEncodings } from "../../shared/ring/frame.js";

/** What zlib's one-shot functions return with `info`; `bytesWritten` is how much of the input was consumed. */
interface InflateResult {
  readonly buffer: Uint8Array;
  readonly engine: { readonly bytesWritten: number };
}

type InflateSync = (body: Uint8Array, options: InflateOptions) => InflateResult;

interface InflateOptions {
  readonly info: true;
  readonly maxOutputLength: number;
  readonly chunkSize: number;
  readonly params?: Readonly<Record<number, number>>;
}

const gunzipSync = zlib.gunzipSync as unknown as InflateSync;
/** Node 22.15 and newer; the types at hand are those of Node 20. */
const zstdDecompressSync = (zlib as { readonly zstdDecompressSync?: InflateSync }).zstdDecompressSync;

/** ZSTD_d_windowLogMax of zstd.h: the largest window that a frame may ask to be allocated. */
const zstdWindowLogMaxParameter = 100;
/** RFC 8878 asks every decoder to take windows of 8 MiB: streaming encoders do not know the size to come. */
const zstdWindowLogLeast = 23;
const zstdWindowLogMost = 27;

/** Each frame costs a context: a body of millions of empty ones would hold the worker for minutes. */
const framesMax = 1_000;
const chunkBytesLeast = 16 * 1024;
const chunkBytesMost = 1024 * 1024;

/**
 * Undoes a body's Content-Encoding (a code of `frameEncodings`). The result has at most `inflatedBytesMax` bytes, and
 * no more than about twice that (and a zstd window of at least 8 MiB) is allocated on the way, whatever the body
 * claims. The body may be a view on shared memory; with the identity encoding it is returned as it is.
 *
 * Errors: INVALID_BODY where the body is corrupt, truncated, or goes on after its end; BODY_TOO_LARGE;
 * UNSUPPORTED_MEDIA_TYPE for zstd on a Node without it and for codes that do not exist.
 */
export function inflate(body: Uint8Array, encoding: number, inflatedBytesMax: number): Uint8Array {
  switch (encoding) {
    case frameEncodings.identity:
      return body;
    case frameEncodings.gzip:
      return inflateWith(gunzipSync, body, { name: "gzip", inflatedBytesMax });
    case frameEncodings.zstd: {
      if (zstdDecompressSync !== undefined) {
        return inflateWith(zstdDecompressSync, body, { name: "zstd", inflatedBytesMax });
      }
      throw new MiniodbError(
        "UNSUPPORTED_MEDIA_TYPE",
        "content encoding zstd needs Node 22.15 or newer on the server; send gzip, or no content encoding",
      );
    }
    default:
      throw new MiniodbError("UNSUPPORTED_MEDIA_TYPE", `content encoding ${encoding} is not one of gzip, zstd`);
  }
}

interface Encoding {
  readonly name: "gzip" | "zstd";
  readonly inflatedBytesMax: number;
}

function inflateWith(inflateSync: InflateSync, body: Uint8Array, { name, inflatedBytesMax }: Encoding): Uint8Array {
  const frames: Uint8Array[] = [];
  let inflatedBytes = 0;
  let position = 0;
  // Zlib stops at the end of a zstd frame without a word about what follows; rows may not vanish like that. (Of gzip
  // it reads all members itself, so anything left over fails here as the start of another stream.)
  do {
    if (frames.length === framesMax) {
      throw new MiniodbError("INVALID_BODY", `the ${name} stream has more than ${framesMax} frames`, { position });
    }
    let result: InflateResult;
    try {
      result = inflateSync(body.subarray(position), {
        info: true,
        maxOutputLength: inflatedBytesMax - inflatedBytes,
        chunkSize: Math.min(Math.max(body.length * 4, chunkBytesLeast), chunkBytesMost),
        ...(name === "zstd" ? { params: { [zstdWindowLogMaxParameter]: zstdWindowLog(inflatedBytesMax) } } : {}),
      });
    } catch (error) {
      throw inflateError(error, name, inflatedBytesMax);
    }
    frames.push(result.buffer);
    inflatedBytes += result.buffer.length;
    position += result.engine.bytesWritten;
  } while (position < body.length && inflatedBytes < inflatedBytesMax);
  if (position < body.length) throw tooLarge(inflatedBytesMax);
  return frames.length === 1 ? (frames[0] as Uint8Array) : Buffer.concat(frames);
}

function tooLarge(inflatedBytesMax: number): MiniodbError {
  const message = `the body inflates to more than ${inflatedBytesMax} bytes, the limit of http.inflatedBytesMax`;
  return new MiniodbError("BODY_TOO_LARGE", message, { limitBytes: inflatedBytesMax });
}

function inflateError(error: unknown, name: string, inflatedBytesMax: number): MiniodbError {
  const { code, message } = error as { readonly code?: string; readonly message?: string };
  if (code === "ERR_BUFFER_TOO_LARGE") return tooLarge(inflatedBytesMax);
  if (code === "ZSTD_error_frameParameter_windowTooLarge") {
    return new MiniodbError("BODY_TOO_LARGE", "the zstd frame needs a larger window than the inflated body may have");
  }
  return new MiniodbError("INVALID_BODY", `the body is not a whole ${name} stream: ${message ?? String(error)}`);
}

/** The smallest window that a body of the largest size can make use of: a frame that claims more is a bomb. */
function zstdWindowLog(inflatedBytesMax: number): number {
  const log = Math.ceil(Math.log2(inflatedBytesMax));
  return Math.min(Math.max(log, zstdWindowLogLeast), zstdWindowLogMost);
}
