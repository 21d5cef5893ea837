import { unreachable } from "../../shared/assert.js";
import type { Operand, TimeUnit } from "../../shared/predicate.js";
import type { ParameterValue } from "../../shared/query-messages.js";

/**
 * What an operand may be when the statement runs: a range, both ends included, as a sum of roundings, or of what is not
 * known before the run, is never a point. Times are microseconds since 1970-01-01 UTC; the session's time zone is UTC.
 * `null`: NULL, which no comparison is true with.
 */
export type OperandValue =
  | { readonly type: "null" }
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "boolean"; readonly value: boolean }
  | { readonly type: "integer"; readonly low: bigint; readonly high: bigint }
  | DoubleValue
  | TimeValue;

export interface DoubleValue {
  readonly type: "double";
  readonly low: number;
  readonly high: number;
}

export interface TimeValue {
  readonly type: "date" | "timestamp" | "timestamptz";
  readonly low: bigint;
  readonly high: bigint;
}

export interface OperandContext {
  /** By nameKey. */
  readonly values: ReadonlyMap<string, ParameterValue>;
  /** The statement begins to run at a time between these, by a clock that may be set meanwhile. */
  readonly earliestMs: number;
  readonly latestMs: number;
  /** A table of the statement has a column of this name. */
  readonly hasColumn: (name: string) => boolean;
}

/**
 * The operand's value. DuckDB computes the same when it plans the statement, with rules of its own for each pair of types;
 * here only what is plain is done, and a doubt makes the range wider. Undefined where it is not understood.
 */
export function resolveOperand(operand: Operand, context: OperandContext): OperandValue | undefined {
  switch (operand.kind) {
    case "literal":
      return ofLiteral(operand.type, operand.value);
    case "decimal":
      // DuckDB divides in another order than we do, so that the last digits may differ.
      return widened(operand.unscaled / 10 ** operand.scale);
    case "parameter":
      return ofParameter(context.values.get(operand.name.toLowerCase()));
    case "now":
      return ofNow(operand.type, operand.name, context);
    case "cast": {
      const value = resolveOperand(operand.operand, context);
      return value === undefined ? undefined : castTo(operand.type, value);
    }
    case "truncate": {
      const value = resolveOperand(operand.operand, context);
      return value === undefined ? undefined : truncated(value, operand.unit);
    }
    case "shift": {
      const value = resolveOperand(operand.operand, context);
      return value === undefined ? undefined : shifted(value, operand);
    }
    default:
      return unreachable(operand);
  }
}

function ofLiteral(type: string, value: string | number | boolean | null): OperandValue | undefined {
  if (type === "null" || value === null) return { type: "null" };
  if (type === "text" && typeof value === "string") return { type: "text", text: value };
  if (type === "double" && typeof value === "number") return { type: "double", low: value, high: value };
  if (type !== "integer" || typeof value !== "number" || !Number.isInteger(value)) return undefined;
  // The tree's JSON was read with doubles: beyond 2^53 the literal is known but for its last digits.
  const slack = Number.isSafeInteger(value) ? 0n : 1024n;
  return { type: "integer", low: BigInt(value) - slack, high: BigInt(value) + slack };
}

/** As bound-values.ts binds them: whole numbers as integers, others as doubles, texts as text literals. */
function ofParameter(value: ParameterValue | undefined): OperandValue | undefined {
  if (value === undefined) return undefined;
  if (value === null) return { type: "null" };
  if (typeof value === "string") return { type: "text", text: value };
  if (typeof value === "boolean") return { type: "boolean", value };
  // A list stands for no single value: what compares with it prunes nothing.
  if (typeof value !== "number") return undefined;
  return ofLiteral(Number.isInteger(value) ? "integer" : "double", value);
}

/** The start of DuckDB's transaction, which comes after the wait for a slot: any time up to the query's deadline. */
function ofNow(type: TimeValue["type"], name: string | null, context: OperandContext): OperandValue | undefined {
  if (name !== null && context.hasColumn(name)) return undefined;
  const low = BigInt(Math.floor(context.earliestMs)) * 1000n;
  const high = BigInt(Math.ceil(context.latestMs)) * 1000n;
  const now: TimeValue = { type: "timestamptz", low, high };
  return type === "date" ? toDate(now) : { ...now, type };
}

const dayMicros = 86_400_000_000n;
const unitMicros: Readonly<Record<"second" | "minute" | "hour" | "day", bigint>> = {
  second: 1_000_000n,
  minute: 60_000_000n,
  hour: 3_600_000_000n,
  day: dayMicros,
};
/** Times that JavaScript's Date has, in µs from 1970. */
const dateMicrosMax = 8_640_000_000_000_000_000n;

/** date_trunc, in UTC; also what a cast to DATE does. Undefined beyond the years that Date has. */
export function floorTime(micros: bigint, unit: TimeUnit): bigint | undefined {
  if (unit !== "month" && unit !== "year") {
    const size = unitMicros[unit];
    const rest = micros % size;
    return micros - (rest < 0n ? rest + size : rest);
  }
  if (micros > dateMicrosMax || micros < -dateMicrosMax) return undefined;
  const day = floorTime(micros, "day") ?? 0n;
  // The day of the month goes first: the 31st would carry a shorter month over into the next one.
  const date = new Date(Number(day / 1000n));
  date.setUTCDate(1);
  if (unit === "year") date.setUTCMonth(0);
  const floored = date.getTime();
  return Number.isNaN(floored) ? undefined : BigInt(floored) * 1000n;
}

/** A range of instants as the days they lie in, each by its first microsecond. */
function toDate(value: TimeValue): TimeValue {
  const floor = (micros: bigint): bigint => floorTime(micros, "day") ?? micros;
  return { type: "date", low: floor(value.low), high: floor(value.high) };
}

/** date_trunc of a date is a timestamp; of the others it stays what it is. */
function truncated(value: OperandValue, unit: TimeUnit): OperandValue | undefined {
  if (value.type === "null") return value;
  if (!isTime(value)) return undefined;
  const low = floorTime(value.low, unit);
  const high = floorTime(value.high, unit);
  if (low === undefined || high === undefined) return undefined;
  return { type: value.type === "date" ? "timestamp" : value.type, low, high };
}

/** A month has 28 to 31 days: which one, and where DuckDB cuts its end, need not be known. */
function shifted(value: OperandValue, shift: Extract<Operand, { kind: "shift" }>): OperandValue | undefined {
  if (value.type === "null") return value;
  if (!isTime(value) || (shift.isDays && value.type !== "date")) return undefined;
  const rest = BigInt(shift.days) * dayMicros + BigInt(shift.micros);
  const months = BigInt(shift.months);
  const one = months * 28n * dayMicros;
  const other = months * 31n * dayMicros;
  return {
    type: value.type === "date" && !shift.isDays ? "timestamp" : value.type,
    low: value.low + rest + (months < 0n ? other : one),
    high: value.high + rest + (months < 0n ? one : other),
  };
}

/** Undefined also where the run fails with an error. */
export function castTo(type: string, value: OperandValue): OperandValue | undefined {
  if (value.type === "null") return value;
  switch (type) {
    case "integer":
    case "bigint":
      return toInteger(value);
    case "double":
      return toDouble(value);
    case "boolean":
      return toBoolean(value);
    case "date":
      if (value.type === "text") return parseTime(value.text, "date");
      return isTime(value) ? toDate(value) : undefined;
    case "timestamp":
    case "timestamptz":
      if (value.type === "text") return parseTime(value.text, type);
      return isTime(value) ? { ...value, type } : undefined;
    default:
      return undefined;
  }
}

/** Well within 64 bits, so that rounding cannot leave them. */
const bigDouble = 2 ** 62;

/** A text must be a plain integer: how DuckDB rounds '1.5' as a BIGINT need not be known. */
function toInteger(value: OperandValue): OperandValue | undefined {
  if (value.type === "integer") return value;
  if (value.type === "text") {
    if (!/^-?\d{1,18}$/.test(value.text)) return undefined;
    return { type: "integer", low: BigInt(value.text), high: BigInt(value.text) };
  }
  if (value.type !== "double") return undefined;
  // Rounds to a neighbour; where doubles have no fractions, to one of those that are the same double.
  const { low, high } = spread(value.low, value.high);
  if (!(low > -bigDouble && high < bigDouble)) return undefined;
  return { type: "integer", low: BigInt(Math.floor(low)), high: BigInt(Math.ceil(high)) };
}

/** Up to 15 digits of a text survive the way through a double; more are not looked at. */
function toDouble(value: OperandValue): OperandValue | undefined {
  if (value.type === "double") return value;
  if (value.type === "integer") {
    const low = Number(value.low);
    const high = Number(value.high);
    const isExact = Number.isSafeInteger(low) && Number.isSafeInteger(high);
    return { type: "double", ...(isExact ? { low, high } : spread(low, high)) };
  }
  if (value.type !== "text" || !/^-?\d{1,15}(?:\.\d{1,15})?$/.test(value.text)) return undefined;
  return widened(Number(value.text));
}

/** The parser writes TRUE as a cast of 't'. */
function toBoolean(value: OperandValue): OperandValue | undefined {
  if (value.type === "boolean") return value;
  const text = value.type === "text" ? value.text.toLowerCase() : "";
  if (text === "t" || text === "true") return { type: "boolean", value: true };
  return text === "f" || text === "false" ? { type: "boolean", value: false } : undefined;
}

/** A double that was computed in another order, or read by another parser, than DuckDB's. */
function widened(value: number): OperandValue {
  return { type: "double", ...spread(value, value) };
}

/** The same with room for the rounding of longs that are compared with it as doubles. */
export function withRounding({ low, high }: DoubleValue): DoubleValue {
  return { type: "double", ...spread(low, high) };
}

/** Both ends moved outwards by a few of the smallest steps that doubles have there. */
function spread(low: number, high: number): { readonly low: number; readonly high: number } {
  const step = 1e-15;
  return {
    low: low - Math.abs(low) * step - Number.MIN_VALUE,
    high: high + Math.abs(high) * step + Number.MIN_VALUE,
  };
}

function isTime(value: OperandValue): value is TimeValue {
  return value.type === "date" || value.type === "timestamp" || value.type === "timestamptz";
}

/** Year, month, day; hour, minute, second, fraction up to µs; zone as Z or an offset of hours and minutes. */
const timePattern =
  /^(\d{4})-(\d{2})-(\d{2})(?:[ T](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,6}))?)?(Z|[+-]\d{2}(?::?\d{2})?)?)?$/;

/** The plain forms of ISO 8601. Of the others that DuckDB takes (`infinity`, names of zones, ...) nothing is said. */
export function parseTime(text: string, type: TimeValue["type"]): TimeValue | undefined {
  const match = timePattern.exec(text);
  if (match === null) return undefined;
  const [, year, month, day, hour, minute, second, fraction = "", zone] = match;
  // A zone in a text without a need for one, or a time that is cut off: DuckDB's rules are not ours to repeat.
  if (type === "date" && hour !== undefined) return undefined;
  if (type === "timestamp" && zone !== undefined) return undefined;
  const fields = [year, month, day, hour, minute, second].map((field) => Number(field ?? 0));
  const [y = 0, m = 0, d = 0, h = 0, min = 0, s = 0] = fields;
  const ms = Date.UTC(y, m - 1, d, h, min, s);
  // Date.UTC takes the 30th of February for the 2nd of March, and years below 100 for those of the last century.
  const back = new Date(ms);
  const isReal = back.getUTCMonth() === m - 1 && back.getUTCDate() === d && h < 24 && min < 60 && s < 60 && y >= 100;
  if (!isReal) return undefined;
  const micros = BigInt(ms) * 1000n + BigInt(fraction.padEnd(6, "0")) - offsetMicros(zone);
  return { type, low: micros, high: micros };
}

/** East of Greenwich is positive: a local time is that much ahead of UTC. */
function offsetMicros(zone: string | undefined): bigint {
  if (zone === undefined || zone === "Z") return 0n;
  const digits = zone.slice(1).replace(":", "").padEnd(4, "0");
  const minutes = Number(digits.slice(0, 2)) * 60 + Number(digits.slice(2));
  return BigInt(zone.startsWith("-") ? -minutes : minutes) * 60_000_000n;
}
