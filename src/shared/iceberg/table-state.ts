/** A table version as the rest of the server knows it. */
import type { TableIdentity, TableState } from "../messages.js";
import { parseLocation } from "../store/store-paths.js";
import type { CatalogContext } from "./catalog-context.js";
import type { TableHead } from "./commit-result.js";
import { readDataFiles, readSequencedFiles } from "./file-change.js";
import { currentSchema, currentSnapshot, type TableMetadata } from "./table-metadata.js";
import { createdProperty, nameProperty, positionsOf, settingsOf } from "./table-properties.js";
import type { TableVersion } from "./version-log.js";

/** Who the table of this metadata is; `location` is its folder. A table of another writer has its folder's name. */
export function identityOf(location: string, metadata: TableMetadata): TableIdentity {
  const name = metadata.properties[nameProperty] ?? parseLocation(location)?.nameKey ?? location;
  return { name, uuid: metadata["table-uuid"], location };
}

/** All but the files: what the metadata file alone says. */
export function headOf(identity: TableIdentity, { version, metadata }: TableVersion): TableHead {
  const snapshot = currentSnapshot(metadata);
  return {
    identity,
    version,
    snapshotId: snapshot === undefined ? null : String(snapshot["snapshot-id"]),
    schema: currentSchema(metadata),
    settings: settingsOf(metadata.properties),
    positions: positionsOf(metadata.properties),
    createdMs: Number(metadata.properties[createdProperty] ?? metadata["last-updated-ms"]),
    updatedMs: metadata["last-updated-ms"],
  };
}

/** A table's state as a delete sees it. */
export interface PastRows {
  /** Its files are those alone whose rows had all come by then. */
  readonly state: TableState;
  /** Of the newest snapshot. */
  readonly sequenceNumber: number;
}

/** As stateOf, without the files that hold rows of a snapshot after this sequence number; null: all files. */
export async function pastRowsOf(
  context: CatalogContext,
  identity: TableIdentity,
  { version, through }: { readonly version: TableVersion; readonly through: number | null },
): Promise<PastRows> {
  const files = await readSequencedFiles(context, version.metadata);
  const past = files.filter(({ sequenceNumber }) => through === null || sequenceNumber <= through);
  return {
    state: { ...headOf(identity, version), files: past.map(({ file }) => file) },
    sequenceNumber: version.metadata["last-sequence-number"],
  };
}

/** With all files: reads the manifests that the thread does not know yet. */
export async function stateOf(
  context: CatalogContext,
  identity: TableIdentity,
  version: TableVersion,
): Promise<TableState> {
  return { ...headOf(identity, version), files: await readDataFiles(context, version.metadata) };
}
