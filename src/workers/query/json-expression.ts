import type { DuckDBType } from "@duckdb/node-api";
import {
  DuckDBArrayType,
  DuckDBDecimalType,
  DuckDBListType,
  DuckDBMapType,
  DuckDBStructType,
  DuckDBTypeId,
} from "../../shared/duckdb-api.js";
import { decimalDigitsOfDouble, integerTypes } from "./json-values.js";
import { quoteText } from "./table-view.js";

/** SQL that turns the column into what `json_object` writes by the rules of json-values.ts; null: there is none. */
export function jsonExpression(type: DuckDBType, column: string, depth = 0): string | null {
  if (type instanceof DuckDBDecimalType) return type.width <= decimalDigitsOfDouble ? `${column}::DOUBLE` : null;
  if (type instanceof DuckDBListType) return listExpression(type.valueType, column, depth);
  if (type instanceof DuckDBArrayType) {
    return listExpression(type.valueType, `${column}::${String(type.valueType)}[]`, depth);
  }
  if (type instanceof DuckDBStructType) return structExpression(type, column, depth);
  if (type instanceof DuckDBMapType) return mapExpression(type, column);
  // DuckDB's JSON type has an alias, and so may others that are not plain text.
  if (type.typeId === DuckDBTypeId.VARCHAR) return type.alias === undefined ? column : null;
  if (type.typeId === DuckDBTypeId.BIGNUM) return null;
  return integerTypes.has(type.typeId) ? column : (expressions[type.typeId]?.(column) ?? null);
}

/** Parameters of nested lambdas need names of their own. */
function listExpression(itemType: DuckDBType, column: string, depth: number): string | null {
  const name = `x${depth}`;
  const item = jsonExpression(itemType, name, depth + 1);
  if (item === null || item === name) return item === null ? null : column;
  return `list_transform(${column}, lambda ${name}: ${item})`;
}

function structExpression(type: DuckDBStructType, column: string, depth: number): string | null {
  const entries = type.entryNames.map((name, index) => {
    const field = `struct_extract(${column}, ${quoteText(name)})`;
    const value = jsonExpression(type.entryTypes[index] as DuckDBType, field, depth);
    return { field, value, pair: `${quoteText(name)}, ${value ?? ""}` };
  });
  // Entries of `row(1, 2)` have no names to take them by.
  if (entries.length === 0 || type.entryNames.includes("") || entries.some(({ value }) => value === null)) return null;
  if (entries.every(({ field, value }) => field === value)) return column;
  return `CASE WHEN ${column} IS NOT NULL THEN json_object(${entries.map(({ pair }) => pair).join(", ")}) END`;
}

/** Only where keys and values are written as they are: then DuckDB's own form is the right one. */
function mapExpression(type: DuckDBMapType, column: string): string | null {
  const isPlain = jsonExpression(type.valueType, "v") === "v" && jsonExpression(type.keyType, "k") === "k";
  return isPlain && !(type.keyType instanceof DuckDBListType) ? column : null;
}

const ifFinite = (column: string): string => `CASE WHEN isfinite(${column}) THEN ${column} END`;
const asText = (column: string): string => `${column}::VARCHAR`;

const expressions: Readonly<Partial<Record<DuckDBTypeId, (column: string) => string>>> = {
  [DuckDBTypeId.FLOAT]: ifFinite,
  [DuckDBTypeId.DOUBLE]: ifFinite,
  [DuckDBTypeId.ENUM]: asText,
  [DuckDBTypeId.UUID]: asText,
  [DuckDBTypeId.TIME]: asText,
  [DuckDBTypeId.DATE]: (column) => `CASE WHEN isfinite(${column}) THEN ${column}::VARCHAR END`,
  [DuckDBTypeId.TIMESTAMP]: timestampExpression,
  [DuckDBTypeId.TIMESTAMP_TZ]: timestampExpression,
  [DuckDBTypeId.BLOB]: (column) => `to_base64(${column})`,
};

/** By way of microseconds, as functions on TIMESTAMPTZ go through ICU, which is three times as slow. */
export function timestampExpression(column: string): string {
  const micros = `epoch_us(${column})`;
  const plainTimestamp = `make_timestamp(${micros})`;
  const format = (digits: string): string => `strftime(${plainTimestamp}, '%Y-%m-%dT%H:%M:%S.${digits}Z')`;
  return `CASE WHEN ${micros} % 1000 = 0 THEN ${format("%g")} ELSE ${format("%f")} END`;
}
