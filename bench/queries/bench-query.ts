export interface BenchQuery {
  /** Such as `Q21`: its place in the suite that it comes from. */
  readonly name: string;
  readonly sql: string;
  /**
   * `exact`: all rows are compared, in their order where the statement has one. `count`: any rows of so many are right,
   * as of a LIMIT without an order.
   */
  readonly answer: "exact" | "count";
}
