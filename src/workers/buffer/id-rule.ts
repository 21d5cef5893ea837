import { randomUUID } from "node:crypto";
import { limits } from "../../shared/limits.js";
import { compileIdPattern } from "../../shared/schema/id-pattern.js";
import type { TableSettings } from "../../shared/schema/table-settings.js";

export type AcceptsId = (source: Uint8Array, start: number, end: number) => boolean;

/** `[A-Za-z0-9_-]`, the default rule, as a table over byte values. */
const plainIdBytes = new Uint8Array(256);
for (const char of "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") {
  plainIdBytes[char.charCodeAt(0)] = 1;
}

function acceptsPlainId(source: Uint8Array, start: number, end: number): boolean {
  if (end <= start || end - start > limits.idBytesMax) return false;
  for (let at = start; at < end; at++) {
    if (plainIdBytes[source[at] as number] === 0) return false;
  }
  return true;
}

/** For ids that name rows which are there. */
export function acceptsAnyId(_source: Uint8Array, start: number, end: number): boolean {
  return end > start && end - start <= limits.idLengthMax * utf8BytesMax;
}

/** No character takes more. */
const utf8BytesMax = 4;

/**
 * The table's id rule over UTF-8 bytes; its own `idValidation` takes the place of the default. A pattern that somebody
 * else wrote into the table's properties, and that we cannot read, takes no id at all.
 */
export function idRule(settings: TableSettings): AcceptsId {
  const validation = settings.idValidation;
  if (validation === undefined) return acceptsPlainId;
  const maxLength = Math.min(validation.maxLength ?? limits.idBytesMax, limits.idLengthMax);
  const matches = validation.pattern === undefined ? () => true : compileIdPattern(validation.pattern);
  const allowed = validation.allowedChars === undefined ? null : new Set(validation.allowedChars);
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  return (source, start, end) => {
    if (matches === null || end - start > maxLength * utf8BytesMax) return false;
    const text = decoder.decode(source.subarray(start, end));
    if (text.length === 0 || text.length > maxLength) return false;
    if (allowed !== null) for (const char of text) if (!allowed.has(char)) return false;
    return matches(text);
  };
}

/** 2020-01-01, the epoch of our snowflake ids. */
const snowflakeEpochMs = Date.UTC(2020, 0, 1);
const snowflakeWorkers = 1024;
const snowflakePerMs = 4096;

/**
 * Generates ids where the table's strategy asks for it, else null. A snowflake is 41 bits of milliseconds, 10 bits
 * of worker and 12 bits of counter, as decimal text, so that ids of one table sort by time.
 */
export function idGenerator(settings: TableSettings, worker: number): (() => string) | null {
  const strategy = settings.idStrategy ?? "user_provided";
  const prefix = settings.idPrefix ?? "";
  switch (strategy) {
    case "uuid":
      return () => prefix + randomUUID();
    case "snowflake": {
      const snowflake = snowflakes(worker);
      return () => prefix + snowflake();
    }
    case "custom":
      return () => prefix + randomUUID().replaceAll("-", "");
    case "user_provided":
      return settings.autoGenerateId === true ? () => prefix + randomUUID() : null;
  }
}

function snowflakes(worker: number): () => string {
  let lastMs = 0;
  let counter = 0;
  return () => {
    const nowMs = Math.max(Date.now() - snowflakeEpochMs, lastMs);
    counter = nowMs === lastMs ? counter + 1 : 0;
    // A full millisecond borrows from the next; the clock catches up.
    lastMs = counter < snowflakePerMs ? nowMs : nowMs + 1;
    if (counter >= snowflakePerMs) counter = 0;
    const high = BigInt(lastMs) << 22n;
    return (high | BigInt((worker % snowflakeWorkers) * snowflakePerMs + counter)).toString();
  };
}
