import { MiniodbError } from "../../../shared/errors.js";
import { bodyContentTypes, encodingOfHeader, formatOfContentType } from "../../../shared/formats/body-format.js";
import { limits } from "../../../shared/limits.js";
import { frameDurabilities, frameFlags, frameFormats } from "../../../shared/ring/frame.js";
import type { SlabAllocator } from "../../../shared/ring/slab-allocator.js";
import { assertTableName } from "../../catalog/table-service.js";
import type { HttpExchange, RequestListener } from "../../sockets/http-server.js";
import type { Metrics } from "../../telemetry/metrics.js";
import type { WritePath } from "../../write/write-path.js";
import type { WriteBody, WriteOutcome, WriteRequest } from "../../write/write-request.js";
import { parseDurability } from "../websocket/stream-message.js";
import { BodyListener, type BodyIntake } from "./body-intake.js";
import { sendReply } from "./send-reply.js";
import { accountReply, errorReply, oneRowReply, thrownReply, type JsonReply } from "./write-reply.js";

export interface WriteRoutesOptions {
  readonly writes: WritePath;
  readonly slab: SlabAllocator;
  readonly metrics: Metrics;
  readonly nodeId: string;
  readonly bodyBytesMax: number;
  readonly onInternal: (error: unknown) => void;
}

type WriteHead = Omit<WriteRequest, "body" | "done">;

/** POST /v1/data and POST /v1/tables/{table}/rows. */
export class WriteRoutes {
  readonly #options: WriteRoutesOptions;

  constructor(options: WriteRoutesOptions) {
    this.#options = options;
  }

  /** One row in the original shape; the body names the table. */
  oneRow(exchange: HttpExchange): RequestListener {
    const contentType = exchange.header("content-type");
    const format = contentType === "" ? frameFormats.json : formatOfContentType(contentType);
    if (format !== frameFormats.json) throw unsupported(contentType, ["application/json"]);
    const flags = frameFlags.originalShape | frameFlags.idRequired | frameFlags.mayCreateTable;
    const head = readHead(exchange, { table: "", format, flags });
    const { nodeId } = this.#options;
    return this.#listen(exchange, head, (outcome) =>
      outcome.kind === "failed" ? errorReply(outcome.error) : oneRowReply(outcome, nodeId),
    );
  }

  /** A batch for one table; the content type picks the decoder. */
  rows(exchange: HttpExchange, table: string): RequestListener {
    assertTableName(table);
    const contentType = exchange.header("content-type");
    const format = formatOfContentType(contentType);
    if (format === undefined) throw unsupported(contentType, bodyContentTypes);
    const head = readHead(exchange, { table, format, flags: frameFlags.mayCreateTable });
    return this.#listen(exchange, head, (outcome) =>
      outcome.kind === "failed" ? errorReply(outcome.error) : accountReply(outcome, head.batchId),
    );
  }

  #listen(exchange: HttpExchange, head: WriteHead, render: (outcome: WriteOutcome) => JsonReply): RequestListener {
    const { writes, slab, metrics, bodyBytesMax, onInternal } = this.#options;
    const intake: BodyIntake = {
      slab,
      bodyBytesMax,
      onBody: (_, body: WriteBody) => {
        const bytes = body.kind === "slab" ? body.length : body.bytes.length;
        const done = (outcome: WriteOutcome): void => {
          metrics.wrote(outcome, bytes);
          sendReply(exchange, render(outcome));
        };
        writes.submit({ ...head, body, done });
      },
      onError: (_, error) => sendReply(exchange, thrownReply(error, onInternal)),
    };
    return new BodyListener(exchange, intake);
  }
}

/** What headers and query string say; all of it must be read before the first await. */
function readHead(exchange: HttpExchange, known: Pick<WriteHead, "table" | "format" | "flags">): WriteHead {
  const encodingName = exchange.header("content-encoding");
  const encoding = encodingOfHeader(encodingName);
  if (encoding === undefined) throw new MiniodbError("UNSUPPORTED_MEDIA_TYPE", `Content-Encoding ${encodingName}`);
  let batchId = exchange.header("idempotency-key");
  let durability: WriteHead["durability"] = frameDurabilities.fsync;
  const { query } = exchange;
  if (query !== "") {
    const parameters = new URLSearchParams(query);
    batchId ||= parameters.get("batch_id") ?? "";
    durability = parseDurability(parameters.get("durability") ?? "fsync");
  }
  if (batchId.length > limits.batchIdBytesMax || Buffer.byteLength(batchId) > limits.batchIdBytesMax) {
    throw new MiniodbError("INVALID_REQUEST", `A batch id has at most ${limits.batchIdBytesMax} bytes`, {
      field: "batch_id",
    });
  }
  return { ...known, encoding, durability, batchId, principal: "" };
}

function unsupported(contentType: string, known: readonly string[]): MiniodbError {
  const message = contentType === "" ? "A Content-Type is required" : `Content-Type ${contentType} is not decoded here`;
  return new MiniodbError("UNSUPPORTED_MEDIA_TYPE", message, { known });
}
