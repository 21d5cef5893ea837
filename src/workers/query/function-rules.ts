/**
 * Which of DuckDB's functions a client's statement may call. Table functions are on a list of the allowed: most of
 * them read files or the server's own state. Of the others most compute, so that the refused are listed; a test
 * compares all names of this DuckDB version with a reviewed list, so that an upgrade cannot add one unseen.
 */

/** They make rows from their arguments and reach for nothing else. */
const allowedTableFunctions = new Set([
  "generate_series",
  "generate_subscripts",
  "json_each",
  "json_tree",
  "range",
  "regexp_split_to_table",
  "repeat",
  "repeat_row",
  "unnest",
]);

/** Each with the reason that the error names. */
const refusedFunctions: ReadonlyMap<string, string> = new Map([
  ...named("it reads the server's environment or settings", [
    "getenv",
    "current_setting",
    "getvariable",
    "in_search_path",
  ]),
  ...named("it changes the server's state", ["setseed", "nextval", "currval", "write_log"]),
  ...named("it holds a thread of the server", ["sleep_ms", "pg_sleep"]),
  // Plans a statement of its own, which may name files.
  ...named("it plans or runs SQL out of text", [
    "json_serialize_plan",
    "json_serialize_sql",
    "json_deserialize_sql",
    "json_execute_serialized_sql",
    "query",
    "query_table",
  ]),
  // They go down the nesting of a JSON text by recursion without a bound, and end the process at some ten thousand levels.
  ...named("a deeply nested value overruns its stack", [
    "from_json",
    "from_json_strict",
    "json_contains",
    "json_group_structure",
    "json_merge_patch",
    "json_structure",
    "json_transform",
    "json_transform_strict",
    // They cast JSON to VARIANT.
    "variant_extract",
    "variant_typeof",
  ]),
  // They take bytes in DuckDB's internal layouts without checking them.
  ...named("it reads internal layouts", [
    "combine",
    "finalize",
    "variant_bytes_to_variant",
    "variant_normalize",
    "variant_to_parquet_variant",
    "remap_struct",
    "parse_duckdb_log_message",
  ]),
  ...named("it describes the server, not the data", [
    "current_connection_id",
    "current_query_id",
    "current_transaction_id",
    "txid_current",
    "inet_client_addr",
    "inet_client_port",
    "inet_server_addr",
    "inet_server_port",
    "pg_conf_load_time",
    "pg_postmaster_start_time",
  ]),
]);

/** Families whose members are refused: readers of files and catalogs, and DuckDB's own helpers. */
const refusedPrefixes = ["__internal", "read_", "scan_", "duckdb_", "pragma_", "parquet_", "which_secret", "miniodb_"];

/**
 * Allowed functions whose result depends on more than their arguments: the clock, chance, the connection. A test holds
 * the list against what DuckDB says of each function; it has more than that, as DuckDB calls some constant that are not.
 */
const volatileFunctions = new Set([
  "age",
  "ago",
  "current_catalog",
  "current_database",
  "current_date",
  "current_localtime",
  "current_localtimestamp",
  "current_query",
  "current_role",
  "current_schema",
  "current_schemas",
  "current_user",
  "error",
  "gen_random_uuid",
  "get_current_time",
  "get_current_timestamp",
  "now",
  "random",
  "reservoir_quantile",
  "session_user",
  "stats",
  "today",
  "transaction_timestamp",
  "user",
  "uuid",
  "uuidv4",
  "uuidv7",
]);

/** Names that DuckDB takes for a function where no column has them; see its GetSQLValueFunctionName. */
const volatileNames = new Set([
  "current_catalog",
  "current_date",
  "current_role",
  "current_schema",
  "current_time",
  "current_timestamp",
  "current_user",
  "localtime",
  "localtimestamp",
  "session_user",
  "user",
]);

export function isAllowedTableFunction(name: string): boolean {
  return allowedTableFunctions.has(name.toLowerCase());
}

/** Why a scalar, aggregate or window function is refused; null where it is allowed. */
export function refusalOf(name: string): string | null {
  const key = name.toLowerCase();
  const reason = refusedFunctions.get(key);
  if (reason !== undefined) return reason;
  return refusedPrefixes.some((prefix) => key.startsWith(prefix)) ? "it reaches outside the tables" : null;
}

/** True for a function that may give another result for the same arguments. */
export function isVolatileFunction(name: string): boolean {
  return volatileFunctions.has(name.toLowerCase());
}

/** True for a name that is such a function without its parentheses. */
export function isVolatileName(name: string): boolean {
  return volatileNames.has(name.toLowerCase());
}

function named(reason: string, names: readonly string[]): [string, string][] {
  return names.map((name) => [name, reason]);
}
