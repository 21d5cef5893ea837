import type { CompareOperator, Operand, Predicate, PredicateColumn } from "../../shared/predicate.js";
import { isNode, type TreeNode } from "./inspect-statement.js";
import { type OperandScope, readOperand, readUnit, typeIdOf } from "./read-operand.js";

/**
 * One condition, one table: a walk over the expression that keeps what a file's statistics can answer.
 *
 * ```
 * a > 1 AND f(b) = 2      a > 1            one half of an AND may be left out
 * a > 1 OR f(b) = 2       any              of an OR all must be known
 * NOT (a > 1 OR b = 2)    a <= 1 AND b <> 2
 * ```
 */

export interface PredicateScope extends OperandScope {
  /** The column of the table in question that these names stand for; null where they are not surely one. */
  column(names: readonly string[]): Omit<PredicateColumn, "truncate"> | null;
  /** The table's rows may be replaced by NULLs after the check: a test for NULL says nothing then. */
  readonly isNullable: boolean;
  /** Predicates that may still be made; counted down. */
  readonly budget: { left: number };
}

const any: Predicate = { kind: "any" };
/** Of AND, OR and NOT in each other; beyond it nothing is said. */
const depthMax = 50;

/**
 * What an expression of WHERE or ON says of one table: a row for which the predicate does not hold cannot satisfy the
 * expression. `isNegated` reads the expression under a NOT; three-valued logic lets NOT be pushed down to comparisons,
 * where NULL satisfies neither a comparison nor its opposite.
 */
export function readPredicate(node: unknown, scope: PredicateScope, isNegated = false, depth = 0): Predicate {
  if (!isNode(node) || depth > depthMax || scope.budget.left <= 0) return any;
  switch (node["class"]) {
    case "CONJUNCTION":
      return readConjunction(node, scope, isNegated, depth);
    case "COMPARISON":
      return readComparison(node, scope, isNegated);
    case "BETWEEN": {
      const { input, lower, upper } = node;
      const terms = [
        compare(input, isNegated ? "<" : ">=", lower, scope),
        compare(input, isNegated ? ">" : "<=", upper, scope),
      ];
      return isNegated ? anyOf(terms) : allOf(terms);
    }
    case "OPERATOR":
      return readOperator(node, scope, isNegated, depth);
    case "FUNCTION":
      return isNegated ? any : readPrefix(node, scope);
    case "COLUMN_REF": {
      const column = readColumn(node, scope);
      return column === null || column.truncate !== null
        ? any
        : spend(scope, { kind: "is", column, value: !isNegated });
    }
    default:
      return any;
  }
}

/** AND and OR of any number of terms; NOT turns the one into the other. */
function readConjunction(node: TreeNode, scope: PredicateScope, isNegated: boolean, depth: number): Predicate {
  const terms = childrenOf(node).map((child) => readPredicate(child, scope, isNegated, depth + 1));
  const isAnd = (node["type"] === "CONJUNCTION_AND") !== isNegated;
  return isAnd ? allOf(terms) : anyOf(terms);
}

/** DuckDB's names; IS [NOT] DISTINCT FROM is none of them, as NULL satisfies it. */
const operators: Readonly<Record<string, CompareOperator>> = {
  COMPARE_EQUAL: "=",
  COMPARE_NOTEQUAL: "<>",
  COMPARE_LESSTHAN: "<",
  COMPARE_LESSTHANOREQUALTO: "<=",
  COMPARE_GREATERTHAN: ">",
  COMPARE_GREATERTHANOREQUALTO: ">=",
};
/** Under NOT. NULL satisfies neither a comparison nor its opposite. */
const opposites: Readonly<Record<CompareOperator, CompareOperator>> = {
  "=": "<>",
  "<>": "=",
  "<": ">=",
  "<=": ">",
  ">": "<=",
  ">=": "<",
};
/** `5 < a` is `a > 5`. */
const mirrored: Readonly<Record<CompareOperator, CompareOperator>> = {
  "=": "=",
  "<>": "<>",
  "<": ">",
  "<=": ">=",
  ">": "<",
  ">=": "<=",
};

function readComparison(node: TreeNode, scope: PredicateScope, isNegated: boolean): Predicate {
  const operator = operators[String(node["type"])];
  if (operator === undefined) return any;
  return compare(node["left"], isNegated ? opposites[operator] : operator, node["right"], scope);
}

/** One side is a column, the other has one value for the whole run; else nothing is known. */
function compare(left: unknown, operator: CompareOperator, right: unknown, scope: PredicateScope): Predicate {
  const column = readColumn(left, scope);
  if (column !== null) return comparison(column, operator, readOperand(right, scope), scope);
  const mirror = readColumn(right, scope);
  return mirror === null ? any : comparison(mirror, mirrored[operator], readOperand(left, scope), scope);
}

/** Says nothing where the other side depends on a row, or is not understood. */
function comparison(
  column: PredicateColumn,
  operator: CompareOperator,
  operand: Operand | null,
  scope: PredicateScope,
): Predicate {
  return operand === null ? any : spend(scope, { kind: "compare", column, operator, operand });
}

/** NOT, IN, IS NULL: the tree calls them operators. */
function readOperator(node: TreeNode, scope: PredicateScope, isNegated: boolean, depth: number): Predicate {
  const [first, ...others] = childrenOf(node);
  switch (node["type"]) {
    case "OPERATOR_NOT":
      return readPredicate(first, scope, !isNegated, depth + 1);
    case "COMPARE_IN":
    case "COMPARE_NOT_IN": {
      const isIn = (node["type"] === "COMPARE_IN") !== isNegated;
      const terms = others.map((other) => compareColumn(first, isIn ? "=" : "<>", other, scope));
      return isIn ? anyOf(terms) : allOf(terms);
    }
    case "OPERATOR_IS_NULL":
    case "OPERATOR_IS_NOT_NULL": {
      const isNull = (node["type"] === "OPERATOR_IS_NULL") !== isNegated;
      const column = readColumn(first, scope);
      if (column === null || column.truncate !== null || (isNull && scope.isNullable)) return any;
      return spend(scope, { kind: isNull ? "is-null" : "is-not-null", column });
    }
    default:
      return any;
  }
}

/** As `compare`, where only the left side may be the column: `5 IN (a, b)` says nothing. */
function compareColumn(left: unknown, operator: CompareOperator, right: unknown, scope: PredicateScope): Predicate {
  const column = readColumn(left, scope);
  return column === null ? any : comparison(column, operator, readOperand(right, scope), scope);
}

const prefixFunctions = new Set(["starts_with", "^@", "prefix"]);

/** LIKE (the tree calls it `~~`) with text before its first wildcard, and the functions for the same. */
function readPrefix(node: TreeNode, scope: PredicateScope): Predicate {
  const name = String(node["function_name"]).toLowerCase();
  const [first, second] = childrenOf(node);
  const column = readColumn(first, scope);
  const operand = column === null || column.truncate !== null ? null : readOperand(second, scope);
  if (column === null || operand === null || childrenOf(node).length !== 2) return any;
  if (prefixFunctions.has(name)) return spend(scope, { kind: "prefix", column, prefix: operand });
  // A pattern that is a parameter would have to be cut where its value is known.
  if (name !== "~~" || operand.kind !== "literal" || typeof operand.value !== "string") return any;
  const value = operand.value.replace(/[%_\\].*$/s, "");
  return spend(scope, { kind: "prefix", column, prefix: { ...operand, value } });
}

/** A column as it is, cast to a date or, for an instant, to a timestamp; or rounded down by date_trunc. */
function readColumn(node: unknown, scope: PredicateScope): PredicateColumn | null {
  if (!isNode(node)) return null;
  if (node["class"] === "COLUMN_REF") {
    const names = node["column_names"];
    const column = Array.isArray(names) ? scope.column(names.map(String)) : null;
    return column === null ? null : { ...column, truncate: null };
  }
  if (node["class"] === "CAST" && typeIdOf(node["cast_type"]) === "DATE") {
    const column = readColumn(node["child"], scope);
    return column === null || column.truncate !== null ? null : { ...column, truncate: "date" };
  }
  if (node["class"] === "FUNCTION" && String(node["function_name"]).toLowerCase() === "date_trunc") {
    const [first, second] = childrenOf(node);
    const unit = readUnit(first);
    const column = unit === null ? null : readColumn(second, scope);
    return unit === null || column === null || column.truncate !== null ? null : { ...column, truncate: unit };
  }
  return null;
}

/** A statement of very many comparisons is not worth the memory of keeping them. */
function spend(scope: PredicateScope, predicate: Predicate): Predicate {
  scope.budget.left--;
  return scope.budget.left < 0 ? any : predicate;
}

/** `any` says nothing in an AND. */
export function allOf(terms: readonly Predicate[]): Predicate {
  const known = terms.filter((term) => term.kind !== "any");
  const [only] = known;
  if (only === undefined) return any;
  return known.length === 1 ? only : { kind: "and", terms: known };
}

/** `any` in an OR leaves nothing to say. */
export function anyOf(terms: readonly Predicate[]): Predicate {
  const [only] = terms;
  if (only === undefined || terms.some((term) => term.kind === "any")) return any;
  return terms.length === 1 ? only : { kind: "or", terms };
}

function childrenOf(node: TreeNode): readonly unknown[] {
  const children = node["children"];
  return Array.isArray(children) ? children : [];
}
