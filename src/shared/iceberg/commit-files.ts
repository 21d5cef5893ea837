/**
 * The commits that change files: an append (flush), a rewrite (compaction, a column that changed its type), and a delete of
 * rows.
 */
import { assert } from "../assert.js";
import { MiniodbError } from "../errors.js";
import type { DataFile, TableIdentity, TableState } from "../messages.js";
import type { TableSchema } from "../schema/table-schema.js";
import type { SettingsPatch } from "../schema/table-settings.js";
import { deleteFileCreatedMs, parseDataFileKey, tablePrefix } from "../store/store-paths.js";
import type { CatalogContext } from "./catalog-context.js";
import { changeTimeMs, commit, type Built, type Committed } from "./commit.js";
import type { NewDeleteFile } from "./delete-entry.js";
import { changeFiles, type FileChangeRequest } from "./file-change.js";
import type { NewDataFile } from "./manifest.js";
import { changeSchema, withChangedSettings } from "./schema-change.js";
import type { TableMetadata } from "./table-metadata.js";
import { positionOf, withPosition } from "./table-properties.js";

/** Rows (afterSequence, lastSequence] of one WAL stream. */
export interface StreamRange {
  readonly stream: string;
  readonly afterSequence: number;
  readonly lastSequence: number;
}

export interface AppendRequest extends StreamRange {
  /** The same in every repetition; a new one is made where it is left out. */
  readonly commitId?: string;
  readonly schema: TableSchema;
  /** May be empty: the position moves on alone. */
  readonly files: readonly NewDataFile[];
  /** Rows of before that the range replaces or deletes. */
  readonly out?: RowsOut;
}

/** Live rows that leave the table. */
export interface RowsOut {
  /** Each in place of the delete files that its data file has. */
  readonly deletes: readonly NewDeleteFile[];
  /** Keys of live files of which no row stays, and of the delete files that they have. */
  readonly remove: readonly string[];
  readonly appliedDeletes: readonly string[];
  /** How many. */
  readonly rows: number;
}

export interface RewriteRequest {
  readonly commitId?: string;
  /** Keys of live files. */
  readonly remove: readonly string[];
  /** Keys of all delete files that these have, whose rows are not in `add`. Absent: they have none. */
  readonly appliedDeletes?: readonly string[];
  readonly add: readonly NewDataFile[];
  readonly schema?: TableSchema;
  /** Changed in the same commit. */
  readonly settings?: SettingsPatch;
  /** Set when `add` also holds these rows, which were not in any file yet. */
  readonly append?: StreamRange;
}

export interface DeleteRequest extends RowsOut {
  readonly commitId?: string;
}

const nothingOut: RowsOut = { deletes: [], remove: [], appliedDeletes: [], rows: 0 };

/** Least time that a data file may lie uncommitted, however short the garbage grace. */
const uncommittedAgeMsMin = 60_000;

export async function commitAppend(
  context: CatalogContext,
  identity: TableIdentity,
  request: AppendRequest,
): Promise<Committed> {
  assertRange(request);
  const { files, out = nothingOut } = request;
  refuseStrangers(context, identity, files);
  refuseStrangeDeletes(context, identity, out.deletes);
  return commit(context, identity, {
    commitId: request.commitId ?? context.newUuid(),
    states: ["live"],
    build: async (base, name) => {
      // Checked against every base anew: the race may have been lost to a zombie that flushed the same rows.
      const positioned = advance(base.metadata, request);
      const { metadata, retiredFieldIds } = changeSchema(positioned, request.schema);
      // Retired ids make a look at the live files necessary, even where no file is added.
      if (files.length === 0 && out.rows === 0 && retiredFieldIds.size === 0) {
        return { metadata, delta: { added: [], removedKeys: [] } };
      }
      return built(context, metadata, {
        name,
        operation: out.rows === 0 ? "append" : files.length === 0 ? "delete" : "overwrite",
        add: files,
        removeKeys: out.remove,
        appliedDeletes: out.appliedDeletes,
        deletes: out.deletes,
        retiredFieldIds,
        rowsGained: { min: -out.rows, max: rowsOf(request) - out.rows },
        nowMs: changeTimeMs(context, base),
      });
    },
  });
}

export async function commitRewrite(
  context: CatalogContext,
  identity: TableIdentity,
  request: RewriteRequest,
): Promise<Committed> {
  const { append } = request;
  // All that can be said without the table comes before the loop.
  if (append !== undefined) assertRange(append);
  assert(new Set(request.remove).size === request.remove.length, "a file is removed once");
  refuseStrangers(context, identity, request.add);
  return commit(context, identity, {
    commitId: request.commitId ?? context.newUuid(),
    states: ["live"],
    build: async (base, name) => {
      const positioned = append === undefined ? base.metadata : advance(base.metadata, append);
      const none = { metadata: positioned, retiredFieldIds: new Set<number>() };
      const { metadata: changed, retiredFieldIds } =
        request.schema === undefined ? none : changeSchema(positioned, request.schema);
      const metadata = request.settings === undefined ? changed : withChangedSettings(changed, request.settings);
      // A schema alone makes no snapshot: the rows are the same.
      if (request.add.length + request.remove.length + retiredFieldIds.size === 0 && append === undefined) {
        return { metadata, delta: { added: [], removedKeys: [] } };
      }
      return built(context, metadata, {
        name,
        operation: append === undefined ? "replace" : "overwrite",
        add: request.add,
        removeKeys: request.remove,
        appliedDeletes: request.appliedDeletes ?? [],
        deletes: [],
        retiredFieldIds,
        rowsGained: { min: 0, max: append === undefined ? 0 : rowsOf(append) },
        nowMs: changeTimeMs(context, base),
      });
    },
  });
}

/**
 * Takes rows out of the table. Throws COMMIT_CONFLICT when a file is gone, or has other deletes than were known: the rows
 * are then to be found anew.
 */
export async function commitDelete(
  context: CatalogContext,
  identity: TableIdentity,
  request: DeleteRequest,
): Promise<Committed> {
  const { deletes, remove, appliedDeletes, rows } = request;
  assert(deletes.length + remove.length > 0, "a delete changes files");
  refuseStrangeDeletes(context, identity, deletes);
  return commit(context, identity, {
    commitId: request.commitId ?? context.newUuid(),
    states: ["live"],
    build: async (base, name) =>
      built(context, base.metadata, {
        name,
        operation: "delete",
        add: [],
        removeKeys: remove,
        appliedDeletes,
        deletes,
        retiredFieldIds: new Set<number>(),
        rowsGained: { min: -rows, max: -rows },
        nowMs: changeTimeMs(context, base),
      }),
  });
}

/**
 * The files that a commit under this schema must replace (commitRewrite): they hold a column under a field id that one
 * of the schema's columns took over.
 */
export function filesToRewrite(state: TableState, schema: TableSchema): DataFile[] {
  const replaced = new Set(schema.columns.flatMap((column) => column.replacesFieldId ?? []));
  if (replaced.size === 0) return [];
  return state.files.filter((file) => file.fieldIds.some((fieldId) => replaced.has(fieldId)));
}

async function built(context: CatalogContext, metadata: TableMetadata, request: FileChangeRequest): Promise<Built> {
  const changed = await changeFiles(context, metadata, request);
  const delta = { added: changed.added, removedKeys: request.removeKeys };
  if (changed.changed.length === 0) return { metadata: changed.metadata, delta };
  return { metadata: changed.metadata, delta: { ...delta, changed: changed.changed } };
}

/**
 * Continuity: the rows must follow what the stream has committed, so that no flush counts twice, by a zombie node
 * neither. Throws COMMIT_CONFLICT; `details.position` is the stored one.
 */
function advance(base: TableMetadata, range: StreamRange): TableMetadata {
  const position = positionOf(base.properties, range.stream);
  if (position !== range.afterSequence) {
    const message = `The table holds stream ${range.stream} up to row ${position}; the commit begins after row ${range.afterSequence}.`;
    throw new MiniodbError("COMMIT_CONFLICT", message, { position });
  }
  return { ...base, properties: withPosition(base.properties, range.stream, range.lastSequence) };
}

/** Each row has a sequence of its own. */
function rowsOf(range: StreamRange): number {
  return range.lastSequence - range.afterSequence;
}

function assertRange(range: StreamRange): void {
  assert(Number.isSafeInteger(range.afterSequence) && range.afterSequence >= 0, "a sequence is a whole number");
  assert(
    Number.isSafeInteger(range.lastSequence) && range.lastSequence > range.afterSequence,
    "a commit moves its position",
  );
}

/** Files of other folders are mistakes. Files that lay around too long may be taken for garbage any moment. */
function refuseStrangers(context: CatalogContext, identity: TableIdentity, files: readonly NewDataFile[]): void {
  for (const file of files) {
    const parsed = parseDataFileKey(file.key);
    assert(
      parsed !== undefined && file.key.startsWith(tablePrefix(identity.location)),
      `${file.key} is no data file of the table`,
    );
    assert(parsed.day === file.day, `${file.key} lies in the folder of its day`);
    refuseOld(context, file.key, parsed.createdMs);
  }
}

function refuseStrangeDeletes(context: CatalogContext, identity: TableIdentity, files: readonly NewDeleteFile[]): void {
  for (const { key } of files) {
    const createdMs = deleteFileCreatedMs(key);
    assert(
      createdMs !== undefined && key.startsWith(tablePrefix(identity.location)),
      `${key} is no delete file of the table`,
    );
    refuseOld(context, key, createdMs);
  }
}

function refuseOld(context: CatalogContext, key: string, createdMs: number): void {
  const ageMsMax = Math.max(uncommittedAgeMsMin, context.options.garbageGraceMs / 2);
  if (createdMs >= context.nowMs() - ageMsMax) return;
  const message = `File ${key} was written more than ${ageMsMax} ms ago and may be removed as garbage: write it again.`;
  throw new MiniodbError("COMMIT_CONFLICT", message, { key });
}
