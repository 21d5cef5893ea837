/**
 * The column types, in one table with their forms in Arrow, Parquet (through Arrow), Iceberg, DuckDB and JSON.
 *
 * | type      | WAL code | Arrow                      | Iceberg     | DuckDB      | JSON in                       |
 * |-----------|----------|----------------------------|-------------|-------------|-------------------------------|
 * | boolean   | 1        | Bool                       | boolean     | BOOLEAN     | true, false                   |
 * | long      | 2        | Int64                      | long        | BIGINT      | integer within 64 bits        |
 * | double    | 3        | Float64                    | double      | DOUBLE      | any number                    |
 * | string    | 4        | Utf8                       | string      | VARCHAR     | string                        |
 * | timestamp | 5        | Timestamp(MICROSECOND,UTC) | timestamptz | TIMESTAMPTZ | RFC 3339 text, epoch number   |
 * | json      | 6        | Utf8                       | string      | VARCHAR     | object or array, kept as text |
 *
 * `json` is text for the engines below; that a string column holds JSON is kept in the Iceberg field's doc.
 */
export const columnTypes = ["boolean", "long", "double", "string", "timestamp", "json"] as const;
export type ColumnType = (typeof columnTypes)[number];

interface ColumnTypeEntry {
  /** Number in WAL records; never reused. */
  readonly code: number;
  readonly iceberg: string;
  readonly duckdb: string;
  /** Bytes of one value in the values buffer; 0: bit-packed; -1: 32-bit offsets plus bytes. */
  readonly width: 0 | 8 | -1;
}

export const columnTypeTable: Record<ColumnType, ColumnTypeEntry> = {
  boolean: { code: 1, iceberg: "boolean", duckdb: "BOOLEAN", width: 0 },
  long: { code: 2, iceberg: "long", duckdb: "BIGINT", width: 8 },
  double: { code: 3, iceberg: "double", duckdb: "DOUBLE", width: 8 },
  string: { code: 4, iceberg: "string", duckdb: "VARCHAR", width: -1 },
  timestamp: { code: 5, iceberg: "timestamptz", duckdb: "TIMESTAMPTZ", width: 8 },
  json: { code: 6, iceberg: "string", duckdb: "VARCHAR", width: -1 },
};

const typeByCode = new Map(columnTypes.map((type) => [columnTypeTable[type].code, type]));

/** The type of a WAL code, or undefined where a newer version wrote it. */
export function columnTypeOfCode(code: number): ColumnType | undefined {
  return typeByCode.get(code);
}
