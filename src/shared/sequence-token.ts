/**
 * The token that a write's reply carries and a query's `min_sequence` takes back: which WAL stream, which table, up to
 * which sequence. Opaque to clients.
 *
 * ```
 *   base64url(stream uuid, 16 bytes · table uuid, 16 bytes)  "."  sequence in base 36
 * ```
 */
import { MiniodbError } from "./errors.js";

export interface SequenceToken {
  readonly stream: string;
  readonly tableUuid: string;
  readonly sequence: number;
}

const uuidBytes = 16;

/** The part of a token that is the same for all writes of a table on this node. */
export function tokenPrefix(stream: string, tableUuid: string): string {
  return `${Buffer.from(hexOf(stream) + hexOf(tableUuid), "hex").toString("base64url")}.`;
}

/** Throws INVALID_REQUEST where the text is no token. */
export function parseToken(text: string): SequenceToken {
  const dot = text.indexOf(".");
  const bytes = Buffer.from(text.slice(0, Math.max(dot, 0)), "base64url");
  const sequence = Number.parseInt(text.slice(dot + 1), 36);
  if (bytes.length !== uuidBytes * 2 || !Number.isSafeInteger(sequence) || sequence < 0) {
    throw new MiniodbError("INVALID_REQUEST", "min_sequence is not a sequence token of a write's reply", {
      field: "min_sequence",
    });
  }
  return { stream: uuidOf(bytes.subarray(0, uuidBytes)), tableUuid: uuidOf(bytes.subarray(uuidBytes)), sequence };
}

function hexOf(uuid: string): string {
  return uuid.replaceAll("-", "");
}

function uuidOf(bytes: Buffer): string {
  const hex = bytes.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
