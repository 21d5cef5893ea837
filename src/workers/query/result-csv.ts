import type { DuckDBType } from "@duckdb/node-api";
import { DuckDBTypeId } from "../../shared/duckdb-api.js";
import { timestampExpression } from "./json-expression.js";
import { isNested, jsonTextExpression } from "./result-portable.js";
import type { ResultColumn } from "./result-columns.js";
import { quoteName } from "./table-view.js";

/**
 * CSV as RFC 4180 has it, with a header. NULL is an empty field, an empty text is `""`. Timestamps are RFC 3339 in UTC,
 * blobs base64, nested values JSON text; everything else is DuckDB's text of the value, with all digits of decimals,
 * and `nan`, `inf`, `-inf`.
 */
export function csvSelectList(columns: readonly ResultColumn[]): string {
  return columns.map(({ name, type }, index) => `${csvExpression(type, `c${index}`)} AS ${quoteName(name)}`).join(", ");
}

/** Options of the COPY that writes it. A carriage return in a text is quoted, as are comma, quote and line feed. */
export const csvCopyOptions = `FORMAT csv, HEADER true, DELIMITER ',', QUOTE '"', ESCAPE '"', NULLSTR '', NEW_LINE '\r\n'`;

function csvExpression(type: DuckDBType, column: string): string {
  if (isNested(type)) return jsonTextExpression(type, column);
  return expressions[type.typeId]?.(column) ?? column;
}

const expressions: Readonly<Partial<Record<DuckDBTypeId, (column: string) => string>>> = {
  [DuckDBTypeId.TIMESTAMP]: timestampExpression,
  [DuckDBTypeId.TIMESTAMP_TZ]: timestampExpression,
  [DuckDBTypeId.TIMESTAMP_S]: (column) => timestampExpression(`${column}::TIMESTAMP`),
  [DuckDBTypeId.TIMESTAMP_MS]: (column) => timestampExpression(`${column}::TIMESTAMP`),
  [DuckDBTypeId.TIMESTAMP_NS]: nanosecondExpression,
  [DuckDBTypeId.BLOB]: (column) => `to_base64(${column})`,
};

/** DuckDB's own `%n` (1.5) writes the last three digits behind what follows, and then bytes that nobody set. */
function nanosecondExpression(column: string): string {
  const rest = `((epoch_ns(${column}) % 1000 + 1000) % 1000)`;
  const micros = `make_timestamp((epoch_ns(${column}) - ${rest}) // 1000)`;
  return `strftime(${micros}, '%Y-%m-%dT%H:%M:%S.%f') || lpad(${rest}::VARCHAR, 3, '0') || 'Z'`;
}
