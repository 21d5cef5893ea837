/** What tests of deletes share: rows are found and read as the server does it, on a DuckDB of the test's own. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import type { DeleteRowsResult } from "../../../src/shared/delete-messages.js";
import { deletedRowsOf } from "../../../src/shared/iceberg/live-rows.js";
import type { PastRows } from "../../../src/shared/iceberg/table-state.js";
import type { DataFile, TableState } from "../../../src/shared/messages.js";
import type { QueryTable } from "../../../src/shared/query-messages.js";
import { deleteRows } from "../../../src/workers/persist/delete-rows.js";
import { quoteName, quoteText, viewSql } from "../../../src/workers/query/table-view.js";
import { runSql, type PlainRow } from "./read-back.js";
import type { TestWarehouse } from "./test-warehouse.js";

/** The state as a query worker gets it. */
export function queryTable(
  { context }: TestWarehouse,
  { schema }: Pick<TableState, "schema">,
  files: readonly DataFile[],
): QueryTable {
  const pathOf = (key: string): string => context.store.readableUrl(key);
  const deletes = files.flatMap(({ key, deletes: own }) =>
    own === undefined ? [] : [{ file: pathOf(key), deleteFiles: own.map((file) => pathOf(file.key)) }],
  );
  return { name: "t", schema, committedFiles: files.map(({ key }) => pathOf(key)), hotFiles: [], deletes };
}

/** All rows that the state shows, by column in schema order. */
export async function liveRows(warehouse: TestWarehouse, state: TableState): Promise<PlainRow[]> {
  const columns = state.schema.columns.map(({ name, type }) => {
    return type === "timestamp" ? `epoch_us(${quoteName(name)})` : quoteName(name);
  });
  const view = viewSql(queryTable(warehouse, state, state.files));
  return (await runSql(`SELECT ${columns.join(", ")} FROM (${view})`)) as PlainRow[];
}

let found = 0;

/** Files with deletes last, as places count them. */
export function inPlaceOrder(files: readonly DataFile[]): DataFile[] {
  return files.toSorted((left, right) => Math.sign(deletedRowsOf(left)) - Math.sign(deletedRowsOf(right)));
}

/** Finds the rows of the past state that meet the condition; `work` deletes them. */
export async function findRows<Result>(
  warehouse: TestWarehouse,
  { state }: Pick<PastRows, "state">,
  where: string,
  work: (files: readonly DataFile[], path: string) => Promise<Result>,
): Promise<Result> {
  const files = inPlaceOrder(state.files);
  const path = join(warehouse.folder, `found-${++found}.parquet`);
  const view = viewSql({ ...queryTable(warehouse, state, files), places: { file: "f", row: "r" } });
  await runSql(`COPY (SELECT f, r FROM (${view}) WHERE ${where}) TO ${quoteText(path)} (FORMAT parquet)`);
  try {
    return await work(files, path);
  } finally {
    rmSync(path);
  }
}

export function deleteWhere(warehouse: TestWarehouse, state: TableState, where: string): Promise<DeleteRowsResult> {
  const { identity } = state;
  return findRows(warehouse, { state }, where, (files, path) =>
    deleteRows(warehouse.context, { kind: "delete-rows", identity, files, found: { kind: "file", path, bytes: 0 } }),
  );
}
