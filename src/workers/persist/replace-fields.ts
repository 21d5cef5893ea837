import { randomUUID } from "node:crypto";
import { rmSync, statSync } from "node:fs";
import { assert } from "../../shared/assert.js";
import { filesToRewrite } from "../../shared/iceberg/commit-files.js";
import { deleteKeysOf, liveRowsOf } from "../../shared/iceberg/live-rows.js";
import type { NewDataFile } from "../../shared/iceberg/manifest.js";
import type { ColumnBounds, DataFile, TableIdentity, TableState } from "../../shared/messages.js";
import type { TableColumn, TableSchema } from "../../shared/schema/table-schema.js";
import { dataFileKey } from "../../shared/store/store-paths.js";
import { copyFiles } from "./duckdb-copy.js";
import { addIdFilters } from "./id-filters.js";
import { withLocalRows } from "./local-copies.js";
import { countNulls } from "./merge-bounds.js";
import { readParquetFooter } from "./parquet-footer.js";
import { checkStop, putFile, temporaryPath, type PersistContext } from "./persist-context.js";

export interface ReplaceRequest {
  readonly identity: TableIdentity;
  readonly schema: TableSchema;
  /** Called when a file is in the store. */
  readonly onFile: (file: NewDataFile) => void;
}

export interface Replacement {
  /** Files of the table that the written ones stand in for. */
  readonly removedKeys: readonly string[];
  /** Of their delete files, whose rows were left out. */
  readonly appliedDeletes: readonly string[];
}

/**
 * Writes anew, with its values as double under the new field id, every file of the table that holds a column which the
 * schema has replaced. Nothing of it counts before the commit that takes the old files out.
 */
export async function replaceFields(context: PersistContext, request: ReplaceRequest): Promise<Replacement> {
  const { identity, schema } = request;
  if (schema.columns.every((column) => column.replacesFieldId === undefined)) {
    return { removedKeys: [], appliedDeletes: [] };
  }
  const state = await context.catalog.loadTable(identity);
  const files = filesToRewrite(state, schema);
  for (const file of files) {
    checkStop(context);
    request.onFile(await replaceInFile(context, { identity, schema, settings: state.settings }, file));
  }
  return { removedKeys: files.map((file) => file.key), appliedDeletes: deleteKeysOf(files) };
}

async function replaceInFile(
  context: PersistContext,
  { identity, schema, settings }: Pick<TableState, "identity" | "schema" | "settings">,
  file: DataFile,
): Promise<NewDataFile> {
  const path = temporaryPath(context);
  const columns = schema.columns.filter((column) => sourceFieldId(file, column) !== undefined);
  try {
    const [rows] = await withLocalRows(context, [file], async ({ sources, deletes }) =>
      copyFiles(context, [{ columns, schema, sources, deletes, orderBy: [], path }]),
    );
    assert(rows === liveRowsOf(file), "a rewritten file has the live rows of the file it replaces");
    const place = { day: file.day, createdMs: context.nowMs(), uuid: randomUUID() };
    const key = dataFileKey(identity.location, place);
    const bounds: Record<number, ColumnBounds> = {};
    for (const column of columns) {
      const known = file.bounds[sourceFieldId(file, column) as number];
      if (known !== undefined) bounds[column.fieldId] = boundsUnder(column, known);
    }
    if (settings.bloomFilter === true) await addIdFilters(context, path, { columns, schema });
    if (file.deletes !== undefined) countNulls(bounds, readParquetFooter(path).footer);
    const { size: bytes } = statSync(path);
    await putFile(context, key, path);
    const fieldIds = columns.map(({ fieldId }) => fieldId);
    return { key, bytes, rows, day: file.day, bounds, fieldIds, rowsOf: [file.key] };
  } finally {
    rmSync(path, { force: true });
  }
}

/** The id under which the file holds the column's values. */
function sourceFieldId(file: DataFile, column: TableColumn): number | undefined {
  return [column.fieldId, column.replacesFieldId].find((id) => id !== undefined && file.fieldIds.includes(id));
}

/** Bounds of longs are decimal text; as doubles they round as their values do. */
function boundsUnder(column: TableColumn, { lower, upper, nulls }: ColumnBounds): ColumnBounds {
  if (column.type !== "double") return { lower, upper, nulls };
  return { lower: lower === null ? null : Number(lower), upper: upper === null ? null : Number(upper), nulls };
}
