import type { DataFile } from "../messages.js";

/** Rows of the file that its delete files take out. */
export function deletedRowsOf({ deletes = [] }: Pick<DataFile, "deletes">): number {
  return deletes.reduce((sum, file) => sum + file.rows, 0);
}

/** Rows of the file that a query sees. */
export function liveRowsOf(file: Pick<DataFile, "rows" | "deletes">): number {
  return file.rows - deletedRowsOf(file);
}

/** Bytes in the store: of the file, and of its delete files. */
export function storedBytesOf({ bytes, deletes = [] }: Pick<DataFile, "bytes" | "deletes">): number {
  return deletes.reduce((sum, file) => sum + file.bytes, bytes);
}

/** Keys of all delete files of these data files: what a commit that replaces them has applied. */
export function deleteKeysOf(files: readonly Pick<DataFile, "deletes">[]): string[] {
  return files.flatMap(({ deletes = [] }) => deletes.map((file) => file.key));
}
