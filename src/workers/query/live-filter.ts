import { isDeepStrictEqual } from "node:util";
import { MiniodbError } from "../../shared/errors.js";
import { limits } from "../../shared/limits.js";
import { errorAt } from "./duckdb-error.js";
import { inspectStatement, isNode, RefusedStatement, type TreeNode } from "./inspect-statement.js";
import { checkComments, type SqlParser } from "./parse-statement.js";
import { quoteName } from "./table-view.js";

export interface FilterRules {
  readonly bytesMax: number;
  readonly mayHaveParameters: boolean;
}

const liveRules: FilterRules = { bytesMax: limits.liveFilterBytesMax, mayHaveParameters: false };

/**
 * Decides with DuckDB's parser whether a filter (of a live query, unless other rules are given) is one expression and nothing more. It is parsed in its
 * place, and the tree of that statement must be the tree of the same statement with `true` in its place, but for the
 * WHERE clause: a text that closes the parenthesis and goes on with UNION, GROUP BY, LIMIT and so on changes the rest.
 *
 * ```
 * SELECT 1 FROM "t" WHERE (
 * <filter>
 * ) AND true
 * ```
 * What stands behind the filter makes a clause without a trace in the tree (WINDOW w AS ...) a syntax error. A text such
 * as `a) OR (b` gets through: in parentheses of its own it is an expression too.
 *
 * Throws INVALID_SQL where it does not parse, SQL_NOT_ALLOWED where it is more than an expression over one row.
 */
export async function checkFilterText(
  parser: SqlParser,
  table: string,
  filter: string,
  { bytesMax, mayHaveParameters }: FilterRules = liveRules,
): Promise<void> {
  if (Buffer.byteLength(filter) > bytesMax) {
    throw new MiniodbError("INVALID_SQL", `a filter has at most ${bytesMax} bytes`);
  }
  checkComments(filter);
  // As in parse-statement.ts: what is checked and what runs could differ behind a NUL.
  if (filter.includes("\0")) throw new MiniodbError("INVALID_SQL", "a filter holds no NUL");
  const head = `SELECT 1 FROM ${quoteName(table)} WHERE (\n`;
  const statement = await parseOne(parser, { head, filter });
  const plain = await parseOne(parser, { head, filter: "true" });
  if (!isDeepStrictEqual(withoutWhere(statement), withoutWhere(plain))) {
    throw new MiniodbError("SQL_NOT_ALLOWED", "a filter is one expression, and nothing stands behind it");
  }
  const headBytes = Buffer.byteLength(head);
  try {
    inspectStatement(statement);
    checkClasses(statement["where_clause"], mayHaveParameters);
  } catch (error) {
    if (!(error instanceof RefusedStatement)) throw error;
    const { positionBytes } = error;
    throw errorAt("SQL_NOT_ALLOWED", error.message, filter, positionBytes === null ? null : positionBytes - headBytes);
  }
}

interface FilterPlace {
  readonly head: string;
  readonly filter: string;
}

/** The one SELECT node of the statement around the filter. */
async function parseOne(parser: SqlParser, { head, filter }: FilterPlace): Promise<TreeNode> {
  const parsed = JSON.parse(await parser.serialize(`${head}${filter}\n) AND true`)) as TreeNode;
  if (parsed["error"] === true) {
    const characters = Number(parsed["position"] ?? Number.NaN) - head.length;
    // Syntax errors count characters, all other places count bytes.
    const before = Number.isSafeInteger(characters)
      ? Array.from(filter).slice(0, Math.max(characters, 0)).join("")
      : null;
    const positionBytes = before === null ? null : Buffer.byteLength(before);
    throw errorAt("INVALID_SQL", String(parsed["error_message"]), filter, positionBytes);
  }
  const statements = parsed["statements"];
  const first: unknown = Array.isArray(statements) && statements.length === 1 ? statements[0] : undefined;
  const node = isNode(first) ? first["node"] : undefined;
  if (!isNode(node)) throw new MiniodbError("SQL_NOT_ALLOWED", "a filter is one expression");
  return node;
}

/** Places in the text differ with its length. */
function withoutWhere(node: TreeNode): unknown {
  const { where_clause: _, ...rest } = node;
  return JSON.parse(JSON.stringify(rest, (key, value: unknown) => (key === "query_location" ? undefined : value)));
}

/** What a filter is not made of, though a query may be: each row is looked at by itself, and there are no values to fill in. */
const refusedClasses: ReadonlyMap<string, string> = new Map([
  ["SUBQUERY", "a filter has no subqueries"],
  ["WINDOW", "a filter has no window functions"],
  ["PARAMETER", "a filter has no parameters"],
  ["POSITIONAL_REFERENCE", "a filter names its columns"],
  ["STAR", "a filter names its columns"],
]);

/** The walk keeps its own stack, as trees are as deep as clients like. */
function checkClasses(where: unknown, mayHaveParameters: boolean): void {
  const stack: unknown[] = [where];
  while (stack.length > 0) {
    const value = stack.pop();
    if (Array.isArray(value)) {
      for (const item of value) stack.push(item);
    } else if (isNode(value)) {
      const nodeClass = String(value["class"]);
      const isAllowed = mayHaveParameters && nodeClass === "PARAMETER";
      const refusal = isAllowed ? undefined : refusedClasses.get(nodeClass);
      const location = value["query_location"];
      const position = typeof location === "number" && Number.isSafeInteger(location) ? location : null;
      if (refusal !== undefined) throw new RefusedStatement(refusal, position);
      // A constant's value is data, whatever it looks like.
      if (value["class"] !== "CONSTANT") for (const child of Object.values(value)) stack.push(child);
    }
  }
}
