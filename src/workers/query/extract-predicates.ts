import type { Predicate, TablePredicate } from "../../shared/predicate.js";
import { nameKey } from "../../shared/schema/table-schema.js";
import { isNode, type TreeNode } from "./inspect-statement.js";
import { allOf, anyOf, type PredicateScope, readPredicate } from "./read-predicate.js";

/** Comparisons of one statement, which main keeps with its parse; what is beyond says nothing. */
const predicatesMax = 256;
/** Joins below joins. */
const joinDepthMax = 100;

/**
 * What a statement needs of its tables at most, from its WHERE and ON clauses. Each SELECT is looked at by itself: its
 * own conditions on the tables of its own FROM. A table that stands there several times, or in several SELECTs, needs
 * what any of its places needs; a place that is not understood needs all.
 *
 * Which side of a join a condition may be applied to before the join, without a change of the result:
 *
 * | join          | WHERE, left       | WHERE, right      | ON, left | ON, right |
 * |---------------|-------------------|-------------------|----------|-----------|
 * | inner, cross  | yes               | yes               | yes      | yes       |
 * | left          | yes               | rejects NULL only | no       | yes       |
 * | right         | rejects NULL only | yes               | yes      | no        |
 * | full          | rejects NULL only | rejects NULL only | no       | no        |
 * | semi, anti    | yes               | no                | no       | no        |
 * | others (asof, positional) | no    | no                | no       | no        |
 *
 * (A row that a condition would reject anyway may be missing on the nullable side: its partner then comes with NULLs,
 * which the same condition rejects.)
 */
export function extractPredicates(root: TreeNode, tables: readonly string[]): TablePredicate[] {
  const walk: Walk = { places: new Map(), placed: new Set(), definedNames: new Set(), budget: { left: predicatesMax } };
  const nodes = nodesOf(root);
  const cteNames = new Set<string>();
  for (const node of nodes) noteNames(node, walk.definedNames, cteNames);
  for (const node of nodes) if (node["type"] === "SELECT_NODE" && "cte_map" in node) readSelect(node, walk);
  // A place that no SELECT has in its FROM, as below a PIVOT.
  for (const node of nodes) if (isBaseTable(node) && !walk.placed.has(node)) addPlace(walk, node, { kind: "any" });
  const found: TablePredicate[] = [];
  for (const table of new Set(tables.map(nameKey))) {
    // Whether a name is the table or the CTE is a question of scope: such a name is left alone.
    const places = cteNames.has(table) ? undefined : walk.places.get(table);
    const predicate = anyOf(places ?? []);
    if (predicate.kind !== "any") found.push({ table, predicate });
  }
  return found;
}

interface Walk {
  /** By the table's nameKey, one for each place where it stands. */
  readonly places: Map<string, Predicate[]>;
  readonly placed: Set<TreeNode>;
  readonly definedNames: Set<string>;
  readonly budget: { left: number };
}

/** All objects of the tree, without recursion, as trees are as deep as clients like. */
function nodesOf(root: TreeNode): TreeNode[] {
  const nodes: TreeNode[] = [];
  const steps: unknown[] = [root];
  for (let step = steps.pop(); step !== undefined; step = steps.pop()) {
    if (isNode(step)) nodes.push(step);
    // From the last to the first, so that nodes come in the order of the text.
    for (const child of (Object.values(step as object) as unknown[]).toReversed()) {
      if (typeof child === "object" && child !== null) steps.push(child);
    }
  }
  return nodes;
}

/** Names that mean something else than a column or table of the catalog, anywhere in the statement: one place is enough. */
function noteNames(node: TreeNode, definedNames: Set<string>, cteNames: Set<string>): void {
  if (typeof node["alias"] === "string") definedNames.add(nameKey(node["alias"]));
  for (const list of [node["column_name_alias"], node["aliases"], node["using_columns"]]) {
    if (Array.isArray(list)) for (const name of list as unknown[]) definedNames.add(nameKey(String(name)));
  }
  const cteMap = node["cte_map"];
  const entries = isNode(cteMap) ? cteMap["map"] : undefined;
  if (Array.isArray(entries)) {
    for (const entry of entries as unknown[]) if (isNode(entry)) cteNames.add(nameKey(String(entry["key"])));
  }
  if (typeof node["cte_name"] === "string") cteNames.add(nameKey(node["cte_name"]));
}

function isBaseTable(node: TreeNode): boolean {
  return node["type"] === "BASE_TABLE" && "table_name" in node;
}

function addPlace(walk: Walk, table: TreeNode, predicate: Predicate): void {
  walk.placed.add(table);
  const key = nameKey(String(table["table_name"]));
  const places = walk.places.get(key);
  if (places === undefined) walk.places.set(key, [predicate]);
  else places.push(predicate);
}

/** A condition that every row of a part of FROM must satisfy. */
interface Condition {
  readonly expression: unknown;
  readonly isNullable: boolean;
}

interface From {
  readonly walk: Walk;
  /** How each table can be named, and its own name, in lower case. */
  readonly tables: readonly { readonly alias: string; readonly name: string }[];
  /** Joins by column name: such a name without a table may be of either side. */
  readonly hasSharedColumns: boolean;
}

function readSelect(select: TreeNode, walk: Walk): void {
  // A sample is taken before the condition: less to choose from would be another sample.
  if (isNode(select["sample"])) return;
  const parts = partsOf(select["from_table"]);
  if (parts === null) return;
  const tables = parts.filter(isBaseTable).map((node) => ({ alias: aliasOf(node), name: tableKeyOf(node) }));
  const hasSharedColumns = parts.some(
    (node) =>
      node["ref_type"] === "NATURAL" || (Array.isArray(node["using_columns"]) && node["using_columns"].length > 0),
  );
  const where = select["where_clause"];
  const conditions = where === null || where === undefined ? [] : [{ expression: where, isNullable: false }];
  readFrom({ walk, tables, hasSharedColumns }, select["from_table"], conditions);
}

/** The tables and joins of a FROM; null where they are nested too deeply. */
function partsOf(from: unknown): TreeNode[] | null {
  const parts: TreeNode[] = [];
  const steps = [{ node: from, depth: 0 }];
  for (let step = steps.pop(); step !== undefined; step = steps.pop()) {
    const { node, depth } = step;
    if (depth > joinDepthMax) return null;
    if (!isNode(node)) continue;
    parts.push(node);
    if (node["type"] !== "JOIN") continue;
    steps.push({ node: node["left"], depth: depth + 1 }, { node: node["right"], depth: depth + 1 });
  }
  return parts;
}

/** Hands the conditions down to the tables that they may be applied to. What stands below a subquery is its own SELECT's. */
function readFrom(from: From, node: unknown, conditions: readonly Condition[]): void {
  if (!isNode(node) || isNode(node["sample"])) return;
  if (isBaseTable(node)) {
    addPlace(from.walk, node, allOf(conditions.map((condition) => readCondition(from, node, condition))));
  } else if (node["type"] === "JOIN") {
    const { left, right } = sidesOf(node, conditions);
    readFrom(from, node["left"], left);
    readFrom(from, node["right"], right);
  }
}

interface Sides {
  readonly left: readonly Condition[];
  readonly right: readonly Condition[];
}

/** See the table above. */
function sidesOf(join: TreeNode, conditions: readonly Condition[]): Sides {
  const refType = String(join["ref_type"]);
  if (refType !== "REGULAR" && refType !== "CROSS" && refType !== "NATURAL") return { left: [], right: [] };
  const { condition } = join;
  const on: Condition[] =
    condition === null || condition === undefined ? [] : [{ expression: condition, isNullable: false }];
  const nullable = conditions.map((one): Condition => ({ ...one, isNullable: true }));
  switch (join["join_type"]) {
    case "INNER":
      return { left: [...conditions, ...on], right: [...conditions, ...on] };
    case "LEFT":
      return { left: conditions, right: [...nullable, ...on] };
    case "RIGHT":
      return { left: [...nullable, ...on], right: conditions };
    case "OUTER":
    case "FULL":
      return { left: nullable, right: nullable };
    case "SEMI":
    case "ANTI":
      return { left: conditions, right: [] };
    default:
      return { left: [], right: [] };
  }
}

/** What one condition says of one table of the FROM, by the names that surely mean its columns. */
function readCondition(from: From, table: TreeNode, condition: Condition): Predicate {
  const { definedNames, budget } = from.walk;
  const own = aliasOf(table);
  const aliases = table["column_name_alias"];
  const isRenamed = Array.isArray(aliases) && aliases.length > 0;
  const isTwice = from.tables.filter((one) => one.alias === own).length > 1;
  if (isRenamed || isTwice) return { kind: "any" };
  const unless = from.tables.filter((one) => one.alias !== own).map((one) => one.name);
  const column: PredicateScope["column"] = (names) => {
    const [first = "", second] = names;
    if (names.length === 1) return from.hasSharedColumns ? null : { name: first, unless };
    return names.length === 2 && nameKey(first) === own ? { name: String(second), unless: [] } : null;
  };
  return readPredicate(condition.expression, { column, definedNames, budget, isNullable: condition.isNullable });
}

function aliasOf(table: TreeNode): string {
  const { alias } = table;
  return typeof alias === "string" && alias !== "" ? nameKey(alias) : tableKeyOf(table);
}

function tableKeyOf(table: TreeNode): string {
  return nameKey(String(table["table_name"]));
}
