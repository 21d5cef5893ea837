import { unreachable } from "../../shared/assert.js";
import { compareText, lowerText, upperText } from "../../shared/iceberg/text-order.js";
import type { ColumnBounds, DataFile } from "../../shared/messages.js";
import type { CompareOperator, Predicate, PredicateColumn } from "../../shared/predicate.js";
import {
  columnByName,
  type TableColumn,
  type TableSchema,
  timestampFieldId,
} from "../../shared/schema/table-schema.js";
import { parseDataFileKey } from "../../shared/store/store-paths.js";
import {
  castTo,
  type DoubleValue,
  floorTime,
  type OperandContext,
  type OperandValue,
  parseTime,
  resolveOperand,
  withRounding,
} from "./resolve-operand.js";

/**
 * What a predicate means for the statistics of one data file. The question is always the same: can there be a row in
 * the file for which the predicate is true? Three facts make it more than a comparison of numbers:
 *
 * ```
 * NULL    satisfies no comparison, and is in no bound: a file of nothing but NULLs never matches
 * NaN     is above all other doubles in DuckDB, and is in no bound: nothing is said upwards of a double column
 * texts   have bounds that are cut to 16 characters: the lower one rounded down, the upper one up
 * ```
 * The bounds of an encrypted column are those of its cipher texts: they say nothing but which values are NULL.
 * Tests are made once per statement and run once per file, so that what can be computed before is.
 */

/** False only where no row of the file can satisfy the predicate. */
export type FileTest = (file: DataFile) => boolean;

export interface TestContext extends OperandContext {
  /** By nameKey, of the statement's other tables; undefined for one that is not there. */
  readonly schemaOf: (table: string) => TableSchema | undefined;
}

/** The test that a predicate means for files of this schema; null where it means nothing. */
export function fileTest(predicate: Predicate, schema: TableSchema, context: TestContext): FileTest | null {
  switch (predicate.kind) {
    case "any":
      return null;
    // A term that means nothing leaves the others as they are: each of them is needed by itself.
    case "and": {
      const tests = predicate.terms.flatMap((term) => fileTest(term, schema, context) ?? []);
      return tests.length === 0 ? null : (file) => tests.every((test) => test(file));
    }
    // A term that means nothing may be true for every file.
    case "or": {
      const tests = predicate.terms.map((term) => fileTest(term, schema, context));
      if (tests.includes(null)) return null;
      return (file) => tests.some((test) => test === null || test(file));
    }
    case "compare": {
      const column = columnOf(predicate.column, schema, context);
      const value = resolveOperand(predicate.operand, context);
      if (column === null || column.encryption !== undefined || value === undefined) return null;
      return compareTest(column, predicate, value);
    }
    case "prefix": {
      const column = columnOf(predicate.column, schema, context);
      const value = resolveOperand(predicate.prefix, context);
      if (column === null || column.encryption !== undefined || !isText(column) || value?.type !== "text") return null;
      const { text } = value;
      return (file) => ofBounds(file, column, (bounds) => mayBegin(bounds, text));
    }
    case "is": {
      const column = columnOf(predicate.column, schema, context);
      if (column?.type !== "boolean") return null;
      return compareTest(column, { ...predicate, operator: "=" }, { type: "boolean", value: predicate.value });
    }
    case "is-null":
    case "is-not-null":
      return nullTest(predicate, schema, context);
    default:
      return unreachable(predicate);
  }
}

/** Null where the name is none of this table's columns, or may be another table's. */
function columnOf(column: PredicateColumn, schema: TableSchema, context: TestContext): TableColumn | null {
  const found = columnByName(schema, column.name);
  const isShared = column.unless.some((table) => {
    const other = context.schemaOf(table);
    // A table that is not known may have any column.
    return other === undefined || columnByName(other, column.name) !== undefined;
  });
  return found === undefined || isShared ? null : found;
}

// ---- what a file says of a column

/**
 * What is known of the column in the file: nothing (undefined), that it is not in the file (`absent`: all NULL), or
 * its bounds. A column that became double lies under either of its two ids.
 */
function boundsOf(file: DataFile, column: TableColumn): ColumnBounds | "absent" | undefined {
  for (const id of [column.fieldId, column.replacesFieldId]) {
    const bounds = id === undefined ? undefined : file.bounds[id];
    if (bounds !== undefined) return bounds;
    if (id !== undefined && file.fieldIds.includes(id)) return undefined;
  }
  // Other writers may count the values of some columns only: their lists of fields prove nothing.
  return parseDataFileKey(file.key) === undefined ? undefined : "absent";
}

/** For predicates that NULL does not satisfy. `nulls` counts rows: where all of them are NULL there is no value to compare. */
function ofBounds(file: DataFile, column: TableColumn, test: (bounds: ColumnBounds) => boolean): boolean {
  const bounds = boundsOf(file, column);
  if (bounds === undefined) return true;
  return bounds !== "absent" && bounds.nulls < file.rows && test(bounds);
}

function nullTest(
  predicate: Extract<Predicate, { readonly kind: "is-null" | "is-not-null" }>,
  schema: TableSchema,
  context: TestContext,
): FileTest | null {
  const column = columnOf(predicate.column, schema, context);
  if (column === null) return null;
  if (predicate.kind === "is-not-null") return (file) => ofBounds(file, column, () => true);
  return (file) => {
    const bounds = boundsOf(file, column);
    // Without its bounds the count of a merged file may be too low.
    return bounds === undefined || bounds === "absent" || bounds.nulls > 0 || bounds.lower === null;
  };
}

// ---- comparisons

type Comparison = Pick<Extract<Predicate, { readonly kind: "compare" }>, "column" | "operator">;

/** NULL satisfies no comparison, and nothing compares with NULL. */
const never: FileTest = () => false;

function compareTest(
  column: TableColumn,
  { column: named, operator }: Comparison,
  value: OperandValue,
): FileTest | null {
  if (value.type === "null") return never;
  const { truncate } = named;
  if (truncate !== null && column.type !== "timestamp") return null;
  switch (column.type) {
    // DuckDB orders false before true.
    case "boolean": {
      if (value.type !== "boolean") return null;
      const point = Number(value.value);
      return (file) =>
        ofBounds(file, column, ({ lower, upper }) => {
          const range = { lower: toBit(lower), upper: toBit(upper) };
          return overlaps(range, operator, { low: point, high: point });
        });
    }
    case "long":
      return value.type === "double" ? longAsDoubleTest(column, operator, value) : longTest(column, operator, value);
    case "double":
      return doubleTest(column, operator, value);
    case "timestamp":
      return timeTest(column, { column: named, operator }, value);
    case "string":
    case "json": {
      if (value.type !== "text") return null;
      const { text } = value;
      return (file) => ofBounds(file, column, (bounds) => overlapsText(bounds, operator, text));
    }
    default:
      return unreachable(column.type);
  }
}

/** Exact: bounds of longs are decimal text, which a double would round. */
function longTest(column: TableColumn, operator: CompareOperator, value: OperandValue): FileTest | null {
  const wanted = castTo("bigint", value);
  if (wanted?.type !== "integer") return null;
  return (file) =>
    ofBounds(file, column, ({ lower, upper }) => {
      return overlaps({ lower: toBigInt(lower), upper: toBigInt(upper) }, operator, wanted);
    });
}

/** DuckDB compares both as doubles, or as decimals: a long beyond 2^53 may be its neighbour there. */
function longAsDoubleTest(column: TableColumn, operator: CompareOperator, value: DoubleValue): FileTest | null {
  if (!Number.isFinite(value.low) || !Number.isFinite(value.high)) return null;
  const wanted = withRounding(value);
  return (file) =>
    ofBounds(file, column, ({ lower, upper }) => {
      return overlaps({ lower: toNumber(lower), upper: toNumber(upper) }, operator, wanted);
    });
}

/** NaN is greater than all others and in no bound, so that a file never says it has nothing above its bound. */
function doubleTest(column: TableColumn, operator: CompareOperator, value: OperandValue): FileTest | null {
  const wanted = castTo("double", value);
  if (wanted?.type !== "double" || !Number.isFinite(wanted.low) || !Number.isFinite(wanted.high)) return null;
  const reachesNaN = operator === ">" || operator === ">=" || operator === "<>";
  return (file) =>
    ofBounds(file, column, ({ lower, upper }) => {
      const range = { lower: toNumber(lower), upper: reachesNaN ? null : toNumber(upper) };
      // A file of nothing but NaN has no bounds, and is read.
      return overlaps(range, operator, wanted);
    });
}

/**
 * Times in µs. Of a column that is cut to a day or an hour the bounds are cut too: cutting never turns an order around,
 * so that what was between the bounds is between the cut ones.
 */
function timeTest(column: TableColumn, { column: named, operator }: Comparison, value: OperandValue): FileTest | null {
  const { truncate } = named;
  const type = truncate === "date" ? "date" : "timestamptz";
  const wanted = value.type === "text" ? parseTime(value.text, type) : value;
  if (wanted === undefined || !("low" in wanted) || wanted.type === "integer" || wanted.type === "double") return null;
  const unit = truncate === "date" ? "day" : truncate;
  const floor = (micros: bigint | null): bigint | null => {
    if (micros === null || unit === null) return micros;
    return floorTime(micros, unit) ?? null;
  };
  const test = (range: Range<bigint>): boolean => {
    return overlaps({ lower: floor(range.lower), upper: floor(range.upper) }, operator, wanted);
  };
  if (column.fieldId === timestampFieldId) return (file) => test(timestampRange(file));
  return (file) =>
    ofBounds(file, column, ({ lower, upper }) => test({ lower: toBigInt(lower), upper: toBigInt(upper) }));
}

/** Of the partition: days are UTC. */
const dayMicros = 86_400_000_000n;

/** Of the column that no file lacks and no row leaves NULL; the day of the partition bounds it too. */
function timestampRange(file: DataFile): Range<bigint> {
  const bounds = file.bounds[timestampFieldId];
  const start = BigInt(file.day) * dayMicros;
  return {
    lower: toBigInt(bounds?.lower ?? null) ?? start,
    upper: toBigInt(bounds?.upper ?? null) ?? start + dayMicros - 1n,
  };
}

/** Null: unknown on this side. */
interface Range<Value> {
  readonly lower: Value | null;
  readonly upper: Value | null;
}

/** True where some value of the range compares so with some value from `low` to `high`. */
function overlaps<Value extends number | bigint>(
  { lower, upper }: Range<Value>,
  operator: CompareOperator,
  { low, high }: { readonly low: Value; readonly high: Value },
): boolean {
  switch (operator) {
    // The ranges meet.
    case "=":
      return (lower === null || lower <= high) && (upper === null || upper >= low);
    case "<":
      return lower === null || lower < high;
    case "<=":
      return lower === null || lower <= high;
    case ">":
      return upper === null || upper > low;
    case ">=":
      return upper === null || upper >= low;
    // Only where both are one and the same point is there nothing else in the file.
    case "<>":
      return lower === null || upper === null || lower !== upper || low !== high || lower !== low;
    default:
      return unreachable(operator);
  }
}

// ---- texts, in the order of their UTF-8 bytes

function isText(column: TableColumn): boolean {
  return column.type === "string" || column.type === "json";
}

/** Bounds may be cut: the lower is at most the least text, the upper at least the greatest. */
function overlapsText(bounds: ColumnBounds, operator: CompareOperator, text: string): boolean {
  // Equal bounds may be of several texts.
  if (operator === "<>") return true;
  const lower = operator === ">" || operator === ">=" ? null : lowerText(bounds);
  const upper = operator === "<" || operator === "<=" ? null : upperText(bounds);
  if (lower !== null) {
    const order = compareText(lower, text);
    if (operator === "<" ? order >= 0 : order > 0) return false;
  }
  if (upper === null) return true;
  const order = compareText(upper, text);
  return operator === ">" ? order > 0 : order >= 0;
}

/**
 * Some text between the bounds may begin so: the beginning of the least text is not above the prefix, and the greatest
 * text is not below it.
 */
function mayBegin(bounds: ColumnBounds, prefix: string): boolean {
  const lower = lowerText(bounds);
  const upper = upperText(bounds);
  if (lower !== null && compareText(lower.slice(0, prefix.length), prefix) > 0) return false;
  return upper === null || compareText(upper, prefix) >= 0;
}

// ---- bounds as numbers; null for what has not the form of the column's type

function toBigInt(bound: ColumnBounds["lower"]): bigint | null {
  return typeof bound === "string" && /^-?\d{1,19}$/.test(bound) ? BigInt(bound) : null;
}

/** A long that was there before the column became double has its bound as text; it rounds as its values do. */
function toNumber(bound: ColumnBounds["lower"]): number | null {
  if (typeof bound === "number") return Number.isNaN(bound) ? null : bound;
  const exact = toBigInt(bound);
  return exact === null ? null : Number(exact);
}

/** Bounds of booleans as numbers, so that one comparison serves all types. */
function toBit(bound: ColumnBounds["lower"]): number | null {
  return typeof bound === "boolean" ? Number(bound) : null;
}
