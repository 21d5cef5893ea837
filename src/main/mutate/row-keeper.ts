import { randomUUID } from "node:crypto";
import { assert } from "../../shared/assert.js";
import { MiniodbError } from "../../shared/errors.js";
import { failpoint } from "../../shared/failpoints.js";
import { limits } from "../../shared/limits.js";
import { deletedRowsTable, newDeletedRowsTable } from "../../shared/own-tables.js";
import { frameDurabilities, frameFlags, frameFormats } from "../../shared/ring/frame.js";
import { hasEncrypted } from "../../shared/schema/column-encryption.js";
import { idColumn, nameKey, timestampColumn } from "../../shared/schema/table-schema.js";
import type { TableEntry } from "../catalog/table-entry.js";
import type { TableRegistry } from "../catalog/table-registry.js";
import type { TableService } from "../catalog/table-service.js";
import type { QueryService } from "../query/query-service.js";
import { writeOwn, type OwnWriteParts } from "../write/own-write.js";
import { keptText, restoredLine } from "./kept-rows.js";
import { idsThere, memberOf, ownRows, quoteName, quoteText, whereIds, writableMembers } from "./own-queries.js";

export interface RowKeeperOptions extends OwnWriteParts {
  readonly registry: TableRegistry;
  readonly tables: TableService;
  readonly queries: QueryService;
}

export interface RestoredIds {
  readonly rows: number;
  /** Token of the restored rows; empty where there is none. */
  readonly sequence: string;
  /** Ids that have rows already: they stay as they are. */
  readonly there: readonly string[];
  /** Ids that nothing is kept of (any more). */
  readonly missing: readonly string[];
  /** Why rows could not be taken back: they break what the table's settings say now. They are still kept. */
  readonly refused: readonly string[];
}

/** Of a soft delete or a restore, beside rows of the same ids that are written all the time: one takes some ten milliseconds. */
export const looksMax = 10;

/** One of the ids was written since the look, and nothing was done. */
export function isConflict(error: unknown): boolean {
  return error instanceof MiniodbError && error.code === "COMMIT_CONFLICT";
}

/** Of a batch of deletes in the log. */
export const deleteFlags = frameFlags.deletes | frameFlags.idRequired;

/** The body of such a batch. */
export function textOfIds(ids: readonly string[]): string {
  return JSON.stringify(ids.map((id) => ({ id })));
}

/** A row of the table of deleted rows. */
interface KeptLine {
  readonly id: string;
  readonly row_id: string;
  readonly deletion: string;
  readonly content: string;
}

/** As it is written. */
interface NewLine extends KeptLine {
  readonly table_name: string;
  readonly table_uuid: string;
}

/**
 * Rows that were deleted softly, in a table of the server's own: one row each, with the time of the deletion as its timestamp.
 * They are durable there before they leave their table, so that a crash between the two leaves them in both, and the delete
 * without an answer; a restore writes them back before it removes them there, and takes nothing of an id that has rows.
 * What ends their life is that table's retention_days, or a delete of them there.
 */
export class RowKeeper {
  readonly #options: RowKeeperOptions;

  constructor(options: RowKeeperOptions) {
    this.#options = options;
  }

  /**
   * Keeps all rows of these ids; durable in the log when it resolves, with what `forget` knows them by. Rejects, and keeps
   * nothing that counts, with RESULT_TOO_LARGE for more than main takes at once, INVALID_REQUEST for a table with encrypted
   * columns, and as queries and writes do.
   */
  async keep(entry: TableEntry, ids: readonly string[]): Promise<readonly string[]> {
    const { queries, tables } = this.#options;
    if (hasEncrypted(entry.schema.columns)) {
      const message = `Table ${entry.name} has encrypted columns, whose values would be kept as they are: delete without "soft"`;
      throw new MiniodbError("INVALID_REQUEST", message, { table: entry.name });
    }
    const { where, params } = whereIds(idColumn, ids);
    const sql = `SELECT * FROM ${quoteName(entry.name)} WHERE ${where} LIMIT ${limits.softDeleteRowsMax + 1}`;
    const lines = await ownRows(queries, { sql, params, bytesMax: limits.softDeleteBytesMax });
    if (lines.length > limits.softDeleteRowsMax) {
      const message = `A soft delete takes at most ${limits.softDeleteRowsMax} rows: name fewer ids`;
      throw new MiniodbError("RESULT_TOO_LARGE", message, { limitRows: limits.softDeleteRowsMax });
    }
    const deletion = randomUUID();
    const kept = lines.map((line) => this.#keptLine(entry, line, deletion));
    await tables.create(deletedRowsTable, newDeletedRowsTable, true);
    const account = await writeOwn(this.#options, {
      table: deletedRowsTable,
      format: frameFormats.ndjson,
      flags: 0,
      durability: frameDurabilities.fsync,
      text: kept.map((line) => JSON.stringify(line)).join("\n"),
    });
    failpoint("keep.rows.kept");
    if (account.rejected === 0) return kept.map(({ id }) => id);
    const reason = account.errors[0]?.message ?? "";
    throw new MiniodbError("ROW_REJECTED", `Table ${deletedRowsTable} does not take the rows: ${reason}`);
  }

  /**
   * Puts back what the last soft delete of each id took; durable in the log when it resolves, and seen by every query that
   * begins then. Rejects as queries and writes do, and with COMMIT_CONFLICT where rows of the ids come too fast.
   */
  async restore(entry: TableEntry, ids: readonly string[]): Promise<RestoredIds> {
    for (let look = 1; ; look++) {
      // The look below sees at least this: the write holds only where nothing was written to its ids since.
      const seenSequence = entry.ackedSequence;
      const there = (await idsThere(this.#options.queries, entry.name, ids)).map(({ id }) => id);
      const taken = new Set(there);
      const free = ids.filter((id) => !taken.has(id));
      const lines = await this.#lastDeletions(entry, free);
      const known = new Set(lines.map((line) => line.row_id));
      const missing = free.filter((id) => !known.has(id));
      if (lines.length === 0) return { there, missing, rows: 0, sequence: "", refused: [] };
      try {
        return { there, missing, ...(await this.#putBack(entry, lines, seenSequence)) };
      } catch (error) {
        if (!isConflict(error) || look === looksMax) throw error;
      }
    }
  }

  /**
   * One write, which is one record of the log however large it is, and then the end of what is kept of it. A crash between the
   * two leaves rows that are there, and kept.
   */
  async #putBack(
    entry: TableEntry,
    lines: readonly KeptLine[],
    unlessAfter: number,
  ): Promise<Pick<RestoredIds, "rows" | "sequence" | "refused">> {
    const account = await writeOwn(this.#options, {
      table: entry.name,
      format: frameFormats.ndjson,
      flags: frameFlags.idRequired,
      durability: frameDurabilities.fsync,
      text: lines.map(({ row_id: id, content }) => restoredLine(entry.schema, id, content)).join("\n"),
      unlessAfter,
    });
    failpoint("keep.rows.restored");
    const refused = account.errors.map(({ row, message }) => `${lines[row]?.row_id ?? ""}: ${message}`);
    const refusedIds = new Set(account.errors.map(({ row }) => lines[row]?.row_id));
    // Not all errors are listed: what may have been refused is kept.
    const isListed = account.rejected === account.errors.length;
    const done = isListed ? lines.filter((line) => !refusedIds.has(line.row_id)) : [];
    if (done.length > 0) await this.forget(done.map(({ id }) => id));
    return { rows: account.accepted, sequence: account.sequence, refused };
  }

  /** What is kept of these ids, of the last deletion of each. */
  async #lastDeletions(entry: TableEntry, ids: readonly string[]): Promise<KeptLine[]> {
    const { queries, registry } = this.#options;
    if (ids.length === 0 || registry.find(deletedRowsTable) === undefined) return [];
    const { where, params } = whereIds("row_id", ids);
    const ofTable = `table_uuid = ${quoteText(entry.identity.uuid)} AND ${where}`;
    const lines = await ownRows(queries, {
      sql: `SELECT id, row_id, deletion, content FROM ${deletedRowsTable} WHERE ${ofTable} ORDER BY "timestamp" DESC, id`,
      params,
      bytesMax: limits.restoredBytesMax,
    });
    const rows = lines.map((line) => JSON.parse(line) as KeptLine);
    const last = new Map<string, string>();
    for (const { row_id: id, deletion } of rows) if (!last.has(id)) last.set(id, deletion);
    return rows.filter(({ row_id: id, deletion }) => last.get(id) === deletion);
  }

  /** What is kept under these ids of its own is gone; durable when it resolves. */
  async forget(keptIds: readonly string[]): Promise<void> {
    await writeOwn(this.#options, {
      table: deletedRowsTable,
      format: frameFormats.json,
      flags: deleteFlags,
      durability: frameDurabilities.fsync,
      text: textOfIds(keptIds),
    });
  }

  #keptLine(entry: TableEntry, line: string, deletion: string): NewLine {
    const members = writableMembers(entry.schema, line);
    const system = new Set([timestampColumn, idColumn]);
    const timestamp = memberOf(members, timestampColumn);
    const id = memberOf(members, idColumn);
    assert(timestamp !== undefined && id !== undefined, "rows are found by their ids, and have a timestamp");
    const values = members.filter(([name]) => !system.has(nameKey(name)));
    return {
      id: randomUUID(),
      table_name: entry.name,
      table_uuid: entry.identity.uuid,
      row_id: JSON.parse(id) as string,
      deletion,
      content: keptText(entry.schema, timestamp, values),
    };
  }
}
