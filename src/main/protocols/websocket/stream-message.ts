import { MiniodbError } from "../../../shared/errors.js";
import { formatOfContentType } from "../../../shared/formats/body-format.js";
import { limits } from "../../../shared/limits.js";
import {
  frameDurabilities,
  frameFlags,
  frameFormats,
  type FrameDurability,
  type FrameFormat,
} from "../../../shared/ring/frame.js";
import { tableNamePattern } from "../../../shared/schema/table-schema.js";

/**
 * One message of /v1/stream, client to server: a line of JSON, then the batch.
 *
 * ```
 * {"seq":7,"table":"cpu","format":"ndjson","batch_id":"b-7","durability":"fsync"}\n
 * <body in that format>
 * ```
 * Every key may be left out: table, format, durability, mode and dead_letters then come from the query string of the
 * connection, and an empty line is a header without keys. `seq` is the client's own number and comes back in the reply.
 */
export interface StreamMessage {
  readonly seq: number | string | null;
  readonly table: string;
  readonly format: FrameFormat;
  readonly durability: FrameDurability;
  /** frameFlags of the batch's mode. */
  readonly modeFlags: number;
  /** frameFlags.deadLetters, or 0. */
  readonly letterFlag: number;
  readonly batchId: string;
  /** A view on the message. */
  readonly body: Uint8Array;
}

/** What a connection's query string says for messages that do not say it themselves. */
export interface StreamDefaults {
  readonly table: string;
  readonly format: FrameFormat;
  readonly durability: FrameDurability;
  readonly modeFlags: number;
  readonly letterFlag: number;
}

const headerBytesMax = 4096;
const newline = 10;
const textDecoder = new TextDecoder("utf-8", { fatal: true });

const formatByName: Readonly<Record<string, FrameFormat>> = {
  json: frameFormats.json,
  ndjson: frameFormats.ndjson,
  csv: frameFormats.csv,
  msgpack: frameFormats.messagePack,
  arrow: frameFormats.arrowStream,
};

/** Throws INVALID_REQUEST; `details.seq` is set where the header could be read that far. */
export function parseStreamMessage(message: Uint8Array, defaults: StreamDefaults): StreamMessage {
  const end = message.indexOf(newline);
  if (end < 0 || end > headerBytesMax) {
    throw invalid(`A message begins with a line of JSON of at most ${headerBytesMax} bytes`, null);
  }
  const header = end === 0 ? {} : parseHeader(message.subarray(0, end));
  const seq = readSeq(header["seq"]);
  const letters = header["dead_letters"] ?? undefined;
  const table = readText(header, "table", seq) ?? defaults.table;
  if (!tableNamePattern.test(table)) throw invalid("table must be a name of letters, digits and _", seq);
  const format = readText(header, "format", seq);
  const durability = readText(header, "durability", seq);
  const mode = readText(header, "mode", seq);
  const modeFlags = mode === undefined ? defaults.modeFlags : parseMode(mode, seq);
  refuseSoft(header["soft"], modeFlags, seq);
  const batchId = readText(header, "batch_id", seq) ?? "";
  if (Buffer.byteLength(batchId) > limits.batchIdBytesMax) {
    throw invalid(`batch_id has at most ${limits.batchIdBytesMax} bytes`, seq);
  }
  return {
    seq,
    letterFlag: letters === undefined ? defaults.letterFlag : parseLetters(letters, seq),
    table,
    format: format === undefined ? defaults.format : streamFormat(format, seq),
    durability: durability === undefined ? defaults.durability : parseDurability(durability, seq),
    modeFlags,
    batchId,
    body: message.subarray(end + 1),
  };
}

/** From the query string of the upgrade request. Throws INVALID_REQUEST. */
export function parseStreamDefaults(query: URLSearchParams): StreamDefaults {
  const modeFlags = parseMode(query.get("mode") ?? "", null);
  refuseSoft(query.get("soft"), modeFlags);
  return {
    letterFlag: parseLetters(query.get("dead_letters") ?? false, null),
    table: query.get("table") ?? "",
    format: streamFormat(query.get("format") ?? "ndjson", null),
    durability: parseDurability(query.get("durability") ?? "fsync", null),
    modeFlags,
  };
}

/** frameFlags.deadLetters or 0, from a flag or, as a query string has it, its text. Throws INVALID_REQUEST. */
function parseLetters(value: unknown, seq: StreamMessage["seq"]): number {
  if (value === true || value === "true") return frameFlags.deadLetters;
  if (value === false || value === "false") return 0;
  throw invalid("dead_letters must be true or false", seq);
}

/** `memory`, `fsync` or `stored`; throws INVALID_REQUEST. */
export function parseDurability(name: string, seq: StreamMessage["seq"] = null): FrameDurability {
  if (Object.hasOwn(frameDurabilities, name)) return frameDurabilities[name as keyof typeof frameDurabilities];
  throw invalid("durability must be memory, fsync or stored", seq);
}

/**
 * The frameFlags of what the rows of a batch do to the earlier ones of their ids: `replace`, `delete`, `operations` where each
 * row says it itself, or empty, what the table's own mode says. Throws INVALID_REQUEST.
 */
export function parseMode(name: string, seq: StreamMessage["seq"] = null): number {
  if (name === "") return frameFlags.mayCreateTable;
  if (name === "replace") return frameFlags.mayCreateTable | frameFlags.replaces;
  if (name === "delete") return frameFlags.deletes | frameFlags.idRequired;
  if (name === "operations") return frameFlags.mayCreateTable | frameFlags.operations;
  throw invalid("mode must be replace, delete or operations, or be left out", seq);
}

/**
 * For a batch that asks for soft deletes, in whatever words (`soft=1` too): nobody shall take a hard one for it. Throws
 * INVALID_REQUEST where it deletes.
 */
export function refuseSoft(asked: unknown, modeFlags: number, seq: StreamMessage["seq"] = null): void {
  if (asked === undefined || asked === null || asked === false || asked === "false") return;
  if ((modeFlags & (frameFlags.deletes | frameFlags.operations)) === 0) return;
  throw invalid("soft deletes are for DELETE /v1/data: batches delete for good", seq);
}

function streamFormat(name: string, seq: StreamMessage["seq"]): FrameFormat {
  const format = Object.hasOwn(formatByName, name) ? formatByName[name] : formatOfContentType(name);
  if (format === undefined) throw invalid(`format must be one of ${Object.keys(formatByName).join(", ")}`, seq);
  return format;
}

function parseHeader(line: Uint8Array): Readonly<Record<string, unknown>> {
  let header: unknown;
  try {
    header = JSON.parse(textDecoder.decode(line));
  } catch {
    throw invalid("The first line of a message must be a JSON object", null);
  }
  if (typeof header !== "object" || header === null || Array.isArray(header)) {
    throw invalid("The first line of a message must be a JSON object", null);
  }
  return header as Readonly<Record<string, unknown>>;
}

function readSeq(value: unknown): StreamMessage["seq"] {
  return typeof value === "number" || typeof value === "string" ? value : null;
}

function readText(
  header: Readonly<Record<string, unknown>>,
  key: string,
  seq: StreamMessage["seq"],
): string | undefined {
  const value = header[key] ?? undefined;
  if (value === undefined || typeof value === "string") return value;
  throw invalid(`${key} must be a text`, seq);
}

function invalid(message: string, seq: StreamMessage["seq"]): MiniodbError {
  return new MiniodbError("INVALID_REQUEST", message, { seq });
}
