import type { DuckDBType } from "@duckdb/node-api";
import {
  DuckDBArrayType,
  DuckDBListType,
  DuckDBMapType,
  DuckDBStructType,
  DuckDBTypeId,
} from "../../shared/duckdb-api.js";
import { jsonExpression } from "./json-expression.js";
import type { ResultColumn } from "./result-columns.js";
import { quoteName } from "./table-view.js";

/**
 * Arrow, Parquet and MessagePack have typed columns, but not all of DuckDB's types. What they lack becomes text:
 *
 * | DuckDB                                            | column                                                 |
 * |---------------------------------------------------|--------------------------------------------------------|
 * | HUGEINT, UHUGEINT, BIGNUM                         | text of all digits, as no column type holds them       |
 * | ENUM, UUID, BIT, INTERVAL, TIMETZ, TIME_NS        | text in DuckDB's form                                  |
 * | JSON, UNION, VARIANT, GEOMETRY and whatever else  | JSON text, or DuckDB's own text where JSON has no form |
 * | TIMESTAMP_S, TIMESTAMP_MS                         | TIMESTAMP                                              |
 * | NULL without a type                               | INTEGER                                                |
 */
function portableExpression(type: DuckDBType, column: string): string {
  if (isPortable(type)) return type.alias === undefined ? column : `${column}::VARCHAR`;
  if (type.typeId === DuckDBTypeId.SQLNULL) return `${column}::INTEGER`;
  if (coarseTimestamps.has(type.typeId)) return `${column}::TIMESTAMP`;
  return isNested(type) ? jsonTextExpression(type, column) : `${column}::VARCHAR`;
}

const coarseTimestamps: ReadonlySet<DuckDBTypeId> = new Set([DuckDBTypeId.TIMESTAMP_S, DuckDBTypeId.TIMESTAMP_MS]);

/** The columns c0, c1, ... so, under their names. */
export function portableSelectList(columns: readonly ResultColumn[]): string {
  const expressions = columns.map(({ name, type }, index) => {
    return `${portableExpression(type, `c${index}`)} AS ${quoteName(name)}`;
  });
  return expressions.join(", ");
}

/**
 * As `portableSelectList`, without what MessagePack has no form for: dates and times become text in DuckDB's form,
 * decimals text of all digits, nested values JSON text.
 */
export function msgpackSelectList(columns: readonly ResultColumn[]): string {
  const expressions = columns.map(({ name, type }, index) => {
    const column = `c${index}`;
    let expression = portableExpression(type, column);
    if (isNested(type)) expression = jsonTextExpression(type, column);
    else if (textInMsgpack.has(type.typeId)) expression = `${column}::VARCHAR`;
    return `${expression} AS ${quoteName(name)}`;
  });
  return expressions.join(", ");
}

const textInMsgpack: ReadonlySet<DuckDBTypeId> = new Set([DuckDBTypeId.DECIMAL, DuckDBTypeId.DATE, DuckDBTypeId.TIME]);

/** The value as JSON text, by the rules of json-values.ts as far as DuckDB can follow them. */
export function jsonTextExpression(type: DuckDBType, column: string): string {
  return `to_json(${jsonExpression(type, column) ?? column})::VARCHAR`;
}

/** Scalars that Parquet gives back exactly as they were. */
export const faithfulTypes: ReadonlySet<DuckDBTypeId> = new Set([
  DuckDBTypeId.BOOLEAN,
  DuckDBTypeId.TINYINT,
  DuckDBTypeId.SMALLINT,
  DuckDBTypeId.INTEGER,
  DuckDBTypeId.BIGINT,
  DuckDBTypeId.UTINYINT,
  DuckDBTypeId.USMALLINT,
  DuckDBTypeId.UINTEGER,
  DuckDBTypeId.UBIGINT,
  DuckDBTypeId.FLOAT,
  DuckDBTypeId.DOUBLE,
  DuckDBTypeId.DECIMAL,
  DuckDBTypeId.VARCHAR,
  DuckDBTypeId.BLOB,
  DuckDBTypeId.DATE,
  DuckDBTypeId.TIMESTAMP,
  DuckDBTypeId.TIMESTAMP_TZ,
]);

/** Scalars that clients get as they are. */
const portableScalars: ReadonlySet<DuckDBTypeId> = new Set([
  ...faithfulTypes,
  DuckDBTypeId.TIME,
  DuckDBTypeId.TIMESTAMP_NS,
]);

/** True where the type and all within it stay as they are. */
function isPortable(type: DuckDBType): boolean {
  if (type instanceof DuckDBListType || type instanceof DuckDBArrayType) return isPortable(type.valueType);
  if (type instanceof DuckDBStructType) return type.entryTypes.every(isPortable);
  if (type instanceof DuckDBMapType) return isPortable(type.keyType) && isPortable(type.valueType);
  return portableScalars.has(type.typeId);
}

export function isNested(type: DuckDBType): boolean {
  return nestedTypes.has(type.typeId);
}

const nestedTypes: ReadonlySet<DuckDBTypeId> = new Set([
  DuckDBTypeId.LIST,
  DuckDBTypeId.ARRAY,
  DuckDBTypeId.STRUCT,
  DuckDBTypeId.MAP,
  DuckDBTypeId.UNION,
  DuckDBTypeId.VARIANT,
]);
