import { DuckDBDecimalType, type DuckDBType, DuckDBTypeId } from "@duckdb/node-api";
import { decimalDigitsOfDouble, integerTypes } from "./json-values.js";
import type { ResultColumn } from "./result-columns.js";
import { quoteText } from "./table-view.js";

/**
 * Large results: DuckDB writes one JSON object per line to a file, on all its threads, and the file becomes the array.
 * That is ten times as fast as taking values through JavaScript. The texts are byte for byte those of json-values.ts;
 * a test compares the two.
 *
 * The lines come from COPY's CSV writer with quoting switched off: one column, whose text has no control character
 * (JSON escapes them), so that neither the delimiter nor a line feed can stand in it.
 */
export function copySql(source: CopySource): string {
  const names = source.columns.map((_, index) => `c${index}`);
  const pairs = source.columns.flatMap(({ name, type }, index) => [
    quoteText(name),
    jsonExpression(type, `c${index}`) ?? "NULL",
  ]);
  const row = `json_object(${pairs.join(", ")})`;
  const select = `SELECT ${literalExpression(row)} FROM (\n${source.sql}\n) AS q(${names.join(", ")})`;
  const format = `(FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER '\u0001')`;
  return `COPY (${select} ${source.range}) TO ${quoteText(source.path)} ${format}`;
}

export interface CopySource {
  /** A checked statement that can stand in parentheses. */
  readonly sql: string;
  readonly columns: readonly ResultColumn[];
  /** LIMIT and OFFSET, as far as there are any. */
  readonly range: string;
  readonly path: string;
}

/** False where a column has a type for which there is no expression: then values go one by one. */
export function canCopy(columns: readonly ResultColumn[]): boolean {
  return columns.length > 0 && columns.every(({ type }) => jsonExpression(type, "c") !== null);
}

/** SQL that turns the column into what `json_object` writes by the rules of json-values.ts; null: there is none. */
function jsonExpression(type: DuckDBType, column: string): string | null {
  if (type instanceof DuckDBDecimalType) return type.width <= decimalDigitsOfDouble ? `${column}::DOUBLE` : null;
  // DuckDB's JSON type has an alias, and so may others that are not plain text.
  if (type.typeId === DuckDBTypeId.VARCHAR) return type.alias === undefined ? column : null;
  if (type.typeId === DuckDBTypeId.BIGNUM) return null;
  return integerTypes.has(type.typeId) ? column : (expressions[type.typeId]?.(column) ?? null);
}

const ifFinite = (column: string): string => `CASE WHEN isfinite(${column}) THEN ${column} END`;
const asText = (column: string): string => `${column}::VARCHAR`;

const expressions: Readonly<Partial<Record<DuckDBTypeId, (column: string) => string>>> = {
  [DuckDBTypeId.FLOAT]: ifFinite,
  [DuckDBTypeId.DOUBLE]: ifFinite,
  [DuckDBTypeId.ENUM]: asText,
  [DuckDBTypeId.UUID]: asText,
  [DuckDBTypeId.DATE]: (column) => `CASE WHEN isfinite(${column}) THEN ${column}::VARCHAR END`,
  [DuckDBTypeId.TIMESTAMP]: timestampExpression,
  [DuckDBTypeId.TIMESTAMP_TZ]: timestampExpression,
  [DuckDBTypeId.BLOB]: (column) => `to_base64(${column})`,
};

/** By way of microseconds, as functions on TIMESTAMPTZ go through ICU, which is three times as slow. */
function timestampExpression(column: string): string {
  const micros = `epoch_us(${column})`;
  const plain = `make_timestamp(${micros})`;
  const format = (digits: string): string => `strftime(${plain}, '%Y-%m-%dT%H:%M:%S.${digits}Z')`;
  return `CASE WHEN ${micros} % 1000 = 0 THEN ${format("%g")} ELSE ${format("%f")} END`;
}

/** The row as it stands inside a JSON string: as a literal, without its quotes. */
function literalExpression(row: string): string {
  const literal = `to_json(${row}::VARCHAR)::VARCHAR`;
  return `substring(${literal}, 2, length(${literal}) - 2)`;
}

const head = Buffer.from('"[');
const tail = Buffer.from(']"');

/** The bytes that a result takes whose lines have `bytes` bytes, and where the lines lie in it. */
export function resultRoom(bytes: number): { readonly size: number; readonly linesStart: number } {
  // The tail begins at the last line feed, if there is a line.
  return { size: head.length + Math.max(bytes - 1, 0) + tail.length, linesStart: head.length };
}

/**
 * The array out of its lines, in place. They lie in `body` from `linesStart` on, each with its line feed, the last one's
 * excepted where the tail is shorter. At most `rowsMax` are kept. Returns the part of `body` that is the result.
 */
export function linesToArray(body: Uint8Array, rows: number, rowsMax: number): Uint8Array {
  body.set(head);
  let end = body.length - tail.length;
  if (rows > rowsMax) end = body.lastIndexOf(0x0a, end - 1);
  for (let at = body.indexOf(0x0a); at !== -1 && at < end; at = body.indexOf(0x0a, at + 1)) body[at] = 0x2c;
  body.set(tail, end);
  return body.subarray(0, end + tail.length);
}
