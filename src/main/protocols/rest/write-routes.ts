import { MiniodbError } from "../../../shared/errors.js";
import { bodyContentTypes, encodingOfHeader, formatOfContentType } from "../../../shared/formats/body-format.js";
import { limits } from "../../../shared/limits.js";
import { frameDurabilities, frameEncodings, frameFlags, frameFormats } from "../../../shared/ring/frame.js";
import type { FrameDurability, FrameEncoding, FrameFormat } from "../../../shared/ring/frame.js";
import { assertTableName } from "../../catalog/table-service.js";
import type { MutationService } from "../../mutate/mutation-service.js";
import { readPartialRow } from "../../mutate/row-envelope.js";
import type { HttpExchange, RequestListener } from "../../sockets/http-server.js";
import { parseDurability, parseMode, refuseSoft } from "../websocket/stream-message.js";
import { HttpWrite, type RenderOutcome, type WriteDoor, type WriteHead } from "./http-write.js";
import type { WriteAccount, WriteOutcome } from "../../write/write-request.js";
import { sendReply } from "./send-reply.js";
import { accountReply, errorReply, oneRowReply, thrownReply } from "./write-reply.js";

export interface WriteRoutesOptions extends WriteDoor {
  readonly nodeId: string;
  readonly mutations: MutationService;
}

const replaceRowFlags = frameFlags.originalShape | frameFlags.idRequired | frameFlags.replaces;
const oneRowFlags = frameFlags.originalShape | frameFlags.idRequired | frameFlags.mayCreateTable;

/** POST and PUT /v1/data, and POST /v1/tables/{table}/rows. */
export class WriteRoutes {
  readonly #door: WriteDoor;
  readonly #renderOneRow: RenderOutcome;
  readonly #renderReplacedRow: RenderOutcome;
  readonly #renderRows: RenderOutcome;
  readonly #mutations: MutationService;

  constructor(options: WriteRoutesOptions) {
    const { nodeId, mutations } = options;
    this.#door = options;
    this.#mutations = mutations;
    this.#renderOneRow = (outcome) =>
      outcome.kind === "failed" ? errorReply(outcome.error) : oneRowReply(outcome, nodeId, "ingested");
    this.#renderReplacedRow = (outcome) =>
      outcome.kind === "failed" ? errorReply(outcome.error) : oneRowReply(outcome, nodeId, "updated");
    this.#renderRows = (outcome, batchId) =>
      outcome.kind === "failed" ? errorReply(outcome.error) : accountReply(outcome, batchId);
  }

  /** One row in the original shape; the body names the table. */
  oneRow(exchange: HttpExchange): RequestListener {
    const contentType = exchange.header("content-type");
    const format = contentType === "" ? frameFormats.json : formatOfContentType(contentType);
    if (format !== frameFormats.json) throw unsupported(contentType, ["application/json"]);
    return new HttpWrite(this.#door, exchange, readHead(exchange, "", format, oneRowFlags), this.#renderOneRow);
  }

  /**
   * One row in the original shape takes the place of all rows with its id, or, with `partial`, is merged into the one that is
   * there. Only the merge looks at what is there.
   */
  replaceRow(exchange: HttpExchange): RequestListener {
    const contentType = exchange.header("content-type");
    const format = contentType === "" ? frameFormats.json : formatOfContentType(contentType);
    if (format !== frameFormats.json) throw unsupported(contentType, ["application/json"]);
    const head = readHead(exchange, "", format, replaceRowFlags);
    if (head.encoding !== frameEncodings.identity) {
      throw new MiniodbError("UNSUPPORTED_MEDIA_TYPE", "PUT /v1/data takes plain JSON: its body says whether to merge");
    }
    const divert = (body: Uint8Array): boolean => this.#merge(exchange, body, head.durability);
    return new HttpWrite(this.#door, exchange, { ...head, divert }, this.#renderReplacedRow);
  }

  /** False where the body is not `partial`. */
  #merge(exchange: HttpExchange, body: Uint8Array, durability: FrameDurability): boolean {
    const row = readPartialRow(body);
    if (row === null) return false;
    const { metrics, onInternal } = this.#door;
    this.#mutations.merge(row, durability).then(
      (outcome) => {
        metrics.wrote(outcome, body.length);
        sendReply(exchange, this.#renderReplacedRow(outcome, ""));
      },
      (error: unknown) => sendReply(exchange, thrownReply(error, onInternal)),
    );
    return true;
  }

  /** A batch for one table; the content type picks the decoder. */
  rows(exchange: HttpExchange, table: string): RequestListener {
    assertTableName(table);
    const contentType = exchange.header("content-type");
    const format = formatOfContentType(contentType);
    if (format === undefined) throw unsupported(contentType, bodyContentTypes);
    const { flags, isCounted } = readMode(exchange);
    const head = readHead(exchange, table, format, flags);
    if ((flags & frameFlags.deletes) === 0 || !isCounted) {
      return new HttpWrite(this.#door, exchange, head, this.#renderRows);
    }
    const { batchId } = head;
    const renderRows: RenderOutcome = (outcome) => this.#renderRows(outcome, batchId);
    return new HttpWrite(this.#door, exchange, this.#countedDelete(head), renderRows);
  }

  /** First the ids alone, then, with those at hand, the look at what is there and the deletes. */
  #countedDelete(head: WriteHead): WriteHead {
    const { table, batchId, durability } = head;
    const goOn = async (account: WriteAccount): Promise<WriteOutcome> => {
      try {
        return await this.#mutations.deleteBatch(account, { table, batchId, durability });
      } catch (error) {
        if (error instanceof MiniodbError) return { kind: "failed", error };
        this.#door.onInternal(error);
        return { kind: "failed", error: new MiniodbError("INTERNAL", "Internal error") };
      }
    };
    const flags = head.flags | frameFlags.readsIds;
    return { ...head, flags, batchId: "", durability: frameDurabilities.fsync, goOn };
  }
}

const countsByName: Readonly<Record<string, boolean>> = { "": true, true: true, false: false };

/** What `mode` says, and whether the rows that a batch deletes are counted. Throws INVALID_REQUEST. */
function readMode({ query }: HttpExchange): { readonly flags: number; readonly isCounted: boolean } {
  if (query === "") return { flags: frameFlags.mayCreateTable, isCounted: true };
  const parameters = new URLSearchParams(query);
  const isCounted = countsByName[parameters.get("count") ?? ""];
  if (isCounted === undefined) {
    throw new MiniodbError("INVALID_REQUEST", "count must be true or false", { field: "count" });
  }
  const flags = parseMode(parameters.get("mode") ?? "");
  refuseSoft(parameters.get("soft"), flags);
  return { flags, isCounted };
}

/** What headers and query string say; all of it must be read before the handler returns. */
function readHead(exchange: HttpExchange, table: string, format: FrameFormat, flags: number): WriteHead {
  const encoding = readEncoding(exchange);
  let batchId = exchange.header("idempotency-key");
  let durability: FrameDurability = frameDurabilities.fsync;
  let letterFlag = 0;
  const { query } = exchange;
  if (query !== "") {
    const parameters = new URLSearchParams(query);
    batchId ||= parameters.get("batch_id") ?? "";
    durability = parseDurability(parameters.get("durability") ?? "fsync");
    if (parameters.get("dead_letters") === "true") letterFlag = frameFlags.deadLetters;
  }
  if (batchId !== "" && Buffer.byteLength(batchId) > limits.batchIdBytesMax) {
    throw new MiniodbError("INVALID_REQUEST", `A batch id has at most ${limits.batchIdBytesMax} bytes`, {
      field: "batch_id",
    });
  }
  return { table, format, encoding, durability, flags: flags | letterFlag, batchId };
}

function readEncoding(exchange: HttpExchange): FrameEncoding {
  const name = exchange.header("content-encoding");
  if (name === "") return frameEncodings.identity;
  const encoding = encodingOfHeader(name);
  if (encoding === undefined) throw new MiniodbError("UNSUPPORTED_MEDIA_TYPE", `Content-Encoding ${name}`);
  return encoding;
}

function unsupported(contentType: string, known: readonly string[]): MiniodbError {
  const message = contentType === "" ? "A Content-Type is required" : `Content-Type ${contentType} is not decoded here`;
  return new MiniodbError("UNSUPPORTED_MEDIA_TYPE", message, { known });
}
