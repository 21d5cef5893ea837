import { MiniodbError } from "../../shared/errors.js";
import { limits } from "../../shared/limits.js";
import type { ParameterValue } from "../../shared/query-messages.js";

/**
 * What a request gives for the parameters of its statement:
 *
 * ```
 *   list     for `?` and `$1`, `$2`, ...    in their order
 *   record   for `$name`                    by name without the `$`, in any case of letters
 * ```
 */
export type QueryParameters = readonly ParameterValue[] | Readonly<Record<string, ParameterValue>>;

/**
 * Reads the field `params` of a request out of its JSON. Values are null, booleans, numbers, texts, and lists of one
 * kind of these; undefined where there is none. Throws INVALID_REQUEST that names the parameter.
 */
export function readParameters(value: unknown): QueryParameters | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "object") {
    throw new MiniodbError("INVALID_REQUEST", "params must be a list of values, or an object of values by name", {
      field: "params",
    });
  }
  for (const [key, item] of Object.entries(value)) {
    checkValue(Array.isArray(value) ? String(Number(key) + 1) : key, item);
  }
  return value as QueryParameters;
}

/** A list is bound as a list of one type, so that its items are of one kind. */
function checkValue(name: string, value: unknown): void {
  if (!Array.isArray(value)) return checkItem(name, value);
  const items: readonly unknown[] = value;
  if (items.length > limits.parameterItemsMax) {
    throw invalid(name, `parameter $${name} is a list of more than ${limits.parameterItemsMax} items`);
  }
  for (const item of items) checkItem(name, item);
  const kinds = new Set(items.filter((item) => item !== null).map((item) => typeof item));
  if (kinds.size > 1) throw invalid(name, `the list of parameter $${name} mixes ${[...kinds].join(" and ")}`);
}

/** Numbers arrive as doubles: a whole one beyond 2^53 may be another than the one that was sent. */
function checkItem(name: string, value: unknown): void {
  if (value === null || typeof value === "boolean" || typeof value === "string") return;
  if (typeof value !== "number") {
    throw invalid(name, `parameter $${name} must be null, true, false, a number, a text, or a list of these`);
  }
  if (Number.isFinite(value) && (!Number.isInteger(value) || Number.isSafeInteger(value))) return;
  throw invalid(
    name,
    `parameter $${name} is beyond the whole numbers that JSON numbers hold exactly: send it as a text, with a cast in the statement such as $${name}::BIGINT`,
  );
}

/**
 * The values in the order of the statement's parameters. Throws INVALID_REQUEST where one is missing or is none of the
 * statement's, or where a list was given for names or the other way round.
 */
export function valuesOf(parameters: readonly string[], given: QueryParameters | undefined): readonly ParameterValue[] {
  const values = given ?? [];
  const isNamed = /^\D/.test(parameters[0] ?? "");
  if (isList(values)) {
    if (isNamed && values.length > 0) throw wrongForm(parameters, "an object with a value for each name");
    if (isNamed) throw missing(parameters, parameters[0] ?? "");
    if (values.length !== parameters.length) throw wrongCount(parameters, values.length);
    return values;
  }
  if (!isNamed && Object.keys(values).length > 0) {
    if (parameters.length > 0) throw wrongForm(parameters, "a list of values");
    throw unknownName(parameters, Object.keys(values)[0] ?? "");
  }
  return namedValues(parameters, values);
}

function namedValues(
  parameters: readonly string[],
  given: Readonly<Record<string, ParameterValue>>,
): readonly ParameterValue[] {
  const byKey = new Map<string, ParameterValue>();
  const expected = new Set(parameters.map((name) => name.toLowerCase()));
  for (const [name, value] of Object.entries(given)) {
    const key = name.toLowerCase();
    if (!expected.has(key)) throw unknownName(parameters, name);
    if (byKey.has(key)) throw invalid(name, `params names ${name} twice`);
    byKey.set(key, value);
  }
  return parameters.map((name) => {
    const value = byKey.get(name.toLowerCase());
    if (value === undefined) throw missing(parameters, name);
    return value;
  });
}

function isList(values: QueryParameters): values is readonly ParameterValue[] {
  return Array.isArray(values);
}

function wrongCount(parameters: readonly string[], count: number): MiniodbError {
  return new MiniodbError("INVALID_REQUEST", `the statement has ${parameters.length} parameters, params has ${count}`, {
    field: "params",
    expected: parameters.length,
    given: count,
  });
}

function wrongForm(parameters: readonly string[], form: string): MiniodbError {
  return new MiniodbError("INVALID_REQUEST", `params must be ${form} for this statement`, {
    field: "params",
    parameters,
  });
}

function missing(parameters: readonly string[], parameter: string): MiniodbError {
  return new MiniodbError("INVALID_REQUEST", `params has no value for $${parameter}`, {
    field: "params",
    parameter,
    parameters,
  });
}

function unknownName(parameters: readonly string[], parameter: string): MiniodbError {
  return new MiniodbError("INVALID_REQUEST", `the statement has no parameter $${parameter}`, {
    field: "params",
    parameter,
    parameters,
  });
}

function invalid(parameter: string, message: string): MiniodbError {
  return new MiniodbError("INVALID_REQUEST", message, { field: "params", parameter });
}
