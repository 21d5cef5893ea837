import { filePathFieldId, positionFieldId } from "../../shared/iceberg/delete-entry.js";
import { fileList, quoteText } from "../query/table-view.js";
import { rowGroupRows, withDuckDB } from "./duckdb-copy.js";
import type { PersistContext } from "./persist-context.js";

export interface PositionsCopy {
  /** A file of position deletes on this machine, of one data file. */
  readonly from: string;
  /** A new file. */
  readonly to: string;
  /** The address of the data file from now on. */
  readonly dataUri: string;
}

/** Writes a file of position deletes anew for a data file that has another address; see iceberg/delete-entry.ts for its form. */
export async function copyPositions(context: PersistContext, { from, to, dataUri }: PositionsCopy): Promise<void> {
  const options = [
    "FORMAT parquet",
    "COMPRESSION zstd",
    `ROW_GROUP_SIZE ${rowGroupRows}`,
    `FIELD_IDS {file_path: ${filePathFieldId}, pos: ${positionFieldId}}`,
  ].join(", ");
  const positions = `SELECT ${quoteText(dataUri)} AS file_path, pos FROM read_parquet(${fileList([from])}, hive_partitioning = false) ORDER BY pos`;
  await withDuckDB(context, async (connection) => {
    await connection.run(`COPY (${positions}) TO ${quoteText(to)} (${options})`);
  });
}
