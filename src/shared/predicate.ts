/**
 * What a statement says of the rows that it reads of one table, as far as it can be checked against the statistics of
 * files. Made by workers/query/extract-predicates.ts from DuckDB's syntax tree, evaluated by main/query/prune-files.ts
 * with the table's schema and the values of the parameters.
 *
 * A predicate may hold for more rows than the statement keeps, never for fewer: what is not understood is `any`. Every
 * kind but `any` and `is-null` is null-rejecting: with NULL in the column it does not hold.
 */
export type Predicate =
  /** Holds for every row. */
  | { readonly kind: "any" }
  | { readonly kind: "and" | "or"; readonly terms: readonly Predicate[] }
  | {
      readonly kind: "compare";
      readonly column: PredicateColumn;
      readonly operator: CompareOperator;
      readonly operand: Operand;
    }
  /** A text that begins with `prefix`; byte by byte, as DuckDB compares. */
  | { readonly kind: "prefix"; readonly column: PredicateColumn; readonly prefix: Operand }
  | { readonly kind: "is-null" | "is-not-null"; readonly column: PredicateColumn }
  /** The column itself, where it is boolean: `WHERE b`, `WHERE NOT b`. */
  | { readonly kind: "is"; readonly column: PredicateColumn; readonly value: boolean };

export type CompareOperator = "=" | "<>" | "<" | "<=" | ">" | ">=";

export interface PredicateColumn {
  readonly name: string;
  /**
   * Other tables of the same FROM, where the name stands without its table: it is only this table's column when none of
   * them has one of the name.
   */
  readonly unless: readonly string[];
  /** A function of the column that never turns its order around, applied before the comparison. */
  readonly truncate: TimeUnit | "date" | null;
}

export type TimeUnit = "second" | "minute" | "hour" | "day" | "month" | "year";

/** A value that is the same for all rows of one run; `type` is DuckDB's name of the type. */
export type Operand =
  | { readonly kind: "literal"; readonly type: string; readonly value: string | number | boolean | null }
  /** An integer over a power of ten. */
  | { readonly kind: "decimal"; readonly unscaled: number; readonly scale: number }
  /** Named as in SelectStatement.parameters. */
  | { readonly kind: "parameter"; readonly name: string }
  /**
   * When the statement runs, UTC. `name` where it is written like a column (`current_date`), and means the column where
   * a table has one of that name.
   */
  | { readonly kind: "now"; readonly type: "date" | "timestamp" | "timestamptz"; readonly name: string | null }
  | { readonly kind: "cast"; readonly type: string; readonly operand: Operand }
  | { readonly kind: "truncate"; readonly unit: TimeUnit; readonly operand: Operand }
  /** `operand + interval`, `operand - interval`: an INTERVAL's three parts, or days where `isDays` (date ± integer). */
  | {
      readonly kind: "shift";
      readonly operand: Operand;
      readonly months: number;
      readonly days: number;
      readonly micros: number;
      readonly isDays: boolean;
    };

/** All references of a statement to one table together: a row that does not satisfy it is not needed. */
export interface TablePredicate {
  /** The table's nameKey. */
  readonly table: string;
  readonly predicate: Predicate;
}
