/** What the bench asks of R, and what it answers. Both travel over the process channel, one task at a time. */
export interface ReferenceTable {
  readonly name: string;
  /** Parquet files, absolute. */
  readonly files: readonly string[];
}

export interface ReferenceOptions {
  readonly threads: number;
  readonly memoryBytes: number;
  /** DuckDB may spill here. */
  readonly folder: string;
  readonly tables: readonly ReferenceTable[];
}

/** A value of an answer as JSON has it: timestamps in RFC 3339, integers beyond 2^53 as text. */
export type Cell = number | string | boolean | null;

export type ReferenceTask =
  | { readonly kind: "open"; readonly options: ReferenceOptions }
  /** Times of so many runs, in ms, each to the last row in memory. */
  | { readonly kind: "time"; readonly sql: string; readonly runs: number }
  | { readonly kind: "rows"; readonly sql: string }
  /** Time of `COPY (sql) TO path (options)`, in ms. */
  | { readonly kind: "copy"; readonly sql: string; readonly path: string; readonly options: string }
  /** So many connections at once, each with the next statement when it has its answer. */
  | {
      readonly kind: "clients";
      readonly statements: readonly string[];
      readonly clients: number;
      readonly durationMs: number;
    };

export interface ReferenceAnswers {
  readonly open: null;
  readonly time: readonly number[];
  readonly rows: readonly (readonly Cell[])[];
  readonly copy: number;
  /** The time of each query, in ms. */
  readonly clients: { readonly times: readonly number[]; readonly elapsedMs: number };
}

export type ReferenceReply =
  | { readonly kind: "done"; readonly answer: ReferenceAnswers[keyof ReferenceAnswers] }
  | { readonly kind: "failed"; readonly message: string };
