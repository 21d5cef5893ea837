import type {
  DuckDBBlobValue,
  DuckDBDateValue,
  DuckDBDecimalValue,
  DuckDBListValue,
  DuckDBMapValue,
  DuckDBStructValue,
  DuckDBTimestampMillisecondsValue,
  DuckDBTimestampNanosecondsValue,
  DuckDBTimestampSecondsValue,
  DuckDBTimestampValue,
  DuckDBType,
  DuckDBUnionValue,
  DuckDBValue,
  DuckDBVariantValue,
} from "@duckdb/node-api";
import {
  DuckDBArrayType,
  DuckDBDecimalType,
  DuckDBListType,
  DuckDBMapType,
  DuckDBStructType,
  DuckDBTypeId,
  DuckDBUnionType,
  DuckDBVarCharType,
} from "../../shared/duckdb-api.js";

/**
 * JSON text of DuckDB values: the rules of the original API's result_json, which json-expression.ts follows too.
 *
 * | DuckDB                             | JSON                                                                  |
 * |------------------------------------|-----------------------------------------------------------------------|
 * | BOOLEAN                            | true, false                                                           |
 * | integers up to 128 bits, BIGNUM    | number with all digits                                                |
 * | FLOAT, DOUBLE                      | shortest number that reads back the same; NaN and infinities null     |
 * | DECIMAL of up to 15 digits         | as DOUBLE, which holds them; wider ones with all digits               |
 * | VARCHAR, ENUM, UUID, BIT           | string                                                                |
 * | JSON (results of JSON functions)   | the value itself                                                      |
 * | TIMESTAMP, TIMESTAMPTZ, _S,_MS,_NS | RFC 3339 in UTC: 3 digits of the second, 6 or 9 where they say more   |
 * | DATE, TIME, TIMETZ, INTERVAL       | string in DuckDB's form                                               |
 * | infinite dates and timestamps      | null                                                                  |
 * | BLOB                               | string, base64                                                        |
 * | LIST, ARRAY                        | array                                                                 |
 * | STRUCT, MAP                        | object; a map's keys as texts                                         |
 * | UNION, VARIANT                     | the value that it holds                                               |
 */
export type JsonWriter = (value: DuckDBValue) => string;

/** The widest DECIMAL whose values a double holds. */
export const decimalDigitsOfDouble = 15;

/** Made once per column, as types nest. */
export function jsonWriter(type: DuckDBType): JsonWriter {
  const writer = writerOf(type);
  return (value) => (value === null || value === undefined ? "null" : writer(value));
}

function writerOf(type: DuckDBType): JsonWriter {
  if (integerTypes.has(type.typeId)) return String;
  if (type instanceof DuckDBDecimalType) return decimalWriter(type);
  if (type instanceof DuckDBVarCharType && type.alias === "JSON") return (value) => jsonText(value as string);
  return scalarWriters[type.typeId] ?? nestedWriter(type) ?? ((value) => JSON.stringify(String(value)));
}

/** Types whose values JSON has as they are: as text, `true` or digits. */
export const integerTypes: ReadonlySet<DuckDBTypeId> = new Set([
  DuckDBTypeId.BOOLEAN,
  DuckDBTypeId.TINYINT,
  DuckDBTypeId.SMALLINT,
  DuckDBTypeId.INTEGER,
  DuckDBTypeId.BIGINT,
  DuckDBTypeId.HUGEINT,
  DuckDBTypeId.UTINYINT,
  DuckDBTypeId.USMALLINT,
  DuckDBTypeId.UINTEGER,
  DuckDBTypeId.UBIGINT,
  DuckDBTypeId.UHUGEINT,
  DuckDBTypeId.BIGNUM,
]);

const double: JsonWriter = (value) => doubleText(value as number);
const micros: JsonWriter = (value) => ifFinite(value, (value as DuckDBTimestampValue).micros * 1000n);

const scalarWriters: Readonly<Partial<Record<DuckDBTypeId, JsonWriter>>> = {
  [DuckDBTypeId.FLOAT]: double,
  [DuckDBTypeId.DOUBLE]: double,
  [DuckDBTypeId.VARCHAR]: (value) => quoted(value as string),
  [DuckDBTypeId.BLOB]: (value) => `"${base64(value as DuckDBBlobValue)}"`,
  [DuckDBTypeId.DATE]: (value) => ((value as DuckDBDateValue).isFinite ? JSON.stringify(String(value)) : "null"),
  [DuckDBTypeId.SQLNULL]: () => "null",
  [DuckDBTypeId.TIMESTAMP]: micros,
  [DuckDBTypeId.TIMESTAMP_TZ]: micros,
  [DuckDBTypeId.TIMESTAMP_S]: (value) =>
    ifFinite(value, (value as DuckDBTimestampSecondsValue).seconds * 1_000_000_000n),
  [DuckDBTypeId.TIMESTAMP_MS]: (value) =>
    ifFinite(value, (value as DuckDBTimestampMillisecondsValue).millis * 1_000_000n),
  [DuckDBTypeId.TIMESTAMP_NS]: (value) => ifFinite(value, (value as DuckDBTimestampNanosecondsValue).nanos),
  [DuckDBTypeId.VARIANT]: (value) => {
    const { type, value: held } = value as DuckDBVariantValue;
    return type === undefined ? JSON.stringify(String(held)) : jsonWriter(type)(held);
  },
};

function decimalWriter(type: DuckDBDecimalType): JsonWriter {
  if (type.width > decimalDigitsOfDouble) return (value) => (value as DuckDBDecimalValue).toString();
  return (value) => doubleText(decimalToDouble(value as DuckDBDecimalValue));
}

function nestedWriter(type: DuckDBType): JsonWriter | null {
  if (type instanceof DuckDBListType || type instanceof DuckDBArrayType) {
    const item = jsonWriter(type.valueType);
    return (value) => `[${(value as DuckDBListValue).items.map(item).join(",")}]`;
  }
  if (type instanceof DuckDBStructType) {
    const fields = type.entryNames.map((name, index) => {
      return { name, key: JSON.stringify(name), write: jsonWriter(type.entryTypes[index] as DuckDBType) };
    });
    return (value) => {
      const { entries } = value as DuckDBStructValue;
      return `{${fields.map(({ name, key, write }) => `${key}:${write(entries[name] ?? null)}`).join(",")}}`;
    };
  }
  if (type instanceof DuckDBMapType) {
    const key = jsonWriter(type.keyType);
    const write = jsonWriter(type.valueType);
    return (value) => {
      const { entries } = value as DuckDBMapValue;
      return `{${entries.map((entry) => `${keyText(key(entry.key))}:${write(entry.value)}`).join(",")}}`;
    };
  }
  if (type instanceof DuckDBUnionType) {
    const types = type.memberTypes;
    const members = new Map(type.memberTags.map((tag, index) => [tag, jsonWriter(types[index] as DuckDBType)]));
    return (value) => {
      const { tag, value: held } = value as DuckDBUnionValue;
      return members.get(tag)?.(held) ?? "null";
    };
  }
  return null;
}

/** As DuckDB escapes: like JSON.stringify, but with capital letters in `\u001F`. */
function quoted(text: string): string {
  const json = JSON.stringify(text);
  if (!json.includes("\\u00")) return json;
  // Escapes are taken whole, so that an escaped backslash before `u00` is none of these.
  return json.replace(/\\(?:u(00[0-9a-f]{2})|.)/g, (escape, hex?: string) =>
    hex ? `\\u${hex.toUpperCase()}` : escape,
  );
}

/** Exact to the last bit: both numbers are integers that doubles hold. */
function decimalToDouble({ value, scale }: DuckDBDecimalValue): number {
  return Number(value) / 10 ** scale;
}

/**
 * DuckDB's own form: as ECMAScript writes numbers, but `1.0` for 1, `1e21` for 1e+21, and `-0.0`.
 */
export function doubleText(value: number): string {
  if (!Number.isFinite(value)) return "null";
  const text = Object.is(value, -0) ? "-0" : String(value);
  return /[.e]/.test(text) ? text.replace("e+", "e") : `${text}.0`;
}

/** Nanoseconds since 1970 in UTC, in quotes. */
export function rfc3339(nanos: bigint): string {
  const micros = floorDivide(nanos, 1000n);
  const millis = Number(floorDivide(micros, 1000n));
  const date = new Date(millis);
  if (Number.isNaN(date.getTime())) return "null";
  const iso = date.toISOString();
  const restMicros = Number(micros - BigInt(millis) * 1000n);
  const restNanos = Number(nanos - micros * 1000n);
  let digits = "";
  if (restNanos !== 0) digits = String(restMicros * 1000 + restNanos).padStart(6, "0");
  else if (restMicros !== 0) digits = String(restMicros).padStart(3, "0");
  return `"${plainYear(iso.slice(0, -1))}${digits}Z"`;
}

/** Years that RFC 3339 does not know: without the zeros that ECMAScript puts before them, as DuckDB has them. */
function plainYear(iso: string): string {
  return iso.replace(/^([+-])0*(?=\d)/, (_, sign: string) => (sign === "-" ? "-" : ""));
}

function ifFinite(value: DuckDBValue, nanos: bigint): string {
  const { isFinite } = value as { readonly isFinite?: boolean };
  return isFinite === false ? "null" : rfc3339(nanos);
}

function floorDivide(value: bigint, by: bigint): bigint {
  const quotient = value / by;
  return value % by < 0n ? quotient - 1n : quotient;
}

/** DuckDB's JSON type also holds what JSON does not allow, such as NaN and a comma at the end: then a string. */
function jsonText(text: string): string {
  try {
    JSON.parse(text);
    // White space only, as in strings JSON has no control characters; json-literal.ts counts on there being none.
    return text.replace(/[\n\r\t]/g, " ");
  } catch {
    return JSON.stringify(text);
  }
}

function keyText(json: string): string {
  return json.startsWith('"') ? json : JSON.stringify(json);
}

function base64({ bytes }: DuckDBBlobValue): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}
