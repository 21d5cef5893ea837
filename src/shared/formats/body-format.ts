import { frameEncodings, frameFormats, type FrameEncoding, type FrameFormat } from "../ring/frame.js";

/**
 * How the headers of a write name its body's format and encoding; the codes are those of the ring frame.
 *
 * | format          | content types                                                      |
 * |-----------------|--------------------------------------------------------------------|
 * | json            | application/json: an object is one row, an array many              |
 * | ndjson          | application/x-ndjson, /ndjson, /jsonl, /x-jsonlines                |
 * | csv             | text/csv, with a header row                                        |
 * | messagePack     | application/msgpack, /x-msgpack, /vnd.msgpack: rows or columns, the |
 * |                 | body says which                                                    |
 * | arrowStream     | application/vnd.apache.arrow.stream, .file                         |
 *
 * `messagePackColumns` has no content type: a protocol that knows names it to spare the look at the body.
 */
const formatByContentType: ReadonlyMap<string, FrameFormat> = new Map([
  ["application/json", frameFormats.json],
  ["application/x-ndjson", frameFormats.ndjson],
  ["application/ndjson", frameFormats.ndjson],
  ["application/jsonl", frameFormats.ndjson],
  ["application/x-jsonlines", frameFormats.ndjson],
  ["text/csv", frameFormats.csv],
  ["application/msgpack", frameFormats.messagePack],
  ["application/x-msgpack", frameFormats.messagePack],
  ["application/vnd.msgpack", frameFormats.messagePack],
  ["application/vnd.apache.arrow.stream", frameFormats.arrowStream],
  ["application/vnd.apache.arrow.file", frameFormats.arrowStream],
]);

const encodingByName: ReadonlyMap<string, FrameEncoding> = new Map([
  ["", frameEncodings.identity],
  ["identity", frameEncodings.identity],
  ["gzip", frameEncodings.gzip],
  ["x-gzip", frameEncodings.gzip],
  ["zstd", frameEncodings.zstd],
]);

/** Content types that a write may name, for error messages and documents. */
export const bodyContentTypes: readonly string[] = [...formatByContentType.keys()];

/**
 * The format that a Content-Type header names, or undefined where this server does not decode it. A charset other
 * than UTF-8 (or its subset US-ASCII) is not decoded either.
 */
export function formatOfContentType(header: string): FrameFormat | undefined {
  // As most clients write it, without a parameter.
  const plain = formatByContentType.get(header);
  if (plain !== undefined) return plain;
  const [mediaType = "", ...parameters] = header.split(";");
  for (const parameter of parameters) {
    const [name = "", value = ""] = parameter.split("=");
    if (name.trim().toLowerCase() === "charset" && !isUtf8Charset(value)) return undefined;
  }
  return formatByContentType.get(mediaType.trim().toLowerCase());
}

/** The encoding that a Content-Encoding header names ("" where there is none), or undefined for any other. */
export function encodingOfHeader(header: string): FrameEncoding | undefined {
  return encodingByName.get(header.trim().toLowerCase());
}

function isUtf8Charset(value: string): boolean {
  return /^\s*"?(?:utf-?8|us-ascii)"?\s*$/i.test(value);
}
