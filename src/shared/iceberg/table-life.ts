/**
 * Creating, finding and dropping tables. A name belongs to at most one live table, also when several nodes create it at
 * once. Nothing but the tables' own metadata says so:
 *
 * ```
 * 1. put v1 with `miniodb.state` = "creating"; such a table is not listed
 * 2. list the folders of the same name:  live ──▶ drop ours, TABLE_EXISTS
 *                                        creating ──▶ drop it (commit v2 on it); that fails when it became live
 * 3. commit v2 without the state; that fails when another did step 2 to us: start again under a new uuid
 * ```
 * Of two creators at least one sees the other's v1, and whoever is seen can only become live before it is dropped.
 */
import { assert } from "../assert.js";
import { MiniodbError } from "../errors.js";
import type { TableIdentity, TableState } from "../messages.js";
import { tableNamePattern, type TableSchema } from "../schema/table-schema.js";
import type { TableSettings } from "../schema/table-settings.js";
import { ObjectNotFound } from "../store/object-store.js";
import { locationPrefix, parseLocation, tableLocation } from "../store/store-paths.js";
import type { CatalogContext } from "./catalog-context.js";
import { commit, notFound } from "./commit.js";
import { withEncryptedColumns } from "./column-encryption.js";
import { daySpec, dayFieldId, daySpecId, sortOrder } from "./partition-spec.js";
import { nameMapping, toIcebergSchema } from "./schema-json.js";
import { nameMappingProperty } from "./schema-change.js";
import { encodeTableMetadata, type TableMetadata } from "./table-metadata.js";
import {
  commitIdProperty,
  createdProperty,
  lifeState,
  nameProperty,
  stateProperty,
  withSettings,
  type TableLifeState,
} from "./table-properties.js";
import { identityOf, type PastRows, pastRowsOf, stateOf } from "./table-state.js";
import { putVersion, readLatest, writeHint, type TableVersion } from "./version-log.js";

export interface CreateRequest {
  /** As the client writes it; must match tableNamePattern. */
  readonly name: string;
  readonly schema: TableSchema;
  readonly settings: TableSettings;
}

const createRoundsMax = 20;
const createWaitMsMax = 100;
const loadRoundsMax = 3;
/** Tables whose metadata is read at once. */
const readsAtOnce = 16;

/** A new table, durable when it returns. Throws TABLE_EXISTS; `details` then hold the other's identity. */
export async function createTable(context: CatalogContext, request: CreateRequest): Promise<TableState> {
  assert(tableNamePattern.test(request.name), "a table name has its form");
  // The first version of a table is no commit: nothing looks at the fence for it.
  await context.checkFence();
  for (let round = 1; round <= createRoundsMax; round++) {
    const identity = await announce(context, request);
    const winner = await contest(context, identity);
    // Ours was never listed: dropping it only spares the garbage collection the wait.
    if (winner !== undefined) {
      await endLife(context, identity);
      throw exists(winner);
    }
    const live = await confirm(context, identity);
    if (live !== undefined) {
      await writeHint(context.store, identity.location, live.version);
      return stateOf(context, identity, live);
    }
    await context.sleep(context.random() * createWaitMsMax);
  }
  throw new MiniodbError("COMMIT_CONFLICT", `Table "${request.name}" is being created by others over and over.`);
}

/**
 * The last steps of a creation, of a table that was announced with files in it (restore-table.ts): it is live and durable when
 * this returns. Throws TABLE_EXISTS, after which it is ended, and COMMIT_CONFLICT where another creation has ended it. After
 * STORE_UNAVAILABLE it may or may not be live: the same call finds out.
 */
export async function publishTable(context: CatalogContext, identity: TableIdentity): Promise<TableState> {
  const winner = await contest(context, identity);
  if (winner !== undefined) {
    await endLife(context, identity);
    throw exists(winner);
  }
  const live = (await confirm(context, identity)) ?? (await liveVersion(context, identity));
  if (live === undefined) {
    const message = `Table "${identity.name}" was created by somebody else at the same time.`;
    throw new MiniodbError("COMMIT_CONFLICT", message, { table: identity.name });
  }
  await writeHint(context.store, identity.location, live.version);
  return stateOf(context, identity, live);
}

/** Undefined where it is not live. */
async function liveVersion(context: CatalogContext, identity: TableIdentity): Promise<TableVersion | undefined> {
  const latest = await readLatest(context.store, identity.location);
  return latest !== undefined && lifeState(latest.metadata.properties) === "live" ? latest : undefined;
}

/** All live tables, in the order of their folders. */
export async function listTables(context: CatalogContext): Promise<TableIdentity[]> {
  const found = await readAll(context, await context.store.listFolders(""));
  return found.filter((table) => table.state === "live").map((table) => table.identity);
}

/** The live table of this name, whatever its case. */
export async function findTable(context: CatalogContext, name: string): Promise<TableIdentity | undefined> {
  const found = await readAll(context, await context.store.listFolders(locationPrefix(name)));
  return found.find((table) => table.state === "live")?.identity;
}

/** Throws TABLE_NOT_FOUND. */
export async function loadTable(context: CatalogContext, identity: TableIdentity): Promise<TableState> {
  return loadLatest(context, identity, (latest) => stateOf(context, identity, latest));
}

/** The rows that had come by this sequence number, as they are now: see pastRowsOf. Throws TABLE_NOT_FOUND. */
export async function loadPastRows(
  context: CatalogContext,
  identity: TableIdentity,
  through: number | null,
): Promise<PastRows> {
  return loadLatest(context, identity, (version) => pastRowsOf(context, identity, { version, through }));
}

async function loadLatest<Loaded>(
  context: CatalogContext,
  identity: TableIdentity,
  load: (latest: TableVersion) => Promise<Loaded>,
): Promise<Loaded> {
  for (let round = 1; ; round++) {
    const latest = await readLatest(context.store, identity.location);
    if (latest === undefined || lifeState(latest.metadata.properties) !== "live") throw notFound(identity);
    try {
      return await load(latest);
    } catch (error) {
      // Replaced and expired while we read it.
      if (!(error instanceof ObjectNotFound) || round === loadRoundsMax) throw error;
    }
  }
}

/** Durable when it returns: no later commit finds the table. Its objects are removed as garbage after the grace time. */
export async function dropTable(context: CatalogContext, identity: TableIdentity, commitId: string): Promise<void> {
  await commit(context, identity, dropChange(["live"], commitId));
}

// ---- the steps of a creation

/** Step 1. */
async function announce(context: CatalogContext, request: CreateRequest): Promise<TableIdentity> {
  const uuid = context.newUuid();
  const identity = { name: request.name, uuid, location: tableLocation(request.name, uuid) };
  const commitId = context.newUuid();
  const body = encodeTableMetadata(firstMetadata(context, identity, { ...request, commitId }));
  const isOurs = await putVersion(context, { location: identity.location, version: 1, body, commitId });
  assert(isOurs, "a fresh uuid is nobody else's");
  return identity;
}

/** Step 2. The live table that has the name, if any; others that want it are out of the race when it returns. */
async function contest(context: CatalogContext, identity: TableIdentity): Promise<TableIdentity | undefined> {
  const folders = await context.store.listFolders(locationPrefix(identity.name));
  for (const other of await readAll(context, folders)) {
    if (other.identity.uuid === identity.uuid || other.state === "dropped") continue;
    if (other.state === "live") return other.identity;
    // Nobody knows whether its creator is slow or dead. If it is slow, its own step 3 fails and it begins again.
    const ended = await endLife(context, other.identity);
    if (!ended) return other.identity;
  }
  return undefined;
}

/** Step 3. Undefined when another creator dropped us. */
async function confirm(context: CatalogContext, identity: TableIdentity): Promise<TableVersion | undefined> {
  try {
    return await commit(context, identity, {
      commitId: context.newUuid(),
      states: ["creating"],
      build: async ({ metadata }) => ({ metadata: withState(metadata, "live"), delta: { added: [], removedKeys: [] } }),
    });
  } catch (error) {
    if (error instanceof MiniodbError && error.code === "TABLE_NOT_FOUND") return undefined;
    throw error;
  }
}

/** Drops a table that is not live yet; false when it became live, true also when it was dropped already. */
export async function endLife(context: CatalogContext, identity: TableIdentity): Promise<boolean> {
  try {
    await commit(context, identity, dropChange(["creating"], context.newUuid()));
    return true;
  } catch (error) {
    if (!(error instanceof MiniodbError) || error.code !== "TABLE_NOT_FOUND") throw error;
    const latest = await readLatest(context.store, identity.location);
    return latest === undefined || lifeState(latest.metadata.properties) === "dropped";
  }
}

function dropChange(states: readonly TableLifeState[], commitId: string) {
  return {
    commitId,
    states,
    build: async ({ metadata }: TableVersion) => ({
      metadata: withState(metadata, "dropped"),
      delta: { added: [], removedKeys: [] },
    }),
  };
}

function withState(metadata: TableMetadata, state: TableLifeState): TableMetadata {
  const properties: Record<string, string> = { ...metadata.properties };
  if (state === "live") delete properties[stateProperty];
  else properties[stateProperty] = state;
  return { ...metadata, properties };
}

function firstMetadata(
  context: CatalogContext,
  identity: TableIdentity,
  { schema, settings, commitId }: CreateRequest & { readonly commitId: string },
): TableMetadata {
  const nowMs = context.nowMs();
  const order = sortOrder(1, schema, settings.sortOrder);
  return {
    "format-version": 2,
    "table-uuid": identity.uuid,
    location: context.store.uri(identity.location),
    "last-sequence-number": 0,
    "last-updated-ms": nowMs,
    "last-column-id": schema.lastFieldId,
    "current-schema-id": schema.version,
    schemas: [toIcebergSchema(schema)],
    "default-spec-id": daySpecId,
    "partition-specs": [daySpec(schema)],
    "last-partition-id": dayFieldId,
    "default-sort-order-id": order["order-id"],
    "sort-orders": [order],
    properties: withSettings(
      withEncryptedColumns(
        {
          "write.format.default": "parquet",
          "write.parquet.compression-codec": "zstd",
          [nameMappingProperty]: nameMapping(schema),
          [nameProperty]: identity.name,
          [createdProperty]: String(nowMs),
          [stateProperty]: "creating",
          [commitIdProperty]: commitId,
        },
        schema,
      ),
      settings,
    ),
    "current-snapshot-id": -1,
    refs: {},
    snapshots: [],
    statistics: [],
    "snapshot-log": [],
    "metadata-log": [],
  };
}

interface FoundTable {
  readonly identity: TableIdentity;
  readonly state: TableLifeState;
}

/** The tables in these folders; folders that hold none (removed, or not ours) are left out. */
async function readAll(context: CatalogContext, folders: readonly string[]): Promise<FoundTable[]> {
  const found: FoundTable[] = [];
  const locations = folders.filter((folder) => parseLocation(folder) !== undefined);
  for (let start = 0; start < locations.length; start += readsAtOnce) {
    const tables = await Promise.all(
      locations.slice(start, start + readsAtOnce).map((location) => readTable(context, location)),
    );
    found.push(...tables.filter((table) => table !== undefined));
  }
  return found;
}

async function readTable(context: CatalogContext, location: string): Promise<FoundTable | undefined> {
  const latest = await readLatest(context.store, location);
  if (latest === undefined) return undefined;
  return { identity: identityOf(location, latest.metadata), state: lifeState(latest.metadata.properties) };
}

function exists(winner: TableIdentity): MiniodbError {
  return new MiniodbError("TABLE_EXISTS", `Table "${winner.name}" exists already.`, { ...winner });
}
