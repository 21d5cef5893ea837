import type { TablePredicate } from "../../shared/predicate.js";
import type { TreeNode } from "./inspect-statement.js";

/** Filled in by the next commit. */
export function extractPredicates(_root: TreeNode, _tables: readonly string[]): TablePredicate[] {
  return [];
}
