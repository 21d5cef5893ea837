import { assert } from "../../shared/assert.js";
import { MiniodbError } from "../../shared/errors.js";
import { frameDurabilities, frameFlags, frameFormats, type FrameDurability } from "../../shared/ring/frame.js";
import { idColumn, nameKey, timestampColumn } from "../../shared/schema/table-schema.js";
import type { TableEntry } from "../catalog/table-entry.js";
import { writeOwn } from "../write/own-write.js";
import type { WriteAccount } from "../write/write-request.js";
import { IdLines } from "./id-lines.js";
import { type IdThere, idsThere, memberOf, ownRows, quoteName, quoteText, writableMembers } from "./own-queries.js";
import type { RowEnvelope } from "./row-envelope.js";
import {
  deleteFlags,
  isConflict,
  looksMax,
  RowKeeper,
  textOfIds,
  type RestoredIds,
  type RowKeeperOptions,
} from "./row-keeper.js";

export type MutationServiceOptions = RowKeeperOptions;

export interface DeletedIds {
  readonly rows: number;
  /** Token of the tombstones; empty where no row was there. */
  readonly sequence: string;
}

/**
 * Changes by id that must know the row that is there. The look at it is a query of this node, which sees everything that was
 * acknowledged before; what follows from it goes into the log like any write. Both are one step for all other such changes of
 * the same id (IdLines). Replaces and inserts do not wait here: one that comes between look and write has its row
 * replaced or deleted too; only soft deletes and restores look again then.
 */
export class MutationService {
  readonly #options: MutationServiceOptions;
  readonly #lines = new IdLines();
  readonly #keeper: RowKeeper;

  constructor(options: MutationServiceOptions) {
    this.#options = options;
    this.#keeper = new RowKeeper(options);
  }

  /**
   * Deletes all rows with one of the ids, and says how many there were. When it resolves that is durable in the log, and no
   * query that begins now sees them; other engines do until the next flush. `isSoft` keeps them aside for `restoreIds`,
   * durably, before they go, and takes none that it has not kept. Rejects with TABLE_NOT_FOUND, and as queries and writes do;
   * a soft delete with COMMIT_CONFLICT, too, where rows of the ids come too fast: then nothing is deleted.
   */
  async deleteIds(table: string, ids: readonly string[], isSoft = false): Promise<DeletedIds> {
    const entry = this.#options.registry.get(table);
    const different = [...new Set(ids)];
    return this.#lines.inLine(entry.identity.uuid, different, async () => {
      if (isSoft) return this.#deleteSoftly(entry, different);
      const there = await idsThere(this.#options.queries, entry.name, different);
      return { rows: rowsOf(there), sequence: await this.#deleteNow(entry, there) };
    });
  }

  /** In rounds, until no row came between the look at the rows and their delete. */
  async #deleteSoftly(entry: TableEntry, ids: readonly string[]): Promise<DeletedIds> {
    for (let look = 1; ; look++) {
      // The looks below see at least this: the delete holds only where nothing was written to the ids since.
      const seenSequence = entry.ackedSequence;
      const there = await idsThere(this.#options.queries, entry.name, ids);
      if (there.length === 0) return { rows: 0, sequence: "" };
      const idsOfRows = there.map(({ id }) => id);
      const kept = await this.#keeper.keep(entry, idsOfRows);
      try {
        return { rows: rowsOf(there), sequence: await this.#deleteNow(entry, there, seenSequence) };
      } catch (error) {
        // Of any other error nobody knows whether the rows are gone: they stay kept.
        if (!isConflict(error)) throw error;
        await this.#keeper.forget(kept);
        if (look === looksMax) throw error;
      }
    }
  }

  /** Durable in the log when it resolves, with the token; an empty one where there is nothing to delete. */
  async #deleteNow(entry: TableEntry, there: readonly IdThere[], unlessAfter?: number): Promise<string> {
    if (there.length === 0) return "";
    const { sequence } = await writeOwn(this.#options, {
      table: entry.name,
      format: frameFormats.json,
      flags: deleteFlags,
      durability: frameDurabilities.fsync,
      text: textOfIds(there.map(({ id }) => id)),
      unlessAfter,
    });
    return sequence;
  }

  /** Puts rows back that were deleted softly; see RowKeeper.restore. Rejects as `deleteIds`. */
  async restoreIds(table: string, ids: readonly string[]): Promise<RestoredIds> {
    const entry = this.#options.registry.get(table);
    const different = [...new Set(ids)];
    return this.#lines.inLine(entry.identity.uuid, different, () => this.#keeper.restore(entry, different));
  }

  /**
   * As `deleteIds`, for the ids of a batch that a worker has read: the account of the batch, with the rows that are gone. With a
   * batch id all ids are written, as the log must know the batch whatever is there, and a repeat deletes nothing: what it would
   * have deleted may be new. Rejects as `deleteIds`, and with BATCH_ID_CONFLICT.
   */
  async deleteBatch(
    read: WriteAccount,
    batch: { readonly table: string; readonly batchId: string; readonly durability: FrameDurability },
  ): Promise<WriteAccount> {
    const { table, batchId, durability } = batch;
    const ids = [...new Set(read.ids)];
    const entry = this.#options.registry.get(table);
    if (ids.length === 0) return { ...read, deletedRows: 0 };
    return this.#lines.inLine(entry.identity.uuid, ids, async () => {
      const there = await idsThere(this.#options.queries, entry.name, ids);
      const deletedRows = rowsOf(there);
      const gone = batchId === "" ? there.map(({ id }) => id) : ids;
      if (gone.length === 0) return { ...read, deletedRows };
      const format = frameFormats.json;
      const write = { table: entry.name, format, flags: deleteFlags, durability, batchId, text: textOfIds(gone) };
      const { isRepeat, sequence, ...written } = await writeOwn(this.#options, write);
      return {
        ...read,
        durability: written.durability,
        sequence,
        isRepeat,
        deletedRows: isRepeat ? null : deletedRows,
      };
    });
  }

  /**
   * Puts the payload's values into the row of this id, and its timestamp where there is one; all else of the row stays. Where
   * several rows have the id, the one with the latest timestamp is taken, and stands for all of them then. As durable as
   * asked when it resolves. Rejects with NOT_FOUND where no row has the id, with ROW_REJECTED's account, and as `deleteIds`.
   */
  async merge(row: RowEnvelope, durability: FrameDurability): Promise<WriteAccount> {
    const entry = this.#options.registry.get(row.table);
    return this.#lines.inLine(entry.identity.uuid, [row.id], async () => {
      const known = await this.#rowOf(entry, row);
      const payload = joinObjects(known.payload, row.payload);
      const timestamp = row.timestamp ?? known.timestamp;
      const head = `{"table":${JSON.stringify(entry.name)},"id":${JSON.stringify(row.id)}`;
      const body = `${head},"timestamp":${timestamp},"payload":${payload}}`;
      const flags = frameFlags.originalShape | frameFlags.idRequired | frameFlags.replaces;
      return this.#write(entry.name, body, flags, durability);
    });
  }

  /** Rows that a query of the table sees. */
  async countRows(table: string): Promise<number> {
    const sql = `SELECT count(*)::DOUBLE AS rows FROM ${quoteName(table)}`;
    const [row] = await ownRows(this.#options.queries, { sql });
    return (JSON.parse(row ?? "{}") as { readonly rows: number }).rows;
  }

  /** The values that the patch does not name, as JSON text that says each of them exactly. */
  async #rowOf(
    entry: TableEntry,
    { id, payloadKeys }: RowEnvelope,
  ): Promise<{ readonly payload: string; readonly timestamp: string }> {
    const where = `WHERE ${idColumn} = ${quoteText(id)} ORDER BY "timestamp" DESC LIMIT 1`;
    const sql = `SELECT * FROM ${quoteName(entry.name)} ${where}`;
    const [line] = await ownRows(this.#options.queries, { sql });
    if (line === undefined) {
      throw new MiniodbError("NOT_FOUND", `No row of table ${entry.name} has the id ${id}`, { table: entry.name, id });
    }
    const members = writableMembers(entry.schema, line);
    const named = new Set([timestampColumn, idColumn, ...payloadKeys].map(nameKey));
    const kept = members.filter(([name]) => !named.has(nameKey(name)));
    const timestamp = memberOf(members, timestampColumn);
    assert(timestamp !== undefined, "every row has a timestamp");
    const values = kept.map(([name, json]) => `${JSON.stringify(name)}:${json}`);
    return { payload: `{${values.join(",")}}`, timestamp };
  }

  #write(table: string, text: string, flags: number, durability: FrameDurability): Promise<WriteAccount> {
    return writeOwn(this.#options, { table, format: frameFormats.json, flags, durability, text });
  }
}

function rowsOf(there: readonly IdThere[]): number {
  return there.reduce((sum, { rows }) => sum + rows, 0);
}

/** One object of the members of two: `{"a":1}` and `{"b":2}`. */
function joinObjects(one: string, other: string): string {
  const members = [one, other].map((object) => object.trim().slice(1, -1).trim()).filter((text) => text !== "");
  return `{${members.join(",")}}`;
}
