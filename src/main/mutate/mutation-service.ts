import { assert } from "../../shared/assert.js";
import { MiniodbError } from "../../shared/errors.js";
import { limits } from "../../shared/limits.js";
import type { QueryParameters } from "../query/query-parameters.js";
import type { QueryReply } from "../query/query-request.js";
import { frameDurabilities, frameFlags, frameFormats, type FrameDurability } from "../../shared/ring/frame.js";
import {
  columnByName,
  idColumn,
  nameKey,
  timestampColumn,
  type TableSchema,
} from "../../shared/schema/table-schema.js";
import type { TableEntry } from "../catalog/table-entry.js";
import type { TableRegistry } from "../catalog/table-registry.js";
import type { QueryService } from "../query/query-service.js";
import { discardBody, readBody } from "../../shared/result-body.js";
import { writeOwn, type OwnWriteParts } from "../write/own-write.js";
import type { WriteAccount } from "../write/write-request.js";
import { IdLines } from "./id-lines.js";
import { readMembers, type RowEnvelope } from "./row-envelope.js";

export interface MutationServiceOptions extends OwnWriteParts {
  readonly registry: TableRegistry;
  readonly queries: QueryService;
}

export interface DeletedIds {
  readonly rows: number;
  /** Token of the tombstones; empty where no row was there. */
  readonly sequence: string;
}

/**
 * Changes by id that must know the row that is there. The look at it is a query of this node, which sees everything that was
 * acknowledged before; what follows from it goes into the log like any write. Both are one step for all other such changes of
 * the same id (IdLines). Replaces and inserts do not wait here: one that comes between look and write has its row
 * replaced or deleted too.
 */
export class MutationService {
  readonly #options: MutationServiceOptions;
  readonly #lines = new IdLines();

  constructor(options: MutationServiceOptions) {
    this.#options = options;
  }

  /**
   * Deletes all rows with one of the ids, and says how many there were. When it resolves that is durable in the log, and no
   * query that begins now sees them; other engines do until the next flush. Rejects with TABLE_NOT_FOUND, and as queries
   * and writes do.
   */
  async deleteIds(table: string, ids: readonly string[]): Promise<DeletedIds> {
    const entry = this.#options.registry.get(table);
    const different = [...new Set(ids)];
    return this.#lines.inLine(entry.identity.uuid, different, async () => {
      const there = await this.#idsThere(entry, different);
      const rows = there.reduce((sum, { rows: count }) => sum + count, 0);
      if (rows === 0) return { rows, sequence: "" };
      const text = textOfIds(there.map(({ id }) => id));
      const { sequence } = await this.#write(entry.name, text, deleteFlags, frameDurabilities.fsync);
      return { rows, sequence };
    });
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
      const there = await this.#idsThere(entry, ids);
      const deletedRows = there.reduce((sum, { rows: count }) => sum + count, 0);
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
    const [row] = await this.#query(`SELECT count(*)::DOUBLE AS rows FROM ${quoteName(table)}`);
    return (JSON.parse(row ?? "{}") as { readonly rows: number }).rows;
  }

  async #idsThere(
    entry: TableEntry,
    ids: readonly string[],
  ): Promise<{ readonly id: string; readonly rows: number }[]> {
    const { where, params } = whereIds(ids);
    const lines = await this.#query(
      `SELECT ${idColumn} AS id, count(*)::DOUBLE AS rows FROM ${quoteName(entry.name)} WHERE ${where} GROUP BY 1`,
      params,
    );
    return lines.map((line) => JSON.parse(line) as { readonly id: string; readonly rows: number });
  }

  /** The values that the patch does not name, as JSON text that says each of them exactly. */
  async #rowOf(
    entry: TableEntry,
    { id, payloadKeys }: RowEnvelope,
  ): Promise<{ readonly payload: string; readonly timestamp: string }> {
    const where = `WHERE ${idColumn} = ${quoteText(id)} ORDER BY "timestamp" DESC LIMIT 1`;
    const [line] = await this.#query(`SELECT * FROM ${quoteName(entry.name)} ${where}`);
    if (line === undefined) {
      throw new MiniodbError("NOT_FOUND", `No row of table ${entry.name} has the id ${id}`, { table: entry.name, id });
    }
    const members = readMembers(Buffer.from(line));
    const named = new Set([timestampColumn, idColumn, ...payloadKeys].map(nameKey));
    const kept = members.filter(([name]) => !named.has(nameKey(name)));
    const timestamp = members.find(([name]) => nameKey(name) === timestampColumn)?.[1];
    assert(timestamp !== undefined, "every row has a timestamp");
    // By now the entry knows every column that the query could see.
    const values = kept.map(([name, json]) => `${JSON.stringify(name)}:${valueOf(entry.schema, name, json)}`);
    return { payload: `{${values.join(",")}}`, timestamp };
  }

  /** The rows of a statement of ours as lines of JSON. */
  async #query(sql: string, params?: QueryParameters): Promise<string[]> {
    const reply: QueryReply = await this.#options.queries.run({ sql, params, format: "ndjson" });
    const { body } = reply;
    try {
      const text = (await readBody(body)).toString();
      return text.split("\n").filter((line) => line !== "");
    } finally {
      await discardBody(body);
    }
  }

  #write(table: string, text: string, flags: number, durability: FrameDurability): Promise<WriteAccount> {
    return writeOwn(this.#options, { table, format: frameFormats.json, flags, durability, text });
  }
}

const deleteFlags = frameFlags.deletes | frameFlags.idRequired;

function textOfIds(ids: readonly string[]): string {
  return JSON.stringify(ids.map((id) => ({ id })));
}

/**
 * A condition that takes the rows of these ids. A statement has room for a few of them, by which files are left out one by
 * one; more come as a list, which only the smallest and the largest id stand for there.
 */
function whereIds(ids: readonly string[]): { readonly where: string; readonly params?: QueryParameters } {
  const few = ids.length <= limits.deleteIdsMax ? `${idColumn} IN (${ids.map(quoteText).join(", ")})` : "";
  if (few !== "" && Buffer.byteLength(few) <= limits.sqlBytesMax / 2) return { where: few };
  const sorted = ids.map((id) => Buffer.from(id)).toSorted((left, right) => Buffer.compare(left, right));
  const [lower, upper] = [sorted[0], sorted.at(-1)].map((id) => id?.toString() ?? "");
  const where = `${idColumn} IN (SELECT unnest($1)) AND ${idColumn} >= $2 AND ${idColumn} <= $3`;
  return { where, params: [ids, lower ?? "", upper ?? ""] };
}

/** As a write takes it: queries give the value of a json column as a text. */
function valueOf(schema: TableSchema, name: string, json: string): string {
  const isJson = columnByName(schema, name)?.type === "json" && json.startsWith('"');
  return isJson ? (JSON.parse(json) as string) : json;
}

/** One object of the members of two: `{"a":1}` and `{"b":2}`. */
function joinObjects(one: string, other: string): string {
  const members = [one, other].map((object) => object.trim().slice(1, -1).trim()).filter((text) => text !== "");
  return `{${members.join(",")}}`;
}

/** A SQL identifier. */
function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A SQL text literal. */
function quoteText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
