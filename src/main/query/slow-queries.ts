import { MiniodbError } from "../../shared/errors.js";
import type { QueryEnd, QueryRun } from "./query-run.js";

/** One line of the slow-query log. */
export interface SlowQuery {
  readonly queryId: string;
  readonly sql: string;
  /** `ok`, or the error's code. */
  readonly outcome: string;
  readonly elapsedMs: number;
  /** Of that, in the line for a slot. */
  readonly waitedMs: number;
  /** Null where there is no result. */
  readonly rows: number | null;
  /** DuckDB's EXPLAIN; null where the time went elsewhere, or the plan cannot be had. */
  readonly plan: string | null;
}

/** Characters of the statement in the log. */
const sqlCharactersMax = 4_000;

/** The line for this query. The plan is there where the worker found DuckDB slow. */
export function slowQuery(run: QueryRun, end: QueryEnd): SlowQuery {
  const { error, rows } = end;
  const outcome = error === undefined ? "ok" : error instanceof MiniodbError ? error.code : "INTERNAL";
  return {
    queryId: run.id,
    sql: run.sql.length > sqlCharactersMax ? `${run.sql.slice(0, sqlCharactersMax)}…` : run.sql,
    outcome,
    elapsedMs: Math.round(end.elapsedMs),
    waitedMs: Math.round(run.waitedMs),
    rows: rows ?? null,
    plan: run.plan,
  };
}
