import type { DuckDBType, DuckDBValue } from "@duckdb/node-api";
import { BIGINT, BOOLEAN, DOUBLE, INTEGER, LIST, listValue, SQLNULL, VARCHAR } from "../../shared/duckdb-api.js";
import { assert } from "../../shared/assert.js";
import type { ParameterItem, ParameterValue, SelectStatement } from "../../shared/query-messages.js";

/** What `run` and `stream` of a connection take after the SQL: values and types by name of the parameter. */
export type BoundValues = readonly [values?: Record<string, DuckDBValue>, types?: Record<string, DuckDBType>];

const integerMax = 2_147_483_647;

/**
 * A task's values as DuckDB binds them to the statement, wherever the statement stands in the SQL that runs: in
 * parentheses, in a COPY, behind EXPLAIN. They are bound, never written into the text, so that no value can become SQL.
 *
 * ```
 *   null      NULL
 *   boolean   BOOLEAN
 *   number    INTEGER, BIGINT beyond 32 bits; DOUBLE with a fraction
 *   text      VARCHAR, which DuckDB casts as it casts a text literal: `ts >= $1` compares as timestamps
 *   list      a LIST of the widest of its items' types; of texts it is cast by the statement: `ANY($1::DATE[])`
 * ```
 * Without parameters it is empty, and DuckDB takes the shorter way of a plain statement.
 */
export function boundValues(statement: SelectStatement, values: readonly ParameterValue[]): BoundValues {
  const { parameters } = statement;
  assert(values.length === parameters.length, "there is one value for each parameter");
  if (parameters.length === 0) return [];
  // Without a prototype, as a parameter may be called `__proto__`.
  const bound = Object.create(null) as Record<string, DuckDBValue>;
  const types = Object.create(null) as Record<string, DuckDBType>;
  for (const [index, name] of parameters.entries()) {
    const value = values[index] ?? null;
    const type = typeOf(value);
    types[name] = type;
    bound[name] = isList(value) ? listOf(value) : itemAs(type, value);
  }
  return [bound, types];
}

function typeOf(value: ParameterValue): DuckDBType {
  return isList(value) ? LIST(itemTypeOf(value)) : scalarType(value);
}

function scalarType(value: ParameterItem): DuckDBType {
  if (value === null) return SQLNULL;
  if (typeof value === "boolean") return BOOLEAN;
  if (typeof value === "string") return VARCHAR;
  if (!Number.isInteger(value)) return DOUBLE;
  return Math.abs(value) <= integerMax ? INTEGER : BIGINT;
}

/** Items are of one kind (query-parameters.ts); of numbers the later of these types holds all that the earlier do. */
const widths: readonly DuckDBType[] = [SQLNULL, INTEGER, BIGINT, DOUBLE];

function itemTypeOf(items: readonly ParameterItem[]): DuckDBType {
  let widest: DuckDBType = SQLNULL;
  for (const item of items) {
    const type = scalarType(item);
    if (widths.indexOf(type) === -1) return type;
    if (widths.indexOf(type) > widths.indexOf(widest)) widest = type;
  }
  return widest;
}

function listOf(items: readonly ParameterItem[]): DuckDBValue {
  const type = itemTypeOf(items);
  return listValue(items.map((item) => itemAs(type, item)));
}

function itemAs(type: DuckDBType, value: ParameterItem): DuckDBValue {
  return type === BIGINT && typeof value === "number" ? BigInt(value) : value;
}

/** Array.isArray does not narrow a readonly array. */
function isList(value: ParameterValue): value is readonly ParameterItem[] {
  return Array.isArray(value);
}
