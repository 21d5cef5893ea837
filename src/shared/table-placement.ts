import { nameKey } from "./schema/table-schema.js";

/**
 * The ingest worker that owns the table of this name: FNV-1a over the lower-case name, so that main and every worker
 * agree without asking. The number of workers may differ from start to start; nothing on disk depends on it.
 */
export function ownerOf(tableName: string, workers: number): number {
  if (workers === 1) return 0;
  const key = nameKey(tableName);
  let hash = 0x811c9dc5;
  for (let at = 0; at < key.length; at++) hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193);
  return (hash >>> 0) % workers;
}
