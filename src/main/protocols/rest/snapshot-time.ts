import { MiniodbError } from "../../../shared/errors.js";
import type { SnapshotTime } from "../../query/snapshot-provider.js";
import type { JsonObject } from "./json-request.js";

const timePattern = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})$/i;

/** Names of tags: also a part of a path. */
const tagPattern = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;

/**
 * `snapshot_id`, `as_of` or `tag` of a body; null where it has none of them. Ids are decimal text, or numbers where those
 * are exact; `as_of` is RFC 3339, of which milliseconds count. Throws INVALID_REQUEST.
 */
export function readSnapshotTime(body: JsonObject): SnapshotTime | null {
  const id = body["snapshot_id"] ?? null;
  const asOf = body["as_of"] ?? null;
  const tag = body["tag"] ?? null;
  if ([id, asOf, tag].filter((value) => value !== null).length > 1) {
    throw invalid("as_of", "say one of snapshot_id, as_of and tag");
  }
  if (tag !== null) return { kind: "tag", name: tagName(tag) };
  if (id !== null) {
    const snapshotId = typeof id === "number" && Number.isSafeInteger(id) ? String(id) : id;
    if (typeof snapshotId !== "string" || !/^-?\d{1,19}$/.test(snapshotId)) {
      throw invalid("snapshot_id", "snapshot_id must be an id as GET /v1/tables/{table}/snapshots lists it");
    }
    return { kind: "snapshot-id", snapshotId };
  }
  if (asOf === null) return null;
  const timeMs = typeof asOf === "string" && timePattern.test(asOf) ? Date.parse(asOf) : Number.NaN;
  if (Number.isNaN(timeMs)) throw invalid("as_of", "as_of must be a time as in RFC 3339: 2026-11-22T10:00:00Z");
  return { kind: "as-of", timeMs };
}

/** Throws INVALID_REQUEST. */
export function tagName(value: unknown): string {
  if (typeof value === "string" && tagPattern.test(value)) return value;
  throw invalid("tag", "a tag begins with a letter or digit, and has at most 64 of A-Z a-z 0-9 _ . -");
}

function invalid(field: string, message: string): MiniodbError {
  return new MiniodbError("INVALID_REQUEST", message, { field });
}
