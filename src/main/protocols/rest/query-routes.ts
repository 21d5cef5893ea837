import { MiniodbError } from "../../../shared/errors.js";
import type { QueryReply, QueryService } from "../../query/query-service.js";
import type { HttpExchange, RequestListener } from "../../sockets/http-server.js";
import type { Metrics } from "../../telemetry/metrics.js";
import { JsonListener, optionalCount, optionalText, requiredText, type JsonObject } from "./json-request.js";
import { sendReply } from "./send-reply.js";
import { thrownReply } from "./write-reply.js";

export interface QueryRoutesOptions {
  readonly queries: QueryService;
  readonly metrics: Metrics;
  readonly onInternal: (error: unknown) => void;
}

/** POST /v1/query in the original's shape: result_json is a string that holds a JSON array of rows. */
export class QueryRoutes {
  readonly #options: QueryRoutesOptions;

  constructor(options: QueryRoutesOptions) {
    this.#options = options;
  }

  query(exchange: HttpExchange): RequestListener {
    const abort = new AbortController();
    const refuse = (error: unknown): void => {
      sendReply(exchange, thrownReply(error, this.#options.onInternal));
    };
    return new JsonListener(exchange, {
      object: (_, body) => {
        this.#run(exchange, body, abort.signal).catch(refuse);
      },
      error: (_, error) => refuse(error),
      // The client has gone: nobody reads the result.
      aborted: () => abort.abort(),
    });
  }

  async #run(exchange: HttpExchange, body: JsonObject, signal: AbortSignal): Promise<void> {
    const { queries, metrics } = this.#options;
    const startedMs = performance.now();
    let outcome = "ok";
    try {
      const reply = await queries.run({
        sql: requiredText(body, "sql"),
        limit: optionalCount(body, "limit"),
        cursor: optionalText(body, "cursor"),
        timeoutMs: optionalCount(body, "timeout_ms"),
        minSequence: readTokens(body["min_sequence"]),
        signal,
        form: "literal",
      });
      exchange.reply(200, ["content-type", "application/json"], resultBody(reply));
    } catch (error) {
      outcome = error instanceof MiniodbError ? error.code : "INTERNAL";
      throw error;
    } finally {
      metrics.queried(outcome, (performance.now() - startedMs) / 1000);
    }
  }
}

/** The literal comes from the worker ready to be sent; nothing of the result passes through JavaScript values. */
function resultBody(reply: QueryReply): Uint8Array {
  const head = Buffer.from(`{"result_json":`);
  const tail = Buffer.from(`,"has_more":${reply.hasMore},"next_cursor":${JSON.stringify(reply.nextCursor)}}`);
  return Buffer.concat([head, reply.body, tail]);
}

/** One token or a list of them. */
function readTokens(value: unknown): string[] | undefined {
  if (value === undefined || value === null || value === "") return undefined;
  const tokens: unknown[] = Array.isArray(value) ? value : [value];
  if (tokens.every((token) => typeof token === "string")) return tokens;
  throw new MiniodbError("INVALID_REQUEST", "min_sequence must be a token, or a list of tokens", {
    field: "min_sequence",
  });
}
