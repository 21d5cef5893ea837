/** How tables are partitioned (by the day of `timestamp`, one spec for life) and what their sort orders say. */
import { columnByName, nameKey, timestampColumn, timestampFieldId, type TableSchema } from "../schema/table-schema.js";

export interface PartitionSpec {
  readonly "spec-id": number;
  readonly fields: readonly PartitionField[];
}

interface PartitionField {
  readonly "source-id": number;
  readonly "field-id": number;
  readonly name: string;
  readonly transform: string;
}

export interface SortOrder {
  readonly "order-id": number;
  readonly fields: readonly SortField[];
}

interface SortField {
  readonly transform: string;
  readonly "source-id": number;
  readonly direction: "asc" | "desc";
  readonly "null-order": "nulls-first" | "nulls-last";
}

export const daySpecId = 0;
/** The specification starts partition fields at 1000. */
export const dayFieldId = 1000;
const dayMicros = 86_400_000_000n;

/**
 * The day spec. Its field name must not be that of a column, and columns are named by clients: the name gets a number
 * where one took it. Readers go by the field id.
 */
export function daySpec(schema: TableSchema): PartitionSpec {
  const names = new Set(schema.columns.map((column) => nameKey(column.name)));
  let name = "timestamp_day";
  for (let suffix = 2; names.has(name); suffix++) name = `timestamp_day_${suffix}`;
  return {
    "spec-id": daySpecId,
    fields: [{ "source-id": timestampFieldId, "field-id": dayFieldId, name, transform: "day" }],
  };
}

/** Ascending by these columns (default `timestamp`), nulls last; columns that the table does not have yet are left out. */
export function sortOrder(orderId: number, schema: TableSchema, columns: readonly string[] | undefined): SortOrder {
  const fields = (columns ?? [timestampColumn]).flatMap((name): SortField[] => {
    const column = columnByName(schema, name);
    if (column === undefined) return [];
    return [{ transform: "identity", "source-id": column.fieldId, direction: "asc", "null-order": "nulls-last" }];
  });
  return { "order-id": orderId, fields };
}

/** The day, since 1970-01-01, of a time in µs as decimal text. */
export function dayOfMicros(micros: string): number {
  const value = BigInt(micros);
  const day = value / dayMicros;
  return Number(value < 0n && day * dayMicros !== value ? day - 1n : day);
}
