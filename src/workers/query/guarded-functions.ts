import type { DuckDBConnection } from "@duckdb/node-api";
import { limits } from "../../shared/limits.js";
import { quoteText } from "./table-view.js";

/**
 * Functions that make gigabytes, or compute for hours, out of a few characters of SQL. DuckDB counts no value that a
 * scalar function makes against its memory limit, and looks for an interrupt only between two vectors of 2,048 rows:
 * `repeat('x', 4e9)` or `levenshtein` of two long texts hold a thread and the memory until they are done.
 *
 * Sizes come from columns as well as from literals, so that they are checked where they are known: when the call runs.
 * Each function is shadowed by a macro of its name, which DuckDB finds first, and which ends the query with an error or
 * calls the real one by its full name. DuckDB folds the check away where the size is a literal. What a macro uses twice
 * is bound twice: `boundTwice` names those whose calls must not be nested deeply.
 *
 * What it costs an honest query: nothing measurable with literal sizes, about 20 ns a row with others.
 */
/** `printf` takes any number of values, macros do not. */
const formatValuesMax = 32;

/** Names of the shadowed functions: only these macros may call them by a qualified name. */
const guardedNames = new Set([
  "array_resize",
  "bitstring",
  "damerau_levenshtein",
  "editdist3",
  "format",
  "generate_series",
  "jaro_similarity",
  "jaro_winkler_similarity",
  "levenshtein",
  "list_resize",
  "lpad",
  "printf",
  "range",
  "regexp_replace",
  "repeat",
  "replace",
  "rpad",
  "~~*",
  "!~~*",
  "~~~",
]);

/** Macros that use an argument more than once which may hold a call of the same kind. */
const boundTwice = new Set([
  "damerau_levenshtein",
  "editdist3",
  "generate_series",
  "jaro_similarity",
  "jaro_winkler_similarity",
  "levenshtein",
  "range",
  "repeat",
]);

/** Functions that grow a value, with the places of the arguments that say how far. */
const sizeArguments: ReadonlyMap<string, readonly number[]> = new Map([
  ["array_resize", [1]],
  ["bitstring", [1]],
  ["generate_series", [0, 1]],
  ["list_resize", [1]],
  ["lpad", [1]],
  ["range", [0, 1]],
  ["repeat", [1]],
  ["rpad", [1]],
]);

export function isGuarded(name: string): boolean {
  return guardedNames.has(name.toLowerCase());
}

/** True where a call around another doubles the work of DuckDB's binder. */
export function isBoundTwice(name: string): boolean {
  return boundTwice.has(name.toLowerCase());
}

/** Places of the arguments that say how large the function's value gets; undefined for functions that grow nothing. */
export function sizeArgumentsOf(name: string): readonly number[] | undefined {
  return sizeArguments.get(name.toLowerCase());
}

/** Shadows the functions for every connection of the instance; call it before clients have any. */
export async function guardFunctions(connection: DuckDBConnection): Promise<void> {
  for (const sql of guards()) await connection.run(sql);
}

function guards(): string[] {
  return [...textGuards(), ...listGuards(), ...compareGuards(), ...formatGuards(), ...patternGuards()];
}

/** `value` where the condition does not hold; else the query ends with INVALID_SQL and the message. */
function checked(value: string, isTooLarge: string, message: string): string {
  return `CASE WHEN ${isTooLarge} THEN error(${quoteText(message)}) ELSE ${value} END`;
}

function macro(name: string, ...forms: readonly string[]): string {
  return `CREATE MACRO "${name}"${forms.join(", ")}`;
}

function textGuards(): string[] {
  const tooLong = (name: string): string => `${name} makes a value of at most ${limits.grownTextBytesMax} bytes`;
  // A list as text has at least a character for each element, a blob for each byte.
  const times = checked("n", `strlen(s::VARCHAR)::DOUBLE * n > ${limits.grownTextBytesMax}`, tooLong("repeat"));
  const padded = (name: string): string => {
    const size = checked("n", `n > ${limits.grownTextBytesMax}`, tooLong(name));
    return macro(name, `(s, n, c) AS system.main.${name}(s, (${size})::INTEGER, c)`);
  };
  const bits = checked(
    "n",
    `n > ${limits.grownTextBytesMax}`,
    `bitstring makes at most ${limits.grownTextBytesMax} bits`,
  );
  const ratio = `a text is replaced by one of at most ${limits.replacementRatioMax} times its length`;
  const replacement = checked("t", `strlen(t) > ${limits.replacementRatioMax} * greatest(strlen(f), 1)`, ratio);
  const ofPattern = checked(
    "t",
    `strlen(t) > ${limits.replacementRatioMax}`,
    ratio.replace("its length", "a character"),
  );
  return [
    macro("repeat", `(s, n) AS system.main.repeat(s, (${times})::BIGINT)`),
    padded("lpad"),
    padded("rpad"),
    macro("bitstring", `(s, n) AS system.main.bitstring(s, (${bits})::INTEGER)`),
    macro("replace", `(s, f, t) AS system.main.replace(s, f, ${replacement})`),
    macro(
      "regexp_replace",
      `(s, p, t) AS system.main.regexp_replace(s, p, ${ofPattern})`,
      `(s, p, t, o) AS system.main.regexp_replace(s, p, ${ofPattern}, o)`,
    ),
  ];
}

function listGuards(): string[] {
  const tooLong = `a list is made of at most ${limits.grownListMax} elements; FROM range(...) and FROM generate_series(...) have no such limit`;
  // Numbers, or instants and an interval: the types are not known here, their texts tell.
  const steps = `abs(coalesce(
    (try_cast(b::VARCHAR AS DOUBLE) - try_cast(a::VARCHAR AS DOUBLE)) / nullif(try_cast(c::VARCHAR AS DOUBLE), 0),
    (epoch(try_cast(b::VARCHAR AS TIMESTAMPTZ)) - epoch(try_cast(a::VARCHAR AS TIMESTAMPTZ)))
      / nullif(epoch(try_cast(c::VARCHAR AS INTERVAL)), 0)))`;
  const series = ["range", "generate_series"].map((name) => {
    const one = checked("a", `a > ${limits.grownListMax}`, tooLong);
    const two = checked("b", `b::DOUBLE - a::DOUBLE > ${limits.grownListMax}`, tooLong);
    const three = checked("b", `${steps} > ${limits.grownListMax}`, tooLong);
    const call = `system.main.${name}`;
    return macro(
      name,
      `(a) AS ${call}(${one})`,
      `(a, b) AS ${call}(a, ${two})`,
      `(a, b, c) AS ${call}(a, ${three}, c)`,
    );
  });
  const resized = ["list_resize", "array_resize"].map((name) => {
    const size = checked(
      "n",
      `n > ${limits.grownListMax}`,
      `${name} makes a list of at most ${limits.grownListMax} elements`,
    );
    const call = `system.main.${name}(l, (${size})::BIGINT`;
    return macro(name, `(l, n) AS ${call})`, `(l, n, v) AS ${call}, v)`);
  });
  return [...series, ...resized];
}

/** Time goes with the product of the lengths; `damerau_levenshtein` takes six times as long, and memory too. */
function compareGuards(): string[] {
  const guard = (name: string, more = ""): string => {
    const productMax = limits.comparedCharactersMax / (name === "damerau_levenshtein" ? 8 : 1);
    const product = `strlen(a)::DOUBLE * strlen(b) > ${productMax}`;
    const side = Math.floor(Math.sqrt(productMax));
    const second = checked(
      "b",
      product,
      `${name} compares two texts of about ${side} bytes, or a longer with a shorter`,
    );
    return `(a, b${more}) AS system.main.${name}(a, ${second}${more})`;
  };
  return [
    ...["levenshtein", "editdist3", "damerau_levenshtein"].map((name) => macro(name, guard(name))),
    ...["jaro_similarity", "jaro_winkler_similarity"].map((name) => macro(name, guard(name), guard(name, ", c"))),
  ];
}

/** A width is a number in the format, or an argument of its own: `%*d`, `{:{}}`. */
function formatGuards(): string[] {
  const widths = {
    printf: `regexp_matches(f, '%[^A-Za-z%]*([0-9]{4,}|[*])')`,
    // `{{` is a brace of the text.
    format: `regexp_matches(system.main.replace(f, '{{', ''), '[{][^{}]*:[^{}]*([0-9]{4,}|[{])')`,
  };
  return Object.entries(widths).map(([name, isWide]) => {
    const message = `the format of ${name} has at most ${limits.formatBytesMax} bytes, and widths up to 999 that stand in it`;
    const format = checked("f", `strlen(f) > ${limits.formatBytesMax} OR ${isWide}`, message);
    const forms = Array.from({ length: formatValuesMax + 1 }, (_, count) => {
      const values = Array.from({ length: count }, (_unused, index) => `, v${index}`).join("");
      return `(f${values}) AS system.main.${name}(${format}${values})`;
    });
    return macro(name, ...forms);
  });
}

/**
 * ILIKE and GLOB go back to each star for each character, a power of the text's length; LIKE without `_` does not where
 * the pattern is a literal. So ILIKE becomes LIKE of the lower case, which is what it is defined as.
 */
function patternGuards(): string[] {
  // The last star takes all that is left.
  const isLong = "regexp_matches(p, '[*].*[^*].*[*].*[^*].*[*].*[^*]')";
  const pattern = checked(
    "p",
    isLong,
    "a pattern of GLOB has at most 2 stars before the last one; LIKE has no such limit",
  );
  return [
    macro("~~*", "(s, p) AS (lower(s) ~~ lower(p))"),
    macro("!~~*", "(s, p) AS (lower(s) !~~ lower(p))"),
    macro("~~~", `(s, p) AS system.main."~~~"(s, ${pattern})`),
  ];
}
