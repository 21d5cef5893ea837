import { columnByFieldId, columnByName, type TableSchema } from "../../shared/schema/table-schema.js";

/**
 * A row that was deleted softly, as text that outlives changes of the table's columns: values name their column by field id
 * (a rename finds it) and by name (a column that was given another type has another id), and are JSON as it was read, so that
 * no number loses a digit.
 *
 * ```
 * {"timestamp":"\"2026-11-22T10:00:00Z\"","values":[[3,"host","\"a\""],[4,"usage","12.5"]]}
 * ```
 */
interface KeptRow {
  readonly timestamp: string;
  readonly values: readonly (readonly [fieldId: number, name: string, json: string])[];
}

/** `values` are pairs of a column's name and its JSON; nulls need not be kept. */
export function keptText(
  schema: TableSchema,
  timestamp: string,
  values: readonly (readonly [name: string, json: string])[],
): string {
  const kept: KeptRow = {
    timestamp,
    values: values
      .filter(([, json]) => json !== "null")
      .map(([name, json]) => [columnByName(schema, name)?.fieldId ?? 0, name, json]),
  };
  return JSON.stringify(kept);
}

/** A line of NDJSON that puts the row back under the table's columns of now; values of columns that were dropped are left out. */
export function restoredLine(schema: TableSchema, id: string, text: string): string {
  const { timestamp, values } = JSON.parse(text) as KeptRow;
  const members = values.flatMap(([fieldId, name, json]) => {
    const column = columnByFieldId(schema, fieldId) ?? columnByName(schema, name);
    return column === undefined ? [] : [`${JSON.stringify(column.name)}:${json}`];
  });
  return `{${[`"id":${JSON.stringify(id)}`, `"timestamp":${timestamp}`, ...members].join(",")}}`;
}
