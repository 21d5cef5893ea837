import type { Operand, TimeUnit } from "../../shared/predicate.js";
import { isNode, type TreeNode } from "./inspect-statement.js";

/** Expressions that have one value for a whole run, out of DuckDB's syntax tree. */

// Nothing is computed here but intervals: values of parameters and the time are main's to fill in. An expression that is
// left out costs pruning and nothing else, so that this list may stay short: literals, parameters, casts of them, the
// current time, date_trunc of it, and a time plus or minus an interval.

type OperandType = Extract<Operand, { readonly kind: "now" }>["type"];

/** Functions without arguments, and names that DuckDB takes for such where no column has them. */
const nowFunctions: ReadonlyMap<string, OperandType> = new Map([
  ["now", "timestamptz"],
  ["transaction_timestamp", "timestamptz"],
  ["get_current_timestamp", "timestamptz"],
  ["current_localtimestamp", "timestamp"],
  ["today", "date"],
  ["current_date", "date"],
]);
const nowNames: ReadonlyMap<string, OperandType> = new Map([
  ["current_timestamp", "timestamptz"],
  ["current_date", "date"],
]);

const integerTypes = new Set(["TINYINT", "SMALLINT", "INTEGER", "BIGINT"]);
/** Types that a literal or the time is cast to, from the parser's name of them to ours. */
const castTypes: ReadonlyMap<string, string> = new Map([
  ["BIGINT", "bigint"],
  ["BOOLEAN", "boolean"],
  ["DATE", "date"],
  ["DOUBLE", "double"],
  ["INTEGER", "integer"],
  ["TIMESTAMP", "timestamp"],
  ["TIMESTAMP WITH TIME ZONE", "timestamptz"],
]);

/** What the walk around it knows (extract-predicates.ts). */
export interface OperandScope {
  /** Lower-case names that the statement itself gives to columns: they may hide `current_date` and its like. */
  readonly definedNames: ReadonlySet<string>;
}

/** Casts in casts; statements of people have two or three. */
const depthMax = 20;

/** Null where the expression is not understood, or depends on a row. */
export function readOperand(node: unknown, scope: OperandScope, depth = 0): Operand | null {
  if (!isNode(node) || depth > depthMax) return null;
  switch (node["class"]) {
    case "CONSTANT":
      return readLiteral(node);
    case "PARAMETER": {
      const name = node["identifier"];
      return typeof name === "string" ? { kind: "parameter", name } : null;
    }
    case "COLUMN_REF":
      return readNowName(node, scope);
    case "CAST": {
      const type = castTypes.get(typeIdOf(node["cast_type"]));
      const operand = type === undefined ? null : readOperand(node["child"], scope, depth + 1);
      // TRY_CAST gives NULL where a cast fails, which is another value than none.
      return type === undefined || operand === null || node["try_cast"] === true
        ? null
        : { kind: "cast", type, operand };
    }
    case "FUNCTION":
      return readFunction(node, scope, depth);
    default:
      return null;
  }
}

/**
 * The tree's JSON was read by JSON.parse, so that BIGINT literals beyond 2^53 have lost their last digits, and HUGEINT ones
 * come in two halves, which are not looked at. A DECIMAL comes as its digits without the point.
 */
function readLiteral(node: TreeNode): Operand | null {
  const constant = node["value"];
  if (!isNode(constant)) return null;
  const type = typeIdOf(constant["type"]);
  if (constant["is_null"] === true) return { kind: "literal", type: "null", value: null };
  const value = constant["value"];
  if (integerTypes.has(type)) return typeof value === "number" ? { kind: "literal", type: "integer", value } : null;
  if (type === "DOUBLE") return typeof value === "number" ? { kind: "literal", type: "double", value } : null;
  if (type === "VARCHAR") return typeof value === "string" ? { kind: "literal", type: "text", value } : null;
  if (type !== "DECIMAL" || typeof value !== "number" || !Number.isSafeInteger(value)) return null;
  const info = isNode(constant["type"]) ? constant["type"]["type_info"] : undefined;
  const scale = isNode(info) ? info["scale"] : undefined;
  return typeof scale === "number" ? { kind: "decimal", unscaled: value, scale } : null;
}

/** `current_date` stands in the tree like a column, which it is where a table or the statement has one of that name. */
function readNowName(node: TreeNode, scope: OperandScope): Operand | null {
  const names = node["column_names"];
  if (!Array.isArray(names) || names.length !== 1) return null;
  const name = String(names[0]).toLowerCase();
  const type = nowNames.get(name);
  return type === undefined || scope.definedNames.has(name) ? null : { kind: "now", type, name };
}

/** Functions by name: the grammar's operators are functions too. */
function readFunction(node: TreeNode, scope: OperandScope, depth: number): Operand | null {
  const name = String(node["function_name"]).toLowerCase();
  const given = node["children"];
  const children: readonly unknown[] = Array.isArray(given) ? given : [];
  const type = nowFunctions.get(name);
  if (type !== undefined && children.length === 0) return { kind: "now", type, name: null };
  if (name === "date_trunc" && children.length === 2) {
    const unit = readUnit(children[0]);
    const operand = readOperand(children[1], scope, depth + 1);
    return unit === null || operand === null ? null : { kind: "truncate", unit, operand };
  }
  // Interval first, `INTERVAL 1 DAY + now()`, is rare enough to be left out.
  if ((name !== "+" && name !== "-") || children.length !== 2) return null;
  const operand = readOperand(children[0], scope, depth + 1);
  const interval = readInterval(children[1]);
  if (operand === null || interval === null) return null;
  const sign = name === "+" ? 1 : -1;
  const { months, days, micros, isDays } = interval;
  return { kind: "shift", operand, months: sign * months, days: sign * days, micros: sign * micros, isDays };
}

/** Of date_trunc's units, those that are cut in the same way everywhere: a week starts on another day elsewhere. */
const timeUnits = new Set<string>(["second", "minute", "hour", "day", "month", "year"]);

/** The first argument of date_trunc. */
export function readUnit(node: unknown): TimeUnit | null {
  const literal = isNode(node) && node["class"] === "CONSTANT" ? readLiteral(node) : null;
  if (literal?.kind !== "literal" || typeof literal.value !== "string") return null;
  const unit = literal.value.toLowerCase();
  return timeUnits.has(unit) ? (unit as TimeUnit) : null;
}

/** Parts are never added to each other: what a month is depends on where it is added. */
interface Interval {
  readonly months: number;
  readonly days: number;
  readonly micros: number;
  /** An integer: added to a date it counts days. */
  readonly isDays: boolean;
}

/** Which part a unit counts in, and how many of it one is. */
type IntervalPart = readonly [part: "months" | "days" | "micros", factor: number];

/** In the three parts that DuckDB's INTERVAL has, as a month has no fixed days, nor in general a day fixed hours. */
const intervalUnits: ReadonlyMap<string, IntervalPart> = new Map([
  ["second", ["micros", 1_000_000]],
  ["minute", ["micros", 60_000_000]],
  ["hour", ["micros", 3_600_000_000]],
  ["day", ["days", 1]],
  ["week", ["days", 7]],
  ["month", ["months", 1]],
  ["year", ["months", 12]],
]);
/** Beyond it an interval is not understood: sums stay exact. */
const countMax = 1_000_000;

/** `INTERVAL '1 hour'`, `INTERVAL 1 HOUR` (DuckDB's parser makes to_hours(1) of it), and plain integers. */
function readInterval(node: unknown): Interval | null {
  if (!isNode(node)) return null;
  if (node["class"] === "CAST" && typeIdOf(node["cast_type"]) === "INTERVAL") {
    const text = isNode(node["child"]) ? readOperand(node["child"], { definedNames: new Set() }) : null;
    if (text?.kind !== "literal" || typeof text.value !== "string") return null;
    const match = /^\s*(\d{1,6})\s*([a-z]+)\s*$/i.exec(text.value);
    return match === null ? null : intervalOf(Number(match[1]), String(match[2]));
  }
  if (node["class"] === "FUNCTION") {
    const match = /^to_([a-z]+)$/.exec(String(node["function_name"]).toLowerCase());
    const children = node["children"];
    const count = Array.isArray(children) && children.length === 1 ? readCount(children[0]) : null;
    return match === null || count === null ? null : intervalOf(count, String(match[1]));
  }
  const days = readCount(node);
  return days === null ? null : { months: 0, days, micros: 0, isDays: true };
}

/** Of a unit in singular or plural; null for others, such as `decade`. */
function intervalOf(count: number, unit: string): Interval | null {
  const found = intervalUnits.get(unit.toLowerCase().replace(/s$/, ""));
  if (found === undefined) return null;
  const [part, factor] = found;
  return { months: 0, days: 0, micros: 0, isDays: false, [part]: count * factor };
}

/** A plain integer, as it is or as the parser wraps it: `CAST(trunc(CAST(3 AS DOUBLE)) AS INTEGER)`. */
function readCount(node: unknown): number | null {
  let inner: unknown = node;
  for (let depth = 0; depth < depthMax && isNode(inner); depth++) {
    if (inner["class"] === "CONSTANT") {
      const literal = readLiteral(inner);
      const value = literal?.kind === "literal" && literal.type === "integer" ? Number(literal.value) : Number.NaN;
      return Math.abs(value) <= countMax ? value : null;
    }
    const children: unknown = inner["function_name"] === "trunc" ? inner["children"] : null;
    if (inner["class"] === "CAST") inner = inner["child"];
    else if (Array.isArray(children) && children.length === 1) inner = children[0];
    else return null;
  }
  return null;
}

/** DuckDB's name of a type in the tree. */
export function typeIdOf(type: unknown): string {
  return isNode(type) ? String(type["id"]) : "";
}
