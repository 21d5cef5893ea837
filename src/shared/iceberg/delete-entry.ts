/**
 * Manifest entries of position delete files (Iceberg specification, "Position Delete Files"). A file of ours holds the
 * deleted rows of one data file, and a data file has one such file at most: a further delete writes it anew with the
 * positions of both. So a query reads as many of them as it reads files with deleted rows, and what replaces the data
 * file drops its deletes with it.
 *
 * ```
 * file_path  string, field 2147483546   URI of the data file, the same in every row: its bounds are that URI, uncut
 * pos        long, field 2147483545     row of the data file from 0 on, ascending, each once
 * ```
 * Which data file it is, readers take from the bounds, as `referenced_data_file` is younger than many of them.
 */
import { MiniodbError } from "../errors.js";
import type { DeleteFile } from "../messages.js";
import { keyOfUri } from "../store/store-paths.js";
import { entryStatus, type ManifestEntry } from "./manifest.js";

export const filePathFieldId = 2_147_483_546;
export const positionFieldId = 2_147_483_545;

/** `content` of a manifest entry. */
export const fileContent = { data: 0, positionDeletes: 1, equalityDeletes: 2 } as const;
/** `content` of a manifest in its list. */
export const manifestContent = { data: 0, deletes: 1 } as const;

/** A delete file as its writer hands it to a commit. */
export interface NewDeleteFile extends DeleteFile {
  /** Of the data file, as is the partition. */
  readonly dataKey: string;
  readonly day: number;
  /** Keys of the delete files that the data file had when this one was written, whose positions it holds too. */
  readonly replaces: readonly string[];
}

/** The entry of a delete file that is added; `dataUri` is what the entry of the data file says, as other readers compare it. */
export function newDeleteEntry(file: NewDeleteFile, uri: string, dataUri: string): ManifestEntry {
  const bounds = [{ key: filePathFieldId, value: Buffer.from(dataUri) }];
  return {
    status: entryStatus.added,
    snapshotId: null,
    sequenceNumber: null,
    fileSequenceNumber: null,
    key: file.key,
    day: file.day,
    file: {
      content: fileContent.positionDeletes,
      file_path: uri,
      file_format: "PARQUET",
      record_count: file.rows,
      file_size_in_bytes: file.bytes,
      column_sizes: null,
      value_counts: [filePathFieldId, positionFieldId].map((key) => ({ key, value: file.rows })),
      null_value_counts: [filePathFieldId, positionFieldId].map((key) => ({ key, value: 0 })),
      nan_value_counts: null,
      lower_bounds: bounds,
      upper_bounds: bounds,
      key_metadata: null,
      split_offsets: null,
      equality_ids: null,
      // "Position delete files must not have a sort order id": their order is that of the specification.
      sort_order_id: null,
    },
  };
}

export function toDeleteFile({ key, file }: ManifestEntry): DeleteFile {
  return { key, bytes: file.file_size_in_bytes, rows: file.record_count };
}

/**
 * The live delete files by the key of their data file. Throws INTERNAL for those that this server cannot apply:
 * equality deletes, and files of another writer with the positions of several data files.
 */
export function deletesByDataKey(entries: readonly ManifestEntry[]): Map<string, ManifestEntry[]> {
  const byKey = new Map<string, ManifestEntry[]>();
  for (const entry of entries) {
    const dataKey = dataKeyOf(entry);
    const known = byKey.get(dataKey);
    if (known === undefined) byKey.set(dataKey, [entry]);
    else known.push(entry);
  }
  return byKey;
}

/** "A position delete applies to data files of a lower or the same data sequence number"; null is that of the newest. */
export function appliesTo(deletes: ManifestEntry, data: ManifestEntry): boolean {
  return deletes.sequenceNumber === null || (data.sequenceNumber ?? Infinity) <= deletes.sequenceNumber;
}

function dataKeyOf({ key, file }: ManifestEntry): string {
  const lower = file.lower_bounds?.find((pair) => pair.key === filePathFieldId)?.value;
  const upper = file.upper_bounds?.find((pair) => pair.key === filePathFieldId)?.value;
  const isOfOne = lower !== undefined && upper !== undefined && lower.equals(upper);
  const dataKey = isOfOne ? keyOfUri(lower.toString("utf8")) : undefined;
  if (file.content === fileContent.positionDeletes && file.file_format === "PARQUET" && dataKey !== undefined) {
    return dataKey;
  }
  throw new MiniodbError(
    "INTERNAL",
    `The table has the delete file ${key}, which this server cannot apply: it takes position deletes in Parquet, of one data file each.`,
    { key },
  );
}
