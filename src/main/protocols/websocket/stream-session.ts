import { MiniodbError } from "../../../shared/errors.js";
import { frameEncodings } from "../../../shared/ring/frame.js";
import type { SlabAllocator } from "../../../shared/ring/slab-allocator.js";
import type { RequestHead, UpgradeRefusal, WebSocketConnection, WebSocketListener } from "../../sockets/http-server.js";
import type { Metrics } from "../../telemetry/metrics.js";
import type { WritePath } from "../../write/write-path.js";
import { holdBody } from "../../write/own-write.js";
import type { WriteOutcome } from "../../write/write-request.js";
import { accountJson, errorReply } from "../rest/write-reply.js";
import { parseStreamDefaults, parseStreamMessage, type StreamDefaults, type StreamMessage } from "./stream-message.js";

export interface StreamSessionOptions {
  readonly writes: WritePath;
  readonly slab: SlabAllocator;
  readonly metrics: Metrics;
  /** Batches of one connection that may wait for their acknowledgement. */
  readonly creditsMax: number;
  readonly messageBytesMax: number;
  readonly onInternal: (error: unknown) => void;
}

/** Decides about a handshake on /v1/stream: a session, or 400 for a query string that cannot be. */
export function acceptStream(head: RequestHead, options: StreamSessionOptions): WebSocketListener | UpgradeRefusal {
  try {
    return new StreamSession(parseStreamDefaults(new URLSearchParams(head.query)), options);
  } catch (error) {
    if (!(error instanceof MiniodbError)) throw error;
    const { status, body } = errorReply(error);
    return { status, headers: ["content-type", "application/json"], body };
  }
}

/**
 * One connection of /v1/stream: many batches in flight, each answered with its account, in the order in which they become
 * durable.
 *
 * ```
 * server: {"type":"welcome","credits":64,"message_bytes_max":67108864}
 * client: <header line>\n<body>      (stream-message.ts)
 * server: {"type":"ack","seq":7,"credits":1,"accepted":100,...}   or   {"type":"error","seq":7,"credits":1,"code":...}
 * ```
 * A batch costs a credit and its answer gives it back; a batch sent without one is answered TOO_MANY_REQUESTS. After a
 * cut the client opens a new connection and sends again what was not answered, with the same batch ids: what was taken
 * before comes back as `"repeated":true`.
 */
class StreamSession implements WebSocketListener {
  readonly #defaults: StreamDefaults;
  readonly #options: StreamSessionOptions;
  #connection: WebSocketConnection | null = null;
  #inFlight = 0;

  constructor(defaults: StreamDefaults, options: StreamSessionOptions) {
    this.#defaults = defaults;
    this.#options = options;
  }

  onOpen(connection: WebSocketConnection): void {
    this.#connection = connection;
    const { creditsMax, messageBytesMax } = this.#options;
    connection.send(JSON.stringify({ type: "welcome", credits: creditsMax, message_bytes_max: messageBytesMax }));
  }

  onMessage(message: Uint8Array): void {
    let seq: StreamMessage["seq"] = null;
    try {
      if (this.#inFlight >= this.#options.creditsMax) {
        throw new MiniodbError("TOO_MANY_REQUESTS", "The connection has no credit left; wait for acknowledgements");
      }
      const parsed = parseStreamMessage(message, this.#defaults);
      seq = parsed.seq;
      this.#submit(parsed);
    } catch (error) {
      if (!(error instanceof MiniodbError)) this.#options.onInternal(error);
      const known = error instanceof MiniodbError ? error : new MiniodbError("INTERNAL", "Internal error");
      this.#sendError(seq ?? (known.details["seq"] as StreamMessage["seq"]) ?? null, known, 0);
    }
  }

  onDrained(): void {}

  onClosed(): void {
    this.#connection = null;
  }

  #submit(message: StreamMessage): void {
    const { writes, metrics, slab } = this.#options;
    const { seq, table, format, durability, modeFlags, letterFlag, batchId, body: bytes } = message;
    const body = holdBody(slab, bytes);
    const done = (outcome: WriteOutcome): void => {
      this.#inFlight--;
      metrics.wrote(outcome, bytes.length);
      if (outcome.kind === "failed") {
        this.#sendError(seq, outcome.error, 1);
        return;
      }
      const account = accountJson(outcome, batchId).slice(1);
      this.#connection?.send(`{"type":"ack","seq":${JSON.stringify(seq)},"credits":1,${account}`);
    };
    try {
      const encoding = frameEncodings.identity;
      const flags = modeFlags | letterFlag;
      writes.submit({ table, format, encoding, durability, flags, batchId, principal: "", body, done });
      this.#inFlight++;
    } catch (error) {
      if (body.kind === "slab") slab.free(body.offset);
      throw error;
    }
  }

  /** `credits` is 1 where the batch had taken one. */
  #sendError(seq: StreamMessage["seq"], error: MiniodbError, credits: number): void {
    const { code, message, details, retryable } = error;
    this.#connection?.send(JSON.stringify({ type: "error", seq, credits, code, message, retryable, details }));
  }
}
