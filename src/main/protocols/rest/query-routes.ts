import { MiniodbError } from "../../../shared/errors.js";
import { Canceller, type CancelSignal } from "../../query/cancel-signal.js";
import { readParameters } from "../../query/query-parameters.js";
import type { QueryService } from "../../query/query-service.js";
import type { HttpExchange, RequestListener } from "../../sockets/http-server.js";
import type { Metrics } from "../../telemetry/metrics.js";
import { JsonListener, optionalCount, optionalText, requiredText, type JsonObject } from "./json-request.js";
import { readFormat } from "./result-format.js";
import { sendQueryReply } from "./query-reply.js";
import { readSnapshotTime } from "./snapshot-time.js";
import { sendReply } from "./send-reply.js";
import { thrownReply } from "./write-reply.js";

export interface QueryRoutesOptions {
  readonly queries: QueryService;
  readonly metrics: Metrics;
  readonly onInternal: (error: unknown) => void;
}

interface ReadRequest {
  readonly body: JsonObject;
  /** The header. */
  readonly accept: string;
  /** Aborted when the client has gone. */
  readonly client: CancelSignal;
}

/** POST /v1/query: the original's shape, or one of the other formats; see result-format.ts. */
export class QueryRoutes {
  readonly #options: QueryRoutesOptions;

  constructor(options: QueryRoutesOptions) {
    this.#options = options;
  }

  query(exchange: HttpExchange): RequestListener {
    const client = new Canceller();
    const accept = exchange.header("accept");
    const refuse = (error: unknown): void => {
      sendReply(exchange, thrownReply(error, this.#options.onInternal));
    };
    return new JsonListener(exchange, {
      object: (_, body) => {
        this.#run(exchange, { body, accept, client }).catch(refuse);
      },
      error: (_, error) => refuse(error),
      // The client has gone: nobody reads the result.
      aborted: () => client.abort(new MiniodbError("QUERY_CANCELLED", "the client has gone")),
    });
  }

  async #run(exchange: HttpExchange, { body, accept, client }: ReadRequest): Promise<void> {
    const { queries, metrics } = this.#options;
    const startedMs = performance.now();
    let outcome = "ok";
    try {
      const format = readFormat(optionalText(body, "format"), accept);
      const reply = await queries.run({
        format,
        sql: requiredText(body, "sql"),
        params: readParameters(body["params"]),
        limit: optionalCount(body, "limit"),
        cursor: optionalText(body, "cursor"),
        timeoutMs: optionalCount(body, "timeout_ms"),
        minSequence: readTokens(body["min_sequence"]),
        at: readSnapshotTime(body),
        queryId: optionalText(body, "query_id"),
        signal: client,
      });
      await sendQueryReply(exchange, format, reply);
    } catch (error) {
      outcome = error instanceof MiniodbError ? error.code : "INTERNAL";
      throw error;
    } finally {
      metrics.queried(outcome, (performance.now() - startedMs) / 1000);
    }
  }
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
