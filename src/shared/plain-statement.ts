import type { SelectStatement } from "./query-messages.js";

/**
 * A SELECT of our own making, without parameters, that reads no table by name: what it reads stands in it, such as the
 * file of a kept result. It needs no parse, and its result is the same each time, in the same order.
 */
export function plainStatement(sql: string): SelectStatement {
  return {
    kind: "select",
    sql,
    text: sql,
    startBytes: 0,
    tables: [],
    predicates: [],
    parameters: [],
    limitRows: null,
    fingerprint: sql,
    isVolatile: false,
    isBlocking: false,
  };
}
