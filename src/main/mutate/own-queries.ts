import { MiniodbError } from "../../shared/errors.js";
import { limits } from "../../shared/limits.js";
import { discardBody, readBody } from "../../shared/result-body.js";
import { columnByName, idColumn, nameKey, type TableSchema } from "../../shared/schema/table-schema.js";
import type { QueryParameters } from "../query/query-parameters.js";
import type { QueryService } from "../query/query-service.js";
import { readMembers } from "./row-envelope.js";

export interface OwnQuery {
  readonly sql: string;
  readonly params?: QueryParameters | undefined;
  /** Absent: what a result may have. */
  readonly bytesMax?: number;
}

/** The rows of a statement of ours as lines of JSON. Rejects as queries do, with RESULT_TOO_LARGE beyond `bytesMax` too. */
export async function ownRows(queries: QueryService, { sql, params, bytesMax }: OwnQuery): Promise<string[]> {
  const { body } = await queries.run({ sql, params, format: "ndjson" });
  try {
    const bytes = body.kind === "bytes" ? body.bytes.length : body.bytes;
    if (bytes > (bytesMax ?? Number.POSITIVE_INFINITY)) {
      throw new MiniodbError("RESULT_TOO_LARGE", `The rows have ${bytes} bytes, at most ${bytesMax} are taken at once`);
    }
    const text = (await readBody(body)).toString();
    return text.split("\n").filter((line) => line !== "");
  } finally {
    await discardBody(body);
  }
}

export interface IdThere {
  readonly id: string;
  /** One at least. */
  readonly rows: number;
}

/** How many rows there are of each of these ids, where there are any. */
export async function idsThere(queries: QueryService, table: string, ids: readonly string[]): Promise<IdThere[]> {
  const { where, params } = whereIds(idColumn, ids);
  const sql = `SELECT ${idColumn} AS id, count(*)::DOUBLE AS rows FROM ${quoteName(table)} WHERE ${where} GROUP BY 1`;
  const lines = await ownRows(queries, { sql, params });
  return lines.map((line) => JSON.parse(line) as IdThere);
}

/**
 * A condition that takes the rows of these ids. A statement has room for a few of them, by which files are left out one by
 * one; more come as a list, which only the smallest and the largest id stand for there.
 */
export function whereIds(
  column: string,
  ids: readonly string[],
): { readonly where: string; readonly params?: QueryParameters } {
  const few = ids.length <= limits.deleteIdsMax ? `${column} IN (${ids.map(quoteText).join(", ")})` : "";
  if (few !== "" && Buffer.byteLength(few) <= limits.sqlBytesMax / 2) return { where: few };
  const sorted = ids.map((id) => Buffer.from(id)).toSorted((left, right) => Buffer.compare(left, right));
  const [lower, upper] = [sorted[0], sorted.at(-1)].map((id) => id?.toString() ?? "");
  const where = `${column} IN (SELECT unnest($1)) AND ${column} >= $2 AND ${column} <= $3`;
  return { where, params: [ids, lower ?? "", upper ?? ""] };
}

/**
 * Names and values of a line of `SELECT *`, each value as JSON text that a write takes and that says it exactly: queries give
 * the value of a json column as a text. `schema` is the newest known, which has every column that the query could see.
 */
export function writableMembers(schema: TableSchema, line: string): (readonly [name: string, json: string])[] {
  return readMembers(Buffer.from(line)).map(([name, json]) => {
    const isJson = columnByName(schema, name)?.type === "json" && json.startsWith('"');
    return [name, isJson ? (JSON.parse(json) as string) : json];
  });
}

/** The JSON of the member of this name. */
export function memberOf(
  members: readonly (readonly [name: string, json: string])[],
  name: string,
): string | undefined {
  return members.find(([other]) => nameKey(other) === name)?.[1];
}

/** A SQL identifier. */
export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A SQL text literal. */
export function quoteText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
