import { limits } from "../../shared/limits.js";
import { isGuarded, sizeArgumentsOf } from "./guarded-functions.js";

/**
 * What the text of a statement says about the size of the values that it makes, beyond the checks that run with it
 * (guarded-functions.ts): what is made once for each element of a list is the product of both sizes, and what a lambda
 * makes out of two copies of its own last result doubles with each element.
 */
export interface CallSurroundings {
  /** It stands in a lambda or in a format: sizes are small literals there. */
  readonly isInner: boolean;
}

type Node = Readonly<Record<string, unknown>>;

/** They repeat what the format says for each row, and take a format of any length. */
const formatReaders = new Set(["strftime", "strptime", "try_strptime"]);
/** The operators as functions, as the parser has them: LIKE, NOT LIKE, ILIKE, NOT ILIKE. */
const likes = new Set(["~~", "!~~", "~~*", "!~~*"]);
const likesWithEscape = new Set(["like_escape", "not_like_escape", "ilike_escape", "not_ilike_escape"]);
/** They hand each result to the next call of their lambda. */
const reducers = new Set(["array_reduce", "list_reduce", "reduce"]);

/** True where the sizes of what is made within are to be small literals. */
export function isInnerOf(node: Node): boolean {
  const name = nameOf(node);
  return node["class"] === "LAMBDA" || formatReaders.has(name);
}

/** Why DuckDB would take memory or time without bound for this call; null where it does not. */
export function growthRefusal(node: Node, { isInner }: CallSurroundings): string | null {
  const name = nameOf(node);
  // Their macros are found by the plain name only.
  if (isGuarded(name) && node["schema"] !== "") return `the function ${name} is called without a schema`;
  if (isInner) {
    const refusal = innerRefusal(name, argumentsOf(node));
    if (refusal !== null) return refusal;
  }
  if (formatReaders.has(name)) return formatRefusal(name, argumentsOf(node));
  if (isLike(name)) return patternRefusal(name, argumentsOf(node)[1]);
  // Aggregates cannot be macros: FILTER and OVER would have no place to stand.
  if (name === "approx_top_k") return topRefusal(argumentsOf(node)[1]);
  if (name === "bitstring_agg") return bitsRefusal(argumentsOf(node));
  if (reducers.has(name)) return reducerRefusal(name, argumentsOf(node)[1]);
  return null;
}

/** Only a literal is known here; what a column says is checked when the call runs, but not multiplied with the elements. */
function innerRefusal(name: string, values: readonly Node[]): string | null {
  const places = sizeArgumentsOf(name);
  if (places === undefined) return null;
  const isSmall = places.every((place) => {
    const value = values[place];
    if (value === undefined) return true;
    const size = constantOf(value);
    return typeof size === "number" && Math.abs(size) <= limits.nestedGrowthMax;
  });
  if (isSmall) return null;
  return `in a lambda or a format of a date, the size for ${name} is a literal up to ${limits.nestedGrowthMax}`;
}

/** Either argument may be the format. A column as format is another matter: DuckDB refuses it itself. */
function formatRefusal(name: string, values: readonly Node[]): string | null {
  const isLong = values.some((value) => {
    const text = constantOf(value);
    return typeof text === "string" && text.length > limits.nestedGrowthMax;
  });
  return isLong ? `a format of ${name} has at most ${limits.nestedGrowthMax} characters` : null;
}

/** With `_`, or with ESCAPE, DuckDB tries each `%` at each character: the power of their number. */
function patternRefusal(name: string, pattern: Node | undefined): string | null {
  const isMade = [...nodesIn(pattern)].some((node) => sizeArgumentsOf(nameOf(node)) !== undefined);
  if (isMade) return "a pattern is not made by functions that repeat or pad";
  const text = pattern === undefined ? null : constantOf(pattern);
  if (typeof text !== "string" || (!likesWithEscape.has(name) && !text.includes("_"))) return null;
  const wildcards = (text.match(/%+(?=[^%])/g) ?? []).length;
  if (wildcards <= limits.likeWildcardsMax) return null;
  return `a pattern with _ or ESCAPE has at most ${limits.likeWildcardsMax} % before its last one`;
}

function topRefusal(value: Node | undefined): string | null {
  const count = value === undefined ? null : constantOf(value);
  if (typeof count === "number" && count <= limits.topValuesMax) return null;
  return `approx_top_k takes the number of values as a literal up to ${limits.topValuesMax}`;
}

/** Each group has all bits between the bounds, set or not. */
function bitsRefusal(values: readonly Node[]): string | null {
  const [, least, most] = values.map(constantOf);
  const isBounded = typeof least === "number" && typeof most === "number" && most - least <= limits.aggregateBitsMax;
  if (isBounded) return null;
  return `bitstring_agg needs its bounds as literals, at most ${limits.aggregateBitsMax} apart: bitstring_agg(x, 0, 1000)`;
}

/** `(a, x) -> a || a` makes 2^n texts of n elements. Sums, comparisons and CASE choose or add, and may name it often. */
function reducerRefusal(name: string, lambda: Node | undefined): string | null {
  if (lambda?.["class"] !== "LAMBDA" || !isNode(lambda["lhs"])) return null;
  const [first] = argumentsOf(lambda["lhs"]);
  const path: unknown = first?.["column_names"];
  const accumulator = Array.isArray(path) ? String(path[0]).toLowerCase() : "";
  for (const node of nodesIn(lambda["expr"])) {
    if (node["class"] !== "FUNCTION" || adders.has(nameOf(node)) || mentions(node, accumulator) < 2) continue;
    return `the lambda of ${name} names ${accumulator} twice within ${nameOf(node)}, which would double it each time`;
  }
  return null;
}

/** Their result is no longer than the longest of what they are given, or a number. */
const adders = new Set(["+", "-", "*", "/", "//", "%", "**", "^", "greatest", "least", "coalesce"]);

/** How often the name stands as a column below the node; in another lambda it may be another thing, which counts too. */
function mentions(root: Node, name: string): number {
  const paths = [...nodesIn(root)].map((node) => node["column_names"]);
  return paths.filter((path) => Array.isArray(path) && String(path[0]).toLowerCase() === name).length;
}

/** The value and all nodes below it; with a stack of its own, as trees are as deep as clients like. */
function* nodesIn(root: unknown): Generator<Node> {
  const steps: unknown[] = [root];
  for (let step = steps.pop(); step !== undefined; step = steps.pop()) {
    if (isNode(step)) yield step;
    if (typeof step !== "object" || step === null) continue;
    steps.push(...Object.values(step).filter((value) => typeof value === "object" && value !== null));
  }
}

function isLike(name: string): boolean {
  return likes.has(name) || likesWithEscape.has(name) || name === "~~~";
}

function nameOf(node: Node): string {
  const name = node["function_name"];
  return typeof name === "string" ? name.toLowerCase() : "";
}

function argumentsOf(node: Node): readonly Node[] {
  const { children } = node;
  return Array.isArray(children) ? (children as unknown[]).filter(isNode) : [];
}

/** A literal's number or text; null for anything else. */
function constantOf(node: Node): unknown {
  const value = node["class"] === "CONSTANT" ? node["value"] : undefined;
  return isNode(value) ? value["value"] : null;
}

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
