import { createHash } from "node:crypto";
import { MiniodbError } from "../../shared/errors.js";
import { limits } from "../../shared/limits.js";
import type { ParsedStatement } from "../../shared/query-messages.js";
import { nameKey } from "../../shared/schema/table-schema.js";
import { characterPosition, errorAt } from "./duckdb-error.js";
import { extractPredicates } from "./extract-predicates.js";
import {
  type InspectedStatement,
  inspectStatement,
  isNode,
  type LocatedName,
  RefusedStatement,
  TooDeepStatement,
  type TreeNode,
} from "./inspect-statement.js";

/** DuckDB's parser, as a statement check needs it. */
export interface SqlParser {
  /** The text of `json_serialize_sql(sql)`. */
  serialize(sql: string): Promise<string>;
  /** The tables that DuckDB itself finds; not always all. */
  tableNames(sql: string): readonly string[];
}

/** The words with spaces and comments before and behind them; those that nest are not found, which refuses the text. */
const space = String.raw`(?:\s|--[^\n]*(?:\n|$)|/\*(?:(?!\*/|/\*)[^])*\*/)`;
const explainWords = new RegExp(`^${space}*explain(?:${space}+(analyze))?(?:${space}+|(?=\\())`, "i");
const onlySelect = "only one SELECT, SHOW TABLES, DESCRIBE or EXPLAIN statement is allowed";
const pivotWords = new RegExp(
  `^${space}*\\(*(?:pivot|pivot_wider|(?:select|with|from)\\b[^]*\\bpivot(?:_wider)?)\\b`,
  "i",
);
const pivotNeedsValues =
  "PIVOT needs the values that become columns: write PIVOT t ON a IN ('x', 'y') USING sum(b), with the values of SELECT DISTINCT a FROM t";
/** Places of a semicolon that are tried as the statement's end, from the last on. */
const endingsMax = 32;

/**
 * Decides with DuckDB's parser whether clients may run this text, and what it reads. Throws INVALID_SQL where it does
 * not parse, SQL_NOT_ALLOWED where it is no SELECT or reaches outside; both with the place in the text.
 */
export async function parseStatement(parser: SqlParser, text: string): Promise<ParsedStatement> {
  checkText(text);
  const tree = await serialize(parser, text, text, 0);
  if (tree !== null) return selectStatement(parser, { text, kind: "select", startBytes: 0, sql: text }, tree);

  // EXPLAIN has no tree of its own. What stands behind the word must be a SELECT by itself, and only that is kept.
  const explain = explainWords.exec(text);
  if (explain === null) throw new MiniodbError("SQL_NOT_ALLOWED", refusalFor(text));
  const sql = text.slice(explain[0].length);
  const startBytes = Buffer.byteLength(explain[0]);
  const explained = await serialize(parser, sql, text, startBytes);
  if (explained === null) throw new MiniodbError("SQL_NOT_ALLOWED", refusalFor(sql));
  const statement = await selectStatement(parser, { text, kind: "explain", startBytes, sql }, explained);
  if (statement.kind === "show-tables") throw new MiniodbError("SQL_NOT_ALLOWED", onlySelect);
  const isAnalyze = explain[1] !== undefined;
  const verb = isAnalyze ? "EXPLAIN ANALYZE\n" : "EXPLAIN\n";
  const explaining = { ...statement, sql: verb + statement.sql, startBytes: startBytes - Buffer.byteLength(verb) };
  // Its result is times, of each run others.
  return isAnalyze ? { ...explaining, fingerprint: `analyze-${statement.fingerprint}`, isVolatile: true } : explaining;
}

/**
 * DuckDB makes several statements of a PIVOT without its values, the first of which looks for them. The words only choose
 * the sentence: the text is refused already.
 */
function refusalFor(text: string): string {
  return pivotWords.test(text) ? pivotNeedsValues : onlySelect;
}

function checkText(text: string): void {
  if (Buffer.byteLength(text) > limits.sqlBytesMax) {
    throw new MiniodbError("INVALID_SQL", `a statement has at most ${limits.sqlBytesMax} bytes`);
  }
  checkComments(text);
  // Parts of DuckDB's interface end a text at NUL, so that what is checked and what runs could differ.
  const nul = text.indexOf("\0");
  if (nul !== -1) throw errorAt("INVALID_SQL", "a statement holds no NUL", text, Buffer.byteLength(text.slice(0, nul)));
}

/** Throws INVALID_SQL for a text whose comments DuckDB would read for long; call it before any parse. */
export function checkComments(text: string): void {
  if (text.split("/*", limits.commentsMax + 2).length > limits.commentsMax + 1) {
    throw new MiniodbError("INVALID_SQL", `a text of SQL has at most ${limits.commentsMax} comments`);
  }
}

interface SerializedTree {
  /** DuckDB's JSON text, to compare two trees by. */
  readonly json: string;
  readonly node: TreeNode;
}

/** The tree of the one statement in `sql`, which starts at `startBytes` of `text`; null where it is no SELECT. */
async function serialize(
  parser: SqlParser,
  sql: string,
  text: string,
  startBytes: number,
): Promise<SerializedTree | null> {
  const json = await parser.serialize(sql);
  const parsed = JSON.parse(json) as TreeNode;
  if (parsed["error"] === true) {
    if (String(parsed["error_message"]).startsWith("Only SELECT statements")) return null;
    // Unlike all other places, those of syntax errors count characters (code points), not bytes.
    const characters = parsed["position"] === undefined ? Number.NaN : Number(parsed["position"]);
    const before = Number.isSafeInteger(characters) ? Array.from(sql).slice(0, characters).join("") : null;
    const positionBytes = before === null ? null : Buffer.byteLength(before) + startBytes;
    throw errorAt("INVALID_SQL", String(parsed["error_message"]), text, positionBytes);
  }
  const statements = parsed["statements"];
  if (!Array.isArray(statements) || statements.length === 0) {
    throw new MiniodbError("INVALID_SQL", "the text holds no statement");
  }
  if (statements.length > 1) throw new MiniodbError("SQL_NOT_ALLOWED", onlySelect);
  const statement: unknown = statements[0];
  const node = isNode(statement) ? statement["node"] : undefined;
  if (!isNode(node)) throw new MiniodbError("SQL_NOT_ALLOWED", onlySelect);
  return { json, node };
}

interface StatementText {
  /** All that the client sent. */
  readonly text: string;
  readonly kind: "select" | "explain";
  readonly sql: string;
  readonly startBytes: number;
}

async function selectStatement(
  parser: SqlParser,
  source: StatementText,
  tree: SerializedTree,
): Promise<ParsedStatement> {
  if (isShowTables(tree.node)) return { kind: "show-tables" };
  const { text, kind, startBytes } = source;
  const inspected = inspect(tree.node, source);
  const { isBlocking, isVolatile } = inspected;
  const parameters = parametersOf(inspected.parameters);
  const sql = await withoutSemicolon(parser, source.sql, tree);
  const tables = addNames(inspected, parser, sql).map(({ name, positionBytes }) => {
    return { name, position: positionBytes === null ? null : characterPosition(text, positionBytes + startBytes) };
  });
  const fingerprint = fingerprintOf(kind, tree.json);
  const limitRows = limitOf(tree.node);
  const predicates = extractPredicates(
    tree.node,
    tables.map((table) => table.name),
  );
  const parsed = { kind, sql, text, startBytes, tables, predicates, limitRows, parameters, isBlocking };
  return { ...parsed, fingerprint, isVolatile };
}

/**
 * Each name once: numbers in their order, other names by the alphabet. DuckDB makes a number of `?`, and lets numbers and
 * names not stand together. A gap would be a value that nothing uses, which DuckDB does not take.
 */
function parametersOf(names: readonly string[]): string[] {
  const byKey = new Map(names.map((name) => [nameKey(name), name]));
  if (byKey.size > limits.parametersMax) throw tooManyParameters();
  const keys = [...byKey.keys()];
  if (keys.every((key) => !/^\d+$/.test(key))) return keys.toSorted().map((key) => byKey.get(key) ?? key);
  const highest = Math.max(...keys.map(Number));
  if (highest !== keys.length) {
    throw new MiniodbError("INVALID_SQL", "parameters are numbered from $1 on, without gaps", { highest });
  }
  return Array.from({ length: highest }, (_, index) => String(index + 1));
}

function tooManyParameters(): MiniodbError {
  return new MiniodbError("INVALID_SQL", `a statement has at most ${limits.parametersMax} parameters`, {
    limit: limits.parametersMax,
  });
}

function inspect(node: TreeNode, source: StatementText): InspectedStatement {
  try {
    return inspectStatement(node);
  } catch (error) {
    if (!(error instanceof RefusedStatement)) throw error;
    const position = error.positionBytes === null ? null : error.positionBytes + source.startBytes;
    const code = error instanceof TooDeepStatement ? "INVALID_SQL" : "SQL_NOT_ALLOWED";
    throw errorAt(code, error.message, source.text, position);
  }
}

/**
 * Where a WITH stands, names were told apart by our reading of its scope; DuckDB's own list is added, so that a name
 * that only DuckDB takes for a table must be known too.
 */
function addNames(inspected: InspectedStatement, parser: SqlParser, sql: string): readonly LocatedName[] {
  if (!inspected.hasCte) return inspected.tables;
  const known = new Set(inspected.tables.map((table) => nameKey(table.name)));
  const more = parser.tableNames(sql).filter((name) => !known.has(nameKey(name)));
  return [...inspected.tables, ...more.map((name) => ({ name, positionBytes: null }))];
}

/**
 * The statement as it can stand in parentheses. A text without a semicolon can as it is: it was parsed whole, and the
 * line feed before the closing parenthesis ends a comment. With one, the end is where the text before it has the same
 * tree and parses in parentheses; a semicolon in a literal or comment passes neither or both.
 */
async function withoutSemicolon(parser: SqlParser, sql: string, tree: SerializedTree): Promise<string> {
  if (!sql.includes(";")) return sql;
  let end = sql.length;
  for (let tries = 0; tries < endingsMax && end !== -1; tries++) {
    const candidate = sql.slice(0, end);
    if ((await parser.serialize(candidate)) === tree.json && (await standsInParentheses(parser, candidate))) {
      return candidate;
    }
    end = firstOfRun(sql, sql.lastIndexOf(";", end - 1));
  }
  throw new MiniodbError("INVALID_SQL", "the end of the statement was not found: leave out its last semicolon");
}

/** The first semicolon of those before `end`, and with it, that have nothing but spaces between them. */
function firstOfRun(sql: string, end: number): number {
  let first = end;
  for (let at = end; at >= 0 && /[;\s]/.test(sql.charAt(at)); at--) if (sql[at] === ";") first = at;
  return first;
}

async function standsInParentheses(parser: SqlParser, sql: string): Promise<boolean> {
  const parsed = JSON.parse(await parser.serialize(inParentheses(sql))) as TreeNode;
  return parsed["error"] === false && Array.isArray(parsed["statements"]) && parsed["statements"].length === 1;
}

/** The statement as a table, its text on lines of its own. */
export function inParentheses(sql: string): string {
  return `${parenthesesPrefix}${sql}\n) AS q`;
}

export const parenthesesPrefix = "SELECT * FROM (\n";

/** `SHOW TABLES` and its synonyms, alone: `SELECT * FROM (SHOW TABLES)` has the same tree. */
function isShowTables(node: TreeNode): boolean {
  const table = node["from_table"];
  if (!isNode(table) || table["type"] !== "SHOW_REF" || table["query"] !== null) return false;
  const isPlain =
    node["where_clause"] === null && lengthOf(node["modifiers"]) === 0 && lengthOf(node["select_list"]) === 1;
  const list = node["select_list"];
  const first: unknown = Array.isArray(list) ? list[0] : undefined;
  const isStar = isNode(first) && first["type"] === "STAR";
  return isPlain && isStar && String(table["table_name"]).replaceAll('"', "") === "tables";
}

/** What the outermost LIMIT says, when it is a plain number. */
function limitOf(node: TreeNode): number | null {
  const modifiers = node["modifiers"];
  if (!Array.isArray(modifiers)) return null;
  for (const modifier of modifiers as unknown[]) {
    if (!isNode(modifier) || modifier["type"] !== "LIMIT_MODIFIER") continue;
    const limit = modifier["limit"];
    const value = isNode(limit) && limit["class"] === "CONSTANT" ? limit["value"] : undefined;
    const rows = isNode(value) ? value["value"] : undefined;
    if (typeof rows === "number" && Number.isSafeInteger(rows)) return rows;
  }
  return null;
}

/** The tree's own text, as a JavaScript number would not hold every constant; in a text in it, the quotes are escaped. */
function fingerprintOf(kind: string, json: string): string {
  const tree = json.replace(/"query_location":\d+/g, "");
  return createHash("sha256").update(`${kind} ${tree}`).digest("base64url");
}

function lengthOf(value: unknown): number {
  return Array.isArray(value) ? value.length : -1;
}
