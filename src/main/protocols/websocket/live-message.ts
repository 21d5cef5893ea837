import { MiniodbError } from "../../../shared/errors.js";
import { tableNamePattern } from "../../../shared/schema/table-schema.js";

/**
 * Messages of /v1/subscribe, client to server: one JSON object each.
 *
 * ```
 * {"type":"subscribe","id":"a","table":"cpu","filter":"temp > 3","from":"now" or "<token>","credits":10}
 * {"type":"credit","id":"a","credits":5}
 * {"type":"unsubscribe","id":"a"}
 * ```
 * `id` is the client's name for the subscription, and the table's where it gives none. Without `from` it begins now,
 * without `credits` the connection's own flow control is all there is.
 */
export type LiveMessage =
  | SubscribeMessage
  | { readonly type: "credit"; readonly id: string; readonly credits: number }
  | { readonly type: "unsubscribe"; readonly id: string };

export interface SubscribeMessage {
  readonly type: "subscribe";
  readonly id: string;
  readonly table: string;
  /** Null: every row. */
  readonly filter: string | null;
  /** Null: from now on. */
  readonly from: string | null;
  readonly credits: number | null;
}

type Fields = Readonly<Record<string, unknown>>;

const idCharactersMax = 64;
const creditsMax = 1_000_000;
const textDecoder = new TextDecoder("utf-8", { fatal: true });

/** Throws INVALID_REQUEST, with `details.id` where the message could be read that far. */
export function parseLiveMessage(message: Uint8Array): LiveMessage {
  const fields = parseObject(message);
  switch (fields["type"]) {
    case "subscribe":
      return subscribeMessage(fields);
    case "credit":
      return { type: "credit", id: readId(fields), credits: readCredits(fields) ?? 1 };
    case "unsubscribe":
      return { type: "unsubscribe", id: readId(fields) };
    default:
      throw invalid("type must be subscribe, credit or unsubscribe", "type", fields);
  }
}

/** A subscription in the query string of the handshake: `?table=cpu&filter=temp>3`; null where it names no table. */
export function parseLiveQuery(query: URLSearchParams): SubscribeMessage | null {
  if (!query.has("table")) return null;
  const fields: Record<string, unknown> = {};
  for (const key of ["id", "table", "filter", "from"]) if (query.has(key)) fields[key] = query.get(key);
  if (query.has("credits")) fields["credits"] = Number(query.get("credits"));
  return subscribeMessage(fields);
}

function subscribeMessage(fields: Fields): SubscribeMessage {
  const table = readText(fields, "table") ?? "";
  if (!tableNamePattern.test(table)) throw invalid("table must be a name of letters, digits and _", "table", fields);
  const from = readText(fields, "from") ?? "now";
  const filter = readText(fields, "filter") ?? "";
  return {
    type: "subscribe",
    id: fields["id"] === undefined ? table : readId(fields),
    table,
    filter: filter.trim() === "" ? null : filter,
    from: from === "now" ? null : from,
    credits: readCredits(fields) ?? null,
  };
}

function parseObject(message: Uint8Array): Fields {
  let value: unknown;
  try {
    value = JSON.parse(textDecoder.decode(message));
  } catch {
    throw invalid("A message must be a JSON object", null, {});
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Fields;
  throw invalid("A message must be a JSON object", null, {});
}

function readId(fields: Fields): string {
  const id = fields["id"] ?? fields["table"];
  if (typeof id === "string" && id.length > 0 && id.length <= idCharactersMax) return id;
  throw invalid(`id must be a text of 1 to ${idCharactersMax} characters`, "id", {});
}

function readText(fields: Fields, key: string): string | undefined {
  const value = fields[key] ?? undefined;
  if (value === undefined || typeof value === "string") return value;
  throw invalid(`${key} must be a text`, key, fields);
}

function readCredits(fields: Fields): number | undefined {
  const value = fields["credits"] ?? undefined;
  if (value === undefined) return undefined;
  if (typeof value === "number" && Number.isSafeInteger(value) && value > 0 && value <= creditsMax) return value;
  throw invalid(`credits must be a whole number from 1 to ${creditsMax}`, "credits", fields);
}

function invalid(message: string, field: string | null, fields: Fields): MiniodbError {
  const id = typeof fields["id"] === "string" ? { id: fields["id"] } : {};
  return new MiniodbError("INVALID_REQUEST", message, { ...(field === null ? {} : { field }), ...id });
}
