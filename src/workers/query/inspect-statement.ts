import { limits } from "../../shared/limits.js";
import { nameKey } from "../../shared/schema/table-schema.js";
import { growthRefusal, isInnerOf } from "./check-growth.js";
import { isAllowedTableFunction, isVolatileFunction, isVolatileName, refusalOf } from "./function-rules.js";
import { isBoundTwice } from "./guarded-functions.js";

/**
 * Walks the syntax tree that DuckDB's `json_serialize_sql` gives for one SELECT. Everything that the walk does not know
 * is refused: a new kind of node must be looked at before clients may use it.
 *
 * The tree has four kinds of objects:
 *
 * ```
 * query node   has cte_map   SELECT_NODE, SET_OPERATION_NODE, RECURSIVE_CTE_NODE
 * expression   has class     CONSTANT, FUNCTION, COLUMN_REF, ...
 * table        has sample    BASE_TABLE, JOIN, SUBQUERY, TABLE_FUNCTION, ...
 * the rest     modifiers, orders, lists: walked through
 * ```
 */
export interface InspectedStatement {
  /** Names as first written, each once; those that a CTE in reach defines are none. */
  readonly tables: readonly LocatedName[];
  /** Names without `$` in any order, each as often as it stands there; those of `?` are numbers. */
  readonly parameters: readonly string[];
  /** True when a WITH stands anywhere: names had to be told apart by scope. */
  readonly hasCte: boolean;
  /**
   * True when its first rows cost as much as all of them: it sorts, groups, joins or numbers rows. Only of the others is
   * the order of the rows the same at each run.
   */
  readonly isBlocking: boolean;
  /** True when its result may differ from one run to the next over the same tables. */
  readonly isVolatile: boolean;
}

export interface LocatedName {
  readonly name: string;
  readonly positionBytes: number | null;
}

/** A statement that clients may not run; `positionBytes` as DuckDB counts, null where the tree does not say. */
export class RefusedStatement extends Error {
  override readonly name: string = "RefusedStatement";
  readonly positionBytes: number | null;

  constructor(message: string, positionBytes: number | null = null) {
    super(message);
    this.positionBytes = positionBytes;
  }
}

/** A statement that DuckDB would plan or run for minutes or for ever, which nothing can interrupt. */
export class TooDeepStatement extends RefusedStatement {
  override readonly name = "TooDeepStatement";
}

export type TreeNode = Readonly<Record<string, unknown>>;

/** What stands around a node. */
interface Scope {
  /** Lower-case names of the CTEs in reach. */
  readonly names: ReadonlySet<string>;
  /** Expressions around it, and those of them that DuckDB binds twice, so that each doubles the work within. */
  readonly depth: number;
  readonly doublings: number;
  readonly pivots: number;
  /** Of `growthRefusal`. */
  readonly isInner: boolean;
}

interface Step {
  readonly value: unknown;
  readonly scope: Scope;
}

interface Walk {
  readonly steps: Step[];
  readonly tables: Map<string, LocatedName>;
  readonly parameters: string[];
  hasCte: boolean;
  isBlocking: boolean;
  isVolatile: boolean;
}

const queryNodes = new Set(["SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE"]);
const tableNodes = new Set([
  "BASE_TABLE",
  "EMPTY",
  "EXPRESSION_LIST",
  "JOIN",
  "PIVOT",
  "SHOW_REF",
  "SUBQUERY",
  "TABLE_FUNCTION",
]);
const expressionClasses = new Set([
  "BETWEEN",
  "CASE",
  "CAST",
  "COLLATE",
  "COLUMN_REF",
  "COMPARISON",
  "CONJUNCTION",
  "CONSTANT",
  "DEFAULT",
  "FUNCTION",
  "LAMBDA",
  "LAMBDA_REF",
  "OPERATOR",
  "PARAMETER",
  "POSITIONAL_REFERENCE",
  "STAR",
  "SUBQUERY",
  "TYPE",
  "WINDOW",
]);

/** Throws RefusedStatement. The walk keeps its own stack, as trees are as deep as clients like. */
export function inspectStatement(root: TreeNode): InspectedStatement {
  const walk: Walk = {
    steps: [{ value: root, scope: { names: new Set(), depth: 0, doublings: 0, pivots: 0, isInner: false } }],
    tables: new Map(),
    parameters: [],
    hasCte: false,
    isBlocking: false,
    isVolatile: false,
  };
  for (let step = walk.steps.pop(); step !== undefined; step = walk.steps.pop()) visit(walk, step);
  const tables = [...walk.tables.values()].toSorted(
    (left, right) => (left.positionBytes ?? 0) - (right.positionBytes ?? 0),
  );
  const { parameters, hasCte, isBlocking, isVolatile } = walk;
  return { tables, parameters, hasCte, isBlocking, isVolatile };
}

function visit(walk: Walk, { value, scope }: Step): void {
  if (Array.isArray(value)) {
    for (const item of value) walk.steps.push({ value: item, scope });
  } else if (isNode(value)) {
    // Of a table or a query: DuckDB draws other rows each time, and a seed holds for one number of threads only.
    if (isNode(value["sample"])) walk.isVolatile = true;
    if ("cte_map" in value) visitQuery(walk, value, scope);
    else if (typeof value["class"] === "string") visitExpression(walk, value, scope);
    else if ("sample" in value) visitTable(walk, value, scope);
    else visitOther(walk, value, scope);
  }
}

function visitOther(walk: Walk, node: TreeNode, scope: Scope): void {
  // The type of a cast: JSON becomes a VARIANT by recursion without a bound, which overruns the stack.
  if (node["id"] === "VARIANT") throw new RefusedStatement("the type VARIANT is not allowed");
  // An aggregate's own ORDER BY is always there, mostly empty.
  if (node["type"] === "DISTINCT_MODIFIER" || isFilled(node["orders"])) walk.isBlocking = true;
  pushChildren(walk, node, scope);
}

/**
 * A CTE is in reach of the CTEs after it in the same WITH, of itself only in the right side of a recursive one, and of
 * everything in the query below. Where DuckDB should reach further than this, the name counts as a table's, which is
 * the safe side: a table must be known.
 */
function visitQuery(walk: Walk, node: TreeNode, outer: Scope): void {
  const type = String(node["type"]);
  if (!queryNodes.has(type)) throw new RefusedStatement(`${type} is not a SELECT`);
  if (type !== "SELECT_NODE" || isFilled(node["group_expressions"])) walk.isBlocking = true;
  const columns = node["select_list"];
  if (Array.isArray(columns) && columns.length > limits.selectListMax) {
    throw new TooDeepStatement(`a SELECT lists at most ${limits.selectListMax} columns`);
  }
  const { cte_map: cteMap, ...rest } = node;
  let scope = outer;
  for (const { key, value } of entriesOf(cteMap)) {
    walk.hasCte = true;
    walk.steps.push({ value, scope });
    scope = withName(scope, key);
  }
  if (type === "RECURSIVE_CTE_NODE") {
    const { right, ...others } = rest;
    walk.steps.push({ value: right, scope: withName(scope, String(node["cte_name"])) });
    pushChildren(walk, others, scope);
  } else {
    pushChildren(walk, rest, scope);
  }
}

function visitExpression(walk: Walk, node: TreeNode, scope: Scope): void {
  const kind = String(node["class"]);
  if (!expressionClasses.has(kind)) throw new RefusedStatement(`${kind} is not understood`, positionOf(node));
  // A constant's value is data, whatever it looks like.
  if (kind === "CONSTANT") return;
  if (kind === "PARAMETER") walk.parameters.push(String(node["identifier"]));
  if (kind === "COLUMN_REF") visitColumn(walk, node);
  // A subquery in an expression is a join; unnest may take apart a list that an aggregate made in any order.
  if (kind === "WINDOW" || kind === "SUBQUERY") walk.isBlocking = true;
  if ("function_name" in node) {
    checkFunction(node, scope);
    const name = String(node["function_name"]);
    if (isVolatileFunction(name)) walk.isVolatile = true;
    if (name === "unnest") walk.isBlocking = true;
  }
  pushChildren(walk, node, within(node, kind, scope));
}

/**
 * DuckDB's planner takes time with the cube of the depth of an expression, and twice the time for each subquery and
 * lambda (`->` is one) around another; it hears no interrupt meanwhile.
 */
function within(node: TreeNode, kind: string, scope: Scope): Scope {
  const depth = scope.depth + 1;
  const isDoubled = kind === "SUBQUERY" || kind === "LAMBDA" || isBoundTwice(String(node["function_name"]));
  const doublings = scope.doublings + (isDoubled ? 1 : 0);
  if (depth > limits.expressionDepthMax) {
    throw new TooDeepStatement(`expressions are nested at most ${limits.expressionDepthMax} deep`, positionOf(node));
  }
  if (doublings > limits.subqueryDepthMax) {
    const message = `subqueries, lambdas, -> and the functions of lists and texts that grow are nested at most ${limits.subqueryDepthMax} deep in expressions`;
    throw new TooDeepStatement(message, positionOf(node));
  }
  return { ...scope, depth, doublings, isInner: scope.isInner || isInnerOf(node) };
}

function withName(scope: Scope, name: string): Scope {
  return { ...scope, names: new Set([...scope.names, nameKey(name)]) };
}

function visitTable(walk: Walk, node: TreeNode, scope: Scope): void {
  const type = String(node["type"]);
  if (!tableNodes.has(type)) throw new RefusedStatement(`${type} is not a table`, positionOf(node));
  if (type === "JOIN") walk.isBlocking = true;
  if (type === "PIVOT") return visitPivot(walk, node, scope);
  if (type === "TABLE_FUNCTION") {
    const call = node["function"];
    const name = isNode(call) ? String(call["function_name"]) : "";
    if (!isAllowedTableFunction(name)) {
      throw new RefusedStatement(`the table function ${name} is not allowed`, positionOf(node));
    }
  } else if (type === "SHOW_REF") {
    // `SHOW t` and `DESCRIBE t` carry a query; the forms without one list what the instance holds.
    if (node["query"] === null) throw new RefusedStatement("only SHOW TABLES and DESCRIBE of one table are allowed");
  } else if (type === "BASE_TABLE") {
    visitTableName(walk, node, scope);
  }
  pushChildren(walk, node, scope);
}

/** DuckDB binds what is pivoted several times over, so that one around another costs the product. */
function visitPivot(walk: Walk, node: TreeNode, scope: Scope): void {
  const pivots = scope.pivots + 1;
  if (pivots > limits.pivotDepthMax) {
    throw new TooDeepStatement(`PIVOT and UNPIVOT are nested at most ${limits.pivotDepthMax} deep`, positionOf(node));
  }
  pushChildren(walk, node, { ...scope, pivots });
}

function visitTableName(walk: Walk, node: TreeNode, scope: Scope): void {
  const name = String(node["table_name"]);
  const qualifiers = [node["catalog_name"], node["schema_name"]].filter((part) => part !== "");
  if (qualifiers.length > 0) {
    throw new RefusedStatement(`tables have no qualified names: ${[...qualifiers, name].join(".")}`, positionOf(node));
  }
  if (node["at_clause"] !== null) throw new RefusedStatement("AT is not allowed here", positionOf(node));
  const key = nameKey(name);
  if (scope.names.has(key)) return;
  // The walk takes children from the last to the first: the name that stands first is the one that stays.
  const positionBytes = positionOf(node);
  const known = walk.tables.get(key);
  if (known !== undefined && (known.positionBytes ?? 0) <= (positionBytes ?? 0)) return;
  walk.tables.set(key, { name, positionBytes });
}

function checkFunction(node: TreeNode, scope: Scope): void {
  const name = String(node["function_name"]);
  const reason = refusalOf(name);
  if (reason !== null) throw new RefusedStatement(`the function ${name} is not allowed: ${reason}`, positionOf(node));
  const growth = growthRefusal(node, scope);
  if (growth !== null) throw new TooDeepStatement(growth, positionOf(node));
}

/**
 * Some functions are called without parentheses: the tree has them as columns, which they are where one is named so.
 * DuckDB follows `a.b.c...` by recursion and overruns its stack at some ten thousand names, which ends the process.
 */
function visitColumn(walk: Walk, node: TreeNode): void {
  const names: unknown = node["column_names"];
  if (!Array.isArray(names)) throw new RefusedStatement("a column is not understood", positionOf(node));
  if (names.length > limits.columnPathMax) {
    throw new TooDeepStatement(`a column's path has at most ${limits.columnPathMax} names`, positionOf(node));
  }
  if (names.length === 1 && isVolatileName(String(names[0]))) walk.isVolatile = true;
}

function pushChildren(walk: Walk, node: TreeNode, scope: Scope): void {
  for (const child of Object.values(node)) {
    if (typeof child === "object" && child !== null) walk.steps.push({ value: child, scope });
  }
}

function isFilled(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0;
}

function entriesOf(cteMap: unknown): { key: string; value: unknown }[] {
  const map = isNode(cteMap) ? cteMap["map"] : undefined;
  if (!Array.isArray(map)) throw new RefusedStatement("WITH is not understood");
  return map.map((entry: unknown) => {
    if (!isNode(entry)) throw new RefusedStatement("WITH is not understood");
    return { key: String(entry["key"]), value: entry["value"] };
  });
}

/** DuckDB writes 2^64 - 1 for nowhere. */
function positionOf(node: TreeNode): number | null {
  const position = node["query_location"];
  return typeof position === "number" && Number.isSafeInteger(position) ? position : null;
}

export function isNode(value: unknown): value is TreeNode {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
