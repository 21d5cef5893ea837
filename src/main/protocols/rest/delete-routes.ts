import { limits } from "../../../shared/limits.js";
import { MiniodbError } from "../../../shared/errors.js";
import { readParameters } from "../../query/query-parameters.js";
import type { HttpExchange, RequestListener } from "../../sockets/http-server.js";
import type { MutationService } from "../../mutate/mutation-service.js";
import type { DeleteService } from "../../upkeep/delete-service.js";
import { JsonListener, optionalCount, optionalFlag, requiredText, type JsonObject } from "./json-request.js";
import { sendReply } from "./send-reply.js";
import { okReply, thrownReply } from "./write-reply.js";

export interface DeleteRoutesOptions {
  readonly deletes: DeleteService;
  readonly mutations: MutationService;
  readonly onInternal: (error: unknown) => void;
}

/** Deletes of rows: by a predicate, and by id, through the log, in the original's shape. */
export class DeleteRoutes {
  readonly #options: DeleteRoutesOptions;

  constructor(options: DeleteRoutesOptions) {
    this.#options = options;
  }

  /** POST /v1/tables/{table}/delete. */
  where(exchange: HttpExchange, table: string): RequestListener {
    return this.#listen(exchange, (body, signal) => this.#where(table, body, signal));
  }

  /** DELETE /v1/data. */
  ids(exchange: HttpExchange): RequestListener {
    return this.#listen(exchange, (body) => this.#ids(body));
  }

  /** POST /v1/data/restore. */
  restore(exchange: HttpExchange): RequestListener {
    return this.#listen(exchange, (body) => this.#restore(body));
  }

  async #where(table: string, body: JsonObject, signal: AbortSignal): Promise<unknown> {
    const isDryRun = optionalFlag(body, "dry_run") ?? false;
    const outcome = await this.#options.deletes.deleteWhere({
      table,
      where: requiredText(body, "where"),
      params: readParameters(body["params"]),
      timeoutMs: positive(optionalCount(body, "timeout_ms")),
      isDryRun,
      signal,
    });
    const { rows, snapshotId, sequence } = outcome;
    return { success: true, deleted_count: rows, dry_run: isDryRun, snapshot_id: snapshotId, sequence };
  }

  /** A client that has gone takes nothing back: what it asked for has a small end. */
  async #ids(body: JsonObject): Promise<unknown> {
    const table = requiredText(body, "table");
    const ids = readIds(body["ids"]);
    const isSoft = optionalFlag(body, "soft") ?? false;
    const { rows, sequence } = await this.#options.mutations.deleteIds(table, ids, isSoft);
    const message =
      rows === 0
        ? `No row of table ${table} has one of these ids`
        : `${rows} rows deleted from table: ${table}, IDs: ${ids.length}`;
    const token = sequence === "" ? {} : { sequence };
    return { success: rows > 0, message, deleted_count: rows, errors: null, ...token };
  }

  async #restore(body: JsonObject): Promise<unknown> {
    const table = requiredText(body, "table");
    const ids = readIds(body["ids"]);
    const { rows, sequence, there, missing, refused } = await this.#options.mutations.restoreIds(table, ids);
    if (rows === 0 && refused.length === 0 && there.length === 0) {
      const message = `Nothing is kept of these ids of table ${table}: they were not deleted with soft, or their time is over`;
      throw new MiniodbError("NOT_FOUND", message, { table, ids: missing.slice(0, limits.rowErrorsMax) });
    }
    const errors = [
      ...there.map((id) => `${id}: a row with this id is there`),
      ...missing.map((id) => `${id}: nothing is kept of it`),
      ...refused,
    ];
    const message = `${rows} rows restored to table: ${table}, IDs: ${ids.length}`;
    const token = sequence === "" ? {} : { sequence };
    return { success: rows > 0, message, restored_count: rows, errors: errors.length === 0 ? null : errors, ...token };
  }

  #listen(exchange: HttpExchange, act: (body: JsonObject, signal: AbortSignal) => Promise<unknown>): RequestListener {
    const { onInternal } = this.#options;
    const control = new AbortController();
    const refuse = (error: unknown): void => {
      sendReply(exchange, thrownReply(error, onInternal));
    };
    return new JsonListener(exchange, {
      object: (_, body) => {
        act(body, control.signal)
          .then((value) => sendReply(exchange, okReply(value)))
          .catch(refuse);
      },
      error: (_, error) => refuse(error),
      // Nobody waits for the search any more; what is found already is deleted all the same.
      aborted: () => control.abort(new MiniodbError("QUERY_CANCELLED", "the client has gone")),
    });
  }
}

/** Throws INVALID_REQUEST. */
function readIds(value: unknown): readonly string[] {
  const ids: readonly unknown[] = Array.isArray(value) ? value : [];
  if (ids.length === 0 || !ids.every((id) => typeof id === "string" && id !== "")) {
    throw new MiniodbError("INVALID_REQUEST", "ids is required and must be a list of texts", { field: "ids" });
  }
  if (ids.length > limits.deleteIdsMax) {
    const message = `ids has at most ${limits.deleteIdsMax} entries: delete by predicate with a list as a parameter`;
    throw new MiniodbError("INVALID_REQUEST", message, { field: "ids", limit: limits.deleteIdsMax });
  }
  return ids as readonly string[];
}

function positive(timeoutMs: number | undefined): number | undefined {
  if (timeoutMs === 0) throw new MiniodbError("INVALID_REQUEST", "timeout_ms is not positive", { field: "timeout_ms" });
  return timeoutMs;
}
